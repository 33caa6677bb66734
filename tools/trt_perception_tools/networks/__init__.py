"""Networks as torch modules: one file each, imported only when chosen."""
from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import OPTICAL_FLOW, SEGMENTATION

if TYPE_CHECKING:
    from torch import nn


class Network(NamedTuple):
    """One line of the table of networks."""

    module: str
    """Module of this package whose `load(weights, where)` builds the network."""
    task: str
    channels: int
    """Of one picture."""
    size: tuple[int, int]
    """(height, width) of the picture when none is asked for, px."""
    multiple: int
    """Height and width must be multiples of it."""

    def load(self, weights: Mapping[str, np.ndarray], where: str) -> nn.Module:
        """Build the network, in evaluation mode, with weights that came from the file `where`.

        Raises:
            ConfigError: the weights are not this network's.
        """
        network: nn.Module = importlib.import_module('.' + self.module, __name__).load(weights, where)
        return network


NETWORKS = {
    'espnet': Network('espnet', SEGMENTATION, 3, (360, 480), 8),
    # Accuracy and time of other sizes: tools/README.md.
    'nanoflownet': Network('nanoflownet', OPTICAL_FLOW, 1, (384, 512), 16),
}


def network_of(model_name: str) -> Network:
    """Return the network whose name the model's name begins with.

    Raises:
        ConfigError: there is none.
    """
    for name, network in NETWORKS.items():
        if model_name.startswith(name):
            return network
    raise ConfigError(f'model {model_name}: no network of that name, expected a name that begins with one of '
                      f'{", ".join(NETWORKS)}. Choose one with --network.')

"""Networks as torch modules: one file each, imported only when chosen."""
from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml

from trt_perception.core.errors import ConfigError, did_you_mean
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION

if TYPE_CHECKING:
    from torch import nn


class Network(NamedTuple):
    """One entry of the table of networks."""

    module: str
    """Module of this package whose `load(weights, where)` builds the network."""
    task: str
    channels: int
    """Channels of one image."""
    size: tuple[int, int]
    """Default (height, width) of the image, px."""
    multiple: int
    """Step of height and width, px."""
    flow_px: float = 1
    """Unit of the network's flow, px of its input."""

    def load(self, weights: Mapping[str, np.ndarray], where: str, **options: Any) -> nn.Module:
        """Build the network, in evaluation mode, with weights from the file `where`.

        Raises:
            ConfigError: the weights are not this network's, or it has no such options.
        """
        return self._call('load', options, weights, where)

    def build(self, **options: Any) -> nn.Module:
        """Build the network, in evaluation mode, with random weights: the class of the module's name.

        Raises:
            ConfigError: it has no such options.
        """
        return self._call(self.module, options).eval()

    def _call(self, name: str, options: Mapping[str, Any], *arguments: Any) -> nn.Module:
        module = importlib.import_module('.' + self.module, __name__)
        maker = next(value for known, value in vars(module).items() if known.lower() == name)
        try:
            inspect.signature(maker).bind(*arguments, **options)
        except TypeError as error:
            raise ConfigError(f'network {self.module}: {error}. Give options of {maker.__name__} in '
                              f'{module.__name__}.') from error
        network: nn.Module = maker(*arguments, **options)
        return network


NETWORKS = {
    'espnet': Network('espnet', SEGMENTATION, 3, (360, 480), 8),
    # Accuracy and time of other sizes: tools/README.md.
    'nanoflownet': Network('nanoflownet', OPTICAL_FLOW, 1, (384, 512), 16),
    'swiftnet': Network('swiftnet', SEGMENTATION, 3, (512, 1024), 32),
    # With or without batch normalisation, by the weights.
    'flownets': Network('flownets', OPTICAL_FLOW, 3, (384, 512), 64, flow_px=20),
    'pwcnet': Network('pwcnet', OPTICAL_FLOW, 3, (384, 512), 64, flow_px=20),
    'tinypwc': Network('tinypwc', OPTICAL_FLOW, 1, (480, 640), 16),
}


def network_of(model_name: str) -> Network:
    """Return the network whose name is the beginning of the model's name.

    Raises:
        ConfigError: there is none.
    """
    for name, network in NETWORKS.items():
        if model_name.startswith(name):
            return network
    raise ConfigError(f'model {model_name}: no network of that name, expected a name that begins with one of '
                      f'{", ".join(NETWORKS)}. Choose one with --network.')


def parse_network(text: str) -> tuple[Network, dict[str, Any]]:
    """Return the network of `name,option=value,...`, and its options.

    Raises:
        ConfigError: there is none of that name, or an option without a value.
    """
    name, *parts = text.split(',')
    if name not in NETWORKS:
        raise ConfigError(f'network: got {name!r}{did_you_mean(name, NETWORKS)} Known: {", ".join(NETWORKS)}.')
    options = {}
    for part in parts:
        key, equals, value = part.partition('=')
        if not equals:
            raise ConfigError(f'network {name}: got {part!r}, expected option=value, e.g. {name},width=0.5.')
        options[key] = yaml.safe_load(value)
    return NETWORKS[name], options

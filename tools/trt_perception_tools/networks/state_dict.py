"""Loads the arrays of a checkpoint into a network with the same module names, and optionally their widths."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from trt_perception.core.errors import ConfigError

_Module = TypeVar('_Module', bound=nn.Module)


def load_state(network: _Module, weights: Mapping[str, np.ndarray], where: str) -> _Module:
    """Return the network with `weights`, from the file `where`, in evaluation mode.

    Raises:
        ConfigError: names or shapes are not the network's.
    """
    state = {name: torch.from_numpy(np.asarray(array)) for name, array in weights.items()}
    # Counters of training steps, which a state dict has, but not the arrays.
    state.update({name: value for name, value in network.state_dict().items() if name.endswith('num_batches_tracked')})
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f'{where}: expected the weights of {type(network).__name__}: {error}') from error
    return network.eval()


def fit_widths(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Give convolutions and batch normalisations the channels that they have in `weights`, without the values."""
    for name, tensor in network.state_dict(keep_vars=True).items():
        if name in weights:
            tensor.data = tensor.data.new_empty(weights[name].shape)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module.groups > 1:  # Depthwise.
                module.groups = len(module.weight)
            module.in_channels, module.out_channels = module.weight.shape[1] * module.groups, len(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = len(module.weight)

"""The confidence of a label: a probability of the network's softmax, calibrated by class."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from torch import Tensor, nn

from trt_perception.core.errors import ConfigError

_LEAST_OTHERS = 1e-3
"""Smallest odds of being wrong that are resolved, 1 : 1000: in FP16 a sum near 1 has no finer steps."""


class Calibration(NamedTuple):
    """Platt scaling (Platt, 1999) of each class's log odds z: the confidence is sigmoid(slope * z + offset)."""

    slope: Sequence[float]
    """Slope by class; 1 = that of the softmax."""
    offset: Sequence[float]
    """Offset by class; 0 = that of the softmax."""


class Confidence(nn.Module):
    """(N, classes, H, W) scores -> (N, 1, H, W) probability 0..1 that the best class is right."""

    one: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, calibration: Calibration | None = None) -> None:
        super().__init__()
        # A tensor, because a number over a tensor is exported as Reciprocal, which TensorRT 8.2 does not list.
        self.register_buffer('one', torch.tensor(1.0))
        self.is_calibrated = calibration is not None
        if calibration is not None:
            self.register_buffer('slope', torch.tensor(calibration.slope))
            self.register_buffer('offset', torch.tensor(calibration.offset))

    def forward(self, scores: Tensor) -> Tensor:
        """Return the confidence, (N, 1, H, W) 0..1, of scores, (N, classes, H, W)."""
        best = scores.amax(1, keepdim=True)
        # The largest softmax probability is 1 / sum(exp(score - best)): no softmax of all classes.
        total = torch.exp(scores - best).sum(1, keepdim=True)
        if not self.is_calibrated:
            return self.one / total
        odds = -torch.log(torch.clamp(total - 1, min=_LEAST_OTHERS))
        chosen = scores.argmax(1, keepdim=True)
        return torch.sigmoid(self.slope[chosen] * odds + self.offset[chosen])


def read_calibration(path: Path, names: Sequence[str]) -> Calibration:
    """Return the result of `calibrate`.

    Args:
        path: a YAML file, class name -> [slope, offset].
        names: names of the classes, in the order of their ids.

    Raises:
        ConfigError: the file cannot be read, or is for other classes.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f'{path}: cannot be read: {error}. Make it with: trt_perception_tools calibrate') from error
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        raise ConfigError(f'{path}: expected one line [slope, offset] for each of {", ".join(names)}. Make it with: '
                          'trt_perception_tools calibrate')
    try:
        pairs = [(float(slope), float(offset)) for slope, offset in (values[name] for name in names)]
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{path}: expected [slope, offset], two numbers, for every class: {error}.') from error
    return Calibration(*zip(*pairs, strict=True))


def write_calibration(path: Path, calibration: Calibration, names: Sequence[str], comment: str) -> None:
    """Write a file for `read_calibration`, with a comment on its origin."""
    lines = [f'{name}: [{slope:.4f}, {offset:.4f}]'
             for name, slope, offset in zip(names, *calibration, strict=True)]
    path.write_text('\n'.join([f'# {comment}', *lines]) + '\n', encoding='utf-8')

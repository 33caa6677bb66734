"""Which convolutions cost most in INT8: each is quantised alone, and the result compared with FP32."""
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from onnx import ModelProto
from onnxruntime.quantization.calibrate import TensorsData
from tqdm import tqdm

from trt_perception.core.model import Model
from trt_perception.core.tasks import SEGMENTATION

from ..graphs.runtimes import Runtime
from .calibration import Feeds
from .int8 import quantisable, quantise


class Loss(NamedTuple):
    """What one convolution costs."""

    name: str
    """Of the node."""
    difference: float
    """See `difference`."""


def run(network: ModelProto, model: Model, feeds: Sequence[Feeds]) -> list[np.ndarray]:
    """Return the labels or the flow of every picture or pair."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    session = ort.InferenceSession(network.SerializeToString(), settings, providers=['CPUExecutionProvider'])
    output = model.output.labels or model.output.flow
    return [np.asarray(session.run([output], each)[0]) for each in feeds]


def difference(model: Model, reference: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> float:
    """Return how far results are from those in FP32.

    Segmentation: share of pixels with another label. Flow: mean length of the difference, px of the network's input.
    """
    if model.task == SEGMENTATION:
        return float(np.mean([(a != b).mean() for a, b in zip(reference, results, strict=True)]))
    axis = 1 if reference[0].shape[1] == 2 else 3
    lengths = [np.linalg.norm(a - b, axis=axis).mean() for a, b in zip(reference, results, strict=True)]
    return float(np.mean(lengths)) * abs(model.output.flow_scale)


def as_text(model: Model, value: float) -> str:
    """Say a difference in words."""
    return f'{value:.2%} of the labels differ' if model.task == SEGMENTATION else f'flow differs by {value:.3f} px'


def measure(prepared: ModelProto, ranges: TensorsData, runtime: Runtime, model: Model,
            feeds: Sequence[Feeds]) -> list[Loss]:
    """Return what every convolution costs that would be quantised, the worst first."""
    reference = run(prepared, model, feeds)
    names = quantisable(prepared)
    losses = []
    for name in tqdm(names, 'sensitivity', unit='layer', leave=False, disable=None):
        alone = quantise(prepared, ranges, runtime, [other for other in names if other != name])
        losses.append(Loss(name, difference(model, reference, run(alone, model, feeds))))
    return sorted(losses, key=lambda each: -each.difference)


def table(losses: Sequence[Loss], model: Model) -> str:
    """Lay out what the convolutions cost as text."""
    unit, factor = ('labels, %', 100) if model.task == SEGMENTATION else ('flow, px', 1)
    width = max(len(each.name) for each in losses)
    lines = [f'{each.name.ljust(width)}  {each.difference * factor:9.4f}' for each in losses]
    return '\n'.join([f'{"alone in INT8, it changes".ljust(width)}  {unit:>9}', '-' * (width + 11), *lines])


def as_json(losses: Sequence[Loss]) -> str:
    """Return what the convolutions cost as JSON."""
    return json.dumps([each._asdict() for each in losses], indent=2) + '\n'

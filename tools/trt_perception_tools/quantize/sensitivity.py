"""Finds the convolutions that cost most accuracy in INT8: each is quantised alone and compared with FP32."""
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

from ..graphs.runtimes import Runtime
from ..tasks import scorer_class
from .calibration import Feeds
from .int8 import quantisable, quantise


class Loss(NamedTuple):
    """The accuracy that one convolution costs."""

    name: str
    """Name of the node."""
    difference: float
    """See `difference`."""


def run(network: ModelProto, model: Model, feeds: Sequence[Feeds]) -> list[np.ndarray]:
    """Return the network's result for every image or pair: (1, H, W) labels; flow, (1, H, W, 2) or (1, 2, H, W)."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    session = ort.InferenceSession(network.SerializeToString(), settings, providers=['CPUExecutionProvider'])
    [output, *_] = model.output.names.values()  # The result itself; a confidence follows.
    return [np.asarray(session.run([output], each)[0]) for each in feeds]


def difference(model: Model, reference: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> float:
    """Return the difference of results from FP32, see Scorer.deviate of the task; flow in px."""
    deviate = scorer_class(model.task).deviate
    deviations = [deviate(result, other) for result, other in zip(results, reference, strict=True)]
    return float(np.mean(deviations)) * abs(model.output.flow_scale)


def as_text(model: Model, value: float) -> str:
    """Return a difference in words."""
    return scorer_class(model.task).differs.format(value)


def measure(prepared: ModelProto, ranges: TensorsData, runtime: Runtime, model: Model,
            feeds: Sequence[Feeds]) -> list[Loss]:
    """Return the cost of every convolution that would be quantised, the worst first."""
    reference = run(prepared, model, feeds)
    names = quantisable(prepared)
    losses = []
    for name in tqdm(names, 'sensitivity', unit='layer', leave=False, disable=None):
        alone = quantise(prepared, ranges, runtime, [other for other in names if other != name])
        losses.append(Loss(name, difference(model, reference, run(alone, model, feeds))))
    return sorted(losses, key=lambda each: -each.difference)


def table(losses: Sequence[Loss], model: Model) -> str:
    """Return the costs of the convolutions as text."""
    measure = scorer_class(model.task).deviation
    width = max(len(each.name) for each in losses)
    lines = [f'{each.name.ljust(width)}  {measure.text(each.difference):>9}' for each in losses]
    return '\n'.join([f'{"alone in INT8, it changes".ljust(width)}  {measure.title:>9}', '-' * (width + 11), *lines])


def as_json(losses: Sequence[Loss]) -> str:
    """Return the costs of the convolutions as JSON."""
    return json.dumps([each._asdict() for each in losses], indent=2) + '\n'

"""Makes a foreign ONNX network keep the package's contract, inside its graph.

Static shapes and batch 1; pictures in, of uint8 or float32; labels and confidence as uint8, or flow as float32, out;
nothing else. How grey levels are normalised is left to the model's YAML.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from trt_perception.core.errors import PerceptionError
from trt_perception.core.image import Size
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION

from ..graphs import edit
from ..graphs.edit import OPSET
from ..graphs.slim import simplify
from .interface import NOTATION, Output, Pictures, Tensor, network_inputs, run_network

_TENSORS = ('image', 'first', 'second', 'labels', 'confidence', 'flow')
_TOLERANCE_LABELS = 1e-3
_TOLERANCE_CONFIDENCE = 2
_TOLERANCE_PX = 1e-3


class Difference(NamedTuple):
    """How far the fitted graph is from the foreign one, on an example."""

    labels: float = 0.0
    """Share of pixels with another label."""
    confidence: int = 0
    """Largest difference, of 255."""
    flow_px: float = 0.0
    """Largest difference, in the network's own unit."""


def fit(network: onnx.ModelProto, pictures: Pictures, output: Output, task: str, size: Size, classes: int,
        where: str, tensorrt: bool = False) -> onnx.ModelProto:
    """Return the network with the package's inputs and outputs, and nothing that they do not need.

    Args:
        network: static.
        classes: labels are the argmax over so many scores; those behind them are not seen.
        tensorrt: TensorRT 8.2 has no bytes: float32 NCHW pictures, INT32 labels and confidence.

    Raises:
        ConfigError: the operators are too old.
    """
    narrowed = onnx.ModelProto()
    narrowed.CopyFrom(network)
    del narrowed.graph.output[:]
    kind = onnx.helper.np_dtype_to_tensor_dtype(output.dtype)
    narrowed.graph.output.append(onnx.helper.make_tensor_value_info(output.name, kind, output.shape))
    edit.prune(narrowed.graph)  # Before the conversion: what is not needed cannot hinder it.
    fitted = edit.with_opset(narrowed, where)
    graph = fitted.graph
    taken = {name: f'{edit.PREFIX}foreign_{name}' for name in _TENSORS}
    edit.rename(graph, taken)
    picture_names = [taken.get(name, name) for name in pictures.names]
    result = taken.get(output.name, output.name)
    public = ('image',) if task == SEGMENTATION else ('first', 'second')
    fed = np.dtype(np.float32) if tensorrt else pictures.fed
    channels_last = pictures.channels_last and not tensorrt
    front = _front(pictures, fed, channels_last, size, public)
    if front:
        edit.graft(graph, front, edit.opset_of(fitted),
                         {f'network_{number}': name for number, name in enumerate(picture_names)}, first=True)
    else:
        edit.rename(graph, dict(zip(picture_names, public, strict=True)))
    byte = np.dtype(np.int32 if tensorrt else np.uint8)
    head = _head(output, task, classes, byte)
    if head:
        edit.graft(graph, head, edit.opset_of(fitted), {'raw': result})
    else:
        edit.rename(graph, {result: 'labels' if task == SEGMENTATION else 'flow'})
    sides = _sides(pictures, channels_last, size)
    _set_interface(graph, dict.fromkeys(public, (fed, sides)), output, task, byte)
    edit.prune(graph)
    edit.drop_unused_domains(fitted)
    fitted.ir_version = min(fitted.ir_version, edit.IR_VERSION)
    onnx.checker.check_model(fitted)
    # Exporters compute sizes with Shape and Gather where axes were dynamic; TensorRT 8 refuses a Resize to such a size.
    simple = simplify(fitted)
    return fitted if edit.domains(simple) - edit.domains(fitted) else simple


def compare(fitted: onnx.ModelProto, feeds: Mapping[str, np.ndarray], reference: np.ndarray, pictures: Pictures,
            output: Output, task: str, classes: int, where: str) -> Difference:
    """Run the fitted network on what gave `reference`, the foreign network's own output.

    Raises:
        PerceptionError: they differ by more than rounding.
    """
    planes = list(feeds.values())
    if pictures.concatenated:
        planes = np.split(planes[0], 2, 3 if pictures.channels_last else 1)
    got = run_network(fitted, {each.name: _as_input(each, plane)
                               for each, plane in zip(network_inputs(fitted), planes, strict=True)}, where)
    if task == OPTICAL_FLOW:
        difference = Difference(flow_px=float(np.abs(got['flow'] - reference).max()))
    else:
        labels, confidence = _decode(reference, output, classes)
        # Of INT32 the engine keeps the lowest byte too.
        difference = Difference(float((got['labels'].astype(np.uint8).reshape(labels.shape) != labels).mean()))
        if confidence is not None:
            difference = difference._replace(confidence=int(np.abs(
                got['confidence'].reshape(labels.shape).astype(int) - confidence).max()))
    largest = float(np.abs(reference).max()) if task == OPTICAL_FLOW else 0.0
    limit = Difference(_TOLERANCE_LABELS, _TOLERANCE_CONFIDENCE, _TOLERANCE_PX * max(1.0, largest))
    if any(not value <= most for value, most in zip(difference, limit, strict=True)):
        raise PerceptionError(f'{where}: the fitted network differs by {difference} from the file, expected at most '
                              f'{limit}. Export the file with opset {OPSET} and fixed shapes.')
    return difference


def _as_input(tensor: Tensor, plane: np.ndarray) -> np.ndarray:
    if plane.shape != tensor.shape:
        plane = plane.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(plane, tensor.dtype)


def _decode(scores: np.ndarray, output: Output, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels and confidence of an output with numpy: the reference for `_head`. (H, W) each."""
    if output.axis is None:
        return scores.reshape(output.size).astype(np.uint8), None
    scores = np.moveaxis(scores[0], output.axis - 1, 0).astype(np.float64)
    if len(scores) == 1:
        share = scores[0] if output.probabilities else 1 / (1 + np.exp(-scores[0]))
        return (share > 0.5).astype(np.uint8), np.rint(255 * np.maximum(share, 1 - share))
    scores = scores[:classes]
    share = scores if output.probabilities else np.exp(scores - scores.max(0)) / np.exp(scores - scores.max(0)).sum(0)
    return scores.argmax(0).astype(np.uint8), np.rint(255 * share.max(0))


def _front(pictures: Pictures, fed: np.dtype, channels_last: bool, size: Size, public: Sequence[str]) -> str:
    """Return what stands between the package's pictures and the network, as ONNX text; '' = nothing."""
    steps: list[str] = []
    names = list(public)

    def step(operator: str, attribute: str) -> None:
        nonlocal names
        results = [f'{name}_{operator}'.lower() for name in names]
        steps.extend(f'{result} = {operator} <{attribute}> ({name})'
                     for result, name in zip(results, names, strict=True))
        names = results

    if channels_last != pictures.channels_last:
        step('Transpose', 'perm = [0, 2, 3, 1]')
    if pictures.concatenated:
        steps.append(f'pair = Concat <axis = {3 if pictures.channels_last else 1}> ({", ".join(names)})')
        names = ['pair']
    if fed != pictures.dtype:
        step('Cast', f'to = {int(onnx.helper.np_dtype_to_tensor_dtype(pictures.dtype))}')
    if not steps:
        return ''
    results = [f'network_{number}' for number in range(len(names))]
    steps += [f'{result} = Identity ({name})' for result, name in zip(results, names, strict=True)]
    kind = '{}[{}]'.format(NOTATION[fed], ', '.join(map(str, _sides(pictures, channels_last, size))))
    return _text([f'{kind} {name}' for name in public],
                 [f'{NOTATION[pictures.dtype]}[A, B, C, D] {name}' for name in results], steps)


def _sides(pictures: Pictures, channels_last: bool, size: Size) -> tuple[int, ...]:
    return (1, *size, pictures.channels) if channels_last else (1, pictures.channels, *size)


def _head(output: Output, task: str, classes: int, byte: np.dtype) -> str:
    """Return what stands behind the network, as ONNX text; '' = nothing."""
    given = ['{}[{}] raw'.format(NOTATION[output.dtype], ', '.join(map(str, output.shape)))]
    height, width = output.size
    if task == OPTICAL_FLOW:
        return '' if output.dtype == np.float32 else _text(given, ['float[A, B, C, D] flow'], [
            'flow = Cast <to = 1> (raw)'])
    grid = f'{NOTATION[byte]}[1, {height}, {width}]'
    to = int(onnx.helper.np_dtype_to_tensor_dtype(byte))
    if output.axis is None:
        if output.dtype == byte and output.shape == (1, height, width):
            return ''
        steps = [f'bytes = Cast <to = {to}> (raw)' if output.dtype != byte else 'bytes = Identity (raw)',
                 f'shape = Constant <value = int64[3] {{1, {height}, {width}}}> ()', 'labels = Reshape (bytes, shape)']
        return _text(given, [f'{grid} labels'], steps if output.shape != (1, height, width) else [
            f'labels = Cast <to = {to}> (raw)'])
    steps = ['scores = Cast <to = 1> (raw)'] if output.dtype != np.float32 else ['scores = Identity (raw)']
    if output.channels == 1:
        # Of two classes, the second one's score.
        steps += [f'shape = Constant <value = int64[3] {{1, {height}, {width}}}> ()', 'flat = Reshape (scores, shape)',
                  'share = Identity (flat)' if output.probabilities else 'share = Sigmoid (flat)',
                  'half = Constant <value = float {0.5}> ()', 'one = Constant <value = float {1}> ()',
                  'second = Greater (share, half)', f'labels = Cast <to = {to}> (second)',
                  'opposite = Sub (one, share)', 'sure = Max (share, opposite)']
    else:
        axis = output.axis
        steps += [f'axis = Constant <value = int64[1] {{{axis}}}> ()', 'start = Constant <value = int64[1] {0}> ()',
                  f'end = Constant <value = int64[1] {{{classes}}}> ()',
                  'known = Slice (scores, start, end, axis)' if classes < output.channels
                  else 'known = Identity (scores)',
                  f'index = ArgMax <axis = {axis}, keepdims = 0> (known)', f'labels = Cast <to = {to}> (index)']
        if output.probabilities:
            steps.append(f'sure = ReduceMax <axes = [{axis}], keepdims = 0> (known)')
        else:
            # The largest softmax probability is 1 / sum(exp(score - largest score)): no softmax of all classes.
            steps += [f'best = ReduceMax <axes = [{axis}], keepdims = 1> (known)', 'lower = Sub (known, best)',
                      'odds = Exp (lower)', 'sum = ReduceSum <keepdims = 0> (odds, axis)',
                      # TensorRT 8.2 does not list Reciprocal.
                      'one = Constant <value = float {1}> ()', 'sure = Div (one, sum)']
    steps += ['full = Constant <value = float {255}> ()', 'scaled = Mul (sure, full)', 'rounded = Round (scaled)',
              f'confidence = Cast <to = {to}> (rounded)']
    return _text(given, [f'{grid} labels', f'{grid} confidence'], steps)


def _text(given: Sequence[str], results: Sequence[str], steps: Sequence[str]) -> str:
    lines = '\n'.join(steps)
    return (f'<ir_version: {edit.IR_VERSION}, opset_import: ["" : {OPSET}]>\n'
            f'part ({", ".join(given)}) => ({", ".join(results)}) {{\n{lines}\n}}')


def _set_interface(graph: onnx.GraphProto, inputs: Mapping[str, tuple[np.dtype, Sequence[int]]], output: Output,
                   task: str, byte: np.dtype) -> None:
    if task == OPTICAL_FLOW:
        outputs = {'flow': (np.dtype(np.float32), output.shape)}
    else:
        names = ('labels',) if output.axis is None else ('labels', 'confidence')
        outputs = dict.fromkeys(names, (byte, (1, *output.size)))
    del graph.input[:], graph.value_info[:], graph.output[:]
    for values, tensors in ((graph.input, inputs), (graph.output, outputs)):
        values.extend(onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)
                      for name, (dtype, shape) in tensors.items())

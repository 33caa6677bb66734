"""Makes a foreign ONNX network keep the package's contract, inside its graph.

Static shapes and batch 1; images in, of uint8 or float32; labels and confidence as uint8, or flow as float32, out;
nothing else. How grey levels are normalised is left to the model's YAML.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.image import Size

from ..graphs import edit
from ..graphs.lowering import constants_of
from ..graphs.opset import IR_VERSION, OPSET, opset_of, to_opset_13
from ..graphs.runtimes import Runtime
from ..graphs.slim import simplify
from .interface import Images, Tensor, network_inputs, run_network
from .model_card import Normalisation
from .output import FLOW, LABELS, PROBABILITIES, RANKS, Output
from .widen import widen_bytes

NOTATION = {np.dtype(kind): name for kind, name in (
    (np.uint8, 'uint8'), (np.int8, 'int8'), (np.int32, 'int32'), (np.int64, 'int64'), (np.bool_, 'bool'),
    (np.float16, 'float16'), (np.float32, 'float'), (np.float64, 'double'))}
"""Element types in ONNX's text notation."""
_PASSES = frozenset({'Identity', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Cast'})
_NARROWEST, _WIDEST = 0.1, 700.0
"""Ranges of normalised grey levels that no network is trained on: 255 / 0.229 is 1113."""
_TOLERANCE_LABELS = 1e-3
_TOLERANCE_CONFIDENCE = 2
_TOLERANCE_PX = 1e-3


class UnequalError(PerceptionError):
    """A fitted network does not do what the file does."""


class Difference(NamedTuple):
    """How far the fitted graph is from the foreign one, on an example."""

    labels: float = 0.0
    """Share of pixels with another label."""
    confidence: int = 0
    """Largest difference, of 255."""
    flow_px: float = 0.0
    """Largest difference, in the network's own unit."""


def fit(network: onnx.ModelProto, images: Images, output: Output, size: Size, classes: int, where: str,
        runtime: Runtime, lower: bool = True) -> onnx.ModelProto:
    """Return the network with the package's inputs and outputs, and nothing that they do not need.

    Args:
        network: static.
        classes: labels are the argmax over so many scores; those behind them are not seen.
        runtime: for tensorrt, whose 8.2 has no bytes: float32 NCHW images, INT32 labels and confidence.
        lower: to opset 13 where the operators allow it.

    Raises:
        ConfigError: the operators are too old.
    """
    narrowed = onnx.ModelProto()
    narrowed.CopyFrom(network)
    del narrowed.graph.output[:]
    kind = onnx.helper.np_dtype_to_tensor_dtype(output.dtype)
    narrowed.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, output.shape) for name in output.names)
    edit.prune(narrowed.graph)  # Before the conversion: what is not needed cannot hinder it.
    fitted = _folded(narrowed)
    if lower or opset_of(fitted) < OPSET:
        fitted = to_opset_13(fitted, where)
    tensorrt = runtime == 'tensorrt'
    if tensorrt and images.dtype == np.uint8 and widen_bytes(fitted):
        images = images._replace(dtype=np.dtype(np.float32))
    graph = fitted.graph
    # All that the file has is out of the way of what is added.
    own = {name: f'file/{name}' for name in edit.tensor_names(graph)}
    edit.rename(graph, own)
    image_names = [own[name] for name in images.names]
    public = ('image',) if output.kind != FLOW else ('first', 'second')
    fed = np.dtype(np.float32) if tensorrt else images.fed
    channels_last = images.channels_last and not tensorrt
    front = _front(images, fed, channels_last, size, public)
    if front:
        edit.graft(graph, front, opset_of(fitted),
                   {f'network_{number}': name for number, name in enumerate(image_names)}, first=True)
    else:
        edit.rename(graph, dict(zip(image_names, public, strict=True)))
    byte = np.dtype(np.int32 if tensorrt else np.uint8)
    edit.graft(graph, _head(output, classes, byte), opset_of(fitted),
               {f'raw_{number}': own[name] for number, name in enumerate(output.names)})
    sides = (1, *size, images.channels) if channels_last else (1, images.channels, *size)
    _set_interface(graph, dict.fromkeys(public, (fed, sides)), output, byte)
    edit.prune(graph)
    edit.drop_unused_domains(fitted)
    fitted.ir_version = min(fitted.ir_version, IR_VERSION)
    onnx.checker.check_model(fitted)
    return _folded(fitted, fold=True)


def _folded(network: onnx.ModelProto, fold: bool = False) -> onnx.ModelProto:
    """Return it with constants computed, where that needs no operators of ONNX Runtime's own.

    Exporters compute sizes with Shape and Gather where axes were dynamic; TensorRT 8 refuses a Resize to such a size.
    """
    simple = simplify(network, fold)
    return network if edit.domains(simple) - edit.domains(network) else simple


def compare_each(fitted: onnx.ModelProto, planes: Sequence[Sequence[np.ndarray]],
                 references: Sequence[Mapping[str, np.ndarray]], output: Output, classes: int, where: str
                 ) -> Difference:
    """Return the largest difference of all frames; see `compare`."""
    found = [compare(fitted, each, reference, output, classes, where)
             for each, reference in zip(planes, references, strict=True)]
    return Difference(*(max(values) for values in zip(*found, strict=True)))


def check_range(network: onnx.ModelProto, images: Images, values: Normalisation, where: str) -> None:
    """Refuse a normalisation that the network's own, in its first nodes, makes senseless.

    Raises:
        ConfigError: grey levels are normalised twice, or not where the network expects it.
    """
    if images.fed != np.float32:
        return
    scale, shift = own_scale(network, images.names[0])
    lowest, highest = (np.array([(level - mean) / std for mean, std in zip(values.mean, values.std, strict=True)])
                       for level in (0, 255))
    width = float(np.max(np.abs(scale) * (highest - lowest)))
    if scale == 1 and shift == 0:
        return
    done = f'{where}: its first nodes compute {scale:.4g} * x {shift:+.4g} of what is fed'
    if width < _NARROWEST:
        raise ConfigError(f'{done}, and after the normalisation given, all grey levels lie within {width:.2g}: '
                          'normalised twice. Give --normalise none.')
    if width > _WIDEST:
        raise ConfigError(f'{done}, and with the normalisation given, grey levels would span {width:.4g}: it expects '
                          'them in 0..1. Give --normalise unit.')


def own_scale(network: onnx.ModelProto, name: str) -> tuple[float, float]:
    """Return the factor and the sum, means over channels, that a network's first nodes apply to an input."""
    constants = constants_of(network.graph)
    scale, shift = 1.0, 0.0
    while True:
        users = [node for node in network.graph.node if name in node.input]
        if len(users) != 1:
            return scale, shift
        node = users[0]
        others = [constants[each] for each in node.input if each in constants]
        first = bool(node.input) and node.input[0] == name
        if node.op_type in ('Mul', 'Div', 'Sub', 'Add') and others and (first or node.op_type in ('Mul', 'Add')):
            value = float(np.mean(others[0]))
            if node.op_type == 'Add':
                shift += value
            elif node.op_type == 'Sub':
                shift -= value
            elif node.op_type == 'Mul' or value:
                factor = value if node.op_type == 'Mul' else 1 / value
                scale, shift = scale * factor, shift * factor
        elif node.op_type not in _PASSES:
            return scale, shift
        name = node.output[0]


def compare(fitted: onnx.ModelProto, planes: Sequence[np.ndarray], reference: Mapping[str, np.ndarray],
            output: Output, classes: int, where: str) -> Difference:
    """Run the fitted network on what gave `reference`, the foreign network's own outputs.

    Args:
        planes: (1, H, W, C), one per image, as an engine feeds them.

    Raises:
        UnequalError: they differ by more than rounding.
    """
    got = run_network(fitted, {each.name: _as_input(each, plane)
                               for each, plane in zip(network_inputs(fitted), planes, strict=True)}, where)
    if output.kind == FLOW:
        parts = [reference[name].reshape(output.grid.shape) for name in output.names]
        flow = np.concatenate(parts, output.grid.axis)
        difference = Difference(flow_px=float(np.abs(got['flow'] - flow).max()))
        largest = float(np.abs(flow).max())
    else:
        labels, confidence = _decode(reference[output.names[0]], output, classes)
        # Of INT32 the engine keeps the lowest byte too.
        difference = Difference(float((got['labels'].astype(np.uint8).reshape(labels.shape) != labels).mean()))
        if confidence is not None:
            difference = difference._replace(confidence=int(np.abs(
                got['confidence'].reshape(labels.shape).astype(int) - confidence).max()))
        largest = 0.0
    limit = Difference(_TOLERANCE_LABELS, _TOLERANCE_CONFIDENCE, _TOLERANCE_PX * max(1.0, largest))
    if any(not value <= most for value, most in zip(difference, limit, strict=True)):
        raise UnequalError(f'{where}: the fitted network differs from the file by {difference}, expected at most '
                           f'{limit}. This is a fault of import-model: report it with the file.')
    return difference


def _as_input(tensor: Tensor, plane: np.ndarray) -> np.ndarray:
    if plane.shape != tensor.shape:
        plane = plane.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(plane, tensor.dtype)


def _decode(scores: np.ndarray, output: Output, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return labels and confidence of an output with numpy: the reference for `_head`. (H, W) each."""
    labels, confidence = _decode_grid(scores.reshape(output.grid.shape), output, classes)
    (rows, columns), border = output.border, [(side, side) for side in output.border]
    if rows or columns:
        labels = np.pad(labels, border, constant_values=VOID)
        confidence = confidence if confidence is None else np.pad(confidence, border)
    return labels, confidence


def _decode_grid(scores: np.ndarray, output: Output, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    if output.kind == LABELS:
        return scores.reshape(output.grid.size).astype(np.int64).astype(np.uint8), None
    scores = np.moveaxis(scores[0], output.grid.axis - 1, 0).astype(np.float64)
    certain = output.kind == PROBABILITIES
    if len(scores) == 1:
        share = scores[0] if certain else 1 / (1 + np.exp(-scores[0]))
        return (share > 0.5).astype(np.uint8), np.rint(255 * np.clip(np.maximum(share, 1 - share), 0, 1))
    scores = scores[:classes]
    labels = scores.argmax(0).astype(np.uint8)
    if output.kind == RANKS:
        return labels, None
    share = scores if certain else np.exp(scores - scores.max(0)) / np.exp(scores - scores.max(0)).sum(0)
    return labels, np.rint(255 * np.clip(share.max(0), 0, 1))


def _front(images: Images, fed: np.dtype, channels_last: bool, size: Size, public: Sequence[str]) -> str:
    """Return what stands between the package's images and the network, as ONNX text; '' = nothing."""
    steps: list[str] = []
    names = list(public)

    def step(operator: str, attribute: str, constant: str = '') -> None:
        nonlocal names
        results = [f'{name}_{operator}'.lower() for name in names]
        steps.extend(f'{result} = {operator} <{attribute}> ({name}{constant})'
                     for result, name in zip(results, names, strict=True))
        names = results

    given = (1, *size, images.channels) if images.channels_last else (1, images.channels, *size)
    if channels_last != images.channels_last:
        step('Transpose', 'perm = [0, 2, 3, 1]')
    shape = images.shape(size)
    axis = images.axes.index('T' if 'T' in images.axes else 'C') if images.joined else 0
    part = tuple(side // 2 if images.joined and number == axis else side for number, side in enumerate(shape))
    if part != given:
        steps.append(f'part = Constant <value = int64[{len(part)}] {{{", ".join(map(str, part))}}}> ()')
        step('Reshape', '', ', part')
    if images.joined:
        steps.append(f'pair = Concat <axis = {axis}> ({", ".join(names)})')
        names = ['pair']
    if images.dtype == np.int8:
        # Of a quantised network: the grey level 0 is -128.
        steps.append('middle = Constant <value = int32 {128}> ()')
        step('Cast', 'to = 6')
        step('Sub', '', ', middle')
    if fed != images.dtype:
        step('Cast', f'to = {int(onnx.helper.np_dtype_to_tensor_dtype(images.dtype))}')
    if not steps:
        return ''
    results = [f'network_{number}' for number in range(len(names))]
    steps += [f'{result} = Identity ({name})' for result, name in zip(results, names, strict=True)]
    sides = (1, *size, images.channels) if channels_last else (1, images.channels, *size)
    kind = '{}[{}]'.format(NOTATION[fed], ', '.join(map(str, sides)))
    return _text([f'{kind} {name}' for name in public],
                 [f'{NOTATION[images.dtype]}[{", ".join(map(str, shape))}] {name}' for name in results],
                 [each.replace(' <> ', ' ') for each in steps])


def _head(output: Output, classes: int, byte: np.dtype) -> str:
    """Return what stands behind the network, as ONNX text."""
    given = [f'{NOTATION[output.dtype]}[{", ".join(map(str, output.shape))}] raw_{number}'
             for number in range(len(output.names))]
    steps = [f'grid = Constant <value = int64[4] {{{", ".join(map(str, output.grid.shape))}}}> ()'] \
        if output.shape != output.grid.shape else []
    parts = []
    for number in range(len(given)):
        name = f'raw_{number}'
        if steps:
            steps.append(f'grid_{number} = Reshape ({name}, grid)')
            name = f'grid_{number}'
        if output.dtype != np.float32 and output.kind != LABELS:
            steps.append(f'float_{number} = Cast <to = 1> ({name})')
            name = f'float_{number}'
        parts.append(name)
    if output.kind == FLOW:
        steps.append(f'flow = Concat <axis = {output.grid.axis}> ({", ".join(parts)})' if len(parts) > 1
                     else f'flow = Identity ({parts[0]})')
        return _text(given, ['float[A, B, C, D] flow'], steps)
    to = int(onnx.helper.np_dtype_to_tensor_dtype(byte))
    results = _labels_steps(steps, parts[0], output, classes)
    height, width = output.grid.size
    steps.append(f'map = Constant <value = int64[3] {{1, {height}, {width}}}> ()')
    for name, fill in zip(results, (VOID, 0), strict=False):
        steps += [f'{name}_map = Reshape ({name}_wide, map)',
                  f'{name}_byte = Cast <to = {to}> ({name}_map)']
        if any(output.border):
            rows, columns = output.border
            steps += [f'{name}_border = Constant <value = int64[6] {{0, {rows}, {columns}, 0, {rows}, {columns}}}> ()',
                      f'{name}_fill = Constant <value = {NOTATION[byte]} {{{fill}}}> ()',
                      f'{name} = Pad ({name}_byte, {name}_border, {name}_fill)']
        else:
            steps.append(f'{name} = Identity ({name}_byte)')
    sides = f'{NOTATION[byte]}[1, {output.size[0]}, {output.size[1]}]'
    return _text(given, [f'{sides} {name}' for name in results], steps)


def _labels_steps(steps: list[str], scores: str, output: Output, classes: int) -> list[str]:
    """Add what makes `labels_wide`, and where there is one `confidence_wide`; return which of the two there are."""
    axis, certain = output.grid.axis, output.kind == PROBABILITIES
    if output.kind == LABELS:
        # By way of integers: -1 becomes 255, and what becomes of a negative float is undefined.
        steps.append(f'labels_wide = Cast <to = 6> ({scores})')
        return ['labels']
    steps += ['full = Constant <value = float {255}> ()', 'one = Constant <value = float {1}> ()']
    if output.channels == 1:
        # Of two classes, the second one's score.
        steps += [f'share = Identity ({scores})' if certain else f'share = Sigmoid ({scores})',
                  'half = Constant <value = float {0.5}> ()', 'labels_wide = Greater (share, half)',
                  'opposite = Sub (one, share)', 'sure = Max (share, opposite)']
    else:
        steps += [f'axis = Constant <value = int64[1] {{{axis}}}> ()', 'start = Constant <value = int64[1] {0}> ()',
                  f'end = Constant <value = int64[1] {{{classes}}}> ()',
                  f'known = Slice ({scores}, start, end, axis)' if classes < output.channels
                  else f'known = Identity ({scores})',
                  f'labels_wide = ArgMax <axis = {axis}, keepdims = 0> (known)']
        if output.kind == RANKS:
            return ['labels']
        if certain:
            steps.append(f'sure = ReduceMax <axes = [{axis}], keepdims = 0> (known)')
        else:
            # The largest softmax probability is 1 / sum(exp(score - largest score)): no softmax of all classes.
            steps += [f'best = ReduceMax <axes = [{axis}], keepdims = 1> (known)', 'lower = Sub (known, best)',
                      'odds = Exp (lower)', 'sum = ReduceSum <keepdims = 0> (odds, axis)',
                      # TensorRT 8.2 does not list Reciprocal.
                      'sure = Div (one, sum)']
    if certain:
        steps += ['none = Constant <value = float {0}> ()', 'within = Clip (sure, none, one)',
                  'scaled = Mul (within, full)']
    else:
        steps.append('scaled = Mul (sure, full)')
    steps.append('confidence_wide = Round (scaled)')
    return ['labels', 'confidence']


def _text(given: Sequence[str], results: Sequence[str], steps: Sequence[str]) -> str:
    lines = '\n'.join(steps)
    return (f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>\n'
            f'part ({", ".join(given)}) => ({", ".join(results)}) {{\n{lines}\n}}')


def _set_interface(graph: onnx.GraphProto, inputs: Mapping[str, tuple[np.dtype, Sequence[int]]], output: Output,
                   byte: np.dtype) -> None:
    if output.kind == FLOW:
        shape = list(output.grid.shape)
        shape[output.grid.axis] = 2
        outputs = {'flow': (np.dtype(np.float32), tuple(shape))}
    else:
        names = ('labels',) if output.kind in (LABELS, RANKS) else ('labels', 'confidence')
        outputs = dict.fromkeys(names, (byte, (1, *output.size)))
    del graph.input[:], graph.value_info[:], graph.output[:]
    for values, tensors in ((graph.input, inputs), (graph.output, outputs)):
        values.extend(onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)
                      for name, (dtype, shape) in tensors.items())

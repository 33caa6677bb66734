"""The last steps of a segmentation graph on scores with channels last, which is faster on a CPU.

Knows the steps that export/heads.py exports around an interpolation, and leaves other graphs unchanged.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from ..graphs.edit import PREFIX, graft, prune
from ..graphs.opset import opset_of

_OPSET = 17
"""The newest of ONNX Runtime 1.12. 1.10 and 1.11 (tried) interpolate channels-last floats wrongly, without an error."""
_LABELS = ('Cast', 'ArgMax')
_CONFIDENCE = ('Cast', 'Round', 'Div', 'ReduceSum', 'Exp', 'Sub')
_STEPS = """<ir_version: 8, opset_import: ["" : 13]>
results (float[1, {channels}, {low_height}, {low_width}] scores) => ({outputs}) {{
  last = Transpose <perm = [0, 2, 3, 1]> (scores)
  first = Constant <value = int64[1] {{0}}> ()
  after = Constant <value = int64[1] {{{classes}}}> ()
  axis = Constant <value = int64[1] {{3}}> ()
  used = Slice (last, first, after, axis)
  best = ReduceMax <axes = [3]> (used)
  below = Sub (used, best)
  sizes = Constant <value = int64[4] {{1, {height}, {width}, {classes}}}> ()
  large = Resize (below, , , sizes)
  index = ArgMax <axis = 3, keepdims = 0> (large)
  labels = Cast <to = 2> (index)
  {confidence}
}}"""
_SOFTMAX = """
  certain = Constant <value = float {255}> ()
  largest = ReduceMax <axes = [3], keepdims = 0> (large)
  likeliest = Exp (largest)
  likely = Exp (large)
  sum = ReduceSum <keepdims = 0> (likely, axis)
  share = Div (likeliest, sum)
  level = Mul (certain, share)
  rounded = Round (level)
  confidence = Cast <to = 2> (rounded)"""


class _Steps(NamedTuple):
    """The nodes of a segmentation graph after its scores."""

    resize: NodeProto
    """Upsamples the scores."""
    classes: int
    """Number of scores that are used."""
    results: dict[str, str]
    """labels, and perhaps confidence -> name of the graph's output."""


def decide_channels_last(model: ModelProto) -> bool:
    """Make the upsampled scores (1, H, W, C) instead of (1, C, H, W), in place; return whether the graph has them.

    Labels stay the same, and confidence to within 1 of 255. The largest score is subtracted before upsampling, not
    after: interpolation weighs all classes of a pixel equally, so the softmax is the same, with less work. The graph
    then has opset 17, which runtimes that cannot run it refuse.
    """
    graph = model.graph
    steps = _steps(graph)
    if steps is None:
        return False
    resize = steps.resize
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
              for value in [*graph.value_info, *graph.output]}
    _, channels, low_height, low_width = shapes[resize.input[0]]
    _, height, width = shapes[steps.results['labels']]
    text = _STEPS.format(
        channels=channels, low_height=low_height, low_width=low_width, height=height, width=width,
        classes=steps.classes, confidence=_SOFTMAX if 'confidence' in steps.results else '',
        outputs=', '.join(f'uint8[1, {height}, {width}] {role}' for role in steps.results))
    for node in [node for node in graph.node if node.output[0] in steps.results.values()]:
        graph.node.remove(node)
    graft(graph, text, opset_of(model), {'scores': resize.input[0], **steps.results})
    enlarge = next(node for node in graph.node if node.output[0] == f'{PREFIX}large')
    enlarge.attribute.extend(resize.attribute)
    prune(model)
    for each in model.opset_import:
        if each.domain in ('', 'ai.onnx'):
            each.version = max(each.version, _OPSET)
    return True


def _steps(graph: GraphProto) -> _Steps | None:
    """Find the steps that end in the graph's outputs; None if they are others."""
    makers = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    results, scores = {}, set()
    for output in graph.output:
        for role, kinds in (('labels', _LABELS), ('confidence', _CONFIDENCE)):
            found = _before(makers, output.name, kinds)
            if found is not None and output.type.tensor_type.elem_type == TensorProto.UINT8:
                results[role] = output.name
                scores.add(found)
    if 'labels' not in results or len(results) < len(graph.output) or len(scores) > 1:
        return None
    maker = makers.get(scores.pop())
    end = None
    if maker is not None and maker.op_type == 'Slice':
        starts, ends, axes = (weights.get(name, np.zeros(0)).tolist() for name in maker.input[1:4])
        if (starts, axes) != ([0], [1]):
            return None
        end = int(ends[0])
        maker = makers.get(maker.input[0])
    if maker is None or maker.op_type != 'Resize' or len(maker.input) < 4 or maker.input[3] not in weights:
        return None
    channels = int(weights[maker.input[3]][1])
    return _Steps(maker, channels if end is None else min(end, channels), results)


def _before(makers: dict[str, NodeProto], name: str, kinds: Sequence[str]) -> str | None:
    """Return the input of a chain of these operators that ends in `name`; None if there is no such chain."""
    for kind in kinds:
        node = makers.get(name)
        if node is None or node.op_type != kind:
            return None
        # The constant 255 is divided by a sum.
        name = node.input[1] if kind == 'Div' else node.input[0]
    return name

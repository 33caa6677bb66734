"""Imports segmentation networks: labels, or scores of which labels and confidence are made."""
from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import LabelSet
from trt_perception.core.tasks import SEGMENTATION

from ..graphs.difference import Difference
from . import model_card
from .importer import Importer, Tensors, graph_text
from .interface import NOTATION, Output, channel_axes, label_size, proportional
from .model_card import Interview, Question

_MOST_CLASSES = 255
"""255 itself means "no class"."""
_LIMITS = {'labels': 1e-3, 'confidence': 2}


class SegmentationImporter(Importer):
    """Puts the argmax and the confidence into the graph."""

    task = SEGMENTATION
    result = 'labels'
    words = 'labels or scores'
    kinds = 'labels (1, H, W) or scores (1, classes, H, W) or (1, H, W, classes)'

    def interpret(self, name: str, array: np.ndarray, size: Size) -> Output | None:
        """Return labels of any integer type, or scores; see Importer."""
        output = Output(name, array.shape, array.dtype, None)
        if array.dtype not in NOTATION:
            return None
        if array.dtype.kind != 'f':
            sides = label_size(array.shape)
            return output if sides and proportional(sides, size) else None
        axes = channel_axes(array, size)
        if not axes:
            return None
        axis = min(axes, key=lambda each: array.shape[each])
        sums = array.sum(axis, np.float64)
        bounded = array.min() >= -1e-4 and array.max() <= 1 + 1e-4
        return output._replace(axis=axis, probabilities=bool(
            bounded and (array.shape[axis] == 1 or np.abs(sums - 1).max() < 1e-2)))

    def check(self, output: Output, where: str) -> None:
        """Refuse more classes than a byte holds."""
        if output.channels > _MOST_CLASSES:
            raise ConfigError(f'{where}: output {output.name!r}: got {output.channels} classes, expected at most '
                              f'{_MOST_CLASSES}: labels are bytes. Export it with fewer.')

    def head(self, output: Output, classes: int, byte: np.dtype) -> str:
        """Return argmax and confidence over the first `classes` scores; see Importer."""
        given = ['{}[{}] raw'.format(NOTATION[output.dtype], ', '.join(map(str, output.shape)))]
        height, width = output.size
        grid = f'{NOTATION[byte]}[1, {height}, {width}]'
        to = int(onnx.helper.np_dtype_to_tensor_dtype(byte))
        if output.axis is None:
            if output.dtype == byte and output.shape == (1, height, width):
                return ''
            steps = [f'bytes = Cast <to = {to}> (raw)' if output.dtype != byte else 'bytes = Identity (raw)',
                     f'shape = Constant <value = int64[3] {{1, {height}, {width}}}> ()',
                     'labels = Reshape (bytes, shape)']
            return graph_text(given, [f'{grid} labels'], steps if output.shape != (1, height, width) else [
                f'labels = Cast <to = {to}> (raw)'])
        steps = ['scores = Cast <to = 1> (raw)'] if output.dtype != np.float32 else ['scores = Identity (raw)']
        if output.channels == 1:
            # Of two classes, the second one's score.
            steps += [f'shape = Constant <value = int64[3] {{1, {height}, {width}}}> ()',
                      'flat = Reshape (scores, shape)',
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
        return graph_text(given, [f'{grid} labels', f'{grid} confidence'], steps)

    def outputs(self, output: Output, byte: np.dtype) -> Tensors:
        """Return labels, and confidence where there are scores."""
        names = ('labels',) if output.axis is None else ('labels', 'confidence')
        return dict.fromkeys(names, (byte, (1, *output.size)))

    def difference(self, got: Mapping[str, np.ndarray], reference: np.ndarray, output: Output,
                   classes: int) -> Difference:
        """Return the share of labels that differ, and the largest difference of the confidence, of 255."""
        labels, confidence = _decode(reference, output, classes)
        # Of INT32 the engine keeps the lowest byte too.
        wrong = float((got['labels'].astype(np.uint8).reshape(labels.shape) != labels).mean())
        off = 0 if confidence is None else int(np.abs(
            got['confidence'].reshape(labels.shape).astype(int) - confidence).max())
        return Difference({'labels': wrong, 'confidence': off}, _LIMITS, f'{wrong:.4%} of the labels differ')

    def ask(self, interview: Interview, output: Output, name: str,
            args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
        """Ask for the names of the classes; see Importer."""
        labels = _ask_labels(interview, output, name, args)
        return {role: role for role in self.outputs(output, np.dtype(np.uint8))}, labels


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


def _ask_labels(interview: Interview, output: Output, name: str, args: argparse.Namespace) -> LabelSet:
    if args.labels and args.class_names:
        raise ConfigError('--labels: got --class-names as well, expected one of them. Leave one out.')
    stem = f'{name}_labels'
    most = {0: VOID, 1: 2}.get(output.channels, output.channels)

    def fitting(labels: LabelSet) -> LabelSet:
        if max(each.id for each in labels.classes) >= most:
            raise ValueError(f'ids below {most}, which is what the network has (output {output.name!r} '
                             f'{output.shape}), not {max(each.id for each in labels.classes)}')
        return labels

    if args.class_names:
        names: list[str] = args.class_names
        return interview.ask(Question('--class-names', '', lambda _: fitting(model_card.label_set(names, stem))), names)
    count = f' of the {output.channels} classes' if output.channels > 1 else ''
    return interview.ask(Question(
        '--labels or --class-names', f'Names{count}: a label set of config/labels, its YAML, or a text file with one '
        'name per line', lambda text: fitting(model_card.read_label_set(text, stem))), args.labels)

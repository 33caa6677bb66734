"""Imports segmentation networks: class ids, or scores from which labels and confidence are computed."""
from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import LabelSet
from trt_perception.core.tasks import SEGMENTATION

from ..graphs.difference import Difference
from ..graphs.layout import grids, is_whole_stride, margins
from . import model_card
from .importer import Importer, Tensors, graph_text, read_grids
from .interface import Tensor, listed
from .model_card import Interview, Question
from .output import LABELS, LOGITS, NOTATION, PROBABILITIES, RANKS, Output

_MOST_CLASSES = 255
"""255 itself means "no class"."""
_LIMITS = {'labels': 1e-3, 'confidence': 2}
_DECIDING = frozenset({'ArgMax', 'ArgMin', 'TopK', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Equal', 'Where',
                       'Round'})
"""Operators that produce class ids."""
_UNBOUNDED = frozenset({'Add', 'BatchNormalization', 'Conv', 'ConvTranspose', 'Einsum', 'Gemm', 'InstanceNormalization',
                        'LeakyRelu', 'MatMul', 'PRelu', 'Relu', 'Sum', 'Tanh'})
"""Operators whose results are no probabilities, even if they happen to lie within 0..1."""
_SIGMOIDS = frozenset({'Sigmoid', 'HardSigmoid'})
_PROTOTYPES = 32
"""Prototype masks of YOLO and YOLACT, which are not classes."""


class SegmentationImporter(Importer):
    """Puts the argmax and the confidence into the graph."""

    task = SEGMENTATION
    result = 'labels'
    words = 'labels or scores'
    kinds = ('labels (1, H, W), or scores (1, classes, H, W) or (1, H, W, classes), or the same with H and W in one')

    def interpret(self, name: str, array: np.ndarray, size: Size) -> Output | None:
        """Return labels of any type, or scores; see Importer."""
        if array.dtype not in NOTATION:
            return None
        # Bytes of several channels are quantised scores; wider integers are ids.
        found = [each for each in grids(array.shape, size)
                 if each.channels == 1 or array.dtype.kind == 'f' or array.dtype in (np.uint8, np.int8)]
        return Output((name,), array.shape, array.dtype, min(found, key=lambda each: each.channels)) if found else None

    def check(self, output: Output, results: Mapping[str, np.ndarray], network: onnx.ModelProto, named: bool,
              size: Size, where: str) -> Output:
        """Refuse too many classes and masks of instances; find the border that convolutions without padding leave."""
        if output.grid.channels > _MOST_CLASSES:
            raise ConfigError(f'{where}: output {output.names[0]!r}: got {output.grid.channels} classes, expected at '
                              f'most {_MOST_CLASSES}: labels are bytes. A network with more cannot be used.')
        others = [array for name, array in results.items() if name not in output.names and array.ndim == 3
                  and array.dtype.kind == 'f']
        if output.grid.channels == _PROTOTYPES and others and not named:
            given = [Tensor(each, array.shape, array.dtype) for each, array in results.items()]
            raise ConfigError(f'{where}: got the outputs {listed(given)}: boxes, and {_PROTOTYPES} masks of which '
                              'instances are mixed (as of YOLO), expected scores of classes. Such a network cannot be '
                              f'used; if these are classes, give --output-name {output.names[0]}')
        missing = margins(output.grid.size, size)
        if missing is None or is_whole_stride(output.grid.size, size) or not _has_bare_convolutions(network):
            return output
        return output._replace(border=missing)

    def decide(self, output: Output, makers: set[str], arrays: Sequence[np.ndarray]) -> Output:
        """Distinguish class ids, logits and probabilities; see Importer."""
        scores = output.grid.channels > 1
        if output.dtype.kind != 'f':
            return output._replace(kind=RANKS if scores else LABELS, why=f'of type {output.dtype.name}'
                                   + (', quantised: only their order is known, no confidence' if scores else ''))
        if not scores:
            return _decide_one(output, makers, arrays)
        planes = [np.moveaxis(array.reshape(output.grid.shape), output.grid.axis, 0).astype(np.float64)
                  for array in arrays]
        summed = _within_unit(arrays) and all(np.abs(plane.sum(0) - 1).max() < 2e-2 for plane in planes)
        if summed:
            return output._replace(kind=PROBABILITIES, why='a Softmax makes them' if 'Softmax' in makers else
                                   f'they sum to 1 on {len(arrays)} frames')
        if makers and makers <= _SIGMOIDS:
            return output._replace(kind=PROBABILITIES,
                                   why='a Sigmoid of each class makes them; they need not sum to 1')
        maker = f'{_words(makers)} makes them' if makers else 'nothing says otherwise'
        return output._replace(kind=LOGITS, why=f'{maker}; confidence is their softmax')

    def head(self, output: Output, classes: int, byte: np.dtype) -> str:
        """Return argmax and confidence over the first `classes` scores; see Importer."""
        given, steps, (scores,) = read_grids(output, cast=output.kind != LABELS)
        to = int(onnx.helper.np_dtype_to_tensor_dtype(byte))
        results = _labels_steps(steps, scores, output, classes)
        height, width = output.grid.size
        steps.append(f'map = Constant <value = int64[3] {{1, {height}, {width}}}> ()')
        for name, fill in zip(results, (VOID, 0), strict=False):
            steps += [f'{name}_map = Reshape ({name}_wide, map)', f'{name}_byte = Cast <to = {to}> ({name}_map)']
            if any(output.border):
                rows, columns = output.border
                steps += [
                    f'{name}_border = Constant <value = int64[6] {{0, {rows}, {columns}, 0, {rows}, {columns}}}> ()',
                    f'{name}_fill = Constant <value = {NOTATION[byte]} {{{fill}}}> ()',
                    f'{name} = Pad ({name}_byte, {name}_border, {name}_fill)']
            else:
                steps.append(f'{name} = Identity ({name}_byte)')
        sides = f'{NOTATION[byte]}[1, {output.size[0]}, {output.size[1]}]'
        return graph_text(given, [f'{sides} {name}' for name in results], steps)

    def outputs(self, output: Output, byte: np.dtype) -> Tensors:
        """Return labels, and confidence if there are scores."""
        names = ('labels',) if output.kind in (LABELS, RANKS) else ('labels', 'confidence')
        return dict.fromkeys(names, (byte, (1, *output.size)))

    def difference(self, got: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], output: Output,
                   classes: int) -> Difference:
        """Return the share of labels that differ, and the largest difference of the confidence, of 255."""
        labels, confidence = _decode(reference[output.names[0]], output, classes)
        # The engine also keeps the lowest byte of INT32.
        wrong = float((got['labels'].astype(np.uint8).reshape(labels.shape) != labels).mean())
        off = 0 if confidence is None else int(np.abs(
            got['confidence'].reshape(labels.shape).astype(int) - confidence).max())
        return Difference({'labels': wrong, 'confidence': off}, _LIMITS, f'{wrong:.4%} of the labels differ')

    def ask(self, interview: Interview, output: Output, name: str,
            args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
        """Ask for the names of the classes; see Importer."""
        labels = _ask_labels(interview, output, name, args)
        return {role: role for role in self.outputs(output, np.dtype(np.uint8))}, labels


def _decide_one(output: Output, makers: set[str], arrays: Sequence[np.ndarray]) -> Output:
    if all((array == np.rint(array)).all() for array in arrays) and (
            makers & _DECIDING or any(array.max() > 1 for array in arrays)):
        maker = f', and {_words(makers)} makes them' if makers else ''
        return output._replace(kind=LABELS, why=f'all are whole numbers{maker}')
    unit = _within_unit(arrays)
    if unit and makers and makers <= _SIGMOIDS | {'Softmax'}:
        return output._replace(kind=PROBABILITIES, why=f'{_words(makers)} makes it')
    if makers & _UNBOUNDED or not unit:
        return output._replace(kind=LOGITS, why=f'{_words(makers) or "something unbounded"} makes it: above 0 is the '
                                                'second class')
    return output._replace(kind=PROBABILITIES, why=f'it stays within 0..1 on {len(arrays)} frames')


def _within_unit(arrays: Sequence[np.ndarray]) -> bool:
    return all(array.min() >= -1e-3 and array.max() <= 1 + 1e-3 for array in arrays)


def _words(makers: set[str]) -> str:
    return ' or '.join(sorted(makers))


def _has_bare_convolutions(network: onnx.ModelProto) -> bool:
    kernels = {each.name: each.dims[2:] for each in network.graph.initializer}
    for node in network.graph.node:
        if node.op_type == 'Conv':
            values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            kernel = values.get('kernel_shape', kernels.get(node.input[1], [1]))
            if max(kernel) > 1 and not any(values.get('pads', [])) \
                    and values.get('auto_pad', b'NOTSET') in (b'NOTSET', b'VALID'):
                return True
    return False


def _labels_steps(steps: list[str], scores: str, output: Output, classes: int) -> list[str]:
    """Add what makes `labels_wide`, and where there is one `confidence_wide`; return which of the two there are."""
    axis, certain = output.grid.axis, output.kind == PROBABILITIES
    if output.kind == LABELS:
        # Through integers: -1 becomes 255, but the cast of a negative float is undefined.
        steps.append(f'labels_wide = Cast <to = 6> ({scores})')
        return ['labels']
    steps += ['full = Constant <value = float {255}> ()', 'one = Constant <value = float {1}> ()']
    if output.channels == 1:
        # For two classes, the second one's score.
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


def _ask_labels(interview: Interview, output: Output, name: str, args: argparse.Namespace) -> LabelSet:
    if args.labels and args.class_names:
        raise ConfigError('--labels: got --class-names as well, expected one of them. Leave one out.')
    stem = f'{name}_labels'
    most = {0: VOID, 1: 2}.get(output.channels, output.channels)
    what = f'output {output.names[0]!r} {output.shape}'

    def fitting(labels: LabelSet, spare: int) -> LabelSet:
        highest = max(each.id for each in labels.classes)
        if highest >= most:
            raise ValueError(f'ids below {most}, which is what the network has ({what}), not {highest}')
        if output.channels and highest + 1 < most - spare:
            raise ValueError(f'{most} names, as many as the network has classes ({what}), not {highest + 1}. A score '
                             'without a name would never be seen, and its pixels would get another class')
        return labels

    if args.class_names:
        names = model_card.class_names(args.class_names)
        return interview.ask(Question('--class-names', '', lambda _: fitting(model_card.label_set(names, stem), 0)),
                             names)
    count = f' of the {output.channels} classes' if output.channels > 1 else ''
    # The last score of many networks means "none of these", which a label set does not name.
    return interview.ask(Question(
        '--labels or --class-names', f'Names{count}: a label set of config/labels, its YAML, a JSON, or a text file '
        'with one name per line',
        lambda text: fitting(model_card.read_label_set(text, stem), 1 if most > 2 else 0)), args.labels)

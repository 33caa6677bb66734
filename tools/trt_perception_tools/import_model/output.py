"""Finds the labels, scores or flow among a foreign network's outputs, and what their values mean."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import GraphProto, NodeProto

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION

from ..graphs.layout import Grid, grids, is_whole_stride, margins
from .interface import Images, Tensor, listed

LABELS, LOGITS, PROBABILITIES, RANKS, FLOW = 'labels', 'logits', 'probabilities', 'ranks', 'flow'
_MOST_CLASSES = 255
"""255 itself means "no class"."""
_FLOATS = (np.float16, np.float32, np.float64)
_NUMBERS = (*_FLOATS, np.uint8, np.int8, np.int32, np.int64, np.bool_)
_KEEPS_VALUES = frozenset({
    'Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Cast', 'Resize', 'Upsample', 'Slice',
    'Split', 'Concat', 'QuantizeLinear', 'DequantizeLinear', 'Pad', 'Dropout', 'Gather', 'DepthToSpace', 'Expand',
    'AveragePool', 'MaxPool'})
"""Operators whose results are, or lie between, values that they take."""
_UNBOUNDED = frozenset({'Add', 'BatchNormalization', 'Conv', 'ConvTranspose', 'Einsum', 'Gemm', 'InstanceNormalization',
                        'LeakyRelu', 'MatMul', 'PRelu', 'Relu', 'Sum', 'Tanh'})
_PARTS = (re.compile(r'(?:^|[^a-z])(?:flow_?)?(?:u|x|dx|vx|fx|hor[a-z]*)(?:_?flow)?(?:$|[^a-z])'),
          re.compile(r'(?:^|[^a-z])(?:flow_?)?(?:v|y|dy|vy|fy|ver[a-z]*)(?:_?flow)?(?:$|[^a-z])'))
"""Names of the parts of a flow field: right, down."""
_PROTOTYPES = 32
"""Masks from which YOLO's and YOLACT's instances are mixed: no classes."""


class Output(NamedTuple):
    """The output that the package uses, as the foreign network gives it."""

    names: tuple[str, ...]
    """One, or the two that hold u and v."""
    shape: tuple[int, ...]
    """Of each."""
    dtype: np.dtype
    grid: Grid
    """How each is read; of labels one value per pixel."""
    kind: str = LABELS
    """LABELS, LOGITS, PROBABILITIES, RANKS (only their order is known) or FLOW."""
    why: str = ''
    """How that was decided, in words."""
    border: tuple[int, int] = (0, 0)
    """Rows and columns of the image that are missing at each side."""

    @property
    def channels(self) -> int:
        """Number of scores or flow components per pixel; 0 for labels."""
        return 0 if self.kind == LABELS else self.grid.channels

    @property
    def size(self) -> Size:
        """(height, width) of the result, px."""
        return self.grid.size[0] + 2 * self.border[0], self.grid.size[1] + 2 * self.border[1]


def find_output(results: Mapping[str, np.ndarray], network: onnx.ModelProto, task: str, names: Sequence[str],
                images: Images, size: Size, where: str) -> Output:
    """Find the output by the shapes of what a run gave. What its values mean is left to `decide`.

    Args:
        names: of the output; () = the only one that can be it; two: u and v.
        images: how it takes them, for the remedy.
        size: of the network's image: what it gives has the same proportions.

    Raises:
        ConfigError: none of them can be it, or several; the text lists them.
    """
    given = [Tensor(each, array.shape, array.dtype) for each, array in results.items()]
    for name in names:
        if name not in results:
            raise ConfigError(f'{where}: --output-name: got {name!r}, expected one of {listed(given)}.')
    considered = {each: array for each, array in results.items() if not names or each in names}
    if task == OPTICAL_FLOW:
        parts = _flow_parts(considered, names, size)
        if parts is not None:
            return parts
    read = [_interpret(each, array, task, size) for each, array in considered.items()]
    found = [output for output in read if output is not None]
    if not found:
        raise ConfigError(f'{where}: got the output {listed(given)}, expected '
                          + ('labels (1, H, W), or scores (1, classes, H, W) or (1, H, W, classes), or the same with H '
                             'and W in one' if task == SEGMENTATION else 'flow (1, 2, H, W) or (1, H, W, 2), or u and '
                             'v apart') + f', in the proportions of the image, {size[0]}x{size[1]}. '
                          + _other_task(considered, task, images, size))
    if len(found) > 1:
        best = max(found, key=lambda each: each.grid.size)
        raise ConfigError(f'{where}: got several outputs that can be the '
                          f'{"labels or scores" if task == SEGMENTATION else "flow"}: '
                          f'{listed([Tensor(each.names[0], each.shape, each.dtype) for each in found])}. Choose one '
                          f'with --output-name, e.g. --output-name {best.names[0]}')
    output = found[0]
    if output.grid.channels > _MOST_CLASSES:
        raise ConfigError(f'{where}: output {output.names[0]!r}: got {output.grid.channels} classes, expected at most '
                          f'{_MOST_CLASSES}: labels are bytes. A network with more cannot be used.')
    if not names and task == SEGMENTATION and _is_instances(output, given):
        raise ConfigError(f'{where}: got the outputs {listed(given)}: boxes, and {_PROTOTYPES} masks of which '
                          'instances are mixed (as of YOLO), expected scores of classes. Such a network cannot be '
                          f'used; if these are classes, give --output-name {output.names[0]}')
    missing = margins(output.grid.size, size)
    if missing is not None and not is_whole_stride(output.grid.size, size) and _has_bare_convolutions(network):
        if task == OPTICAL_FLOW:
            raise ConfigError(f'{where}: got flow of {_sides(output.grid.size)} for images of {_sides(size)}: its '
                              'convolutions have no padding, and the border is missing. Only a network with padding '
                              'can be used.')
        output = output._replace(border=missing)
    return output


def decide(output: Output, network: onnx.ModelProto, samples: Sequence[Mapping[str, np.ndarray]], task: str,
           where: str) -> Output:
    """Decide what the values are, by what makes them and by what it gave for frames that were fed as a node does.

    Raises:
        ConfigError: some are no numbers.
    """
    arrays = [sample[name] for sample in samples for name in output.names]
    bad = max(float(np.mean(~np.isfinite(array))) for array in arrays)
    if bad:
        raise ConfigError(f'{where}: output {output.names[0]!r}: {bad:.1%} of the values are NaN or infinite for an '
                          'ordinary frame. Give the normalisation that it was trained with (--normalise, or --mean and '
                          '--std); if it is right, the file is damaged.')
    if task == OPTICAL_FLOW:
        return output._replace(kind=FLOW)
    makers = {node.op_type for node in _origins(network.graph, output.names[0])}
    if output.dtype not in _FLOATS and not (output.dtype in (np.uint8, np.int8) and output.grid.channels > 1):
        return output._replace(kind=LABELS, why=f'it is of type {output.dtype.name}')
    if output.grid.channels == 1:
        return _decide_one(output, makers, arrays)
    if output.dtype not in _FLOATS:
        return output._replace(kind=RANKS, why=f'they are quantised as {output.dtype.name}: no confidence')
    planes = [np.moveaxis(array.reshape(output.grid.shape), output.grid.axis, 0).astype(np.float64) for array in arrays]
    unit = all(plane.min() >= -1e-3 and plane.max() <= 1 + 1e-3 for plane in planes)
    summed = all(np.abs(plane.sum(0) - 1).max() < 2e-2 for plane in planes)
    if 'Softmax' in makers and unit and summed:
        return output._replace(kind=PROBABILITIES, why='a Softmax makes them')
    if makers and makers <= {'Sigmoid', 'HardSigmoid'}:
        return output._replace(kind=PROBABILITIES, why='a Sigmoid of each class makes them; they need not sum to 1')
    if unit and summed:
        return output._replace(kind=PROBABILITIES, why=f'they sum to 1 on {len(samples)} frames')
    maker = f'{_words(makers)} makes them' if makers else 'nothing says otherwise'
    return output._replace(kind=LOGITS, why=f'{maker}; confidence is their softmax')


def _decide_one(output: Output, makers: set[str], arrays: Sequence[np.ndarray]) -> Output:
    whole = all((array == np.rint(array)).all() for array in arrays)
    if whole and (makers & {'ArgMax', 'ArgMin', 'TopK', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Equal',
                            'Where', 'Round'} or any(array.max() > 1 for array in arrays)):
        maker = f', and {_words(makers)} makes them' if makers else ''
        return output._replace(kind=LABELS, why=f'all are whole numbers{maker}')
    unit = all(array.min() >= -1e-3 and array.max() <= 1 + 1e-3 for array in arrays)
    if unit and makers and makers <= {'Sigmoid', 'HardSigmoid', 'Softmax'}:
        return output._replace(kind=PROBABILITIES, why=f'{_words(makers)} makes it')
    if makers & _UNBOUNDED or not unit:
        return output._replace(kind=LOGITS, why=f'{_words(makers) or "something unbounded"} makes it: above 0 is the '
                                                'second class')
    return output._replace(kind=PROBABILITIES, why=f'it stays within 0..1 on {len(arrays)} frames')


def _words(makers: set[str]) -> str:
    return ' or '.join(sorted(makers))


def _origins(graph: GraphProto, name: str) -> list[NodeProto]:
    """Return the nodes that make a tensor's values, behind those that only move or average them."""
    makers = {output: node for node in graph.node for output in node.output}
    found, open_names, seen = [], [name], set()
    while open_names:
        current = open_names.pop()
        node = makers.get(current)
        if node is None or current in seen:
            continue
        seen.add(current)
        if node.op_type in _KEEPS_VALUES:
            open_names += list(node.input) if node.op_type == 'Concat' else list(node.input[:1])
        else:
            found.append(node)
    return found


def _interpret(name: str, array: np.ndarray, task: str, size: Size) -> Output | None:
    floats = array.dtype in _FLOATS
    if array.dtype not in _NUMBERS or (task == OPTICAL_FLOW and not floats):
        return None
    found = list(grids(array.shape, size))
    if task == OPTICAL_FLOW:
        found = [each for each in found if each.channels == 2]
    elif not floats and array.dtype not in (np.uint8, np.int8):
        found = [each for each in found if each.channels == 1]
    if not found:
        return None
    return Output((name,), array.shape, array.dtype, min(found, key=lambda each: each.channels))


def _flow_parts(results: Mapping[str, np.ndarray], names: Sequence[str], size: Size) -> Output | None:
    """Return u and v where two outputs hold them: as named, or as their own names say."""
    single = {each: grid for each, array in results.items() if array.dtype in _FLOATS
              for grid in grids(array.shape, size) if grid.channels == 1}
    pairs = [tuple(names)] if len(names) == 2 else [
        (right, down) for right in single for down in single if right != down
        and _PARTS[0].search(right.lower()) and _PARTS[1].search(down.lower())
        and not _PARTS[1].search(right.lower()) and not _PARTS[0].search(down.lower())]
    for right, down in pairs[:1] if len(pairs) == 1 else []:
        if {right, down} <= set(single) and results[right].shape == results[down].shape:
            array = results[right]
            return Output((right, down), array.shape, array.dtype, single[right], FLOW,
                          'as --output-name says' if names else 'by their names')
    return None


def _is_instances(output: Output, given: Sequence[Tensor]) -> bool:
    others = [each for each in given if each.name not in output.names and each.shape is not None
              and len(each.shape) == 3 and each.dtype in _FLOATS]
    return output.grid.channels == _PROTOTYPES and bool(others)


def _has_bare_convolutions(network: onnx.ModelProto) -> bool:
    for node in network.graph.node:
        if node.op_type == 'Conv':
            values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            kernel = values.get('kernel_shape', [1])
            if max(kernel) > 1 and not any(values.get('pads', [])) \
                    and values.get('auto_pad', b'NOTSET') in (b'NOTSET', b'VALID'):
                return True
    return False


def _other_task(results: Mapping[str, np.ndarray], task: str, images: Images, size: Size) -> str:
    if images.axes[0] == 'T':
        return 'It looks like one image: --task segmentation?'
    other = OPTICAL_FLOW if task == SEGMENTATION else SEGMENTATION
    if any(_interpret(name, array, other, size) for name, array in results.items()):
        three = task == OPTICAL_FLOW and any(grid.channels == 3 for array in results.values()
                                             for grid in grids(array.shape, size))
        return ('Three channels are flow with something else (depth, occlusion): name the tensor of flow alone with '
                '--output-name, which takes any tensor of the file; or is it' if three else 'Is it') \
            + f' a network for --task {other}?'
    turned = any(list(grids(array.shape, size[::-1])) for array in results.values())
    return ('It would fit an image of exchanged sides: the file turns its image, and cannot be used so.' if turned else
            'The tensor that holds them can be named with --output-name, which takes any tensor of the file; a network '
            'for classification or boxes cannot be used.')


def _sides(size: Size) -> str:
    return f'{size[0]}x{size[1]}'

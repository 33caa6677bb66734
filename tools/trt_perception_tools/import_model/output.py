"""Finds the output of a third-party network that is the result. Its meaning is up to the importer."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
from onnx import GraphProto

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size

from ..graphs.layout import Grid, grids
from ..tasks import importer_of, tasks_with
from .interface import Images, Tensor, listed

if TYPE_CHECKING:
    from .importer import Importer

NOTATION = {np.dtype(kind): name for kind, name in (
    (np.uint8, 'uint8'), (np.int8, 'int8'), (np.int32, 'int32'), (np.int64, 'int64'), (np.bool_, 'bool'),
    (np.float16, 'float16'), (np.float32, 'float'), (np.float64, 'double'))}
"""Element types in ONNX's text notation."""
LABELS, LOGITS, PROBABILITIES, RANKS, FLOW = 'labels', 'logits', 'probabilities', 'ranks', 'flow'
"""Meaning of values; for ranks only the order is known."""
_KEEPS_VALUES = frozenset({
    'Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Cast', 'Resize', 'Upsample', 'Slice',
    'Split', 'Concat', 'QuantizeLinear', 'DequantizeLinear', 'Pad', 'Dropout', 'Gather', 'DepthToSpace', 'Expand',
    'AveragePool', 'MaxPool'})
"""Operators whose results are values of their inputs, or lie between them."""


class Output(NamedTuple):
    """The output that the package uses, in the form of the third-party network."""

    names: tuple[str, ...]
    """One name, or the two of u and v."""
    shape: tuple[int, ...]
    """Shape of each."""
    dtype: np.dtype
    grid: Grid
    """Layout of each; labels have one value per pixel."""
    kind: str = LABELS
    """LABELS, LOGITS, PROBABILITIES, RANKS or FLOW."""
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


def find_output(results: Mapping[str, np.ndarray], network: onnx.ModelProto, importer: Importer, names: Sequence[str],
                images: Images, size: Size, where: str) -> Output:
    """Find the output by the shapes of the results of a run. `decide` finds the meaning of its values.

    Args:
        names: name of the output; () = the only possible one; two names are one result together.
        images: the image inputs, for the remedy.
        size: size of the network's image; its outputs have the same proportions.

    Raises:
        ConfigError: none of them is possible, or several are; the text lists them.
    """
    given = [Tensor(each, array.shape, array.dtype) for each, array in results.items()]
    for name in names:
        if name not in results:
            raise ConfigError(f'{where}: --output-name: got {name!r}, expected one of {listed(given)}.')
    considered = {each: array for each, array in results.items() if not names or each in names}
    joined = importer.join(considered, names, size)
    if joined is not None:
        return joined
    read = [importer.interpret(each, array, size) for each, array in considered.items()]
    found = [output for output in read if output is not None]
    if not found:
        raise ConfigError(f'{where}: got the output {listed(given)}, expected {importer.kinds}, in the proportions of '
                          f'the image, {size[0]}x{size[1]}. {_remedy(considered, importer, images, size)}')
    if len(found) > 1:
        best = max(found, key=lambda each: each.grid.size)
        raise ConfigError(f'{where}: got several outputs that can be the {importer.words}: '
                          f'{listed([Tensor(each.names[0], each.shape, each.dtype) for each in found])}. Choose one '
                          f'with --output-name, e.g. --output-name {best.names[0]}')
    return importer.check(found[0], results, network, bool(names), size, where)


def decide(output: Output, network: onnx.ModelProto, samples: Sequence[Mapping[str, np.ndarray]], importer: Importer,
           where: str) -> Output:
    """Decide what the values mean, by the operators that produce them, and by results for frames as in a node.

    Raises:
        ConfigError: some values are NaN.
    """
    arrays = [sample[name] for sample in samples for name in output.names]
    bad = max(float(np.mean(~np.isfinite(array))) for array in arrays)
    if bad:
        raise ConfigError(f'{where}: output {output.names[0]!r}: {bad:.1%} of the values are NaN or infinite for an '
                          'ordinary frame. Give the normalisation that it was trained with (--normalise, or --mean and '
                          '--std); if it is right, the file is damaged.')
    return importer.decide(output, makers_of(network.graph, output.names[0]), arrays)


def makers_of(graph: GraphProto, name: str) -> set[str]:
    """Return the operators that produce a tensor's values, skipping those that only move or average them."""
    makers = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    open_names, seen = [name], set()
    while open_names:
        current = open_names.pop()
        node = makers.get(current)
        if node is None or current in seen:
            continue
        seen.add(current)
        if node.op_type in _KEEPS_VALUES:
            open_names += list(node.input) if node.op_type == 'Concat' else list(node.input[:1])
        else:
            found.add(node.op_type)
    return found


def _remedy(results: Mapping[str, np.ndarray], importer: Importer, images: Images, size: Size) -> str:
    if images.axes[0] == 'T':
        return 'It looks like one image: --task segmentation?'
    for other in tasks_with('importer'):
        if other != importer.task and any(importer_of(other).interpret(name, array, size)
                                          for name, array in results.items()):
            return (f'Is it a network for --task {other}? A tensor that holds the {importer.words} alone can be given '
                    'with --output-name, which takes any of the file.')
    if any(list(grids(array.shape, size[::-1])) for array in results.values()):
        return 'It would fit an image of exchanged sides: the file turns its image, and cannot be used so.'
    return ('The tensor that holds them can be named with --output-name, which takes any tensor of the file; a network '
            'for classification or boxes cannot be used.')

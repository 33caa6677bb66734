"""FP16 in an ONNX graph: half precision where it is safe, FP32 elsewhere, inputs and outputs unchanged.

The precision is in the graph, so that the file has the same arithmetic with ONNX Runtime, which measures its accuracy,
and with TensorRT, with or without builder flags.
"""
from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnxconverter_common import float16

from trt_perception.core.errors import ConfigError

from ..graphs.edit import needed_tensors, rename
from .int8 import CONVOLUTIONS

COORDINATES = '/coordinates'  # And coordinates_1, torch's name of a module that runs for the second time.
"""In the names of nodes that compute coordinates of an image: above 1024, FP16 loses half a pixel."""
FP32_OPERATORS = (*float16.DEFAULT_OP_BLOCK_LIST, 'ReduceMean', 'ReduceSum', 'ReduceL2', 'Exp', 'Log', 'Sqrt', 'Pow',
                  'Reciprocal', 'Softmax', 'LogSoftmax', 'InstanceNormalization', 'LayerNormalization', 'ArgMax',
                  'GridSample')
"""Sums, roots, exponentials and interpolation."""
_LARGEST = 65504.0
_SMALLEST = 6e-8


def to_fp16(model: ModelProto, keep_fp32: Sequence[str] = (COORDINATES,)) -> ModelProto:
    """Return the graph in FP16, with FP32 before the first and after the last convolutions, and for coordinates.

    Args:
        keep_fp32: parts of the names of nodes that stay FP32 together with their inputs: `keep_fp32` of a model's YAML.

    Raises:
        ConfigError: it has FP16 already.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    kept = fp32_nodes(copy.graph, keep_fp32)
    _give_own_constants(copy.graph, kept)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Warns of weights that are limited to FP16's range: 1e-9 becomes 6e-8.
        try:
            converted: ModelProto = float16.convert_float_to_float16(
                copy, _SMALLEST, _LARGEST, keep_io_types=True, op_block_list=list(FP32_OPERATORS),
                node_block_list=[node.name for node in kept])
        except ValueError as error:
            raise ConfigError(f'{error}') from error
    _restore_outputs(converted.graph, model.graph)
    return converted


def _restore_outputs(graph: GraphProto, original: GraphProto) -> None:
    # Even if the last node stays FP32, the converter narrows its result.
    for output, before in zip(graph.output, original.output, strict=True):
        if output.type.tensor_type.elem_type != before.type.tensor_type.elem_type:
            cast = next(node for node in graph.node if output.name in node.output)
            graph.node.remove(cast)
            rename(graph, {cast.input[0]: output.name})
            output.CopyFrom(before)
    del graph.value_info[:]


def fp32_nodes(graph: GraphProto, keep_fp32: Sequence[str]) -> list[NodeProto]:
    """Return the nodes that stay FP32 because of their place: see `to_fp16`."""
    heavy = [node for node in graph.node if node.op_type in (*CONVOLUTIONS, 'MatMul', 'Gemm')]
    behind = _from({name for node in heavy for name in node.output}, graph.node)
    before = needed_tensors(graph, *(name for node in heavy for name in node.input))
    coordinates = _sources(graph, keep_fp32, {name for node in heavy for name in node.output})
    return [node for node in graph.node if node.op_type in FP32_OPERATORS or node not in heavy and (
        node.output[0] not in behind or node.output[0] not in before or node.output[0] in coordinates)]


def _give_own_constants(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    # The converter makes a constant FP16 for all its users when one of them is.
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    users = Counter(name for node in graph.node for name in set(node.input))
    for node in nodes:
        for number, name in enumerate(node.input):
            if name in constants and users[name] > 1:
                own = graph.initializer.add()
                own.CopyFrom(constants[name])
                own.name = node.input[number] = f'{node.name}/{number}/{name}'


def _from(tensors: Iterable[str], nodes: Iterable[NodeProto]) -> set[str]:
    """Return these tensors and all tensors computed from them."""
    found = set(tensors)
    for node in nodes:
        if found & set(node.input):
            found.update(node.output)
    return found


def _sources(graph: GraphProto, parts: Sequence[str], ends: set[str]) -> set[str]:
    """Return the tensors of nodes with such names and those that they are computed from, back to the outputs `ends`."""
    found: set[str] = set()
    for node in reversed(graph.node):
        if any(part in node.name for part in parts) or found & set(node.output):
            found.update(node.output)
            found.update(name for name in node.input if name not in ends)
    return found

"""Counts what an ONNX graph costs: parameters, multiply-adds, layers. Needs static shapes; runs nothing."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from trt_perception.core.errors import ConfigError

_WEIGHTS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8,
                      TensorProto.UINT8})
_NOT_LEARNT = {'BatchNormalization': slice(3, 5), 'Resize': slice(1, None), 'Upsample': slice(1, None)}
"""Operator -> inputs that are numbers but no parameters: statistics, scales."""
_NO_LAYERS = frozenset({'Constant', 'Identity'})


class Cost(NamedTuple):
    """The cost of one run of a graph."""

    parameters: int
    """Numbers among the weights, without the statistics of batch normalisation."""
    multiply_adds: int
    """Multiply-adds of convolutions, deconvolutions and matrix products, as counted in papers."""
    layers: int
    """Nodes that compute something."""
    convolutions: int
    """And deconvolutions."""
    batch_norms: int
    """Not folded."""

    @property
    def gflops(self) -> float:
        """10^9 operations, two per multiply-add."""
        return 2e-9 * self.multiply_adds


def cost(model: ModelProto) -> Cost:
    """Count a graph.

    Raises:
        ConfigError: a shape is not static.
    """
    graph = model.graph
    shapes = {name: shape for name, (shape, _) in tensors_of(model).items()}
    tensors = constants_of(graph)
    not_learnt = {name for node in graph.node if node.op_type in _NOT_LEARNT
                  for name in node.input[_NOT_LEARNT[node.op_type]]}
    kinds = [node.op_type for node in graph.node]
    return Cost(
        # A tensor of one number is a constant of the arithmetic.
        parameters=sum(math.prod(tensor.dims) for name, tensor in tensors.items() if math.prod(tensor.dims) > 1
                       and tensor.data_type in _WEIGHTS and name not in not_learnt),
        multiply_adds=sum(multiply_adds(node, shapes) for node in graph.node),
        layers=sum(kind not in _NO_LAYERS for kind in kinds),
        convolutions=kinds.count('Conv') + kinds.count('ConvTranspose'),
        batch_norms=kinds.count('BatchNormalization'))


def tensors_of(model: ModelProto) -> dict[str, tuple[list[int], int]]:
    """Return shape, 0 = unknown, and ONNX type of every tensor of a graph."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {value.name: ([side.dim_value for side in value.type.tensor_type.shape.dim],
                          value.type.tensor_type.elem_type)
             for value in [*graph.value_info, *graph.input, *graph.output]}
    found.update({name: (list(tensor.dims), tensor.data_type) for name, tensor in constants_of(graph).items()})
    return found


def constants_of(graph: GraphProto) -> dict[str, TensorProto]:
    """Return the weights and other constants of a graph by name."""
    return {**{tensor.name: tensor for tensor in graph.initializer},
            **{node.output[0]: node.attribute[0].t for node in graph.node
               if node.op_type == 'Constant' and node.attribute[0].name == 'value'}}


def multiply_adds(node: NodeProto, shapes: Mapping[str, list[int]]) -> int:
    """Return what a convolution, deconvolution or matrix product takes; 0 for other nodes.

    Raises:
        ConfigError: a shape is not static.
    """
    if node.op_type not in ('Conv', 'ConvTranspose', 'Gemm', 'MatMul'):
        return 0
    data, weights, output = (shapes.get(name, [0]) for name in (node.input[0], node.input[1], node.output[0]))
    if not all([*data, *weights, *output]):
        raise ConfigError(f'{node.name}: no static shape, expected one to count. Export the graph with fixed sizes.')
    if node.op_type == 'ConvTranspose':
        return math.prod(data) * math.prod(weights[1:])
    if node.op_type == 'Conv':
        return math.prod(output) * math.prod(weights[1:])
    inner = data[-1]
    if node.op_type == 'Gemm' and any(each.name == 'transA' and each.i for each in node.attribute):
        inner = data[0]
    return math.prod(output) * inner


def cost_table(rows: Sequence[tuple[str, Cost]]) -> str:
    """Lay out named costs as text, a line each."""
    cells = [('', 'parameters', 'GFLOPs', 'layers', 'convolutions', 'batch norms')]
    cells += [(name, f'{each.parameters:,}', f'{each.gflops:.2f}', str(each.layers), str(each.convolutions),
               str(each.batch_norms)) for name, each in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return '\n'.join('  '.join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells)

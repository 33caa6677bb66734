"""Arithmetic and memory traffic of every kernel of a graph, and its lower bound on a board (Williams et al., 2009).

Kernels are nodes with the pointwise ones behind them, as TensorRT fuses them. Knows graphs and boards; runs nothing.
"""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from onnx import ModelProto, NodeProto, TensorProto

from trt_perception.core.errors import ConfigError

from ..graphs.cost import constants_of, multiply_adds, tensors_of
from .boards import BYTES, Board

_FREE = frozenset({'Constant', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Dropout', 'QuantizeLinear',
                   'DequantizeLinear'})
"""Nothing is computed or moved, or, of Q and DQ, inside the neighbouring kernels."""
_POINTWISE = frozenset({
    'Abs', 'Add', 'And', 'BatchNormalization', 'Cast', 'Ceil', 'Clip', 'Div', 'Elu', 'Equal', 'Erf', 'Exp', 'Floor',
    'Greater', 'GreaterOrEqual', 'HardSigmoid', 'LeakyRelu', 'Less', 'LessOrEqual', 'Log', 'Max', 'Min', 'Mul', 'Neg',
    'Not', 'Or', 'PRelu', 'Pow', 'Reciprocal', 'Relu', 'Round', 'Sigmoid', 'Softplus', 'Sqrt', 'Sub', 'Tanh', 'Where'})
_TAKES_POINTWISE = _POINTWISE | {'Conv', 'ConvTranspose', 'Gemm', 'MatMul'}
_READS_A_PART = frozenset({'Gather', 'GatherElements', 'GatherND', 'Slice'})
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
_WIDTHS: dict[int, int] = {
    TensorProto.BOOL: 1, TensorProto.INT8: 1, TensorProto.UINT8: 1, TensorProto.INT16: 2, TensorProto.UINT16: 2,
    TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2}
"""Bytes of an element; 4 where it is not listed, also of INT64, which TensorRT runs as INT32."""
COMPUTE, MEMORY, LAUNCH = 'compute', 'memory', 'launch'


class Kernel(NamedTuple):
    """One launch on the GPU."""

    name: str
    """Name of its first node."""
    kinds: str
    """Operators, joined by +."""
    operations: int
    """Two per multiply-add, one per element of a pointwise operator."""
    values: int
    """Numbers of the precision that are read and written: activations."""
    other_bytes: int
    """Read and written in types that no precision changes: images, labels, indices."""
    weights: int
    """Numbers of the precision that are read, and do not grow with the image."""

    def moved(self, precision: str, area: float = 1.0) -> float:
        """Return the bytes that are read and written, for an image of `area` times the graph's."""
        return (self.values * area + self.weights) * BYTES[precision] + self.other_bytes * area


class Estimate(NamedTuple):
    """How long a kernel takes."""

    kernel: Kernel
    milliseconds: float
    bound: str
    """The longest part: compute, memory or launch."""


def kernels_of(model: ModelProto) -> list[Kernel]:
    """Return the kernels of a graph in the order in which they run.

    Raises:
        ConfigError: a shape is not static.
    """
    graph = model.graph
    tensors = tensors_of(model)
    constants = set(constants_of(graph))
    alias: dict[str, str] = {}
    groups: list[list[NodeProto]] = []
    maker: dict[str, int] = {}
    outside = {value.name for value in [*graph.input, *graph.output]}
    uses = Counter(name for node in graph.node for name in set(node.input) if name)
    for node in graph.node:
        if node.op_type in _FREE:
            source = alias.get(node.input[0], node.input[0]) if node.input else ''
            if source and source not in constants:
                alias[node.output[0]] = source
                if node.output[0] in outside:
                    outside.add(source)
                uses[source] += uses[node.output[0]] - 1
            else:
                constants.update(node.output)
            continue
        inputs = [alias.get(name, name) for name in node.input if name]
        if inputs and all(name in constants for name in inputs):
            constants.update(node.output)  # Computed once, when the engine is built.
            continue
        last = max((maker[name] for name in inputs if name in maker), default=-1)
        if last < 0 or not _takes(groups[last], inputs, node, tensors, uses, outside):
            groups.append([])
            last = len(groups) - 1
        groups[last].append(node)
        maker.update(dict.fromkeys(node.output, last))
    return [_kernel(group, tensors, alias, constants, uses, outside) for group in groups]


def _takes(group: Sequence[NodeProto], inputs: Iterable[str], node: NodeProto,
           tensors: Mapping[str, tuple[list[int], int]], uses: Mapping[str, int], outside: set[str]) -> bool:
    """Return whether a node runs inside a kernel: it is pointwise, alone reads the kernel's result, keeps its size."""
    end = group[-1].output[0]
    return (node.op_type in _POINTWISE and group[-1].op_type in _TAKES_POINTWISE and end in inputs
            and uses[end] == 1 and end not in outside and _count(end, tensors) == _count(node.output[0], tensors))


def _kernel(group: Sequence[NodeProto], tensors: Mapping[str, tuple[list[int], int]], alias: Mapping[str, str],
            constants: set[str], uses: Mapping[str, int], outside: set[str]) -> Kernel:
    shapes = {name: shape for name, (shape, _) in tensors.items()}
    made = {name for node in group for name in node.output}
    values = other_bytes = weights = operations = 0
    for node in group:
        size = _count(node.output[0], tensors)
        operations += 2 * multiply_adds(node, shapes) or size
        for number, raw in enumerate(node.input):
            name = alias.get(raw, raw)
            if not raw or name in made:
                continue
            count = _count(name, tensors)
            if name in constants:
                # Sizes, axes and scales are read when the engine is built.
                weights += count if tensors[name][1] in _FLOATS | {TensorProto.INT8} else 0
                continue
            count = min(count, size) if number == 0 and node.op_type in _READS_A_PART else count
            values, other_bytes = _add(name, count, tensors, outside, values, other_bytes)
    for name in [group[-1].output[0]] if len(group) > 1 else [name for name in group[0].output if name]:
        if uses[name] or name in outside:
            values, other_bytes = _add(name, _count(name, tensors), tensors, outside, values, other_bytes)
    return Kernel(group[0].name or group[0].output[0], '+'.join(node.op_type for node in group), operations, values,
                  other_bytes, weights)


def _add(name: str, count: int, tensors: Mapping[str, tuple[list[int], int]], outside: set[str], values: int,
         other_bytes: int) -> tuple[int, int]:
    kind = tensors[name][1]
    if kind in _FLOATS and name not in outside:
        return values + count, other_bytes
    return values, other_bytes + count * _WIDTHS.get(kind, 4)


def _count(name: str, tensors: Mapping[str, tuple[list[int], int]]) -> int:
    shape = tensors.get(name, ([0], 0))[0]
    if not all(shape):
        raise ConfigError(f'tensor {name}: no static shape, expected one to count. Export the graph with fixed sizes.')
    return math.prod(shape)


def estimate(kernels: Iterable[Kernel], board: Board, precision: str, area: float = 1.0) -> list[Estimate]:
    """Return how long every kernel takes on a board, for an image of `area` times the graph's.

    A kernel reaches the board's share of the roof, which is the longer of computing at the peak and moving at the full
    bandwidth, and takes the fixed time of a launch on top.

    Raises:
        ConfigError: the board has no such precision.
    """
    roof = board.roof(precision)
    result = []
    for kernel in kernels:
        times = {COMPUTE: kernel.operations * area / (roof.tera_ops * 1e9) / roof.share,
                 MEMORY: kernel.moved(precision, area) / (board.bandwidth_gb_s * 1e6) / roof.share,
                 LAUNCH: board.launch_us * 1e-3}
        result.append(Estimate(kernel, max(times[COMPUTE], times[MEMORY]) + times[LAUNCH],
                               max(times, key=lambda bound: times[bound])))
    return result


def total_ms(estimates: Iterable[Estimate]) -> float:
    """Return the time of the kernels, one after another."""
    return sum(each.milliseconds for each in estimates)

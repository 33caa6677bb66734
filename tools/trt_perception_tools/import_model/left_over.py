"""Faults of exporters: tf2onnx leaves TensorFlow's operators of GELU, paddle2onnx loses the slope of LeakyReLU."""
from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper


def replace_left_over(network: onnx.ModelProto) -> None:
    """Replace them in a network, which is float32 at these nodes."""
    nodes: list[NodeProto] = []
    for node in network.graph.node:
        rule = _RULES.get(node.op_type) if node.domain in ('', 'ai.onnx') else None
        nodes += rule(node) if rule else [node]
    if len(nodes) > len(network.graph.node):
        del network.graph.node[:]
        network.graph.node.extend(nodes)


def lost_slopes(network: onnx.ModelProto) -> list[str]:
    """Return a line about LeakyRelu layers of slope 0, which are plain Relu; none if there are none."""
    lost = [node.output[0] for node in network.graph.node if node.op_type == 'LeakyRelu'
            and any(each.name == 'alpha' and each.f == 0 for each in node.attribute)]
    if not lost:
        return []
    return [f'NOTE: LeakyRelu layers with slope 0: {len(lost)}, e.g. {lost[0]}. paddle2onnx writes 0 for any slope. If '
            'yours is another, the file is wrong: set the attribute alpha of these layers']


def _erfc(node: NodeProto) -> list[NodeProto]:
    made = _Chain(node)
    return made.end('Sub', made.constant(1.0), made.add('Erf', node.input[0]))


def _gelu(node: NodeProto) -> list[NodeProto]:
    x, made = node.input[0], _Chain(node)
    if any(each.name == 'approximate' and each.i for each in node.attribute):  # Hendrycks and Gimpel, 2016.
        cubed = made.add('Mul', made.constant(0.044715), made.add('Pow', x, made.constant(3.0)))
        bend = made.add('Tanh', made.add('Mul', made.constant(math.sqrt(2 / math.pi)), made.add('Add', x, cubed)))
    else:
        bend = made.add('Erf', made.add('Mul', made.constant(math.sqrt(0.5)), x))
    return made.end('Mul', made.add('Mul', made.constant(0.5), x), made.add('Add', made.constant(1.0), bend))


class _Chain:
    """The nodes that replace one."""

    def __init__(self, node: NodeProto) -> None:
        self._node = node
        self._nodes: list[NodeProto] = []

    def constant(self, value: float) -> str:
        return self._append('Constant', value=numpy_helper.from_array(np.array(value, np.float32)))

    def add(self, operator: str, *inputs: str) -> str:
        return self._append(operator, *inputs)

    def end(self, operator: str, *inputs: str) -> list[NodeProto]:
        self._nodes.append(helper.make_node(operator, inputs, [self._node.output[0]], self._node.name))
        return self._nodes

    def _append(self, operator: str, *inputs: str, **attributes: onnx.TensorProto) -> str:
        name = f'{self._node.output[0]}/{len(self._nodes)}'
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


_RULES = {'Erfc': _erfc, 'TFL_GELU': _gelu}

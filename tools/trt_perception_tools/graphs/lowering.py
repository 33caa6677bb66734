"""Operators of opsets 14 to 24 in terms of opset 13: one function each, and the table of them.

A rule raises ValueError, or an error of ONNX, if opset 13 has no equivalent.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx.parser
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .nested import inner_graphs

STANDARD = ('', 'ai.onnx')
"""Names of the domain of the standard operators."""


def constants_of(graph: GraphProto) -> dict[str, np.ndarray]:
    """Return the constants of a graph and of all nested in it, by name."""
    constants = {}
    for each in (graph, *inner_graphs(graph)):
        constants.update({tensor.name: numpy_helper.to_array(tensor) for tensor in each.initializer})
        for node in each.node:
            if node.op_type == 'Constant' and node.attribute[0].name in ('value', 'value_ints', 'value_int'):
                value = helper.get_attribute_value(node.attribute[0])
                constants[node.output[0]] = numpy_helper.to_array(value) if isinstance(value, TensorProto) \
                    else np.array(value)
    return constants


class Lowering:
    """The part of a graph that the rules may use, and the constants that they add."""

    def __init__(self, graph: GraphProto, shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, int]) -> None:
        self.constants = constants_of(graph)
        self.shapes = shapes
        self.types = types
        self.added: list[TensorProto] = []
        self._expanded = 0

    def lower(self, node: NodeProto) -> Sequence[NodeProto]:
        """Return the equivalent in opset 13."""
        rule = RULES.get(node.op_type) if node.domain in STANDARD else None
        return [node] if rule is None else rule(self, node)

    def constant(self, node: NodeProto, number: int) -> np.ndarray | None:
        """Return the value of an input, of any shape; None if it is omitted.

        Raises:
            ValueError: the network computes it.
        """
        name = node.input[number] if number < len(node.input) else ''
        if not name:
            return None
        if name not in self.constants:
            raise ValueError(f'{node.op_type}: input {number} is no constant')
        return self.constants[name]

    def add(self, name: str, value: np.ndarray) -> str:
        """Add a constant of any shape, and return its name."""
        name = f'opset_13/{name}/{len(self.added)}'
        self.added.append(numpy_helper.from_array(value, name))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a shape.

        Raises:
            ValueError: it is not completely known.
        """
        if name not in self.shapes:
            raise ValueError(f'{name}: no static shape')
        return self.shapes[name]

    def expand(self, node: NodeProto, text: str) -> list[NodeProto]:
        """Return the nodes of `text`, ONNX's text notation, whose inputs and outputs are in the node's order."""
        part = onnx.parser.parse_graph(text)
        self._expanded += 1
        prefix = f'opset_13/{node.op_type}_{self._expanded}/'
        names = dict(zip((each.name for each in part.input), node.input, strict=True))
        names.update(zip((each.name for each in part.output), node.output, strict=True))
        for each in part.node:
            each.name = f'{node.name or prefix.rstrip("/")}/{each.output[0]}'
            for tensors in (each.input, each.output):
                for number, name in enumerate(tensors):
                    tensors[number] = names.setdefault(name, prefix + name) if name else ''
        return list(part.node)


def _attributes(node: NodeProto) -> dict[str, object]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _without(node: NodeProto, *names: str) -> NodeProto:
    for each in [each for each in node.attribute if each.name in names]:
        node.attribute.remove(each)
    return node


def _reduce(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    axes = graph.constant(node, 1)
    if (axes is None or axes.size == 0) and _attributes(node).get('noop_with_empty_axes'):
        return [helper.make_node('Identity', node.input[:1], node.output, node.name)]
    del node.input[1:]
    if axes is not None and axes.size:
        node.attribute.append(helper.make_attribute('axes', axes.ravel().tolist()))
    return [_without(node, 'noop_with_empty_axes')]


def _split(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    attributes = _attributes(node)
    if 'num_outputs' in attributes:
        side, count = graph.shape(node.input[0])[int(str(attributes.get('axis', 0)))], len(node.output)
        if side % count:
            part = -(-side // count)
            sizes = np.array([part] * (count - 1) + [side - part * (count - 1)], np.int64)
            node.input[1:] = [graph.add('split', sizes)]
    return [_without(node, 'num_outputs')]


def _reshape(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    if _attributes(node).get('allowzero'):
        shape = graph.constant(node, 1)
        if shape is None or not shape.all():
            raise ValueError('Reshape to nothing')
    return [_without(node, 'allowzero')]


def _shape(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    attributes = _attributes(node)
    if not attributes:
        return [node]
    start, end = attributes.get('start', 0), attributes.get('end', np.iinfo(np.int64).max)
    bounds = [graph.add('bound', np.array([value], np.int64)) for value in (start, end)]
    whole = f'{node.output[0]}/whole'
    return [helper.make_node('Shape', node.input, [whole], f'{node.name or node.output[0]}/whole'),
            helper.make_node('Slice', [whole, *bounds], node.output, node.name)]


def _cast_like(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    return [helper.make_node('Cast', node.input[:1], node.output, node.name, to=graph.types[node.input[1]])]


def _pad(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    if _attributes(node).get('mode') == b'wrap':
        raise ValueError('Pad of mode wrap')
    axes = graph.constant(node, 3)
    if axes is not None:
        pads, rank = graph.constant(node, 1), len(graph.shape(node.input[0]))
        assert pads is not None
        full = np.zeros((2, rank), np.int64)
        full[:, axes.ravel() % rank] = pads.reshape(2, -1)
        del node.input[3:]
        node.input[1] = graph.add('pads', full.ravel())
        while node.input and not node.input[-1]:
            node.input.pop()
    return [node]


def _resize(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    attributes = _attributes(node)
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if attributes.get('antialias') and any(new < old for old, new in zip(before, after, strict=True)):
        raise ValueError('Resize with antialiasing')
    if attributes.get('coordinate_transformation_mode') == b'half_pixel_symmetric':
        # The same if the new side is the old one times the scale.
        _without(node, 'coordinate_transformation_mode')
    if 'axes' in attributes or attributes.get('keep_aspect_ratio_policy', b'stretch') != b'stretch':
        scales = graph.constant(node, 2)
        axes: Any = attributes.get('axes', range(len(before)))
        given = dict(zip(axes, scales if scales is not None else (), strict=False))
        if scales is not None and scales.size:
            full = np.array([given.get(axis, given.get(axis - len(before), 1)) for axis in range(len(before))])
            node.input[1:] = ['', graph.add('scales', full.astype(np.float32))]
        else:
            node.input[1:] = ['', '', graph.add('sizes', np.array(after, np.int64))]
    return [_without(node, 'antialias', 'axes', 'keep_aspect_ratio_policy')]


def _pool(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    dilations = _attributes(node).get('dilations')
    return [_without(node, 'dilations') if dilations and set(dilations) == {1} else node]  # type: ignore[call-overload]


def _layer_normalization(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    # Not the standard's definition: the mean of squares minus the square of the mean loses digits.
    if len(node.output) > 1:
        raise ValueError('LayerNormalization with statistics')
    attributes = _attributes(node)
    rank = len(graph.shape(node.input[0]))
    axes = ', '.join(map(str, range(int(str(attributes.get('axis', -1))) % rank, rank)))
    has_bias = len(node.input) > 2 and bool(node.input[2])
    if not has_bias:
        del node.input[2:]
    given = 'float x, float scale, float bias' if has_bias else 'float x, float scale'
    return graph.expand(node, f"""layer_normalization ({given}) => (float y) {{
        mean = ReduceMean <axes = [{axes}]> (x)
        deviation = Sub (x, mean)
        square = Mul (deviation, deviation)
        variance = ReduceMean <axes = [{axes}]> (square)
        epsilon = Constant <value = float {{{attributes.get('epsilon', 1e-5)}}}> ()
        positive = Add (variance, epsilon)
        root = Sqrt (positive)
        normalised = Div (deviation, root)
        {'scaled = Mul (normalised, scale)' if has_bias else 'y = Mul (normalised, scale)'}
        {'y = Add (scaled, bias)' if has_bias else ''}
    }}""")


def _grid_sample(graph: Lowering, node: NodeProto) -> list[NodeProto]:
    """Bilinear sampling: four gathered neighbours, weighted."""
    attributes = _attributes(node)
    mode, padding = attributes.get('mode', b'bilinear'), attributes.get('padding_mode', b'zeros')
    image, grid = graph.shape(node.input[0]), graph.shape(node.input[1])
    if mode not in (b'bilinear', b'linear') or padding not in (b'zeros', b'border') or len(image) != 4:
        raise ValueError(f'GridSample of mode {mode!r}, padding {padding!r}')
    (batch, channels, height, width), (_, rows, columns, _) = image, grid
    corners = bool(attributes.get('align_corners'))

    def axis(name: str, side: int) -> str:
        # -1..1 are the centres of the outer pixels, or their outer edges.
        factor, shift = ((side - 1) / 2, (side - 1) / 2) if corners else (side / 2, (side - 1) / 2)
        place = f'{name}_free = Add ({name}_wide, {name}_shift)\n'
        place += f'{name} = Clip ({name}_free, zero, {name}_last)' if padding == b'border' \
            else f'{name} = Identity ({name}_free)'
        return f"""
            {name}_factor = Constant <value = float {{{factor}}}> ()
            {name}_shift = Constant <value = float {{{shift}}}> ()
            {name}_last = Constant <value = float {{{side - 1}}}> ()
            {name}_wide = Mul ({name}_relative, {name}_factor)
            {place}
            {name}_0 = Floor ({name})
            {name}_1 = Add ({name}_0, one)
            {name}_share_1 = Sub ({name}, {name}_0)
            {name}_share_0 = Sub (one, {name}_share_1)""" + ''.join(f"""
            {name}_inside_{end} = Clip ({name}_{end}, zero, {name}_last)
            {name}_off_{end} = Sub ({name}_{end}, {name}_inside_{end})
            {name}_far_{end} = Abs ({name}_off_{end})
            {name}_out_{end} = Clip ({name}_far_{end}, zero, one)
            {name}_in_{end} = Sub (one, {name}_out_{end})
            {name}_weight_{end} = Mul ({name}_share_{end}, {name}_in_{end})""" for end in (0, 1))

    count = rows * columns
    places = f'{count}' if batch == 1 else f'{batch}, 1, {count}'

    def value(corner: str) -> str:
        if batch == 1:  # One list of positions for all channels.
            return f'value_{corner} = Gather <axis = 2> (pixels, flat_index_{corner})'
        return f"""wide_index_{corner} = Expand (flat_index_{corner}, values)
            value_{corner} = GatherElements <axis = 2> (pixels, wide_index_{corner})"""

    corner = ''.join(f"""
            row_{y}{x} = Mul (y_inside_{y}, row_length)
            place_{y}{x} = Add (row_{y}{x}, x_inside_{x})
            index_{y}{x} = Cast <to = 7> (place_{y}{x})
            flat_index_{y}{x} = Reshape (index_{y}{x}, list)
            {value(f'{y}{x}')}
            weight_{y}{x} = Mul (y_weight_{y}, x_weight_{x})
            flat_weight_{y}{x} = Reshape (weight_{y}{x}, line)
            part_{y}{x} = Mul (value_{y}{x}, flat_weight_{y}{x})""" for y in (0, 1) for x in (0, 1))
    return graph.expand(node, f"""grid_sample (float image, float grid) => (float sampled) {{
        zero = Constant <value = float {{0}}> ()
        one = Constant <value = float {{1}}> ()
        row_length = Constant <value = float {{{width}}}> ()
        list = Constant <value = int64[{places.count(',') + 1}] {{{places}}}> ()
        values = Constant <value = int64[3] {{{batch}, {channels}, {count}}}> ()
        line = Constant <value = int64[3] {{{batch}, 1, {count}}}> ()
        pixel_shape = Constant <value = int64[3] {{{batch}, {channels}, {height * width}}}> ()
        result_shape = Constant <value = int64[4] {{{batch}, {channels}, {rows}, {columns}}}> ()
        pixels = Reshape (image, pixel_shape)
        x_relative, y_relative = Split <axis = 3> (grid)
        {axis('x', width)}
        {axis('y', height)}
        {corner}
        upper = Add (part_00, part_01)
        lower = Add (part_10, part_11)
        flat = Add (upper, lower)
        sampled = Reshape (flat, result_shape)
    }}""")


RULES: dict[str, Callable[[Lowering, NodeProto], Sequence[NodeProto]]] = {
    **dict.fromkeys(('ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceMax', 'ReduceMean', 'ReduceMin',
                     'ReduceProd', 'ReduceSumSquare'), _reduce),
    'AveragePool': _pool, 'LpPool': _pool, 'CastLike': _cast_like, 'GridSample': _grid_sample,
    'LayerNormalization': _layer_normalization, 'Pad': _pad, 'Reshape': _reshape, 'Resize': _resize, 'Shape': _shape,
    'Split': _split}
"""Rules by the operator that they lower."""

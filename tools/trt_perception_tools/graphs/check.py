"""List what the ONNX parsers of the TensorRT generations do not support in a graph, and where it comes from.

A static check by NVIDIA's published tables (tensorrt_support.py): no TensorRT runs, and a graph that passes may still
fail to build. --build also runs NVIDIA's own parser and builder, those of TensorRT 11, without a GPU. The exit status
is 1 if there is a fault. Notes are about what TensorRT supports with differences.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from . import trial_build
from .read import foreign, read_graph
from .tensorrt_support import GENERATIONS, Generation

_ALL = 'all'
_TYPES: dict[int, str] = {
    TensorProto.FLOAT: 'FP32', TensorProto.FLOAT16: 'FP16', TensorProto.BFLOAT16: 'BF16', TensorProto.DOUBLE: 'FP64',
    TensorProto.FLOAT8E4M3FN: 'FP8'}
"""ONNX type -> name in the tables, where it differs."""
_IO_TYPES = frozenset({'FP32', 'FP16', 'BF16', 'INT8', 'INT32', 'INT64', 'BOOL'})
_NO_DATA = frozenset({'If', 'Loop', 'Scan'})
"""Operators whose types are those of their bodies, which are checked node by node."""
_WITHOUT_DATA = frozenset({'BlackmanWindow', 'Constant', 'ConstantOfShape', 'HammingWindow', 'HannWindow',
                           'RandomNormal', 'RandomUniform'})
"""Operators that make a tensor of nothing: the tables mean the type of that."""
_DATA_INPUTS = {'Where': (1, 2), 'OneHot': (2,), **dict.fromkeys(_WITHOUT_DATA, ())}
"""Numbers of the inputs whose type the tables mean; of all other operators it is the first."""
_RESIZE_OPTIONS: dict[str, set[Any]] = {
    'coordinate_transformation_mode': {'half_pixel', 'pytorch_half_pixel', 'tf_half_pixel_for_nn', 'asymmetric',
                                       'align_corners'},
    'nearest_mode': {'floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'},
    'keep_aspect_ratio_policy': {'stretch'},
    'antialias': {0}}
_INT32 = np.iinfo(np.int32)


class Finding(NamedTuple):
    """Something that a generation cannot take (a fault), or takes in its own way (a note)."""

    generation: str
    fault: bool
    text: str
    node: str = ''
    """Name in the graph; empty for what concerns the whole graph."""
    output: str = ''
    """First output of the node, or the input or output of the graph."""

    @property
    def module(self) -> str:
        """The torch module that the node comes from, as its exporter wrote it into the node's name."""
        parts = self.node.strip('/').split('/')[:-1]
        # /layer1/layer1.0/conv is layer1.0.conv: a container's children bear its name.
        return '.'.join(part for part, inner in zip(parts, [*parts[1:], ''], strict=False)
                        if not inner.startswith(part + '.'))


def check(model: ModelProto, generation: str) -> list[Finding]:
    """Return what the ONNX parser of a generation of TensorRT, a key of GENERATIONS, cannot take in a graph.

    Dynamic shapes count as faults: the engines of this package have fixed ones.
    """
    rules = GENERATIONS[generation]
    opset = max((entry.version for entry in model.opset_import if entry.domain in ('', 'ai.onnx')), default=1)
    oldest, newest = rules.opset
    findings = []
    if not oldest <= opset <= newest:
        findings.append(Finding(generation, True, f'opset {opset}, expected {oldest} to {newest}'))
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return [*findings, *_Graph(inferred.graph, generation, rules).findings()]


class _Graph:
    """A graph or the body of an If, Loop or Scan."""

    def __init__(self, graph: GraphProto, name: str, rules: Generation, outer: _Graph | None = None) -> None:
        self._graph = graph
        self._name = name
        self._rules = rules
        self._is_body = outer is not None
        values = [*graph.value_info, *graph.input, *graph.output]
        self._types: dict[str, int] = {
            **(outer._types if outer else {}), **{value.name: value.type.tensor_type.elem_type for value in values},
            **{tensor.name: tensor.data_type for tensor in graph.initializer}}
        self._shapes = {value.name: _sides(value) for value in values}
        self._shapes.update({tensor.name: tuple(tensor.dims) for tensor in graph.initializer})
        self._constants: set[str] = set(outer._constants) if outer else set()
        self._constants.update(tensor.name for tensor in graph.initializer)
        for node in graph.node:
            if node.op_type == 'Constant' or (
                    node.op_type in ('Identity', 'Cast', 'QuantizeLinear', 'DequantizeLinear')
                    and node.input[0] in self._constants):
                self._constants.update(node.output)
        self._users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for tensor in node.input:
                self._users.setdefault(tensor, []).append(node)

    def findings(self) -> Iterator[Finding]:
        """Yield the faults."""
        if not self._is_body:
            yield from self._of_inputs_and_outputs()
        yield from self._of_constants()
        for node in self._graph.node:
            texts = [*self._of_operator(node)]
            # An operator that is not there needs no further complaint about its types.
            texts += [] if texts else [*self._of_types(node), *self._of_attributes(node)]
            yield from (self._fault(text, node) for text in texts)
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    yield from _Graph(attribute.g, self._name, self._rules, self).findings()

    def _fault(self, text: str, node: NodeProto) -> Finding:
        return Finding(self._name, True, text, node.name, node.output[0] if node.output else '')

    def _of_inputs_and_outputs(self) -> Iterator[Finding]:
        initialisers = {tensor.name for tensor in self._graph.initializer}
        for kind, values in (('input', self._graph.input), ('output', self._graph.output)):
            for value in values:
                if value.name in initialisers:
                    continue
                dtype = _type_name(value.type.tensor_type.elem_type)
                narrowed = self._narrowed(dtype)
                if narrowed != dtype:
                    yield Finding(self._name, False, f'{kind} of type {dtype} becomes {narrowed}', output=value.name)
                elif dtype not in _IO_TYPES and not (dtype == 'UINT8' and self._rules.uint8_io):
                    yield Finding(self._name, True, f'{kind} of type {dtype}', output=value.name)
                shape = _sides(value)
                if shape is None or not all(isinstance(side, int) and side > 0 for side in shape):
                    text = 'unknown' if shape is None else 'x'.join(str(side) for side in shape)
                    yield Finding(self._name, True, f'{kind} of dynamic shape {text}', output=value.name)

    def _of_constants(self) -> Iterator[Finding]:
        nodes = {node.output[0]: node for node in self._graph.node if node.op_type == 'Constant'}
        tensors = [(tensor.name, tensor) for tensor in self._graph.initializer]
        tensors += [(name, node.attribute[0].t) for name, node in nodes.items() if node.attribute[0].name == 'value']
        for name, tensor in tensors:
            if tensor.data_type != TensorProto.INT64 or self._rules.int64:
                continue
            values = numpy_helper.to_array(tensor)
            if values.size and (values.min() < _INT32.min or values.max() > _INT32.max):
                users = self._users.get(name, [])
                # "To the end" is the largest INT64, and still the end when it is clamped.
                harmless = all(user.op_type == 'Slice' for user in users)
                place = nodes.get(name) or (users[0] if users else None)
                yield Finding(self._name, not harmless, f'INT64 constant {name} is clamped to INT32',
                              place.name if place else '', name)

    def _of_operator(self, node: NodeProto) -> Iterator[str]:
        if node.domain not in ('', 'ai.onnx'):
            yield f'operator {node.domain}:{node.op_type} needs a plugin'
        elif node.op_type not in self._rules.operators:
            yield f'operator {node.op_type}'

    def _of_types(self, node: NodeProto) -> Iterator[str]:
        if node.op_type in _NO_DATA:
            return
        allowed = self._rules.operators[node.op_type]
        tensors = [node.input[number] for number in _DATA_INPUTS.get(node.op_type, (0,)) if number < len(node.input)]
        tensors += node.output[:1] if node.op_type in _WITHOUT_DATA | {'Cast'} else []
        types = {_type_name(self._types[name]) for name in tensors if self._types.get(name)}
        for dtype in sorted(types):
            if self._narrowed(dtype) not in allowed:
                yield f'{node.op_type} of type {dtype}'
        outputs = {value.name for value in self._graph.output}
        inside = [name for name in node.output
                  if self._types.get(name) == TensorProto.UINT8 and (name not in outputs or self._is_body)]
        if inside and 'UINT8' not in types - allowed:
            yield f'{node.op_type} gives UINT8 inside the graph'

    def _narrowed(self, dtype: str) -> str:
        """Return the type that the parser makes of one."""
        if dtype == 'FP64':
            return 'FP32'
        return 'INT32' if dtype == 'INT64' and not self._rules.int64 else dtype

    def _of_attributes(self, node: NodeProto) -> Iterator[str]:
        kind = node.op_type
        values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        for number in self._rules.constant_inputs.get(kind, ()):
            if number < len(node.input) and node.input[number] and node.input[number] not in self._constants:
                yield f'{kind} whose input {number} is not an initialiser'
        if kind == 'Resize':
            yield from self._of_resize(values)
        elif kind == 'Einsum':
            yield from self._of_einsum(values['equation'].decode(), [self._shapes.get(name) for name in node.input])
        elif kind in ('MaxPool', 'AveragePool', 'LpPool') and any(side != 1 for side in values.get('dilations', [])):
            yield f'{kind} with dilations'
        elif kind in ('QuantizeLinear', 'DequantizeLinear') and self._is_not_zero(node, 2):
            yield f'{kind} with a zero point other than 0'
        elif kind in ('ScatterElements', 'ScatterND') and values.get('reduction', b'none') != b'none':
            yield f'{kind} with reduction'
        elif kind == 'BatchNormalization' and (
                values.get('training_mode') or sum(bool(name) for name in node.output) > 1):
            yield 'BatchNormalization in training mode'
        elif kind == 'Dropout' and self._is_not_zero(node, 2):
            yield 'Dropout in training mode'
        if kind == 'MaxPool' and len(node.output) > 1:
            yield 'MaxPool with indices'

    def _of_einsum(self, equation: str, shapes: Sequence[Any]) -> Iterator[str]:
        if equation != equation.lower():
            yield 'Einsum with capital letters'
        if self._rules.einsum_extras:
            return
        if '.' in equation:
            yield 'Einsum with an ellipsis'
            return
        terms = equation.replace(' ', '').split('->')[0].split(',')
        if any(len(set(term)) < len(term) for term in terms):
            yield 'Einsum with a diagonal'
        sides: dict[str, set[object]] = {}
        for term, shape in zip(terms, shapes, strict=False):
            for letter, side in zip(term, shape or (), strict=False):
                sides.setdefault(letter, set()).add(side)
        if any(len(each) > 1 and 1 in each for each in sides.values()):
            yield 'Einsum with broadcasting'

    def _of_resize(self, values: dict[str, Any]) -> Iterator[str]:
        text = {'mode': 'nearest', **{name: value.decode() if isinstance(value, bytes) else value
                                      for name, value in values.items()}}
        for name, allowed in {**_RESIZE_OPTIONS, 'mode': self._rules.resize_modes}.items():
            # nearest_mode has a default that has no effect on a linear Resize.
            if name in text and text[name] not in allowed and (name != 'nearest_mode' or text['mode'] == 'nearest'):
                yield f'Resize with {name} {text[name]}'

    def _is_not_zero(self, node: NodeProto, number: int) -> bool:
        """Whether an input is a constant that is not 0."""
        name = node.input[number] if len(node.input) > number else ''
        tensors = [tensor for tensor in self._graph.initializer if tensor.name == name]
        tensors += [other.attribute[0].t for other in self._graph.node
                    if other.op_type == 'Constant' and other.output[0] == name]
        return any(np.any(numpy_helper.to_array(tensor)) for tensor in tensors)


def _type_name(dtype: int) -> str:
    return _TYPES[dtype] if dtype in _TYPES else TensorProto.DataType.Name(dtype)


def _sides(value: ValueInfoProto) -> tuple[int | str, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField('shape'):
        return None
    return tuple(side.dim_value if side.HasField('dim_value') else side.dim_param or '?' for side in tensor.shape.dim)


def report(findings: Iterable[Finding]) -> str:
    """Lay out the findings of one generation as text, alike ones under one heading."""
    lines = []
    ordered = sorted(findings, key=lambda each: (not each.fault, each.text))
    for (fault, text), group in groupby(ordered, key=lambda each: (each.fault, each.text)):
        places = list(group)
        lines.append(f'  {"fault" if fault else "note"}: {text}' + (f' ({len(places)} nodes)' if places[1:] else ''))
        for place in places:
            where = [f'node {place.node}' if place.node else '', f'tensor {place.output}' if place.output else '',
                     f'module {place.module}' if place.module else '']
            if any(where):
                lines.append('    ' + ', '.join(filter(None, where)))
    return '\n'.join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('files', nargs='+', type=Path, metavar='FILE', help='an ONNX file')
    parser.add_argument('--tensorrt', choices=[*GENERATIONS, _ALL], default=_ALL, metavar='VERSION',
                        help=f'{", ".join(GENERATIONS)} or {_ALL} (default)')
    parser.add_argument('--build', action='store_true',
                        help="build it, too, with NVIDIA's own parser and builder; needs pip install "
                             '"trt_perception_tools[tensorrt]" (200 MB) and a C compiler')


def execute(args: argparse.Namespace) -> int:
    """Check the files, print what was found, and return 1 when there is a fault."""
    faults = 0
    for file in args.files:
        model = read_graph(file)
        for generation in GENERATIONS if args.tensorrt == _ALL else [args.tensorrt]:
            with foreign(file, 'check-onnx'):
                findings = check(model, generation)
            count = sum(finding.fault for finding in findings)
            faults += count
            print(f'{file}, TensorRT {generation}: {count or "no"} fault{"" if count == 1 else "s"} '
                  f'by the tables of {GENERATIONS[generation].source}')
            if findings:
                print(report(findings))
        if args.build:
            trial = trial_build.trial_build(file, trial_build.progress_line)
            faults += len(trial.faults)
            print(f'{file}, {trial}')
    return 1 if faults else 0

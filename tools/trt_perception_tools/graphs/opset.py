"""Converts any opset to 13, the newest of TensorRT 8.2, with the same results. Independent of images and tasks.

Older operators are converted by ONNX's own converter. It does not support most newer ones, which are lowered here. A
graph that cannot be lowered keeps its opset.
"""
from __future__ import annotations

import onnx
import onnx.inliner
import onnx.version_converter
from onnx import GraphProto, ModelProto, helper

from trt_perception.core.errors import ConfigError

from .lowering import RULES, STANDARD, Lowering, constants_of
from .nested import all_nodes, inner_graphs

OPSET = 13
IR_VERSION = 8
"""The newest that ONNX Runtime 1.10 (Python 3.6) reads."""
OLDEST_IR_VERSION = 4
"""Before it, every constant had to be an input, too."""
_ASYMMETRIC_UP_TO = 10
"""Up to this opset Resize and Upsample had no choice of coordinates."""


def opset_of(network: ModelProto) -> int:
    """Return the version of the standard operators that a network uses."""
    return int(next((each.version for each in network.opset_import if each.domain in STANDARD), 1))


def to_opset_13(network: ModelProto, where: str) -> ModelProto:
    """Return a copy in opset 13; a newer one keeps its opset if its operators cannot be lowered.

    Raises:
        ConfigError: it is older, and ONNX cannot convert it.
    """
    copy = ModelProto()
    copy.CopyFrom(network)
    if opset_of(network) < OPSET:
        return _raised(copy, where)
    if opset_of(network) == OPSET:
        return copy
    try:
        return _lowered(copy)
    except Exception:  # ONNX's checker, inference and inliner have no common class of errors.
        copy.CopyFrom(network)
        return copy


def _raised(network: ModelProto, where: str) -> ModelProto:
    opset = opset_of(network)
    try:
        converted = onnx.version_converter.convert_version(network, OPSET)
        if opset <= _ASYMMETRIC_UP_TO:
            _make_asymmetric(converted.graph)
        onnx.checker.check_model(converted, full_check=True)
    except Exception as error:  # The converter has no separate error class for operators that it cannot convert.
        raise ConfigError(f'{where}: got opset {opset}, expected {OPSET} or newer, and ONNX {onnx.__version__} cannot '
                          f'convert it: {str(error).splitlines()[0]}. Ask its author for opset {OPSET}; or end the '
                          'network before that operator with --output-name, which takes any tensor of the file.'
                          ) from error
    return converted


def _make_asymmetric(graph: GraphProto) -> None:
    # ONNX's converter leaves half-pixel coordinates, the later default. What ONNX Runtime does with the old operators:
    # nearest takes the lower pixel when enlarging, the upper one when reducing.
    constants = constants_of(graph)
    for node in all_nodes(graph):
        if node.op_type == 'Resize':
            scales = constants.get(node.input[2]) if len(node.input) > 2 else None
            reduces = scales is not None and bool((scales < 1).any())
            kept = [each for each in node.attribute if each.name == 'mode']
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.append(helper.make_attribute('coordinate_transformation_mode', 'asymmetric'))
            node.attribute.append(helper.make_attribute('nearest_mode', 'ceil' if reduces else 'floor'))


def _lowered(network: ModelProto) -> ModelProto:
    opset = opset_of(network)
    network = _with_functions_inlined(network)
    shapes, types = _shapes_and_types(network)
    lowering = Lowering(network.graph, shapes, types)
    # Inner graphs first: nodes are copied into their graph.
    for each in reversed([network.graph, *inner_graphs(network.graph)]):
        nodes = [new for node in each.node for new in lowering.lower(node)]
        del each.node[:]
        each.node.extend(nodes)
    network.graph.initializer.extend(lowering.added)
    _drop_newer_defaults(network.graph, opset)
    for opset_import in network.opset_import:
        if opset_import.domain in STANDARD:
            opset_import.version = OPSET
    del network.graph.value_info[:]
    onnx.checker.check_model(network, full_check=True)
    return network


def _with_functions_inlined(network: ModelProto) -> ModelProto:
    """Replace operators that opset 13 lacks by the ones that the standard defines them with."""
    if network.functions:
        network = onnx.inliner.inline_local_functions(network)
    new = {node.op_type for node in all_nodes(network.graph) if node.domain in STANDARD
           and not _has_schema(node.op_type, OPSET)} - set(RULES)
    if not new:
        return network
    # The inliner needs the types of the operators' inputs.
    typed = onnx.shape_inference.infer_shapes(network)
    typed.graph.value_info.extend(helper.make_tensor_value_info(each.name, each.data_type, each.dims)
                                  for each in network.graph.initializer)
    inlined = onnx.inliner.inline_selected_functions(typed, [('', each) for each in sorted(new)],
                                                     inline_schema_functions=True)
    del inlined.graph.value_info[:]
    return inlined


def _has_schema(operator: str, opset: int) -> bool:
    try:
        return not onnx.defs.get_schema(operator, opset).deprecated
    except onnx.defs.SchemaError:
        return False


def _shapes_and_types(network: ModelProto) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Return the completely known shapes, and the element types."""
    inferred = onnx.shape_inference.infer_shapes(network, data_prop=True).graph
    shapes, types = {}, {}
    for graph in (inferred, *inner_graphs(inferred)):
        for value in [*graph.value_info, *graph.input, *graph.output]:
            tensor = value.type.tensor_type
            types[value.name] = tensor.elem_type
            sides = tuple(side.dim_value for side in tensor.shape.dim)
            if tensor.HasField('shape') and all(sides):
                shapes[value.name] = sides
        for each in graph.initializer:
            shapes[each.name], types[each.name] = tuple(each.dims), each.data_type
    return shapes, types


def _drop_newer_defaults(graph: GraphProto, opset: int) -> None:
    """Remove attributes that opset 13 does not have, if they ask for its only behaviour."""
    for node in all_nodes(graph):
        if node.domain in STANDARD and onnx.defs.has(node.op_type) and node.attribute:
            try:
                old = onnx.defs.get_schema(node.op_type, OPSET).attributes
            except onnx.defs.SchemaError:  # Opset 13 does not have the operator: the checker reports it.
                continue
            new = onnx.defs.get_schema(node.op_type, opset).attributes
            for each in [each for each in node.attribute if each.name in new and each.name not in old]:
                default = new[each.name].default_value
                if default.name and helper.get_attribute_value(each) == helper.get_attribute_value(default):
                    node.attribute.remove(each)

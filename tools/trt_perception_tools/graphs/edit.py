"""Edits of ONNX graphs in place: rename, graft, prune, convert. Knows nothing of pictures or tasks."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnx.parser
import onnx.version_converter

from trt_perception.core.errors import ConfigError

OPSET = 13
"""The newest that TensorRT 8.2 reads."""
IR_VERSION = 8
"""The newest that ONNX Runtime 1.10 (Python 3.6) reads."""
PREFIX = 'fit/'
"""Of the tensors that are grafted on."""


def opset_of(network: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a network uses."""
    return int(next((each.version for each in network.opset_import if each.domain in ('', 'ai.onnx')), 1))


def with_opset(network: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return a copy in opset 13; a newer one keeps its opset where its operators have no such version.

    Raises:
        ConfigError: it is older, and ONNX cannot convert it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    if opset_of(network) == OPSET:
        return copy
    try:
        converted = onnx.version_converter.convert_version(network, OPSET)
        onnx.checker.check_model(converted, full_check=True)
        return converted
    except Exception as error:  # The converter has no class of its own for operators that it cannot convert.
        if opset_of(network) < OPSET:
            raise ConfigError(f'{where}: got opset {opset_of(network)}, expected {OPSET} or newer, and ONNX cannot '
                              f'convert it: {str(error).splitlines()[0]}. Export it with opset {OPSET}.') from error
    # Most newer versions of operators only take more types. The checker finds attributes and inputs that 13 does not
    # have, and the caller compares results.
    _drop_newer_defaults(copy.graph, opset_of(network))
    for each in copy.opset_import:
        if each.domain in ('', 'ai.onnx'):
            each.version = OPSET
    try:
        onnx.checker.check_model(copy, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        copy.CopyFrom(network)
    return copy


def _drop_newer_defaults(graph: onnx.GraphProto, opset: int) -> None:
    """Remove attributes that opset 13 does not have and that say what it does anyway."""
    for node in _all_nodes(graph):
        if node.domain in ('', 'ai.onnx') and onnx.defs.has(node.op_type) and node.attribute:
            try:
                old = onnx.defs.get_schema(node.op_type, OPSET).attributes
            except onnx.defs.SchemaError:  # 13 does not have the operator: the checker says so.
                continue
            new = onnx.defs.get_schema(node.op_type, opset).attributes
            for each in [each for each in node.attribute if each.name in new and each.name not in old]:
                default = new[each.name].default_value
                if default.name and onnx.helper.get_attribute_value(each) == onnx.helper.get_attribute_value(default):
                    node.attribute.remove(each)


def graft(graph: onnx.GraphProto, text: str, opset: int, joints: Mapping[str, str], first: bool = False) -> None:
    """Add the nodes of `text`, ONNX's text notation.

    Args:
        opset: of the graph; the text has 13.
        joints: inputs and outputs of the text -> the graph's tensors that they are; the others keep their names.
        first: put the nodes before the graph's own.
    """
    part = onnx.parser.parse_model(text)
    onnx.checker.check_model(part, full_check=True)
    if opset != OPSET:
        part = onnx.version_converter.convert_version(part, opset)
    public = {each.name for each in [*part.graph.input, *part.graph.output]}
    names = {name: f'{PREFIX}{name}' for node in part.graph.node for name in [*node.input, *node.output]
             if name and name not in public}
    rename(part.graph, {**names, **joints})
    nodes = list(part.graph.node)
    nodes = nodes + list(graph.node) if first else list(graph.node) + nodes
    del graph.node[:]
    graph.node.extend(_without_identities(nodes))


def _without_identities(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Drop grafted Identity nodes: they only make the text plainer."""
    same = {node.output[0]: node.input[0] for node in nodes
            if node.op_type == 'Identity' and node.output[0].startswith(PREFIX)}
    kept = [node for node in nodes if node.output[0] not in same]
    for node in kept:
        for number, name in enumerate(node.input):
            while name in same:
                name = same[name]
            node.input[number] = name
    return kept


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors, in nested graphs too."""
    for each in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        each.name = names.get(each.name, each.name)
    for node in _all_nodes(graph):
        for tensors in (node.input, node.output):
            for number, name in enumerate(tensors):
                tensors[number] = names.get(name, name)
    for inner in _inner_graphs(graph):
        for each in [*inner.input, *inner.output, *inner.initializer]:
            each.name = names.get(each.name, each.name)


def _inner_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        yield from _graphs_of(node)


def _graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField('g') else [])]:
            yield inner
            yield from _inner_graphs(inner)


def _all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [*graph.node, *(node for inner in _inner_graphs(graph) for node in inner.node)]


def _needs(node: onnx.NodeProto) -> set[str]:
    return {*node.input, *(name for inner in _graphs_of(node) for each in inner.node for name in each.input),
            *(each.name for inner in _graphs_of(node) for each in inner.output)} - {''}


def needed_tensors(graph: onnx.GraphProto, *outputs: str) -> set[str]:
    """Return the names of the tensors from which outputs are computed, themselves included."""
    needed = set(outputs)
    for node in reversed(graph.node):  # Nodes are sorted: users come after makers.
        if needed & set(node.output):
            needed |= _needs(node)
    return needed


def prune(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output needs."""
    needed = needed_tensors(graph, *(each.name for each in graph.output))
    kept = [node for node in graph.node if needed & set(node.output)]
    del graph.node[:]
    graph.node.extend(kept)
    constants = [each for each in graph.initializer if each.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def domains(network: onnx.ModelProto) -> set[str]:
    """Return the domains of the operators that a network uses; '' is the standard one."""
    return {'', *(node.domain for node in _all_nodes(network.graph)), *(each.domain for each in network.functions)}


def drop_unused_domains(network: onnx.ModelProto) -> None:
    """Remove the operator sets that no node uses: a runtime may not know them."""
    used = domains(network)
    for each in [each for each in network.opset_import if each.domain not in used]:
        network.opset_import.remove(each)

"""Edits of ONNX graphs in place: rename, graft, prune. Knows nothing of images or tasks."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx.parser
import onnx.version_converter
import onnx_ir as ir
from onnx_ir.passes import common as passes

from .nested import all_nodes, graphs_of, inner_graphs
from .opset import OPSET

PREFIX = 'fit/'
"""Prefix of tensors that are added to a graph."""


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
    for node in all_nodes(graph):
        for tensors in (node.input, node.output):
            for number, name in enumerate(tensors):
                tensors[number] = names.get(name, name)
    for inner in inner_graphs(graph):
        for each in [*inner.input, *inner.output, *inner.initializer]:
            each.name = names.get(each.name, each.name)


def _needs(node: onnx.NodeProto) -> set[str]:
    return {*node.input, *(name for inner in graphs_of(node) for each in inner.node for name in each.input),
            *(each.name for inner in graphs_of(node) for each in inner.output)} - {''}


def needed_tensors(graph: onnx.GraphProto, *outputs: str) -> set[str]:
    """Return the names of the tensors from which outputs are computed, themselves included."""
    needed = set(outputs)
    for node in reversed(graph.node):  # Nodes are sorted: users come after makers.
        if needed & set(node.output):
            needed |= _needs(node)
    return needed


def prune(network: onnx.ModelProto) -> None:
    """Remove nodes, constants and operator sets that no output needs. References into the network become stale."""
    network.CopyFrom(pruned(ir.from_proto(network)))


def pruned(model: ir.Model) -> onnx.ModelProto:
    """Return a network without the nodes, constants and operator sets that no output needs."""
    passes.RemoveUnusedNodesPass()(model)
    passes.RemoveUnusedOpsetsPass()(model)
    return ir.to_proto(model)


def domains(network: onnx.ModelProto) -> set[str]:
    """Return the domains of the operators that a network uses; '' is the standard one."""
    return {'', *(node.domain for node in all_nodes(network.graph)), *(each.domain for each in network.functions)}


def tensor_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all tensors, in nested graphs too."""
    names = {each.name for each in [*graph.input, *graph.output, *graph.initializer]}
    for inner in inner_graphs(graph):
        names.update(each.name for each in [*inner.input, *inner.output, *inner.initializer])
    return (names | {name for node in all_nodes(graph) for name in [*node.input, *node.output]}) - {''}

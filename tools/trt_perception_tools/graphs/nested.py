"""Graphs nested in the nodes of an ONNX graph: the bodies of If, Loop and Scan."""
from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def inner_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield the graphs nested in a graph's nodes, at any depth."""
    for node in graph.node:
        yield from graphs_of(node)


def graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs nested in a node, at any depth."""
    for attribute in node.attribute:
        nested = list(attribute.graphs) + ([attribute.g] if attribute.type == AttributeProto.GRAPH else [])
        for inner in nested:
            yield inner
            yield from inner_graphs(inner)


def all_nodes(graph: GraphProto) -> list[NodeProto]:
    """Return the nodes of a graph and of all nested in it."""
    return [*graph.node, *(node for inner in inner_graphs(graph) for node in inner.node)]

"""Print the cost of networks: parameters, GFLOPs (two per multiply-add) and layers, before and after export.

A network by name, with random weights, is counted as trained, with its branches merged, and as exported, where batch
normalisation is folded and constants are computed in advance. An ONNX file is counted unchanged.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from trt_perception.core.image import Size
from trt_perception.core.tasks import find_task

from ..graphs.cost import Cost, cost, cost_table
from ..graphs.read import foreign, read_graph
from ..graphs.slim import batch_norm_text, simplify
from ..graphs.static import static_graph
from ..networks import NETWORKS, Network, parse_network
from ..networks.repvgg import merge
from ..sizes import add_size
from .to_onnx import to_onnx


def describe(network: Network, options: dict[str, object], size: Size) -> tuple[list[tuple[str, Cost]], str]:
    """Return the costs of a network at (height, width) px, stage by stage, and the batch norms left."""
    torch.manual_seed(0)
    module = network.build(**options)
    # Networks start with many equal weights, which the exporter would store once.
    with torch.no_grad():
        for tensor in [*module.parameters(), *(each for each in module.buffers() if each.is_floating_point())]:
            tensor.uniform_(0.01, 0.02)
    channels = network.channels * find_task(network.task).images
    example = [torch.zeros(1, channels, *size)]
    merged = merge(module)
    exported = simplify(to_onnx(merged, example))
    rows = [('trained', cost_of_module(module, example))]
    if merged is not module:
        rows.append(('merged', cost_of_module(merged, example)))
    return [*rows, ('exported', cost(exported))], batch_norm_text(exported)


def cost_of_module(module: nn.Module, example: list[Tensor]) -> Cost:
    """Count a module as trained."""
    # Its graph also has constants, such as the matrices by which SwiftNet pools.
    parameters = sum(each.numel() for each in module.parameters())
    graph = simplify(to_onnx(module, example, fold=False), fold=False)
    return cost(graph)._replace(parameters=parameters)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('networks', nargs='+', metavar='NAME[,OPTION=VALUE...] | FILE.onnx',
                        help=f'{", ".join(NETWORKS)}, with arguments of its class, e.g. swiftnet,encoder=repvgg')
    add_size(parser, "of the network's image, px (default: the network's own)")


def execute(args: argparse.Namespace) -> int:
    """Print a table, and the batch normalisations that are left."""
    rows, remarks = [], []
    for text in args.networks:
        if text.endswith('.onnx'):
            with foreign(text, 'describe-network'):
                model = static_graph(read_graph(Path(text)), args.size, text)
            rows.append((text, cost(model)))
            remarks.append(f'{text}: {batch_norm_text(model)}')
            continue
        network, options = parse_network(text)
        size = args.size or network.size
        costs, remark = describe(network, options, size)
        rows += [(f'{text} {size[0]}x{size[1]}, {stage}', each) for stage, each in costs]
        remarks.append(f'{text}, exported: {remark}')
    print('\n'.join([cost_table(rows), *remarks]))
    return 0

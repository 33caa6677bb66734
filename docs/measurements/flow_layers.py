"""Time of warping and the cost volume as standard operators: estimated for the TX2, measured on this CPU.

    .venv/bin/python docs/measurements/flow_layers.py

Prints the Markdown table of flow_layers.md. Weights are random. CPU shares are from ONNX Runtime's profile, with 2
threads.
"""
import json
import re
from collections import Counter
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort

from trt_perception_tools.estimate.boards import BOARDS
from trt_perception_tools.estimate.command import network_graph, subject_of_graph
from trt_perception_tools.estimate.roofline import estimate, total_ms
from trt_perception_tools.networks import NETWORKS

SIZES = {'pwcnet': (384, 512), 'tinypwc': (480, 640)}
RUNS = 30
PARTS = ('convolutions', 'warping', 'cost volume', 'concatenation of channels', 'other')


def part_of(name, kind, axes):
    """Return the part that a node belongs to, by its name, its operator and the axis of a concatenation."""
    if kind in ('Conv', 'ConvTranspose', 'FusedConv'):
        return 'convolutions'
    if '/warp' in name:
        return 'warping'
    if kind == 'Concat' and axes.get(name) == 1:
        return 'concatenation of channels'
    # What is left outside of modules with these operators: cost_volume(), and TinyPwc's unit vectors before it.
    if re.match(r'/network/(Pad|Slice|Mul|ReduceMean|ReduceSum|ReduceL2|Div|Sqrt|Concat|Clip|Expand|Add|Max)', name):
        return 'cost volume'
    return 'other'


def profile(graph, names, size, channels):
    """Return the share of ONNX Runtime's time per part."""
    axes = concat_axes(graph)
    with TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 2
        options.enable_profiling = True
        options.profile_file_prefix = folder + '/run'
        session = ort.InferenceSession(graph.SerializeToString(), options, providers=['CPUExecutionProvider'])
        feed = {name: np.random.default_rng(0).random((1, channels, *size), np.float32) for name in names}
        for _ in range(RUNS):
            session.run(None, feed)
        with open(session.end_profiling(), encoding='utf-8') as file:
            events = json.load(file)
    shortest = {}  # Of the runs: other programs only ever make a node slower.
    for event in events:
        if event.get('cat') == 'Node' and event['name'].endswith('_kernel_time'):
            node = event['name'][:-len('_kernel_time')], event['args']['op_name']
            shortest[node] = min(event['dur'], shortest.get(node, event['dur']))
    parts = Counter()
    for (name, kind), microseconds in shortest.items():
        parts[part_of(name, kind, axes)] += microseconds
    return {part: parts[part] / sum(parts.values()) for part in PARTS}


def concat_axes(graph):
    """Return the axis of every concatenation, by the node's name."""
    return {node.name: node.attribute[0].i for node in graph.graph.node if node.op_type == 'Concat'}


def main():
    """Estimate, measure and print."""
    print('| network | part | kernels | TX2 FP16, estimated ms | share | CPU, measured share |\n' + '|---' * 6 + '|')
    for name, size in SIZES.items():
        network = NETWORKS[name]
        graph = network_graph(network, {}, size)
        axes = concat_axes(graph)
        kernels = {part: [] for part in PARTS}
        for kernel in subject_of_graph(graph, name).kernels:
            kernels[part_of(kernel.name, kernel.kinds.split('+')[0], axes)].append(kernel)
        times = {part: total_ms(estimate(each, BOARDS['tx2'], 'fp16')) for part, each in kernels.items()}
        shares = profile(graph, ('first', 'second'), size, network.channels)
        for part in PARTS:
            print(f'| `{name}` {size[0]}x{size[1]} | {part} | {len(kernels[part])} | {times[part]:.1f} | '
                  f'{times[part] / sum(times.values()):.0%} | {shares[part]:.0%} |')


if __name__ == '__main__':
    main()

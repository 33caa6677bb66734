"""Estimate by roofline the time of a network on a board you do not have, and the size that reaches a frame rate.

TARGET is an ONNX file, a model (its graph for TensorRT, else the one for ONNX Runtime), or a network with its options,
such as swiftnet,classes=19, which is exported with random weights. The time of a kernel is the longer of its compute
and its memory time, divided by the share of the roof that published networks reach on the board, plus a fixed launch
time. If the table of boards (boards.py) says `not fitted`, the share is that of another board or precision.
Transfers between host and GPU are not included: see `trt_perception bench`.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from onnx import ModelProto

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import load_model, model_names

from ..graphs.read import foreign, read_graph
from ..graphs.static import image_size, static_graph
from ..networks import NETWORKS, Network, parse_network
from ..sizes import add_size
from ..tasks import exporter_of, input_names
from .boards import BOARDS, BYTES, Board, board_of
from .roofline import COMPUTE, LAUNCH, MEMORY, Estimate, Kernel, estimate, kernels_of, total_ms

if TYPE_CHECKING:
    pass

_STEP = 32
"""Sides of suggested sizes are multiples of it, or of what the network asks for."""
_LARGEST_SIDE = 4096
MARGIN = 1.3
"""A rate counts as reached with this factor to spare: SwiftNet at 256x512 on the TX2 takes 1.15 (FP16) and 1.32 (FP32)
times its estimate, because small layers do not fill the GPU."""


class Subject(NamedTuple):
    """A graph to be estimated."""

    name: str
    size: Size
    """(height, width) of its image, px."""
    kernels: list[Kernel]
    multiple: int = _STEP
    """Step of the sizes that the network takes, px."""

    @property
    def gflops(self) -> float:
        """10^9 operations, two per multiply-add."""
        return 1e-9 * sum(kernel.operations for kernel in self.kernels)


class Row(NamedTuple):
    """The time of a size on a board in a precision."""

    subject: Subject
    size: Size
    board: Board
    precision: str
    kernels: list[Estimate]
    reaches: Size | None
    """Largest image of the same shape that reaches the frame rate, with a margin; None = none does."""

    @property
    def milliseconds(self) -> float:
        """Time of the whole network, ms."""
        return total_ms(self.kernels)

    def share(self, bound: str) -> float:
        """Return the part of the time in kernels that are bound by this, 0..1."""
        return total_ms(each for each in self.kernels if each.bound == bound) / self.milliseconds


def subject_of_graph(model: ModelProto, name: str, multiple: int = _STEP) -> Subject:
    """Return what an ONNX graph computes and moves.

    Raises:
        ConfigError: a shape is not static, or no input is an image.
    """
    size = image_size(model, name)
    return Subject(name, size, kernels_of(model), multiple)


def network_graph(network: Network, options: dict[str, object], size: Size) -> ModelProto:
    """Return the graph for TensorRT of a network with random weights: images in, labels or flow out.

    Raises:
        ConfigError: the size does not fit the network.
    """
    import numpy as np
    import torch

    from trt_perception.core.model import ModelInput

    from ..export.random_network import random_module
    from ..export.to_onnx import to_onnx
    from ..graphs.slim import simplify
    from ..networks.repvgg import merge
    if min(size) < network.multiple or any(side % network.multiple for side in size):
        raise ConfigError(f'size: got {size[0]}x{size[1]}, expected multiples of {network.multiple} for '
                          f'{network.module}, e.g. {network.size[0]}x{network.size[1]}.')
    module = random_module(network, options, seed=0)
    names = input_names(network.task)
    fed = ModelInput(names, 'rgb', np.zeros(network.channels, np.float32), np.ones(network.channels, np.float32))
    example = [torch.zeros(1, network.channels, *size) for _ in names]
    head = exporter_of(network.task).bare_head(network, module, fed)
    return simplify(to_onnx(merge(head.eval()), example, names))


def subjects_of(target: str, sizes: Sequence[Size]) -> list[Subject]:
    """Return a target at every size; without any, at its own.

    A network is exported at each, and so is a file of open size. A file of fixed size is taken as it is: for other
    sizes, `estimate` scales by area.

    Raises:
        ConfigError: it is nothing that could be estimated.
    """
    if target.endswith('.onnx'):
        with foreign(target, 'estimate'):
            graph = read_graph(Path(target))
            # A graph of open size is counted at each; a fixed one once.
            wanted: list[Size | None] = [*sizes] or [None]
            graphs = {static.SerializeToString(): static for static in (
                static_graph(graph, size, target) for size in wanted)}
            return [subject_of_graph(static, target) for static in graphs.values()]
    if target.split(',')[0] in NETWORKS and target not in model_names():
        network, options = parse_network(target)
        return [subject_of_graph(network_graph(network, options, size), target, network.multiple)
                for size in sizes or [network.size]]
    model = load_model(target)
    backend = 'tensorrt' if 'tensorrt' in model.files else 'onnxruntime'
    return [subject_of_graph(read_graph(Path(model.network_file(backend, 'fp32'))), model.name)]


def largest_size(subject: Subject, board: Board, precision: str, milliseconds: float) -> Size | None:
    """Return the largest image of the same shape that takes no longer, both sides multiples of `subject.multiple`."""
    best = None
    height, width = subject.size
    for number in range(1, _LARGEST_SIDE // subject.multiple + 1):
        tall = number * subject.multiple
        wide = max(1, round(tall * width / height / subject.multiple)) * subject.multiple
        area = tall * wide / (height * width)
        if total_ms(estimate(subject.kernels, board, precision, area)) > milliseconds:
            break
        best = (tall, wide)
    return best


def row(subject: Subject, size: Size, board: Board, precision: str, rate_hz: float) -> Row:
    """Estimate one size on one board in one precision."""
    area = size[0] * size[1] / (subject.size[0] * subject.size[1])
    return Row(subject, size, board, precision, estimate(subject.kernels, board, precision, area),
               largest_size(subject, board, precision, 1e3 / rate_hz / MARGIN))


def table(rows: Sequence[Row], rate_hz: float) -> str:
    """Lay out estimates as Markdown."""
    cells = [['network', 'input', 'board', 'precision', 'ms', 'Hz', 'bound by compute / memory / launch',
              f'{rate_hz:g} Hz, {MARGIN - 1:.0%} to spare, up to', 'share of the roof']]
    for each in rows:
        bounds = ' / '.join(f'{each.share(bound):.0%}' for bound in (COMPUTE, MEMORY, LAUNCH))
        roof = each.board.roof(each.precision)
        cells.append([each.subject.name, '{}x{}'.format(*each.size), each.board.name, each.precision,
                      f'{each.milliseconds:.2f}', f'{1e3 / each.milliseconds:.0f}', bounds,
                      '{}x{}'.format(*each.reaches) if each.reaches else 'none',
                      f'{roof.share:.0%}, {"" if roof.fitted else "not "}fitted'])
    return _markdown(cells)


def kernel_table(each: Row, count: int) -> str:
    """Lay out the kernels that take longest as Markdown, in the order of their time."""
    area = each.size[0] * each.size[1] / (each.subject.size[0] * each.subject.size[1])
    cells = [['ms', 'part', 'bound by', 'GFLOPs', 'MB', 'operators', 'first node']]
    for kernel, milliseconds, bound in sorted(each.kernels, key=lambda entry: -entry.milliseconds)[:count]:
        cells.append([f'{milliseconds:.3f}', f'{milliseconds / each.milliseconds:.1%}', bound,
                      f'{1e-9 * kernel.operations * area:.3f}', f'{1e-6 * kernel.moved(each.precision, area):.2f}',
                      kernel.kinds, kernel.name])
    return _markdown(cells)


def _markdown(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ['| ' + ' | '.join(map(str.ljust, line, widths)) + ' |' for line in cells]
    return '\n'.join([lines[0], '|' + '|'.join('-' * (width + 2) for width in widths) + '|', *lines[1:]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('targets', nargs='+', metavar='TARGET',
                        help=f'FILE.onnx, a model ({", ".join(model_names())}, or a YAML), or a network '
                             f'({", ".join(NETWORKS)}, with options)')
    parser.add_argument('--board', nargs='+', default=['tx2'], metavar='BOARD',
                        help=f'{", ".join(BOARDS)} (default: tx2)')
    parser.add_argument('--precision', nargs='+', choices=[*BYTES], metavar='PRECISION',
                        help=f'{", ".join(BYTES)} (default: all that the board has)')
    add_size(parser, "of the network's image, px (default: the graph's own); files of fixed size are scaled by area",
             several=True)
    parser.add_argument('--rate', type=float, default=30.0, metavar='HZ', help='frame rate to reach (default: 30)')
    parser.add_argument('--kernels', type=int, default=0, metavar='N', help='list the N kernels that take longest')
    parser.add_argument('--sources', action='store_true', help="print the sources of the boards' figures")


def execute(args: argparse.Namespace) -> int:
    """Print the estimates."""
    boards = [board_of(name) for name in args.board]
    sizes = args.size
    if not args.rate > 0:
        raise ConfigError(f'--rate: got {args.rate:g}, expected a frame rate above 0 Hz.')
    rows = []
    for target in args.targets:
        subjects = subjects_of(target, sizes)
        for number, size in enumerate(sizes or [subjects[0].size]):
            subject = subjects[number if len(subjects) > 1 else 0]
            for board in boards:
                rows += [row(subject, size, board, precision, args.rate)
                         for precision in args.precision or board.roofs]
    print(table(rows, args.rate))
    for each in rows if args.kernels else ():
        print(f'\n{each.subject.name} {each.size[0]}x{each.size[1]}, {each.board.name} {each.precision}: '
              f'{each.subject.gflops:.2f} GFLOPs at {each.subject.size[0]}x{each.subject.size[1]}, '
              f'{len(each.kernels)} kernels\n\n{kernel_table(each, args.kernels)}')
    for board in boards:
        for precision, why in board.missing.items():
            print(f'\n{board.name}: no {precision}: {why}.')
        if args.sources:
            print('\n' + _sources(board))
    return 0


def _sources(board: Board) -> str:
    lines = [f'{board.name}: {board.description}; {board.bandwidth_gb_s:g} GB/s',
             f'{board.launch_us:g} us per kernel: {board.launch_basis}']
    lines += [f'{precision}: {roof.share:.1%} of {roof.tera_ops:g} TFLOPS: {roof.basis}'
              for precision, roof in board.roofs.items()]
    return '\n  '.join([*lines, *board.sources])

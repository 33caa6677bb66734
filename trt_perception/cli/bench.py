"""Measure the time of every stage, models and engines side by side; with --node, of the whole ROS path.

Contenders take turns (A B A B), so trust the ratios first; the first one is the reference. Two engines on one model,
as a table and as a page with plots:
    trt_perception bench swiftnet_camvid --engine onnxruntime openvino:bf16 --camera 640x480 1280x720 --html bench.html
What the ROS node costs over the engine alone, and how much of that is ROS itself:
    trt_perception bench swiftnet_camvid --node --bare --threads 2
"""
import argparse
from typing import Any, Sequence

from ..bench.plan import Plan
from . import main_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    plan = Plan()
    parser.add_argument('models', nargs='+', metavar='MODEL', help='names in config/models, or paths of YAMLs')
    parser.add_argument('--engine', nargs='+', metavar='ENGINE[:PRECISION]', default=['auto'],
                        help='each model on each of them, e.g. onnxruntime openvino:bf16 (default: auto)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads per engine; 0 (default) = all')
    parser.add_argument('--no-confidence', action='store_true',
                        help='leave out the confidence, as a node does while nobody subscribes to it')
    parser.add_argument('--tutorial', metavar='LOGITS.onnx',
                        help='one more contender: what people write, on the first model as a network with normalised '
                             'float32 NCHW in and scores out')
    source = parser.add_argument_group('frames')
    source.add_argument('--camera', nargs='+', metavar='WxH', help='drawn frames of these sizes (default: 640x480)')
    source.add_argument('--seed', type=int, default=0, help='of the drawn frames')
    source.add_argument('--frames', metavar='BAG', help='frames of a bag instead')
    source.add_argument('--topic', metavar='TOPIC', help='of the bag, where it has several with images')
    amount = parser.add_argument_group('amount')
    amount.add_argument('--iterations', type=int, default=plan.iterations, metavar='N',
                        help='frames per contender (default: {})'.format(plan.iterations))
    amount.add_argument('--warm-up', type=int, default=plan.warm_up, metavar='N',
                        help='frames before them (default: {})'.format(plan.warm_up))
    amount.add_argument('--block', type=int, default=plan.block, metavar='N',
                        help='frames per turn (default: {})'.format(plan.block))
    amount.add_argument('--limit', type=float, default=plan.limit_s, metavar='S',
                        help='per camera, stop after the round in which so many seconds have passed')
    node = parser.add_argument_group('the whole ROS path')
    node.add_argument('--node', action='store_true', help='camera -> node -> here, in three processes')
    node.add_argument('--bare', action='store_true',
                      help='beside it, a node that takes the bytes of an image, runs the network and publishes bytes '
                           'made before: what ROS itself costs')
    node.add_argument('--rate', type=float, default=30.0, metavar='HZ',
                      help='of the camera whose frames are not waited for (default: 30)')
    output = parser.add_argument_group('output')
    for name, text in (('json', 'numbers, every frame among them'), ('markdown', 'tables'),
                       ('html', 'tables and plots, one page')):
        output.add_argument('--' + name, metavar='FILE', help=text)


def execute(args: argparse.Namespace, others: Sequence[Any] = (), program: str = 'trt_perception bench') -> int:
    """Measure, print, and write what was asked for.

    Args:
        others, program: see bench.run.run.
    """
    from ..bench.run import run  # Not above: it needs OpenCV, and `doctor` must work without.
    return run(args, others, program)


def main() -> int:
    """Run as `ros2 run trt_perception bench`."""
    return main_of('bench')

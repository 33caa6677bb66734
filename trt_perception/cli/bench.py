"""Measure the time of every stage, models and engines side by side; with --node, of the whole ROS path.

Contenders are interleaved (A B A B), so trust the ratios first; the first one is the reference. Two engines on one
model, as a table, and as a page with plots on a machine that has the tools:
    trt_perception bench swiftnet_camvid --engine onnxruntime openvino:bf16 --camera 640x480 1280x720 --json bench.json
    trt_perception_tools report bench.json -o bench.html
What the ROS node costs over the engine alone, and how much of that is ROS itself:
    trt_perception bench swiftnet_camvid --node --bare --threads 2
"""
import argparse
from typing import Any, List, Sequence

from ..bench.request import Plan, Request
from ..core.errors import ConfigError

_FORMS = {'json': 'numbers, every frame among them, and tables', 'markdown': 'tables'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    plan = Plan()
    parser.add_argument('models', nargs='+', metavar='MODEL', help='names in config/models, or paths of YAMLs')
    parser.add_argument('--engine', nargs='+', metavar='ENGINE[:PRECISION]', default=['auto'],
                        help='each model on each of them, e.g. onnxruntime openvino:bf16 (default: auto)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads per engine; 0 (default) = all')
    parser.add_argument('--no-confidence', action='store_true',
                        help='leave out the confidence, as a node does while it has no subscribers')
    parser.add_argument('--tutorial', metavar='LOGITS.onnx',
                        help='one more contender: what people write, on the first model as a network with normalised '
                             'float32 NCHW in and scores out')
    source = parser.add_argument_group('frames')
    source.add_argument('--camera', nargs='+', metavar='WxH', help='synthetic frames of these sizes (default: 640x480)')
    source.add_argument('--seed', type=int, default=0, help='of the synthetic frames')
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
    for name, text in _FORMS.items():
        output.add_argument('--' + name, metavar='FILE', help=text)
    output.add_argument('--html', help=argparse.SUPPRESS)  # Moved to the tools: see `request_of`.


def request_of(args: argparse.Namespace, program: str = 'trt_perception bench') -> Request:
    """Return what a command line asks for.

    Args:
        program: what was called, for the reports.

    Raises:
        ConfigError: it asks for an HTML page.
    """
    if args.html:
        raise ConfigError('--html: pages are made by the tools, from numbers. Write --json bench.json here, then run: '
                          'trt_perception_tools report bench.json -o {}'.format(args.html))
    return Request(
        tuple(args.models), ' '.join([program] + _words(args)), tuple(args.engine), args.threads,
        not args.no_confidence, args.tutorial or '',
        tuple(args.camera or ()), args.seed, args.frames or '', args.topic or '',
        Plan(args.iterations, args.warm_up, args.block, args.limit), args.node, args.bare, args.rate,
        {name: getattr(args, name) for name in _FORMS if getattr(args, name)})


def execute(args: argparse.Namespace, others: Sequence[Any] = (), program: str = 'trt_perception bench') -> int:
    """Measure, print, and write what was asked for.

    Args:
        others: see bench.run.run.
        program: see request_of.
    """
    from ..bench.run import run  # Not above: it needs OpenCV, and `doctor` must work without.
    return run(request_of(args, program), others)


def _words(args: argparse.Namespace) -> List[str]:
    """Return the arguments that make this bench again."""
    words = list(args.models)
    for name, value in vars(args).items():
        if name in ('verb', 'models', 'html') or name in _FORMS or value is None or value is False:
            continue
        words.append('--' + name.replace('_', '-'))
        words += [] if value is True else [str(each) for each in (value if isinstance(value, list) else [value])]
    return words

"""Measure the time of every stage, models and engines side by side; with --node, of the whole ROS path.

Contenders are interleaved (A B A B), so the ratios to the first one are the most reliable result. Compare two engines
as a table, and as a page with plots (which needs the tools):
    trt_perception bench swiftnet_camvid --engine onnxruntime openvino:bf16 --camera 640x480 1280x720 --json bench.json
    trt_perception_tools report bench.json -o bench.html
Measure the overhead of the ROS node over the engine alone, and the part of ROS itself:
    trt_perception bench swiftnet_camvid --node --bare --threads 2
"""
import argparse
from typing import Any, List, Sequence

from ..bench.request import Plan, Request
from ..core.errors import ConfigError

_FORMS = {'json': 'the tables, and the times of every frame', 'markdown': 'tables'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    plan = Plan()
    parser.add_argument('models', nargs='+', metavar='MODEL', help='names in config/models, or paths of YAMLs')
    parser.add_argument('--engine', nargs='+', metavar='ENGINE[:PRECISION]', default=['auto'],
                        help='back-ends for every model, e.g. onnxruntime openvino:bf16 (default: auto)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads per engine; 0 (default) = all')
    parser.add_argument('--no-confidence', action='store_true',
                        help='do not compute the confidence, as a node without subscribers to it')
    parser.add_argument('--tutorial', metavar='LOGITS.onnx',
                        help='one more contender: the loop of common tutorials, with the first model as a network from '
                             'normalised float32 NCHW to scores')
    source = parser.add_argument_group('frames')
    source.add_argument('--camera', nargs='+', metavar='WxH', help='sizes of the synthetic frames (default: 640x480)')
    source.add_argument('--seed', type=int, default=0, help='seed of the synthetic frames')
    source.add_argument('--frames', metavar='BAG', help='use frames of a bag instead')
    source.add_argument('--topic', metavar='TOPIC', help='image topic, if the bag has several')
    amount = parser.add_argument_group('amount')
    amount.add_argument('--iterations', type=int, default=plan.iterations, metavar='N',
                        help='frames per contender (default: {})'.format(plan.iterations))
    amount.add_argument('--warm-up', type=int, default=plan.warm_up, metavar='N',
                        help='frames before the measurement (default: {})'.format(plan.warm_up))
    amount.add_argument('--block', type=int, default=plan.block, metavar='N',
                        help='frames per turn (default: {})'.format(plan.block))
    amount.add_argument('--limit', type=float, default=plan.limit_s, metavar='S',
                        help='per camera, stop after the round that ends later than S seconds')
    node = parser.add_argument_group('the whole ROS path')
    node.add_argument('--node', action='store_true', help='measure camera -> node -> receiver, in three processes')
    node.add_argument('--bare', action='store_true',
                      help='also a minimal node, which takes the bytes of an image, runs the network and publishes '
                           'prepared bytes: the cost of ROS itself')
    node.add_argument('--rate', type=float, default=30.0, metavar='HZ',
                      help='rate of the free-running camera (default: 30)')
    output = parser.add_argument_group('output')
    for name, text in _FORMS.items():
        output.add_argument('--' + name, metavar='FILE', help=text)
    output.add_argument('--html', help=argparse.SUPPRESS)  # Moved to the tools: see `request_of`.


def request_of(args: argparse.Namespace, program: str = 'trt_perception bench') -> Request:
    """Return the request of a command line.

    Args:
        program: the command, for the reports.

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
    """Measure, print, and write the requested reports.

    Args:
        others: see bench.run.run.
        program: see request_of.
    """
    from ..bench.run import run  # Not above: it needs OpenCV, and `doctor` must work without.
    return run(request_of(args, program), others)


def _words(args: argparse.Namespace) -> List[str]:
    """Return the arguments that repeat this bench."""
    words = list(args.models)
    for name, value in vars(args).items():
        if name in ('verb', 'models', 'html') or name in _FORMS or value is None or value is False:
            continue
        words.append('--' + name.replace('_', '-'))
        words += [] if value is True else [str(each) for each in (value if isinstance(value, list) else [value])]
    return words

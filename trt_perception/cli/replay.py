"""Publish the images of a bag: at its own pace, with /clock, once or in a loop.

Reads Image, CompressedImage and CameraInfo topics of ROS 2 bags (mcap, sqlite3) and ROS 1 bags with the `rosbags`
package. Set use_sim_time for the subscribing nodes, or every image is too old for them:
    trt_perception replay demo/street --decompress --loop
"""
import argparse
import sys

from ..bag import Bag
from ..core.errors import ConfigError
from . import ros_missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bag', help='folder of a ROS 2 bag, or a .mcap / .bag file')
    parser.add_argument('--rate', type=float, default=1.0, metavar='X', help='factor of the recorded pace (default: 1)')
    parser.add_argument('--loop', action='store_true', help='start again at the end, until Ctrl-C')
    parser.add_argument('--topics', nargs='+', metavar='TOPIC', help='only these topics (default: all with images)')
    parser.add_argument('--remap', action='append', default=[], metavar='FROM:=TO', help='publish under another name')
    parser.add_argument('--decompress', action='store_true',
                        help='publish TOPIC/compressed as raw bgr8 images on TOPIC')
    parser.add_argument('--no-clock', action='store_true', help='do not publish /clock')
    parser.add_argument('--wait', type=float, default=0.0, metavar='S',
                        help='wait up to S seconds for subscribers of the image topics (default: 0)')
    parser.add_argument('--longest-gap', type=float, default=30.0, metavar='S',
                        help='skip times without messages that are longer than S seconds; 0 = none (default: 30)')


def execute(args: argparse.Namespace) -> int:
    """Play the bag."""
    if not 0 < args.rate < 1e6:  # Nor NaN.
        raise ConfigError('--rate: got {:g}, expected a number above 0.'.format(args.rate))
    for name, value in (('--wait', args.wait), ('--longest-gap', args.longest_gap)):
        if not 0 <= value < 1e9:
            raise ConfigError('{}: got {:g}, expected 0 or a number of seconds.'.format(name, value))
    for rule in args.remap:
        if not all(rule.partition(':=')):
            raise ConfigError('--remap {}: expected FROM:=TO.'.format(rule))
    bag = Bag(args.bag, args.topics)
    try:
        from ..ros.bag_player import PlayOptions, play
    except ImportError as error:
        raise ros_missing(error) from error
    if bag.note:
        print('trt_perception replay: ' + bag.note, file=sys.stderr)
    print('{}: {:.1f} s'.format(args.bag, bag.duration_ns * 1e-9))
    for topic, kind in bag.types.items():
        print('  {} ({})'.format(ascii(topic)[1:-1], kind))
    play(bag, PlayOptions(args.rate, args.loop, tuple(args.remap), args.decompress, not args.no_clock, args.wait,
                          args.longest_gap))
    return 0

"""Save images of a live topic as PNG files, for `trt_perception_tools quantize --images`.

    trt_perception calibrate-capture --topic /camera/image_raw --count 200 --every 0.5 --output calibration

Show the camera everything that it will see: places, light, weather. For flow networks, which need successive images,
use --every 0, which saves every image. Ctrl-C ends the command early; the saved images stay.
"""
import argparse
import os

from ..core.errors import ConfigError
from . import ros_missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--topic', required=True, help='topic of sensor_msgs Image or CompressedImage')
    parser.add_argument('--output', required=True, metavar='DIR', help='folder for the images')
    parser.add_argument('--count', type=int, default=200, metavar='N', help='number of images (default: 200)')
    parser.add_argument('--every', type=float, default=0.5, metavar='S',
                        help='shortest time between two images (default: 0.5); 0 = every image')
    parser.add_argument('--wait', type=float, default=10.0, metavar='S',
                        help='longest time to wait for a publisher (default: 10)')
    parser.add_argument('--add', action='store_true', help='add to a folder that is not empty')


def execute(args: argparse.Namespace) -> int:
    """Save the images."""
    if args.count < 1:
        raise ConfigError('--count: got {}, expected at least 1.'.format(args.count))
    if not args.every >= 0:  # Nor NaN.
        raise ConfigError('--every: got {:g}, expected 0 or more.'.format(args.every))
    os.makedirs(args.output, exist_ok=True)
    before = len(os.listdir(args.output))
    if before and not args.add:
        raise ConfigError('--output {}: it is not empty, it has {} files. Give another folder, or --add.'.format(
            args.output, before))
    try:
        from ..ros.capture import CaptureOptions, capture
    except ImportError as error:
        raise ros_missing(error) from error
    saved = capture(CaptureOptions(args.topic, args.output, args.count, args.every, args.wait))
    print('{}: {} of {} images saved'.format(args.output, saved, args.count))
    return 0

"""Make the demo's bag from a video: a few seconds as JPEG images in a ROS 2 bag (mcap).

demo/street was made with it from `vtest.avi` of Debian's package opencv-doc (see demo/street/SOURCE.txt).
"""
import argparse
from pathlib import Path

import cv2
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from trt_perception.core.errors import ConfigError

from ..sizes import add_size

TOPIC = '/camera/image/compressed'
START_NS = 1_700_000_000 * 10**9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('video', type=Path, help='any video that OpenCV reads')
    parser.add_argument('bag', type=Path, help='folder to make')
    parser.add_argument('--start', type=int, default=0, metavar='N', help='first frame (default: 0)')
    parser.add_argument('--frames', type=int, default=80, metavar='N', help='how many (default: 80)')
    add_size(parser, 'of the images, px (default: 480x640)', default=(480, 640))
    parser.add_argument('--quality', type=int, default=80, help='JPEG quality (default: 80)')


def execute(args: argparse.Namespace) -> int:
    """Write the bag."""
    video = cv2.VideoCapture(str(args.video))
    if not video.isOpened():
        raise ConfigError(f'{args.video}: no video that OpenCV can read. Give the path of an .avi or .mp4 file.')
    if args.bag.exists():
        raise ConfigError(f'{args.bag}: already exists. Delete it or choose another folder.')
    period_ns = round(1e9 / video.get(cv2.CAP_PROP_FPS))
    store = get_typestore(Stores.ROS2_FOXY)
    header, time, image = (store.types[name] for name in (
        'std_msgs/msg/Header', 'builtin_interfaces/msg/Time', 'sensor_msgs/msg/CompressedImage'))
    video.set(cv2.CAP_PROP_POS_FRAMES, args.start)
    with Writer(args.bag, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, image.__msgtype__, typestore=store)
        for number in range(args.frames):
            found, pixels = video.read()
            if not found:
                raise ConfigError(f'{args.video}: ends after {args.start + number} frames. Ask for fewer.')
            pixels = cv2.resize(pixels, tuple(args.size[::-1]), interpolation=cv2.INTER_AREA)
            _, jpeg = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, args.quality])
            stamp_ns = START_NS + number * period_ns
            message = image(header(time(*divmod(stamp_ns, 10**9)), 'camera_optical_frame'),
                            'bgr8; jpeg compressed bgr8', jpeg.reshape(-1))
            writer.write(connection, stamp_ns, store.serialize_cdr(message, image.__msgtype__))
    size = sum(path.stat().st_size for path in args.bag.iterdir())
    print(f'{args.bag}: {args.frames} images of {args.size[0]}x{args.size[1]} px, {size / 1e6:.1f} MB')
    return 0

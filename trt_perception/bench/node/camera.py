"""A camera in a separate process, which publishes on commands from its standard input.

It publishes bytes that were serialised in advance, because a driver in C++ would not spend time in Python, either.

Lines in: `one TOPIC IMAGE`, `stream TOPIC COUNT PERIOD_S`; topics and images by number. Lines out: `ready`, and for
each stream a JSON list of its stamps (ns).
"""
import argparse
import json
import sys
import time
from array import array
from typing import Any, List

import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from ...ros.memory import keep_freed_memory
from ...transport import use_shared_memory_profile
from ..frames import EncodedImage, parse_camera, read_images, synthetic_images
from .cdr import write_stamp

# Reliable, so that subscribers of either kind get the images.
_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)

_AHEAD_NS = 10**6
"""Lead of the stamp: until then the message is prepared and the receiver gets ready; then it is published."""


def message_of(image: EncodedImage) -> Any:
    """Return an image as an Image or, when it is compressed, a CompressedImage."""
    data = array('B', image.data.tobytes())
    if not image.encoding:
        return CompressedImage(format='jpeg', data=data)
    return Image(height=image.height, width=image.width, step=image.step, encoding=image.encoding,
                 is_bigendian=int(image.is_bigendian), data=data)


def main(argv: List[str]) -> None:
    """Publish as the lines of the input request, until it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument('topics', nargs='+')
    parser.add_argument('--camera')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--frames')
    parser.add_argument('--topic', default='')
    args = parser.parse_args(argv)
    images = read_images(args.frames, args.topic) if args.frames else synthetic_images(
        parse_camera(args.camera), seed=args.seed)
    messages = [message_of(image) for image in images]
    serialised = [bytearray(serialize_message(message)) for message in messages]
    use_shared_memory_profile()
    keep_freed_memory()
    rclpy.init(args=[])
    node = rclpy.create_node('bench_camera')
    publishers = [node.create_publisher(type(messages[0]), topic, _QOS) for topic in args.topics]

    def publish(topic: int, image: int) -> int:
        data = serialised[image % len(serialised)]
        stamp: int = node.get_clock().now().nanoseconds + _AHEAD_NS
        write_stamp(data, stamp)
        message = bytes(data)
        while node.get_clock().now().nanoseconds < stamp:
            pass
        publishers[topic].publish(message)
        return stamp

    print('ready', flush=True)
    for line in sys.stdin:
        command, topic, *rest = line.split()
        if command == 'one':
            publish(int(topic), int(rest[0]))
        else:
            stamps, next_s = [], time.monotonic()
            for number in range(int(rest[0])):
                time.sleep(max(0.0, next_s - time.monotonic()))
                next_s += float(rest[1])
                stamps.append(publish(int(topic), number))
            print(json.dumps(stamps), flush=True)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main(sys.argv[1:])

"""A camera in a process of its own: publishes 640x480 images at 30 Hz, some of them with an old stamp, until SIGTERM.

usage: camera.py OUTPUT.json; the file gets [stamp in ns, frame_id, colour, whether it is old] of each image.
"""
import itertools
import json
import signal
import sys
import time

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

PERIOD_S = 1 / 30
OLD_EVERY = 10
OLD_NS = 10**9


def main(output):
    ends = []
    signal.signal(signal.SIGTERM, lambda number, _: ends.append(number))
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('camera')
    publisher = node.create_publisher(Image, '/camera/image', QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    images = []
    for color in range(3):
        pixels = np.zeros((480, 640, 3), np.uint8)
        pixels[..., color] = 200
        images.append(Image(height=480, width=640, step=640 * 3, encoding='rgb8', data=pixels.tobytes()))
    sent = []
    next_s = time.monotonic()
    for number in itertools.count():
        time.sleep(max(0, next_s - time.monotonic()))
        if ends:
            break
        next_s = max(next_s + PERIOD_S, time.monotonic())
        old = number % OLD_EVERY == OLD_EVERY - 1
        color, frame_id = number * 7 // 5 % 3, 'camera {}'.format(number % 4)
        stamp_ns = time.time_ns() - (OLD_NS if old else 0)
        image = images[color]
        image.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        image.header.frame_id = frame_id
        sent.append([stamp_ns, frame_id, color, old])
        publisher.publish(image)
    with open(output, 'w') as file:
        json.dump(sent, file)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main(sys.argv[1])

"""Draws docs/topics.jpg: the image topics of perception_node and camera_node, as received over DDS.

    python docs/measurements/topic_pictures.py

Publishes two images of the demo's clip to the node until all topics have arrived with the stamp of the second one. The
ids of `label_map` are multiplied by 20 to be visible.
"""
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from trt_perception.core.image import FrameDecoder
from trt_perception.ros.messages import ImageWriter, frame_from_image, header, stamp_ns
from trt_perception.ros.node_sink import ROS
from trt_perception.ros.qos import RELIABLE
from trt_perception.transport import use_shared_memory_profile
from trt_perception_tools.evaluate.data import open_video

DOCS = Path(__file__).resolve().parents[1]
TOPICS = ('image', 'segmentation/label_map', 'segmentation/color', 'segmentation/overlay', 'segmentation/confidence',
          'optical_flow/color', 'optical_flow/confidence')
FIRST = 28
INTERVAL_NS = 10**8
SIZE = (240, 320)
LONGEST_S = 60.0


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[None]:
    """Run `trt_perception run` with these arguments meanwhile."""
    process = subprocess.Popen([sys.executable, '-m', 'trt_perception', 'run', *arguments])
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait(node: Node, done: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Serve a node's subscriptions until it is done."""
    end_s, next_s = time.monotonic() + LONGEST_S, 0.0
    while not done():
        if time.monotonic() > end_s:
            raise SystemExit(f'Not all topics came within {LONGEST_S:.0f} s.')
        if time.monotonic() > next_s:
            meanwhile()
            next_s = time.monotonic() + 1.0
        rclpy.spin_once(node, timeout_sec=0.1)


def perceived(node: Node) -> dict[str, Image]:
    """Return what perception_node publishes for the second of two images, and that image."""
    decoder, writer = FrameDecoder(), ImageWriter(ROS, 'bgr8')
    pair = [decoder.image(frame, 'bgr', (frame.height, frame.width)).copy()
            for frame in open_video(DOCS.parent / 'demo/street', '', FIRST + 2).frames][FIRST:]
    camera = node.create_publisher(Image, 'image', RELIABLE)
    latest: dict[str, Image] = {}
    for topic in TOPICS:
        node.create_subscription(Image, topic, lambda message, topic=topic: latest.update({topic: message}), 10)
    second_ns = 0

    def publish() -> None:
        nonlocal second_ns
        second_ns = time.time_ns()
        for number, image in enumerate(pair):
            writer.array(image.shape, np.uint8)[...] = image
            camera.publish(writer.stamped(header(ROS, second_ns - (1 - number) * INTERVAL_NS, 'camera')))
            time.sleep(0.4)  # Else the second would replace the first.

    with program('--image', '/image', '-p', 'max_frame_age:=0.0'):
        wait(node, lambda: len(latest) == len(TOPICS) and all(
            stamp_ns(each.header.stamp) == second_ns for each in latest.values()), publish)
    return latest


def of_camera_node(node: Node) -> Image:
    """Return an image of camera_node's test pattern."""
    images: list[Image] = []
    node.create_subscription(Image, 'desk/image', images.append, 10)
    with program('camera', '--namespace', '/desk', '-p', 'source:=test'):
        wait(node, lambda: bool(images))
    return images[-1]


def tile(title: str, message: Image) -> np.ndarray:
    """Return a message as a small RGB image with its topic's name."""
    image = FrameDecoder().image(frame_from_image(message), 'rgb', SIZE).copy()
    if title.endswith('label_map'):
        image *= 20
    cv2.rectangle(image, (0, 0), (SIZE[1], 18), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, title, (5, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def main() -> None:
    """Draw."""
    use_shared_memory_profile()  # The nodes inherit it.
    rclpy.init(args=[])
    node = rclpy.create_node('topic_pictures')
    messages = perceived(node)
    tiles = [tile(topic, messages[topic]) for topic in TOPICS]
    tiles.append(tile('camera_node with source: test', of_camera_node(node)))
    rclpy.shutdown()
    rows = [np.hstack(tiles[first:first + 4]) for first in (0, 4)]
    cv2.imwrite(str(DOCS / 'topics.jpg'), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == '__main__':
    main()

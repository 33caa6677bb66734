"""Saves images of a live topic as PNG files, for calibration."""
import os
import sys
import time
from typing import Any, List, NamedTuple

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from ..core.compressed import encode_png
from ..core.errors import ConfigError, FrameError
from ..core.image import FrameDecoder
from .messages import frame_from_compressed, frame_from_image
from .qos import BEST_EFFORT
from .session import session

_READERS = {'sensor_msgs/msg/Image': (Image, frame_from_image),
            'sensor_msgs/msg/CompressedImage': (CompressedImage, frame_from_compressed)}
_SILENCE_S = 10.0
_DISCOVERY_S = 5.0


class CaptureOptions(NamedTuple):
    """Options for saving images."""

    topic: str
    folder: str
    images: int
    """Number of images."""
    every_s: float = 0.0
    """Shortest time between two of them; 0 = every image."""
    wait_s: float = 10.0
    """Longest time to wait for a publisher, once any other node is seen."""


class Capture(Node):
    """Saves images as STAMP.png, ns with leading zeros, so that the order of names is that of time.

    Attributes:
        saved, broken: how many images are in the folder, and how many could not be decoded.

    Raises:
        ConfigError: there is no publisher of images on the topic.
    """

    def __init__(self, options: CaptureOptions, **node_options: Any) -> None:
        super().__init__('calibrate_capture', **node_options)
        self.saved = 0
        self.broken = 0
        self._options = options
        self._decoder = FrameDecoder()
        kind, self._read = _READERS[self._type()]
        self._next_s = self._heard_s = time.monotonic()
        self.create_subscription(kind, options.topic, self._take, BEST_EFFORT)

    @property
    def done(self) -> bool:
        """Whether the requested number has been saved."""
        return self.saved >= self._options.images

    def complain_of_silence(self) -> None:
        """Warn from time to time if no image comes."""
        now_s = time.monotonic()
        if now_s - self._heard_s > _SILENCE_S:
            self._heard_s = now_s
            self.get_logger().warning('No image on {} for {:.0f} s. Check that the camera is running.'.format(
                self._options.topic, _SILENCE_S))

    def _type(self) -> str:
        """Return the type of the topic, as soon as it has a publisher."""
        topic = '/' + self._options.topic.lstrip('/')
        end_s = time.monotonic() + self._options.wait_s
        latest_s = end_s + _DISCOVERY_S
        while True:
            if len(self.get_node_names()) < 2:  # Only this node: discovery has not finished, or there are no others.
                end_s = min(time.monotonic() + self._options.wait_s, latest_s)
            types = dict(self.get_topic_names_and_types())
            found = [each for each in types.get(topic, []) if each in _READERS]
            if found:
                return str(found[0])
            if time.monotonic() > end_s:
                images = sorted(name for name, kinds in types.items() if set(kinds) & set(_READERS))
                raise ConfigError('--topic {}: no publisher of images on it; there {}. Start the camera, or give its '
                                  'topic.'.format(topic, 'are ' + ', '.join(images) if images else 'is no image topic'))
            time.sleep(0.05)

    def _take(self, message: Any) -> None:
        self._heard_s = time.monotonic()
        if self.done or self._heard_s < self._next_s:
            return
        try:
            frame = self._read(message)
            image = self._decoder.image(frame, 'bgr', (frame.height, frame.width))
        except FrameError as error:
            self.broken += 1
            self.get_logger().warning(str(error), throttle_duration_sec=10.0)
            return
        # Drivers that do not stamp their images send 0.
        stamp_ns = frame.stamp_ns or self.get_clock().now().nanoseconds
        path = os.path.join(self._options.folder, '{:019d}.png'.format(stamp_ns))
        if os.path.exists(path):
            return
        with open(path + '.part', 'wb') as file:
            file.write(encode_png(image))
        os.replace(path + '.part', path)
        self.saved += 1
        self._next_s = self._heard_s + self._options.every_s
        if sys.stderr.isatty():
            print('\r{} of {} images '.format(self.saved, self._options.images), end='', file=sys.stderr, flush=True)


def capture(options: CaptureOptions) -> int:
    """Save images until there are enough, or Ctrl-C; return how many were saved.

    Raises:
        ConfigError: there is no publisher of images on the topic.
    """
    ended: List[bool] = []
    saved = 0
    with session([], lambda: ended.append(True)) as executor:  # No exception: a file may be half written.
        node = Capture(options)
        executor.add_node(node)
        while not (node.done or ended):
            executor.spin_once(timeout_sec=0.1)
            node.complain_of_silence()
            saved = node.saved
    return saved

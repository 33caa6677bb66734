"""Publishes recorded images at their own pace, with /clock."""
import sys
import time
from typing import Any, Dict, NamedTuple, Tuple

import numpy as np
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..bag import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, Bag, Recorded
from ..core.errors import ConfigError, FrameError
from ..core.image import FrameDecoder
from .messages import ImageWriter, frame_from_compressed
from .node_sink import ROS
from .session import session

_TICK_NS = 10 * 10**6
_END_OF_TIME_NS = 2**31 * 10**9
_DISCOVERY_S = 5.0
_MORE_SUBSCRIBERS_S = 2.0
_SUFFIX = '/compressed'
_CLASSES = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage, CAMERA_INFO: CameraInfo}
_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)


class PlayOptions(NamedTuple):
    """Options for playing a bag."""

    rate: float = 1.0
    """Speed relative to the recording."""
    loop: bool = False
    """Start again at the end."""
    remap: Tuple[str, ...] = ()
    """FROM:=TO"""
    decompress: bool = False
    """Publish TOPIC/compressed as raw bgr8 images on TOPIC."""
    clock: bool = True
    """Publish /clock."""
    wait_s: float = 0.0
    """Longest time to wait for subscribers of the image topics."""
    longest_gap_s: float = 30.0
    """Longest time without messages that is played; the rest is skipped. 0 = everything is played."""


class BagPlayer(Node):
    """Publishes the messages of a bag."""

    def __init__(self, bag: Bag, options: PlayOptions) -> None:
        super().__init__('replay')
        self._bag = bag
        self._options = options
        self._decoded: Dict[str, ImageWriter] = {}
        self._decoder = FrameDecoder()
        self._topics: Dict[str, Any] = {}
        for topic, kind in bag.types.items():
            name = topic
            if options.decompress and kind == COMPRESSED_IMAGE:
                name, kind = topic[:-len(_SUFFIX)] if topic.endswith(_SUFFIX) else topic + '/raw', IMAGE
                if name in bag.types:  # Recorded raw as well: once is enough.
                    self.get_logger().warning('{} is left out: {} is in the bag, too.'.format(topic, name))
                    continue
                self._decoded[topic] = ImageWriter(ROS, 'bgr8')
            self._topics[topic] = self._create(_CLASSES[kind], name)
        self._unheard = set(self._topics) if options.wait_s else set()
        self._clock_topic = self._create(Clock, '/clock') if options.clock else None
        self._time = Clock()

    def _create(self, kind: type, name: str) -> Any:
        try:
            return self.create_publisher(kind, name, _QOS)
        except (RuntimeError, InvalidTopicNameException) as error:
            reason = str(error).split('\n')[0].rstrip(':')
            raise ConfigError('bag topic {!r}: it cannot be published: {}. Choose others with --topics; where it is '
                              '/clock, --no-clock helps, too.'.format(name, reason)) from error

    def wait(self) -> None:
        """Wait for subscribers to every image topic, or to some and no more for a while, up to the wait option."""
        began_s = now_s = time.monotonic()
        end_s = began_s + self._options.wait_s
        silent = [topic for topic, kind in self._bag.types.items() if kind != CAMERA_INFO and topic in self._topics]
        is_said = False
        while silent and now_s < end_s:
            heard = {topic for topic in silent if self._topics[topic].get_subscription_count()}
            if heard:
                silent = [topic for topic in silent if topic not in heard]
                end_s = min(began_s + self._options.wait_s, now_s + _MORE_SUBSCRIBERS_S)
            elif not is_said and now_s > began_s + _MORE_SUBSCRIBERS_S:
                is_said = True
                self.get_logger().info('Waiting for a subscriber to {}, {:g} s at most.'.format(
                    ' or '.join(silent), self._options.wait_s))
            time.sleep(0.05)
            now_s = time.monotonic()
        if silent and self._options.wait_s:
            self.get_logger().warning('Nobody has subscribed to {}.'.format(', '.join(silent)))

    def _wait_until_heard(self, topic: str) -> float:
        """Wait until the first message of a topic is acknowledged; return how long that took, s.

        A subscriber that this node has discovered may not have discovered this node yet. Until it has, it receives
        nothing, even if it is reliable, and all messages beyond those that are kept for it would be lost.
        """
        self._unheard.discard(topic)
        began_s = time.monotonic()
        publisher = self._topics[topic]
        if hasattr(publisher, 'wait_for_all_acked'):
            publisher.wait_for_all_acked(Duration(seconds=min(self._options.wait_s, _DISCOVERY_S)))
        else:  # Foxy
            time.sleep(min(self._options.wait_s, 0.5))
        return time.monotonic() - began_s

    def play(self) -> None:
        """Play the bag once."""
        began_s = time.monotonic()
        now_ns = self._bag.start_ns
        self._tick(now_ns)  # Before the first image, which in a loop would be too old for the clock at the end.
        longest_ns = int(self._options.longest_gap_s * 1e9)
        for count, recorded in enumerate(self._bag.messages()):
            if recorded.topic not in self._topics:
                continue
            gap_ns = recorded.time_ns - now_ns
            if longest_ns and gap_ns > longest_ns:
                self.get_logger().warning('Nothing was recorded for {:.0f} s: skipped (--longest-gap).'.format(
                    gap_ns * 1e-9))
                began_s -= gap_ns * 1e-9 / self._options.rate
                now_ns = recorded.time_ns
                self._tick(now_ns)
            while now_ns < recorded.time_ns:  # Between two images the time advances in ticks.
                now_ns = min(now_ns + _TICK_NS, recorded.time_ns)
                wait_s = began_s + (now_ns - self._bag.start_ns) * 1e-9 / self._options.rate - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                self._tick(now_ns)
            self._publish(recorded)
            if recorded.topic in self._unheard:
                began_s += self._wait_until_heard(recorded.topic)
            self._show_progress(now_ns, count + 1)

    def run_on(self, seconds: float) -> None:
        """Continue /clock after the last message, so that nodes finish and their timers fire once more."""
        end_ns = self._bag.start_ns + self._bag.duration_ns
        for now_ns in range(end_ns, end_ns + int(seconds * 1e9), _TICK_NS):
            self._tick(now_ns)
            time.sleep(_TICK_NS * 1e-9)

    def _tick(self, now_ns: int) -> None:
        if self._clock_topic is not None:
            if not 0 <= now_ns < _END_OF_TIME_NS:
                raise ConfigError('bag: recorded {:.0f} s after 1970, expected less than 2**31 s, which is what ROS '
                                  'can tell. Play it with --no-clock.'.format(now_ns * 1e-9))
            self._time.clock.sec, self._time.clock.nanosec = divmod(now_ns, 10**9)
            self._clock_topic.publish(self._time)

    def _publish(self, recorded: Recorded) -> None:
        message: Any = recorded.data  # rclpy sends bytes unchanged.
        if recorded.topic in self._decoded:
            try:
                message = self._decompressed(recorded)
            except FrameError as error:
                self.get_logger().warning('{}: {}'.format(recorded.topic, error))
                return
        self._topics[recorded.topic].publish(message)

    def _decompressed(self, recorded: Recorded) -> Image:
        try:
            compressed = deserialize_message(recorded.data, CompressedImage)
        except Exception as error:  # From rmw, with different names in each distribution.
            raise FrameError('recorded message: got {} bytes that are no CompressedImage. It is left out.'.format(
                len(recorded.data))) from error
        frame = frame_from_compressed(compressed)
        writer = self._decoded[recorded.topic]
        pixels = writer.array((frame.height, frame.width, 3), np.uint8)
        pixels[...] = self._decoder.image(frame, 'bgr', (frame.height, frame.width))
        return writer.stamped(compressed.header)

    def _show_progress(self, now_ns: int, count: int) -> None:
        if sys.stderr.isatty():
            print('\r{:6.1f} / {:.1f} s, {} messages '.format(
                (now_ns - self._bag.start_ns) * 1e-9, self._bag.duration_ns * 1e-9, count), end='',
                file=sys.stderr, flush=True)


def play(bag: Bag, options: PlayOptions) -> None:
    """Play a bag, until its end or, in a loop, until Ctrl-C."""
    rules = [word for rule in options.remap for word in ('-r', rule)]
    with session(['--ros-args'] + rules if rules else []) as executor:
        player = BagPlayer(bag, options)
        executor.add_node(player)
        player.wait()
        player.play()
        while options.loop:
            player.play()
        player.run_on(1.5)

"""Publishes recorded images at their own pace, with /clock."""
import sys
import time
from typing import Any, Dict, NamedTuple, Tuple

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..bag import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, Bag, Recorded
from ..core.errors import FrameError
from .messages import ImageWriter, frame_from_compressed
from .session import session

_TICK_NS = 10 * 10**6
_SUFFIX = '/compressed'
_CLASSES = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage, CAMERA_INFO: CameraInfo}
_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)


class PlayOptions(NamedTuple):
    """How to play a bag."""

    rate: float = 1.0
    """Times the recorded speed."""
    loop: bool = False
    """Start again at the end."""
    remap: Tuple[str, ...] = ()
    """FROM:=TO"""
    decompress: bool = False
    """Publish TOPIC/compressed as raw bgr8 images on TOPIC."""
    clock: bool = True
    """Publish /clock."""
    wait_s: float = 0.0
    """Longest time to wait until every image topic has a subscriber."""


class BagPlayer(Node):
    """Publishes the messages of a bag."""

    def __init__(self, bag: Bag, options: PlayOptions) -> None:
        super().__init__('replay')
        self._bag = bag
        self._options = options
        self._decoded: Dict[str, ImageWriter] = {}
        self._topics: Dict[str, Any] = {}
        for topic, kind in bag.types.items():
            name = topic
            if options.decompress and kind == COMPRESSED_IMAGE:
                self._decoded[topic] = ImageWriter('bgr8')
                name, kind = topic[:-len(_SUFFIX)] if topic.endswith(_SUFFIX) else topic + '/raw', IMAGE
            self._topics[topic] = self.create_publisher(_CLASSES[kind], name, _QOS)
        self._clock_topic = self.create_publisher(Clock, '/clock', _QOS) if options.clock else None
        self._time = Clock()

    def wait(self) -> None:
        """Wait until every image topic has a subscriber, at most as long as the options say."""
        end_s = time.monotonic() + self._options.wait_s
        images = [self._topics[topic] for topic, kind in self._bag.types.items() if kind != CAMERA_INFO]
        while time.monotonic() < end_s and not all(image.get_subscription_count() for image in images):
            time.sleep(0.05)

    def play(self) -> None:
        """Play the bag once."""
        began_s = time.monotonic()
        now_ns = self._bag.start_ns
        self._tick(now_ns)  # Before the first image, which in a loop would be too old for the clock of the end.
        for count, recorded in enumerate(self._bag.messages()):
            while now_ns < recorded.time_ns:  # Between two images time goes on, in ticks.
                now_ns = min(now_ns + _TICK_NS, recorded.time_ns)
                wait_s = began_s + (now_ns - self._bag.start_ns) * 1e-9 / self._options.rate - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                self._tick(now_ns)
            self._publish(recorded)
            self._show_progress(now_ns, count + 1)

    def run_on(self, seconds: float) -> None:
        """Let /clock go on after the last message, so that nodes finish and their timers fire once more."""
        end_ns = self._bag.start_ns + self._bag.duration_ns
        for now_ns in range(end_ns, end_ns + int(seconds * 1e9), _TICK_NS):
            self._tick(now_ns)
            time.sleep(_TICK_NS * 1e-9)

    def _tick(self, now_ns: int) -> None:
        if self._clock_topic is not None:
            self._time.clock.sec, self._time.clock.nanosec = divmod(now_ns, 10**9)
            self._clock_topic.publish(self._time)

    def _publish(self, recorded: Recorded) -> None:
        message: Any = recorded.data  # rclpy sends bytes as they are.
        if recorded.topic in self._decoded:
            try:
                message = self._decompressed(recorded)
            except FrameError as error:
                self.get_logger().warning('{}: {}'.format(recorded.topic, error))
                return
        self._topics[recorded.topic].publish(message)

    def _decompressed(self, recorded: Recorded) -> Image:
        compressed = deserialize_message(recorded.data, CompressedImage)
        frame = frame_from_compressed(compressed)
        writer = self._decoded[recorded.topic]
        pixels = writer.array((frame.height, frame.width, 3), frame.data.dtype.type)
        pixels[...] = frame.data.reshape(pixels.shape)
        return writer.stamped(compressed.header)

    def _show_progress(self, now_ns: int, count: int) -> None:
        if sys.stderr.isatty():
            print('\r{:6.1f} / {:.1f} s, {} messages '.format(
                (now_ns - self._bag.start_ns) * 1e-9, self._bag.duration_ns * 1e-9, count), end='',
                file=sys.stderr, flush=True)


def play(bag: Bag, options: PlayOptions) -> None:
    """Play a bag, until its end or Ctrl-C, which is how a loop ends."""
    rules = [word for rule in options.remap for word in ('-r', rule)]
    with session(['--ros-args'] + rules if rules else []) as running:
        player = BagPlayer(bag, options)
        running.add(player)
        player.wait()
        player.play()
        while options.loop:
            player.play()
        player.run_on(1.5)

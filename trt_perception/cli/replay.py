"""Publish the images of a bag: at its own pace, with /clock, once or in a loop.

Reads ROS 2 bags (mcap, sqlite3) and ROS 1 bags with the `rosbags` package; takes Image, CompressedImage and
CameraInfo topics. Nodes that listen need use_sim_time, or they find every image too old:
    trt_perception replay street --decompress --loop
"""
import argparse
import signal
import sys
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

from ..core.errors import ConfigError, FrameError
from ..core.image import decode_compressed
from ..transport import use_shared_memory_profile

IMAGE, COMPRESSED, CAMERA_INFO = ('sensor_msgs/msg/' + n for n in ('Image', 'CompressedImage', 'CameraInfo'))
_CLOCK_PERIOD_NS = 10 * 10**6
_SUFFIX = '/compressed'


class Recorded(NamedTuple):
    """One message of a bag."""

    topic: str
    time_ns: int
    """When it was recorded."""
    data: bytes
    """CDR, as in the bag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('bag', help='folder of a ROS 2 bag, or a .mcap / .bag file')
    parser.add_argument('--rate', type=float, default=1.0, metavar='X', help='times the recorded speed (default: 1)')
    parser.add_argument('--loop', action='store_true', help='start again at the end, until Ctrl-C')
    parser.add_argument('--topics', nargs='+', metavar='TOPIC', help='only these (default: all with images)')
    parser.add_argument('--remap', action='append', default=[], metavar='FROM:=TO', help='publish under another name')
    parser.add_argument('--decompress', action='store_true',
                        help='publish TOPIC/compressed as raw bgr8 images on TOPIC')
    parser.add_argument('--no-clock', action='store_true', help='do not publish /clock')
    parser.add_argument('--wait', type=float, default=0.0, metavar='S',
                        help='wait up to S seconds until every image topic has a subscriber (default: 0)')


class Bag:
    """The image topics of a bag."""

    def __init__(self, path: str, topics: Optional[List[str]]) -> None:
        """Raises:
        ConfigError: no readable bag, or nothing to publish in it.
        """
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise ConfigError('replay reads bags with the Python package rosbags, which is not installed here '
                              '(Python 3.8 or newer). Run: pip install rosbags') from error
        from pathlib import Path
        try:
            self._reader = AnyReader([Path(path)], default_typestore=get_typestore(Stores.LATEST))
            self._reader.open()
        except (AnyReaderError, OSError) as error:
            raise ConfigError('bag {}: {}. Give the folder of a ROS 2 bag, or a .mcap or .bag file.'.format(
                path, error)) from error
        self._connections = [c for c in self._reader.connections if c.msgtype in (IMAGE, COMPRESSED, CAMERA_INFO)
                             and (topics is None or c.topic in topics)]
        self.types = {c.topic: c.msgtype for c in self._connections}
        if not any(kind != CAMERA_INFO for kind in self.types.values()):
            raise ConfigError('bag {}: no image topic{}; it has {}.'.format(
                path, ' among ' + ', '.join(topics) if topics else '',
                ', '.join('{} ({})'.format(c.topic, c.msgtype) for c in self._reader.connections) or 'no topics'))
        self.start_ns = self._reader.start_time
        self.duration_s = self._reader.duration * 1e-9

    def messages(self) -> Iterator[Recorded]:
        """Yield the messages in the order of their recording."""
        for connection, time_ns, data in self._reader.messages(self._connections):
            yield Recorded(connection.topic, time_ns,
                           bytes(data if self._reader.is2 else self._reader.typestore.ros1_to_cdr(
                               data, connection.msgtype)))


def renamed(rules: List[str], topic: str) -> str:
    """Return the name under which a topic is published."""
    for rule in rules:
        source, separator, target = rule.partition(':=')
        if not separator or not target:
            raise ConfigError('--remap {}: expected FROM:=TO.'.format(rule))
        if source.strip('/') == topic.strip('/'):
            return target
    return topic


class Player:
    """Publishes recorded messages on a node's topics."""

    def __init__(self, node: Any, bag: Bag, args: argparse.Namespace) -> None:
        from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        classes = {IMAGE: Image, COMPRESSED: CompressedImage, CAMERA_INFO: CameraInfo}
        self._node = node
        self._bag = bag
        self._rate = args.rate
        self._decoded: Dict[str, Any] = {}
        self._publishers: Dict[str, Any] = {}
        for topic, kind in bag.types.items():
            name = topic
            if args.decompress and kind == COMPRESSED:
                from ..ros.messages import ImageWriter
                self._decoded[topic] = ImageWriter('bgr8')
                name, kind = topic[:-len(_SUFFIX)] if topic.endswith(_SUFFIX) else topic + '/raw', IMAGE
            self._publishers[topic] = node.create_publisher(classes[kind], renamed(args.remap, name), qos)
        self._clock = None if args.no_clock else node.create_publisher(Clock, '/clock', qos)
        self._clock_message = Clock()

    def wait(self, seconds: float) -> None:
        """Wait until every image topic has a subscriber, at most so long."""
        end = time.monotonic() + seconds
        images = [self._publishers[t] for t, kind in self._bag.types.items() if kind != CAMERA_INFO]
        while time.monotonic() < end and not all(p.get_subscription_count() for p in images):
            time.sleep(0.05)

    def play(self) -> int:
        """Play the bag once and return how many messages were published."""
        began_s = time.monotonic()
        clock_ns = self._bag.start_ns
        count = 0
        for recorded in self._bag.messages():
            while clock_ns < recorded.time_ns:  # Between two images time goes on, in ticks.
                clock_ns = min(clock_ns + _CLOCK_PERIOD_NS, recorded.time_ns)
                wait_s = began_s + (clock_ns - self._bag.start_ns) * 1e-9 / self._rate - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                self._tick(clock_ns)
            self._publish(recorded)
            count += 1
            progress(recorded.time_ns - self._bag.start_ns, self._bag.duration_s, count)
        return count

    def run_on(self, seconds: float) -> None:
        """Let /clock go on after the last message."""
        end_ns = self._bag.start_ns + int(self._bag.duration_s * 1e9)
        for tick in range(int(seconds * 1e9) // _CLOCK_PERIOD_NS):
            self._tick(end_ns + tick * _CLOCK_PERIOD_NS)
            time.sleep(_CLOCK_PERIOD_NS * 1e-9)

    def _tick(self, clock_ns: int) -> None:
        if self._clock is not None:
            self._clock_message.clock.sec, self._clock_message.clock.nanosec = divmod(clock_ns, 10**9)
            self._clock.publish(self._clock_message)

    def _publish(self, recorded: Recorded) -> None:
        message: Any = recorded.data
        if recorded.topic in self._decoded:
            try:
                message = self._decompress(recorded)
            except FrameError as error:
                self._node.get_logger().warning('{}: {}'.format(recorded.topic, error))
                return
        self._publishers[recorded.topic].publish(message)

    def _decompress(self, recorded: Recorded) -> Any:
        from rclpy.serialization import deserialize_message
        from sensor_msgs.msg import CompressedImage
        compressed = deserialize_message(recorded.data, CompressedImage)
        frame = decode_compressed(np.frombuffer(compressed.data, np.uint8), 0, '')
        shape = (frame.height, frame.width, 3)
        writer = self._decoded[recorded.topic]
        writer.array(shape, np.uint8)[...] = frame.data.reshape(shape)
        return writer.stamped(compressed.header)


def progress(elapsed_ns: int, duration_s: float, count: int) -> None:
    """Show how far the bag is, on a terminal."""
    if sys.stderr.isatty():
        print('\r{:6.1f} / {:.1f} s, {} messages '.format(elapsed_ns * 1e-9, duration_s, count), end='',
              file=sys.stderr, flush=True)


def execute(args: argparse.Namespace) -> int:
    """Play the bag."""
    if args.rate <= 0:
        raise ConfigError('--rate: got {:g}, expected a number above 0.'.format(args.rate))
    bag = Bag(args.bag, args.topics)
    use_shared_memory_profile()
    try:
        import rclpy
        from rclpy.executors import ExternalShutdownException
    except ImportError as error:
        raise ConfigError('ROS 2 for Python cannot be imported ({}). Source a ROS 2 installation.'.format(
            error)) from error
    print('{}: {:.1f} s'.format(args.bag, bag.duration_s))
    for topic, kind in bag.types.items():
        print('  {} ({})'.format(topic, kind))
    rclpy.init(args=[])
    try:
        player = Player(rclpy.create_node('replay'), bag, args)
        player.wait(args.wait)
        player.play()
        while args.loop:
            player.play()
        player.run_on(1.5)  # So that what is in hand gets done, and the nodes' timers fire once more.
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # Ctrl-C is how a loop ends.
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # A second one must not cut the clean-up short.
        if rclpy.ok():
            rclpy.shutdown()
    return 0


def main() -> int:
    """Run as `ros2 run trt_perception replay`."""
    from . import main_of
    return main_of('replay')

"""Subscribes to the results of the perception nodes while somebody needs them, and joins those of one image."""
import time
import traceback
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, TimeReference
from std_msgs.msg import String

from ..consumer import CLASSES, TOPICS, Join, Results
from ..core.errors import FrameError
from .qos import LATCHED, RELIABLE, checked_overrides, overridable

_TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CameraInfo': CameraInfo,
          'sensor_msgs/msg/TimeReference': TimeReference, 'std_msgs/msg/String': String}
_SILENCE_S = 3.0


class ResultSubscriptions:
    """Several users of results, each with the topics that it needs of an image.

    A topic that nobody needs is not subscribed to, so that the nodes that publish it may rest, too.

    Args:
        users: name -> (topics, function that takes the results); topics are keys of consumer.TOPICS.

    Attributes:
        joined: name of a user -> from how many images it made something.
        skipped: how often a message or an image could not be used.
        last_error: why the last of these could not.
    """

    def __init__(self, node: Node, users: Mapping[str, Tuple[Sequence[str], Callable[[Results], None]]]) -> None:
        self.joined: Dict[str, int] = Counter()
        self.skipped = 0
        self.last_error = ''
        self._node = node
        self._users = users
        self._joins: Dict[str, Join] = {}
        self._subscriptions: Dict[str, Any] = {}
        self._heard: Dict[str, float] = {}
        self._since_s = time.monotonic()

    def serve(self, names: Iterable[str]) -> None:
        """Subscribe to what these users need, and to nothing else."""
        names = list(names)
        if names != list(self._joins):
            self._since_s = time.monotonic()
        self._joins = {name: self._joins.get(name) or Join(self._users[name][0]) for name in names}
        topics = [topic for topic in TOPICS if any(topic in join.topics for join in self._joins.values())]
        for topic in list(self._subscriptions):
            if topic not in topics:
                self._node.destroy_subscription(self._subscriptions.pop(topic))
                self._heard.pop(topic, None)
        for topic in topics:
            if topic not in self._subscriptions:
                self._subscribe(topic)

    def silent(self) -> List[str]:
        """Return the topics, as resolved, of which nothing has come for some seconds although they are needed."""
        now_s = time.monotonic()
        return [subscription.topic_name for topic, subscription in self._subscriptions.items()
                if now_s - max(self._heard.get(topic, 0.0), self._since_s) > _SILENCE_S
                and not (topic == CLASSES and topic in self._heard)]

    def _subscribe(self, topic: str) -> None:
        def take(message: Any) -> None:
            self._heard[topic] = time.monotonic()
            for name, join in list(self._joins.items()):
                if topic in join.topics:
                    self._take(name, join, topic, message)

        with checked_overrides(topic):
            self._subscriptions[topic] = self._node.create_subscription(
                _TYPES[TOPICS[topic].kind], topic, take, **overridable(LATCHED if topic == CLASSES else RELIABLE))

    def _take(self, name: str, join: Join, topic: str, message: Any) -> None:
        try:
            results = join.add(topic, message)
            if results is not None:
                self._users[name][1](results)
                self.joined[name] += 1
        except Exception as error:  # Out of memory, or a bug: of this image; the next may be better.
            if not self._node.context.ok():
                raise
            self.skipped, self.last_error = self.skipped + 1, str(error) or type(error).__name__
            if isinstance(error, FrameError):
                self._node.get_logger().warning('Image skipped: {}'.format(error), throttle_duration_sec=10.0)
                return
            self._node.get_logger().error('Image skipped: {}'.format(traceback.format_exc()), throttle_duration_sec=5.0)

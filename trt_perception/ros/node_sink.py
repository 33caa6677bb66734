"""The topics of a node, as the publishers of results see them; and the classes of ROS's messages."""
import importlib
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, TimeReference
from std_msgs.msg import Header, String

from .qos import LATCHED, NO_PUBLISHER_EVENTS, RELIABLE, checked_overrides, overridable
from .sink import MessageTypes, Sink


def optional_types(package: str) -> Any:
    """Return the message classes of a package that not every system has; None = not installed."""
    try:
        return importlib.import_module(package + '.msg')
    except ImportError:
        return None


_VISION = optional_types('vision_msgs')  # Not on PyPI, and not in every distribution: the JSON topic is always there.
ROS = MessageTypes(Time, Header, Image, CompressedImage, CameraInfo, TimeReference, String,
                   getattr(_VISION, 'LabelInfo', None), getattr(_VISION, 'VisionClass', None))


class NodeSink(Sink):
    """Publishes on the topics of a node.

    Args:
        namespace: what the names of the topics begin with, relative to the node's own namespace: 'front/', or ''.
    """

    types = ROS

    def __init__(self, node: Node, namespace: str = '') -> None:
        self._node = node
        self._namespace = namespace

    def create_publisher(self, topic: str, kind: Any, latched: bool) -> Publisher:
        """Create a publisher with our QoS, which the user may override; see Sink."""
        name = self._namespace + topic
        with checked_overrides(name):
            return self._node.create_publisher(kind, name, event_callbacks=NO_PUBLISHER_EVENTS,
                                               **overridable(LATCHED if latched else RELIABLE))

    def now_ns(self) -> int:
        """Return the time of the node's clock, ns."""
        return int(self._node.get_clock().now().nanoseconds)

    def warn(self, text: str) -> None:
        """Log a warning, at most every ten seconds."""
        self._node.get_logger().warning(text, throttle_duration_sec=10.0)

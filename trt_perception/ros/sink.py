"""Where the messages of results go: what publishers need of a node, or of a bag that is written.

Imports no ROS, and neither do `publishers` and `messages`, so that `trt_perception process` works without it.
"""
import abc
from typing import Any, NamedTuple


class MessageTypes(NamedTuple):
    """The classes of the messages, made with keyword arguments: rclpy's, or those that are written into bags."""

    Time: Any
    Header: Any
    Image: Any
    CompressedImage: Any
    CameraInfo: Any
    TimeReference: Any
    String: Any
    LabelInfo: Any = None
    """Of vision_msgs; None = not installed."""
    VisionClass: Any = None


class Sink(abc.ABC):
    """The topics of a node or of a bag.

    Attributes:
        types: what messages are made of.
    """

    types: MessageTypes

    @abc.abstractmethod
    def create_publisher(self, topic: str, kind: Any, latched: bool) -> Any:
        """Return an object with the methods `publish` and `get_subscription_count` of an rclpy publisher.

        Args:
            topic: relative name.
            kind: a class of `types`.
            latched: whether later subscribers get the last message, too.

        Raises:
            ConfigError: there can be no such topic.
        """

    @abc.abstractmethod
    def now_ns(self) -> int:
        """Return the time, ns."""

    @abc.abstractmethod
    def warn(self, text: str) -> None:
        """Tell the user what is wrong with a message, not too often."""

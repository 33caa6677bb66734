"""The destination of results: the interface of a node, or of a bag that is written, for publishers.

Imports no ROS, and neither do `publishers` and `messages`, so that `trt_perception process` works without it.
"""
import abc
from typing import Any, NamedTuple


class MessageTypes(NamedTuple):
    """The classes of the messages, constructed with keyword arguments: rclpy's, or those for bags."""

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
        types: the classes of messages.
    """

    types: MessageTypes

    @abc.abstractmethod
    def create_publisher(self, topic: str, kind: Any, latched: bool) -> Any:
        """Return an object with the methods `publish` and `get_subscription_count` of an rclpy publisher.

        Args:
            topic: relative name.
            kind: a class of `types`.
            latched: whether later subscribers receive the last message, too.

        Raises:
            ConfigError: such a topic is not possible.
        """

    @abc.abstractmethod
    def now_ns(self) -> int:
        """Return the time, ns."""

    @abc.abstractmethod
    def warn(self, text: str) -> None:
        """Report a fault of a message to the user, not too often."""

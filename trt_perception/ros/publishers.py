"""What the publishers of all tasks share: the topics, who watches them, and the headers they are published with."""
import abc
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ..core.data import Frame
from ..core.errors import FrameError
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.settings import Settings
from . import messages
from .qos import RELIABLE, checked_overrides, overridable


class TaskPublishers(abc.ABC):
    """The topics of one task for one camera.

    Nothing is serialised for a topic without subscribers.

    Args:
        namespace: what the names of the camera's topics begin with: 'front/', or ''.
    """

    task = ''
    """Key in tasks.TASKS, and the first part of the topics' names."""

    def __init__(self, node: Node, model: Model, settings: Settings, decoder: FrameDecoder,
                 namespace: str = '') -> None:
        self._node = node
        self._namespace = namespace
        self._settings = settings
        self._decoder = decoder
        self._publishers: Dict[str, Publisher] = {}
        self._images: Dict[str, messages.ImageWriter] = {}
        self._results: List[str] = []
        self._camera_info = self._create('camera_info', CameraInfo, is_result=False)

    @abc.abstractmethod
    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the memory of a message for one of its results: see pipeline.Allocate."""

    @abc.abstractmethod
    def publish(self, frame: Frame, result: Any, info: Optional[CameraInfo]) -> None:
        """Publish a result that the pipeline wrote into the memory from `allocate`.

        Args:
            info: of the camera, if it has published one.
        """

    def wants(self, role: str) -> bool:
        """Return whether an optional output of the task is needed."""
        return True

    def watched(self) -> bool:
        """Return whether a topic that needs the network has subscribers."""
        return any(self._watched(topic) for topic in self._results)

    def _create(self, topic: str, kind: type, qos: QoSProfile = RELIABLE, is_result: bool = True) -> Publisher:
        """Create a publisher on TASK/topic; whoever subscribes to a result makes the network run."""
        if is_result:
            self._results.append(topic)
        name = '{}{}/{}'.format(self._namespace, self.task, topic)
        with checked_overrides(name):
            self._publishers[topic] = self._node.create_publisher(kind, name, **overridable(qos))
        return self._publishers[topic]

    def _create_image(self, topic: str, encoding: str) -> None:
        self._images[topic] = messages.ImageWriter(encoding)
        self._create(topic, Image)

    def _watched(self, topic: str) -> bool:
        return bool(self._publishers[topic].get_subscription_count())

    def _publish_image(self, topic: str, header: Header) -> None:
        if self._watched(topic):
            self._publishers[topic].publish(self._images[topic].stamped(header))

    def _publish_camera_info(self, info: Optional[CameraInfo], frame: Frame, size: Tuple[int, int],
                             header: Header) -> None:
        if info is None or not self._watched('camera_info'):
            return
        try:
            scaled = messages.scaled_camera_info(info, (frame.height, frame.width), size, header)
        except FrameError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=10.0)
            return
        self._camera_info.publish(scaled)

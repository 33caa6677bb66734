"""What the publishers of all tasks share: the topics, who watches them, and the headers they are published with."""
import abc
from typing import Any, Dict, List, Tuple

import numpy as np

from ..core.data import Frame
from ..core.errors import FrameError
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.settings import Settings
from . import messages
from .sink import Sink


class TaskPublishers(abc.ABC):
    """The topics of one task for one camera.

    Nothing is serialised for a topic without subscribers.
    """

    task = ''
    """Key in tasks.TASKS, and the first part of the topics' names."""

    def __init__(self, sink: Sink, model: Model, settings: Settings, decoder: FrameDecoder) -> None:
        self._sink = sink
        self._types = sink.types
        self._settings = settings
        self._decoder = decoder
        self._publishers: Dict[str, Any] = {}
        self._images: Dict[str, messages.ImageWriter] = {}
        self._results: List[str] = []
        self._camera_info = self._create('camera_info', self._types.CameraInfo, is_result=False)

    @abc.abstractmethod
    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the memory of a message for one of its results: see pipeline.Allocate."""

    @abc.abstractmethod
    def publish(self, frame: Frame, result: Any, info: Any) -> None:
        """Publish a result that the pipeline wrote into the memory from `allocate`.

        Args:
            info: CameraInfo of the camera; None = it has published none.
        """

    def wants(self, role: str) -> bool:
        """Return whether an optional output of the task is needed: its topic, of the same name, has subscribers."""
        return self._watched(role)

    def watched(self) -> bool:
        """Return whether a topic that needs the network has subscribers."""
        return any(self._watched(topic) for topic in self._results)

    def _create(self, topic: str, kind: Any, latched: bool = False, is_result: bool = True) -> Any:
        """Create a publisher on TASK/topic; a subscription to a result makes the network run."""
        if is_result:
            self._results.append(topic)
        self._publishers[topic] = self._sink.create_publisher('{}/{}'.format(self.task, topic), kind, latched)
        return self._publishers[topic]

    def _create_image(self, topic: str, encoding: str) -> None:
        self._images[topic] = messages.ImageWriter(self._types, encoding)
        self._create(topic, self._types.Image)

    def _watched(self, topic: str) -> bool:
        return bool(self._publishers[topic].get_subscription_count())

    def _header(self, result: Any) -> Any:
        """Return the header of a result's image."""
        return messages.header(self._types, result.stamp_ns, result.frame_id)

    def _publish_image(self, topic: str, header: Any) -> None:
        if self._watched(topic):
            self._publishers[topic].publish(self._images[topic].stamped(header))

    def _publish_camera_info(self, info: Any, frame: Frame, size: Tuple[int, int], header: Any) -> None:
        if info is None or not self._watched('camera_info'):
            return
        try:
            scaled = messages.scaled_camera_info(info, (frame.height, frame.width), size, header)
        except FrameError as error:
            self._sink.warn(str(error))
            return
        self._camera_info.publish(scaled)

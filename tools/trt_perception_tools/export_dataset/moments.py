"""The results of a run by image, in the order of the stamps."""
from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trt_perception import consumer
from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.image import FrameDecoder
from trt_perception.core.model import LabelSet

from ..recorded import (
    CAMERA_IMAGE,
    LABEL_MAP_PNG,
    Recorded,
    Recording,
    Topic,
    frame_of,
    label_set_of,
    labels_of,
    with_cameras,
)

_WAITING = 8
"""Images per camera that wait for their results, which a node publishes later than the next image."""


class Moment(NamedTuple):
    """An image of one camera with its results; None = there is none."""

    camera: str
    """Namespace, '' = none."""
    stamp_ns: int
    image: np.ndarray | None = None
    """(H, W, 3) uint8 BGR."""
    labels: np.ndarray | None = None
    """(H, W) uint8 class ids; 255 = no class."""
    confidence: np.ndarray | None = None
    """(H, W) uint8, 255 = certain."""
    flow: np.ndarray | None = None
    """(H, W, 2) float32, px per interval, as the node publishes it; NaN = invalid."""
    other_ns: int | None = None
    """Stamp of the flow's other image: the previous one, or with flow_grid previous the next."""


class RunMoments:
    """The images of a run; may be iterated several times.

    Args:
        path: bag with the results.
        images: bag with the camera's images; None = the run's own, if it has any.

    Attributes:
        classes: the classes of the labels, by camera.
        cameras: their namespaces.
        faults: description of unreadable messages -> number.

    Raises:
        ConfigError: no readable bag, or no results in it.
    """

    def __init__(self, path: Path, images: Path | None = None) -> None:
        self._run = Recording(path)
        self._images = Recording(images) if images else self._run
        self.classes: dict[str, LabelSet] = {}
        self.faults: dict[str, int] = {}
        results = [each for each in self._run.topics if each.role in _READERS]
        if not results:
            raise ConfigError(f'bag {path}: got {", ".join(each.name for each in self._run.topics) or "no topics"}, '
                              'expected segmentation/label_map or optical_flow/flow. Give a bag that '
                              '`trt_perception process` wrote.')
        self.cameras = sorted({each.camera for each in results})
        topics = [*results, *(each for each in self._images.topics if each.role == CAMERA_IMAGE)]
        self._camera = {name: topic.camera for name, topic in with_cameras(topics).items()}
        for topic, _, message in self._run.messages(lambda topic: topic.role == consumer.CLASSES):
            self.classes[topic.camera] = label_set_of(message)

    def __iter__(self) -> Iterator[Moment]:
        decoder = FrameDecoder()
        waiting: dict[tuple[int, str], dict[str, Any]] = {}
        for recorded in self._messages():
            topic, stamp_ns, message = recorded
            camera = self._camera.get(topic.name, topic.camera)
            try:
                if topic.role == CAMERA_IMAGE:
                    frame = frame_of(topic, message)
                    values: dict[str, Any] = {
                        'image': np.array(decoder.image(frame, 'bgr', (frame.height, frame.width)))}
                else:
                    field, read = _READERS[topic.role]
                    values = {field: read(topic, message)}
            except FrameError as error:
                self.faults[str(error)] = self.faults.get(str(error), 0) + 1
                continue
            waiting.setdefault((stamp_ns, camera), {}).update(values)
            if len(waiting) > _WAITING * len(self.cameras):
                yield self._pop(waiting)
        while waiting:
            yield self._pop(waiting)

    def _pop(self, waiting: dict[tuple[int, str], dict[str, Any]]) -> Moment:
        stamp_ns, camera = min(waiting)
        return Moment(camera, stamp_ns, **waiting.pop((stamp_ns, camera)))

    def _messages(self) -> Iterator[Recorded]:
        """Yield images and results, roughly in the order of their stamps."""
        def is_image(topic: Topic) -> bool:
            return topic.role == CAMERA_IMAGE and self._camera.get(topic.name) in self.cameras

        def is_result(topic: Topic) -> bool:
            return topic.role in _READERS

        if self._images is self._run:
            return self._run.messages(lambda topic: is_image(topic) or is_result(topic))
        return heapq.merge(self._images.messages(is_image), self._run.messages(is_result),
                           key=lambda each: each.stamp_ns)


def _flow_of(_: Topic, message: Any) -> np.ndarray:
    return np.array(consumer.flow_of(message))


def _other_image(_: Topic, message: Any) -> int:
    """Return the stamp of a flow field's other image, from its TimeReference."""
    return int(message.time_ref.sec) * 10**9 + int(message.time_ref.nanosec)


_READERS: dict[str, tuple[str, Callable[[Topic, Any], Any]]] = {
    LABEL_MAP_PNG: ('labels', labels_of), consumer.LABEL_MAP: ('labels', labels_of),
    consumer.LABEL_CONFIDENCE: ('confidence', labels_of), consumer.FLOW: ('flow', _flow_of),
    consumer.FLOW_INTERVAL: ('other_ns', _other_image)}

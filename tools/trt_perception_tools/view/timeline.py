"""ROS messages to a Rerun recording: what each topic becomes, and where. Knows neither bags nor rclpy.

Everything is on the timeline `stamp`, the time of the message headers. Entities are CAMERA/image with
CAMERA/image/labels over it, CAMERA/confidence, CAMERA/flow, CAMERA/flow_confidence and CAMERA/statistics/...; other
topics keep their names.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import rerun as rr

from trt_perception import consumer
from trt_perception.core.colors import color_flow
from trt_perception.core.data import VOID
from trt_perception.core.errors import FrameError
from trt_perception.core.image import FrameDecoder, NearestResizer
from trt_perception.core.image_file import JPEG, read_image_file
from trt_perception.core.model import LabelSet

from .. import recorded
from ..recorded import COMPRESSED_IMAGE, STRING, Topic
from . import planner
from .entities import TIMELINE, entity
from .status import log_diagnostics

DIAGNOSTICS = 'diagnostic_msgs/msg/DiagnosticArray'
_JPEG_QUALITY = 90


class Timeline:
    """Logs messages to a Rerun recording.

    Args:
        stream: where to.
        longest_px: flow shown fully saturated; 0 = the 99th percentile of each field.

    Attributes:
        faults: why messages could not be shown -> how many.
    """

    def __init__(self, stream: rr.RecordingStream, longest_px: float = 0.0) -> None:
        self.faults: dict[str, int] = {}
        self._stream = stream
        self._longest_px = longest_px
        self._decoder = FrameDecoder()
        self._label_sets: dict[str, LabelSet] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._said: dict[str, str] = {}
        self._by_role: dict[str, Callable[[Topic, Any], None]] = {
            consumer.CLASSES: self._label_info, consumer.LABEL_MAP: self._label_map,
            recorded.LABEL_MAP_PNG: self._label_map, consumer.LABEL_CONFIDENCE: self._confidence,
            consumer.FLOW: self._flow, consumer.FLOW_CONFIDENCE: self._flow_confidence,
            recorded.CAMERA_IMAGE: self._image}

    def add(self, topic: Topic, stamp_ns: int, message: Any) -> None:
        """Log a message; one that cannot be shown is counted in `faults`."""
        if topic.type == DIAGNOSTICS and not recorded.stamp_of(message):
            return  # With use_sim_time, before the first /clock.
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, 'ns'))
        try:
            if topic.role in self._by_role:
                self._by_role[topic.role](topic, message)
            elif topic.type == DIAGNOSTICS:
                log_diagnostics(self._stream, message, self._said)
            elif topic.type in planner.TYPES:
                planner.TYPES[topic.type](self._stream, entity(topic.name), message)
            elif topic.type == STRING and topic.role != recorded.FLOW_INFO:
                self._stream.log(entity(topic.name), rr.TextLog(message.data))
        except FrameError as error:
            self.faults[f'{topic.name}: {error}'] = self.faults.get(f'{topic.name}: {error}', 0) + 1

    def _image(self, topic: Topic, message: Any) -> None:
        place = entity(topic.camera, 'image')
        if topic.type == COMPRESSED_IMAGE:
            file = read_image_file(np.frombuffer(message.data, np.uint8).tobytes())
            self._sizes[topic.camera] = (file.height, file.width)
            if file.kind == JPEG:  # Shown unchanged: the viewer decodes it.
                self._stream.log(place, rr.EncodedImage(contents=file.data, media_type='image/jpeg'))
                return
        frame = recorded.frame_of(topic, message)
        self._sizes[topic.camera] = (frame.height, frame.width)
        rgb = self._decoder.image(frame, 'rgb', (frame.height, frame.width))
        self._stream.log(place, rr.Image(rgb).compress(_JPEG_QUALITY))

    def _label_info(self, topic: Topic, message: Any) -> None:
        labels = recorded.label_set_of(message)
        if self._label_sets.get(topic.camera) == labels:
            return
        self._label_sets[topic.camera] = labels
        context = rr.AnnotationContext([
            *((each.id, each.name, each.color) for each in labels.classes), (VOID, 'no class', (0, 0, 0, 0))])
        self._stream.log(entity(topic.camera), context, static=True)
        for each in labels.classes:
            self._stream.log(entity(topic.camera, 'statistics/classes', each.name),
                             rr.SeriesLines(colors=each.color, names=each.name), static=True)

    def _label_map(self, topic: Topic, message: Any) -> None:
        labels = recorded.labels_of(topic, message)
        classes = self._label_sets.get(topic.camera)
        shares = np.bincount(labels.ravel(), minlength=256) * (100.0 / labels.size)
        for each in classes.classes if classes else ():
            self._number(topic, f'classes/{each.name}', shares[each.id])
        if shares[VOID]:
            self._number(topic, 'classes/no class', shares[VOID])
        size = self._sizes.get(topic.camera, labels.shape)
        if size != labels.shape:  # `output_size: network`: over the image, both need one size.
            labels = NearestResizer(labels.shape, size).resize(labels, np.empty(size, np.uint8))
        self._stream.log(entity(topic.camera, 'image/labels'), rr.SegmentationImage(labels, opacity=0.5))

    def _confidence(self, topic: Topic, message: Any) -> None:
        self._gray(topic, message, 'confidence')

    def _flow_confidence(self, topic: Topic, message: Any) -> None:
        self._gray(topic, message, 'flow_confidence')

    def _gray(self, topic: Topic, message: Any, name: str) -> None:
        values = recorded.labels_of(topic, message)
        self._stream.log(entity(topic.camera, name), rr.Image(values, 'L').compress(_JPEG_QUALITY))
        self._number(topic, f'{name}/mean', float(values.mean()) / 255)

    def _flow(self, topic: Topic, message: Any) -> None:
        flow = consumer.flow_of(message)
        colors = color_flow(flow, self._longest_px)
        self._stream.log(entity(topic.camera, 'flow'), rr.Image(colors).compress(_JPEG_QUALITY))
        length = np.linalg.norm(flow[::4, ::4], axis=2)  # Of every 16th pixel: the statistics of a field are smooth.
        valid = length[np.isfinite(length)]
        if valid.size:
            median, high = np.percentile(valid, (50, 95))
            self._number(topic, 'flow/median (px)', median)
            self._number(topic, 'flow/95th percentile (px)', high)
        self._number(topic, 'flow_valid/share', valid.size / length.size)

    def _number(self, topic: Topic, name: str, value: float) -> None:
        self._stream.log(entity(topic.camera, 'statistics', name), rr.Scalars(float(value)))

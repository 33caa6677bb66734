"""The topics of each task: what is published, when somebody watches it, and with whose header."""
from typing import Dict, Optional, Tuple

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String

from ..core.colors import color_flow, color_labels, label_palette, overlay_labels
from ..core.data import FlowField, Frame, LabelMap
from ..core.errors import FrameError
from ..core.image import FrameDecoder, encode_png
from ..core.model import LabelSet, Model
from ..core.settings import Settings
from . import messages
from .qos import LATCHED, RELIABLE, overridable


class TaskPublishers:
    """What both tasks share: the topics, who watches them, and the scaled calibration.

    Nothing is serialised for a topic that nobody subscribes to.
    """

    _needs_inference: Tuple[str, ...] = ()

    def __init__(self, node: Node, task: str, settings: Settings, decoder: FrameDecoder) -> None:
        self._node = node
        self._task = task
        self._settings = settings
        self._decoder = decoder
        self._publishers: Dict[str, Publisher] = {}
        self._images: Dict[str, messages.ImageWriter] = {}
        self._camera_info = self._create('camera_info', CameraInfo)

    def _create(self, topic: str, kind: type, qos: QoSProfile = RELIABLE) -> Publisher:
        self._publishers[topic] = self._node.create_publisher(
            kind, '{}/{}'.format(self._task, topic), **overridable(qos))
        return self._publishers[topic]

    def _create_image(self, topic: str, encoding: str) -> None:
        self._images[topic] = messages.ImageWriter(encoding)
        self._create(topic, Image)

    def watched(self) -> bool:
        """Return whether anybody subscribes to a topic that needs the network."""
        return any(self._watched(topic) for topic in self._needs_inference)

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


class SegmentationPublishers(TaskPublishers):
    """label_map, confidence, label_info, camera_info, color, overlay."""

    _needs_inference = ('label_map', 'confidence', 'color', 'overlay', 'label_map/compressed')

    def __init__(self, node: Node, model: Model, settings: Settings, decoder: FrameDecoder) -> None:
        super().__init__(node, 'segmentation', settings, decoder)
        assert isinstance(model.labels, LabelSet)
        self._palette = label_palette(model.labels)
        self._create_image('label_map', 'mono8')
        self._create_image('confidence', 'mono8')
        self._create_image('color', 'rgb8')
        self._create_image('overlay', 'rgb8')
        self._create('label_map/compressed', CompressedImage)
        self._create('label_info_json', String, LATCHED).publish(
            String(data=messages.label_info_json(model.name, model.labels)))
        if messages.LabelInfo is not None:
            stamp = messages.header(node.get_clock().now().nanoseconds, '')
            self._create('label_info', messages.LabelInfo, LATCHED).publish(messages.label_info(model.labels, stamp))

    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the message memory for its 'labels' or 'confidence'."""
        return self._images[{'labels': 'label_map', 'confidence': 'confidence'}[role]].array(shape, dtype)

    def wants_confidence(self) -> bool:
        """Return whether anybody subscribes to the confidence."""
        return self._watched('confidence')

    def publish(self, frame: Frame, result: LabelMap, info: Optional[CameraInfo]) -> None:
        """Publish a label map that the pipeline wrote into the memory from `allocate`."""
        header = messages.header(result.stamp_ns, result.frame_id)
        size = result.labels.shape
        self._publish_image('label_map', header)
        if result.confidence is not None:
            self._publish_image('confidence', header)
        self._publish_camera_info(info, frame, size, header)
        if self._watched('color'):
            color_labels(result.labels, self._palette, self._images['color'].array(size + (3,), np.uint8))
            self._publish_image('color', header)
        if self._watched('overlay'):
            picture = self._decoder.picture(frame, 'rgb', size)
            overlay_labels(picture, result.labels, self._palette, self._settings['segmentation.overlay_alpha'],
                           self._images['overlay'].array(picture.shape, np.uint8))
            self._publish_image('overlay', header)
        if self._watched('label_map/compressed'):
            self._publishers['label_map/compressed'].publish(
                CompressedImage(header=header, format='mono8; png compressed', data=encode_png(result.labels)))


class OpticalFlowPublishers(TaskPublishers):
    """flow, flow_info, camera_info, color."""

    _needs_inference = ('flow', 'flow_info', 'color')

    def __init__(self, node: Node, model: Model, settings: Settings, decoder: FrameDecoder) -> None:
        super().__init__(node, 'optical_flow', settings, decoder)
        self._create_image('flow', '32FC2')
        self._create_image('color', 'rgb8')
        self._create('flow_info', String)

    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the message memory for its flow field."""
        return self._images[role].array(shape, dtype)

    def publish(self, frame: Frame, result: FlowField, info: Optional[CameraInfo]) -> None:
        """Publish a flow field that the pipeline wrote into the memory from `allocate`."""
        header = messages.header(result.stamp_ns, result.frame_id)
        size = result.flow.shape[:2]
        self._publish_image('flow', header)
        if self._watched('flow_info'):
            self._publishers['flow_info'].publish(
                String(data=messages.flow_info_json(result, self._settings['flow_grid'])))
        self._publish_camera_info(info, frame, size, header)
        if self._watched('color'):
            color_flow(result.flow, self._settings['optical_flow.color_max'],
                       self._images['color'].array(size + (3,), np.uint8))
            self._publish_image('color', header)

"""The topics of segmentation: label map, confidence, what the labels mean, and visualisations."""
from typing import Optional, Tuple

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import String

from ..core.colors import color_labels, label_palette, overlay_labels
from ..core.compressed import encode_png
from ..core.data import Frame, LabelMap
from ..core.image import FrameDecoder
from ..core.model import LabelSet, Model
from ..core.settings import Settings
from ..core.tasks import SEGMENTATION
from . import messages
from .publishers import TaskPublishers
from .qos import LATCHED


class SegmentationPublishers(TaskPublishers):
    """label_map, confidence, label_info, camera_info, color, overlay."""

    task = SEGMENTATION

    def __init__(self, node: Node, model: Model, settings: Settings, decoder: FrameDecoder,
                 namespace: str = '') -> None:
        super().__init__(node, model, settings, decoder, namespace)
        assert isinstance(model.labels, LabelSet)
        self._palette = label_palette(model.labels)
        self._create_image('label_map', 'mono8')
        self._create_image('confidence', 'mono8')
        self._create_image('color', 'rgb8')
        self._create_image('overlay', 'rgb8')
        self._create('label_map/compressed', CompressedImage)
        self._create('label_info_json', String, LATCHED, is_result=False).publish(
            String(data=messages.label_info_json(model.name, model.labels)))
        if messages.LabelInfo is not None:
            stamp = messages.header(node.get_clock().now().nanoseconds, '')
            self._create('label_info', messages.LabelInfo, LATCHED, is_result=False).publish(
                messages.label_info(model.labels, stamp))

    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the message memory for its 'labels' or 'confidence'."""
        return self._images[{'labels': 'label_map', 'confidence': 'confidence'}[role]].array(shape, dtype)

    def wants(self, role: str) -> bool:
        """Return whether the confidence has subscribers."""
        return self._watched(role)

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
            image = self._decoder.image(frame, 'rgb', size)
            overlay_labels(image, result.labels, self._palette, self._settings['segmentation.overlay_alpha'],
                           self._images['overlay'].array(image.shape, np.uint8))
            self._publish_image('overlay', header)
        if self._watched('label_map/compressed'):
            self._publishers['label_map/compressed'].publish(
                CompressedImage(header=header, format='mono8; png compressed', data=encode_png(result.labels)))

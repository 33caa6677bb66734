"""The topics of segmentation: label map, confidence, what the labels mean, and visualisations."""
from typing import Any, Tuple

import numpy as np

from ..core.colors import color_labels, label_palette, overlay_labels
from ..core.compressed import encode_png
from ..core.data import Frame, LabelMap
from ..core.image import FrameDecoder
from ..core.model import LabelSet, Model
from ..core.settings import Settings
from ..core.tasks import SEGMENTATION
from . import messages
from .publishers import TaskPublishers
from .sink import Sink


class SegmentationPublishers(TaskPublishers):
    """label_map, confidence, label_info, camera_info, color, overlay."""

    task = SEGMENTATION

    def __init__(self, sink: Sink, model: Model, settings: Settings, decoder: FrameDecoder) -> None:
        super().__init__(sink, model, settings, decoder)
        assert isinstance(model.labels, LabelSet)
        self._palette = label_palette(model.labels)
        self._create_image('label_map', 'mono8')
        self._create_image('confidence', 'mono8')
        self._create_image('color', 'rgb8')
        self._create_image('overlay', 'rgb8')
        self._create('label_map/compressed', self._types.CompressedImage)
        self._create('label_info_json', self._types.String, latched=True, is_result=False).publish(
            self._types.String(data=messages.label_info_json(model.name, model.labels)))
        if self._types.LabelInfo is not None:
            stamp = messages.header(self._types, sink.now_ns(), '')
            self._create('label_info', self._types.LabelInfo, latched=True, is_result=False).publish(
                messages.label_info(self._types, model.labels, stamp))

    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the message memory for its 'labels' or 'confidence', (H, W) uint8."""
        return self._images[{'labels': 'label_map', 'confidence': 'confidence'}[role]].array(shape, dtype)

    def publish(self, frame: Frame, result: LabelMap, info: Any) -> None:
        """Publish a label map that the pipeline wrote into the memory from `allocate`."""
        header = self._header(result)
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
                self._types.CompressedImage(header=header, format='mono8; png compressed',
                                            data=encode_png(result.labels)))

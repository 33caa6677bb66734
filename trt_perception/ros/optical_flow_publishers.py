"""The topics of optical flow: the field, its interval and validity, and a visualisation."""
from typing import Any, Tuple

import numpy as np

from ..core.colors import color_flow
from ..core.data import FlowField, Frame
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.settings import Settings
from ..core.tasks import OPTICAL_FLOW
from . import messages
from .publishers import TaskPublishers
from .sink import Sink


class OpticalFlowPublishers(TaskPublishers):
    """flow, confidence, time_reference, flow_info, camera_info, color."""

    task = OPTICAL_FLOW

    def __init__(self, sink: Sink, model: Model, settings: Settings, decoder: FrameDecoder) -> None:
        super().__init__(sink, model, settings, decoder)
        self._create_image('flow', '32FC2')
        self._create_image('confidence', 'mono8')
        self._create_image('color', 'rgb8')
        self._create('time_reference', self._types.TimeReference)
        self._create('flow_info', self._types.String)

    def allocate(self, role: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Give the pipeline the message memory for its 'flow', (H, W, 2) float32, or 'confidence', (H, W) uint8."""
        return self._images[role].array(shape, dtype)

    def publish(self, frame: Frame, result: FlowField, info: Any) -> None:
        """Publish a flow field that the pipeline wrote into the memory from `allocate`."""
        header = self._header(result)
        size = result.flow.shape[:2]
        # The interval first, so that it is there when the flow comes.
        if self._watched('time_reference'):
            self._publishers['time_reference'].publish(
                messages.time_reference(self._types, result, self._settings['flow_grid']))
        if self._watched('flow_info'):
            self._publishers['flow_info'].publish(
                self._types.String(data=messages.flow_info_json(result, self._settings['flow_grid'])))
        self._publish_image('flow', header)
        if result.confidence is not None:
            self._publish_image('confidence', header)
        self._publish_camera_info(info, frame, size, header)
        if self._watched('color'):
            color_flow(result.flow, self._settings['optical_flow.color_max'],
                       self._images['color'].array(size + (3,), np.uint8))
            self._publish_image('color', header)

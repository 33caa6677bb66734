"""Optical flow: Frame, and the one before it -> FlowField."""
from typing import Optional

import numpy as np

from .data import FlowField, Frame
from .engine import Engine
from .errors import EngineError
from .image import Size, resize_flow
from .model import OPTICAL_FLOW, Model
from .segmentation import CAMERA, Allocate, allocate_array
from .timing import StageTimer

CURRENT = 'current'
PREVIOUS = 'previous'


class OpticalFlowPipeline:
    """Runs an optical-flow engine on successive frames.

    The network points from its first picture to its second, on the first one's grid. With flow_grid 'current' it sees
    (current, previous) and its result is negated: the point now at (x, y) was at (x - u, y - v). With 'previous' it
    sees (previous, current): the point then at (x, y) is now at (x + u, y + v).

    A pair is started anew, with no result, after the first frame, a gap longer than `max_pair_gap_ns`, a repeated or
    backward stamp, or a change of size, encoding or frame_id.

    Args:
        max_pair_gap_ns: 0 = no limit.
        output_size, allocate: as for SegmentationPipeline.

    Raises:
        EngineError: the engine's output is no flow field.
    """

    task = OPTICAL_FLOW

    def __init__(self, engine: Engine, model: Model, flow_grid: str = CURRENT, max_pair_gap_ns: int = 0,
                 output_size: str = CAMERA, timer: Optional[StageTimer] = None,
                 allocate: Allocate = allocate_array) -> None:
        self.max_pair_gap_ns = max_pair_gap_ns
        self._engine = engine
        self._flow_grid = flow_grid
        self._output_size = output_size
        self._timer = timer or StageTimer()
        self._allocate = allocate
        first, second = model.input.names
        self._current, self._previous = (first, second) if flow_grid == CURRENT else (second, first)
        self._output = model.output.flow or ''
        self._flow_scale = model.output.flow_scale * (-1 if flow_grid == CURRENT else 1)
        spec = {spec.name: spec for spec in engine.outputs}[self._output]
        self._channels_last = len(spec.shape) == 4 and spec.shape[3] == 2
        if len(spec.shape) != 4 or spec.shape[0] != 1 or 2 not in (spec.shape[1], spec.shape[3]) \
                or spec.dtype != np.float32:
            raise EngineError('{}: output {!r}: got {} {}, expected float32 (1, H, W, 2) or (1, 2, H, W).'.format(
                engine.file, self._output, spec.dtype.name, spec.shape))
        self._size: Size = spec.shape[1:3] if self._channels_last else spec.shape[2:4]
        self._before: Optional[Frame] = None
        self._target: Optional[Size] = None

    def process(self, frame: Frame) -> Optional[FlowField]:
        """Compute the flow between the previous frame and this one; None when this one starts a pair.

        THE ARRAY IS REUSED: it is valid until the next call.

        Raises:
            FrameError: the frame cannot be decoded; the pair stays as it was.
            EngineError: the engine failed.
        """
        with self._timer.stage('optical_flow preprocess'):
            self._engine.put_image(self._current, frame)
        before = self._before
        # Only the identity of the frame is kept: its bytes belong to a message that is about to be reused.
        self._before = frame._replace(data=np.empty((0, 0), np.uint8))
        try:
            if before is None or not self._makes_pair(before, frame):
                return None
            self._set_target((frame.height, frame.width) if self._output_size == CAMERA else self._size)
            with self._timer.stage('optical_flow infer'):
                flow = self._engine.infer()[self._output][0]
            with self._timer.stage('optical_flow decode'):
                self._decode(flow if self._channels_last else flow.transpose(1, 2, 0))
        finally:
            self._engine.swap(self._current, self._previous)
        grid = frame if self._flow_grid == CURRENT else before
        return FlowField(self._flow, grid.stamp_ns, grid.frame_id, frame.stamp_ns - before.stamp_ns)

    def reset(self) -> None:
        """Forget the previous frame."""
        self._before = None

    def _makes_pair(self, before: Frame, frame: Frame) -> bool:
        interval_ns = frame.stamp_ns - before.stamp_ns
        return (interval_ns > 0 and (not self.max_pair_gap_ns or interval_ns <= self.max_pair_gap_ns)
                and (frame.height, frame.width, frame.encoding, frame.frame_id)
                == (before.height, before.width, before.encoding, before.frame_id))

    def _set_target(self, target: Size) -> None:
        if target == self._target:
            return
        height, width = self._engine.input_size
        factors = (self._flow_scale * target[1] / width, self._flow_scale * target[0] / height)
        self._flow = self._allocate('flow', target + (2,), np.float32)
        self._factors = None if self._engine.resize_output(self._output, target, factors) else factors
        self._target = target

    def _decode(self, flow: np.ndarray) -> None:
        if self._factors is None:
            np.copyto(self._flow, flow)
        else:
            resize_flow(flow, self._flow, self._factors)
        # One comparison finds NaN and infinity alike, and a healthy field costs one pass.
        if not np.isfinite(np.sum(self._flow)):
            self._flow[~np.isfinite(self._flow).all(axis=-1)] = np.nan

"""Optical flow: a Frame and the previous one -> FlowField."""
from typing import Optional

import numpy as np

from .data import FlowField, Frame
from .errors import EngineError
from .health import FIRST_IMAGE
from .image import Size, resize_flow
from .label_carrier import GRID
from .maps import MapOutput
from .pipeline import Pipeline
from .tasks import OPTICAL_FLOW
from .tensors import image_layout

CURRENT = 'current'
PREVIOUS = 'previous'


class OpticalFlowPipeline(Pipeline[FlowField]):
    """Runs an optical-flow engine on successive frames. Flow is resized bilinearly, and its vectors with it.

    The optional output is `confidence`, on the same grid, resized by nearest neighbour. Flow below the setting
    `optical_flow.min_confidence` becomes NaN, but labels are carried along it: see FlowField.unfiltered.

    The network points from its first image to its second, on the first one's grid. With the setting flow_grid 'current'
    it sees (current, previous) and its result is negated: the point now at (x, y) was at (x - u, y - v). With
    'previous' it sees (previous, current): the point then at (x, y) is now at (x + u, y + v).

    A new pair is started, without a result, after the first frame, a gap longer than the setting max_pair_gap, a
    repeated or backward stamp, or a change of size, encoding or frame_id. A frame that cannot be decoded changes
    nothing.

    Raises:
        ConfigError: `optical_flow.min_confidence` is set, but the model gives no confidence; by `configure` too.
    """

    task = OPTICAL_FLOW
    _before: Optional[Frame] = None

    def _process(self, frame: Frame) -> Optional[FlowField]:
        before = self._before
        self._put(frame)
        try:
            self.lacks = self._unpaired(before, frame)
            if before is None or self.lacks:
                return None
            self._set_target(frame)
            wanted, least = self._wants('confidence'), self._least  # Which may change meanwhile.
            confidence = self._confidence if wanted or least else None
            with self._timer.stage('optical_flow infer'):
                outputs = self._engine.infer([self._output] + ([confidence.name] if confidence else []))
            with self._timer.stage('optical_flow decode'):
                self._decode(outputs[self._output])
                sure = confidence.read(outputs[confidence.name]) if confidence else None
                unfiltered = None
                if least and sure is not None:
                    height, width = self._flow.shape[:2]
                    unfiltered = resize_flow(self._flow, self._unfiltered, (GRID[1] / width, GRID[0] / height))
                    self._flow[sure < least] = np.nan
        finally:
            self._engine.swap(self._current, self._previous)
        grid = frame if self._settings['flow_grid'] == CURRENT else before
        return FlowField(self._flow, grid.stamp_ns, grid.frame_id, frame.stamp_ns - before.stamp_ns,
                         sure if wanted else None, unfiltered)

    @property
    def gives_flow(self) -> bool:
        """See Pipeline."""
        return bool(self._settings['flow_grid'] == CURRENT)

    def begin(self, frame: Frame) -> None:
        """Take a frame as the previous one of the next, whatever came before it; no flow is computed for it.

        Raises:
            FrameError, EngineError: as `process` does.
        """
        self._engine.select(self._camera)
        self._put(frame)
        self.lacks = ''
        self._engine.swap(self._current, self._previous)

    def reset(self) -> None:
        """Forget the previous frame."""
        self._before = None
        self.lacks = ''

    @staticmethod
    def difference(result: np.ndarray, other: np.ndarray) -> str:
        """Return the mean distance of two (H, W, 2) flow fields, px."""
        return '{:.3f} px apart'.format(float(np.nanmean(np.linalg.norm(result - other, axis=2))))

    def _check_outputs(self) -> Size:
        self._output = self._model.output.names['flow']
        spec = {spec.name: spec for spec in self._engine.outputs}[self._output]
        layout = image_layout(spec.shape, 2)
        if layout is None or spec.dtype != np.float32:
            raise EngineError('{}: output {!r}: got {} {}, expected float32 (1, H, W, 2) or (1, 2, H, W).'.format(
                self._engine.file, self._output, spec.dtype.name, spec.shape))
        self._layout = layout
        name = self._model.output.confidence
        self._confidence = MapOutput(self._engine, name) if name else None
        return layout.size

    def _configured(self) -> None:
        first, second = self._model.input.names
        is_current = self._settings['flow_grid'] == CURRENT
        self._current, self._previous = (first, second) if is_current else (second, first)
        self._flow_scale = self._model.output.flow_scale * (-1 if is_current else 1)
        self._least = self._least_confidence()
        self._unfiltered = np.empty(GRID + (2,), np.float32)
        self._max_pair_gap_ns = int(self._settings['max_pair_gap'] * 1e9)

    def _put(self, frame: Frame) -> None:
        with self._timer.stage('optical_flow preprocess'):
            self._engine.put_image(self._current, frame)
        # Only the identity of the frame is kept, because its bytes belong to a message that will be reused.
        self._before = frame._replace(data=np.empty((0, 0), np.uint8))

    def _unpaired(self, before: Optional[Frame], frame: Frame) -> str:
        """Return why two frames are no pair, as `lacks`; '' = they are."""
        if before is None:
            return FIRST_IMAGE
        interval_ns = frame.stamp_ns - before.stamp_ns
        if interval_ns == 0:
            return 'repeated stamp: two images have the same. Let the camera driver stamp them'
        if interval_ns < 0:
            return 'stamps go back: by {:.3f} s'.format(-interval_ns * 1e-9)
        if self._max_pair_gap_ns and interval_ns > self._max_pair_gap_ns:
            return 'gap: {:.3f} s between two images, more than max_pair_gap, {:g} s'.format(
                interval_ns * 1e-9, self._max_pair_gap_ns * 1e-9)
        for name in ('height', 'width', 'encoding', 'frame_id'):
            if getattr(frame, name) != getattr(before, name):
                return 'change: the {} of two images differs: {!r}, {!r}'.format(
                    name, getattr(before, name), getattr(frame, name))
        return ''

    def _resize(self, target: Size) -> None:
        height, width = self._engine.input_size
        factors = (self._flow_scale * target[1] / width, self._flow_scale * target[0] / height)
        self._flow = self._allocate('flow', target + (2,), np.float32)
        self._factors = None if self._engine.resize_output(self._output, target, factors) else factors
        if self._confidence is not None:
            self._confidence.resize_to(self._allocate('confidence', target, np.uint8))

    def _decode(self, flow: np.ndarray) -> None:
        if self._factors is None:
            np.copyto(self._flow, flow[0])
        else:
            resize_flow(self._layout.pixels(flow), self._flow, self._factors)
        # One comparison finds NaN and infinity alike, and a healthy field costs one pass.
        if not np.isfinite(np.sum(self._flow)):
            self._flow[~np.isfinite(self._flow).all(axis=-1)] = np.nan

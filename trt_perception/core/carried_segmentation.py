"""Segmentation of every n-th frame: Frame -> LabelMap, those in between carried there along the optical flow."""
from collections import Counter
from typing import Any, Callable, Dict, Mapping, Optional

from .data import VOID, FlowField, Frame, LabelMap
from .engine import Engine
from .label_carrier import LabelCarrier
from .model import Model
from .optical_flow import CURRENT, OpticalFlowPipeline
from .pipeline import NETWORK, Allocate, SharedFlow, allocate_array
from .segmentation import SegmentationPipeline
from .timing import StageTimer


class CarriedSegmentation(SegmentationPipeline):
    """Segments every n-th frame, n being the setting `propagate`, and carries its labels to the frames in between.

    With 0 a frame is segmented if there is time for it: see EngineTime.

    A frame to which no flow leads is segmented, whatever its number: the first one, and one after a gap or a change of
    the image (see OpticalFlowPipeline). Labels and confidence are as LabelCarrier says.

    Args:
        flow_engine: computes the flow that nobody else needs; engines.carrying_flow is what was measured.
        shared_flow: see pipeline.SharedFlow.
        has_time: returns whether the frame in hand may take long; asked of those to which labels could be carried.
        counts: where the numbers of frames `segmented` and `carried` are added up.
    """

    def __init__(self, engine: Engine, model: Model, settings: Optional[Mapping[str, Any]] = None,
                 timer: Optional[StageTimer] = None, allocate: Allocate = allocate_array,
                 wants: Callable[[str], bool] = lambda role: True, camera: int = 0, *, flow_engine: Engine,
                 shared_flow: SharedFlow = lambda: None, has_time: Callable[[], bool] = lambda: True,
                 counts: Optional[Dict[str, int]] = None) -> None:
        self._own_flow = OpticalFlowPipeline(flow_engine, flow_engine.model, wants=lambda role: False, camera=camera)
        self._shared_flow = shared_flow
        self._has_time = has_time
        self.counts: Dict[str, int] = Counter() if counts is None else counts
        self._is_known = False
        super().__init__(engine, model, settings, timer, allocate, wants, camera)
        self._carrier = LabelCarrier(self._size)

    def reset(self) -> None:
        """Forget earlier frames: the next one is segmented."""
        self._own_flow.reset()
        self._is_known = False

    def _process(self, frame: Frame) -> LabelMap:
        with self._timer.stage('segmentation flow'):
            field = self._flow_to(frame)
        if field is None:
            return self._segment(frame)
        with self._timer.stage('segmentation carry'):
            return self._carry(frame, field)

    def _configured(self) -> None:
        super()._configured()
        self._every = self._settings['propagate']
        self._own_flow.configure({'output_size': NETWORK, 'flow_grid': CURRENT,
                                  'max_pair_gap': self._settings['max_pair_gap']})

    def _flow_to(self, frame: Frame) -> Optional[FlowField]:
        """Return the flow from the frame before along which labels are to be carried; None where they are not."""
        carries = self._is_known and not self._is_due()
        shared = self._shared_flow()
        if shared is not None:
            self._own_flow.reset()
            field = shared()
            return field if carries else None
        if carries:
            return self._own_flow.process(frame)
        self._own_flow.begin(frame)
        return None

    def _is_due(self) -> bool:
        return self._carrier.age + 1 >= self._every if self._every else self._has_time()

    def _segment(self, frame: Frame) -> LabelMap:
        self._is_known = False  # Unless all goes well.
        result = super()._process(frame)
        has_confidence = result.confidence is not None or self._least
        self._carrier.keep(result.labels, self._maps['confidence'].result if has_confidence else None)
        self._is_known = True
        self.counts['segmented'] += 1
        return result

    def _carry(self, frame: Frame, field: FlowField) -> LabelMap:
        wanted, least = self._wants('confidence'), self._least
        labels, confidence = self._maps['labels'].result, None
        if self._carrier.has_confidence and (wanted or least):
            confidence = self._maps['confidence'].result
        self._carrier.move(field.flow if field.unfiltered is None else field.unfiltered)
        self._carrier.carry(labels, confidence)
        if confidence is not None and least:
            labels[confidence < least] = VOID
        self.counts['carried'] += 1
        return LabelMap(labels, confidence if wanted else None, frame.stamp_ns, frame.frame_id)

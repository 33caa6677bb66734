"""One frame on its way through the pipelines of its camera, which may ask for each other's results."""
from typing import Any, Dict, Optional, Sequence

from .data import FlowField, Frame
from .pipeline import FlowSource, Pipeline


class FrameInHand(FlowSource):
    """Runs pipelines on one frame, each once however many ask for its result; keeps frame and results, and no longer.

    Args:
        pipelines: those whose results are needed of this frame.
    """

    def __init__(self, frame: Frame, pipelines: Sequence[Pipeline[Any]]) -> None:
        self._frame = frame
        self._flow = next((each for each in pipelines if each.gives_flow), None)
        self._results: Dict[Pipeline[Any], Any] = {}

    def result(self, pipeline: Pipeline[Any]) -> Any:
        """Return what `Pipeline.process` gives, or raise what it raises."""
        if pipeline not in self._results:
            self._results[pipeline] = pipeline.process(self._frame)
        return self._results[pipeline]

    def shared_flow(self) -> Optional[FlowSource]:
        """Return itself where one of the pipelines gives the flow to this frame; None = none does."""
        return None if self._flow is None else self

    def process(self, frame: Frame) -> Optional[FlowField]:
        """Return the flow to the frame in hand."""
        assert self._flow is not None
        assert frame is self._frame
        return self.result(self._flow)

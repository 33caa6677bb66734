"""One frame on its way through the pipelines of its camera, which may ask for each other's results."""
from functools import partial
from typing import Any, Callable, Dict, Optional, Sequence

from .data import FlowField, Frame
from .pipeline import Pipeline


class FrameInHand:
    """Runs a camera's pipelines on one frame, each once, even if several need its result."""

    def __init__(self) -> None:
        self._frame: Optional[Frame] = None
        self._flow: Optional[Pipeline[Any]] = None
        self._results: Dict[Pipeline[Any], Any] = {}

    def take(self, frame: Frame, pipelines: Sequence[Pipeline[Any]]) -> None:
        """Take a frame for which the results of these pipelines are needed."""
        self._frame = frame
        self._flow = next((each for each in pipelines if each.gives_flow), None)
        self._results = {}

    def release(self) -> None:
        """Release frame and results, which would keep an image message alive until the next one."""
        self._frame, self._flow, self._results = None, None, {}

    def result(self, pipeline: Pipeline[Any]) -> Any:
        """Return the result of `Pipeline.process`, or raise its error."""
        if pipeline not in self._results:
            assert self._frame is not None
            self._results[pipeline] = pipeline.process(self._frame)
        return self._results[pipeline]

    def shared_flow(self) -> Optional[Callable[[], Optional[FlowField]]]:
        """Return the function that gives the flow to this frame, if a pipeline computes it; else None."""
        return None if self._flow is None else partial(self.result, self._flow)

"""One task of a node: its model, its engine while that is open, and the topics and the pipeline of each camera."""
from collections import Counter
from typing import Callable, Dict, Optional, Sequence

from rclpy.node import Node

from ..core.cameras import CameraSpec
from ..core.engine import Engine
from ..core.image import FrameDecoder
from ..core.pipeline import Pipeline, SharedFlow
from ..core.settings import Settings
from ..core.tasks import carrying_class, pipeline_class, publishers_class
from ..core.timing import StageTimer
from ..engines import BuiltEngine, EngineOptions, carrying_flow, deployed_model, open_engine
from .node_sink import NodeSink
from .publishers import TaskPublishers


class CameraTask:
    """The topics and the pipeline of one task for one camera.

    Attributes:
        name: name of the task.
        pipeline: None while the engine is not open.
        counts: frames `segmented` and `carried`, if results are carried.
        shared_flow: see pipeline.SharedFlow.
        has_time: returns whether the present frame may take long.
    """

    def __init__(self, name: str, publishers: TaskPublishers) -> None:
        self.name = name
        self.publishers = publishers
        self.pipeline: Optional[Pipeline] = None
        self.counts: Dict[str, int] = Counter()
        self.shared_flow: SharedFlow = lambda: None
        self.has_time: Callable[[], bool] = lambda: True

    def reset(self) -> None:
        """Forget earlier frames."""
        if self.pipeline is not None:
            self.pipeline.reset()


class NodeTask:
    """One task of a node.

    Attributes:
        cameras: its topics and pipeline for each camera.
        engine: None while it is not open.

    Raises:
        ConfigError: there is no such task, or its model is for another.
    """

    def __init__(self, node: Node, name: str, settings: Settings, cameras: Sequence[CameraSpec],
                 decoder: FrameDecoder, timer: StageTimer) -> None:
        self.name = name
        self.model = deployed_model(name, settings)
        publishers = publishers_class(name)
        self.cameras = [
            CameraTask(name, publishers(NodeSink(node, camera.namespace), self.model, settings, decoder))
            for camera in cameras]
        self.engine: Optional[Engine] = None
        self._flow_engine: Optional[Engine] = None
        self._settings = settings
        self._decoder = decoder
        self._timer = timer

    def open(self, options: EngineOptions, built: Optional[BuiltEngine] = None) -> Engine:
        """Open the engine and make the pipelines, which write into the publishers' messages; return the engine.

        Args:
            built: see `open_engine`.
        """
        self.engine = open_engine(self.model, options, self._decoder, built)
        carrying = carrying_class(self.name, self._settings)
        if carrying is not None:
            self._flow_engine = open_engine(*carrying_flow(options), self._decoder)
        for number, camera in enumerate(self.cameras):
            more = {} if carrying is None else {
                'flow_engine': self._flow_engine, 'shared_flow': camera.shared_flow, 'has_time': camera.has_time,
                'counts': camera.counts}
            camera.pipeline = (carrying or pipeline_class(self.name))(
                self.engine, self.model, self._settings, self._timer, camera.publishers.allocate,
                camera.publishers.wants, number, **more)
        return self.engine

    def configure(self) -> None:
        """Update the settings of the pipelines. From any thread."""
        for camera in self.cameras:
            pipeline = camera.pipeline  # The worker may remove it at the same time.
            if pipeline is not None:
                pipeline.configure(self._settings)

    def close(self) -> None:
        """Close the engine. May be called twice."""
        for engine in (self.engine, self._flow_engine):
            if engine is not None:
                engine.close()
        self.engine = self._flow_engine = None
        for camera in self.cameras:
            camera.pipeline = None

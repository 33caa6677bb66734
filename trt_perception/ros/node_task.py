"""One task of a node: its model, its topics, and, while the engine is open, its pipeline."""
from typing import Optional

from rclpy.node import Node

from ..core.engine import Engine
from ..core.errors import ConfigError
from ..core.image import FrameDecoder
from ..core.model import load_model
from ..core.pipeline import Pipeline
from ..core.settings import Settings
from ..core.tasks import pipeline_class, publishers_class
from ..core.timing import StageTimer
from ..engines import BuiltEngine, EngineOptions, default_model, open_engine
from .node_sink import NodeSink
from .publishers import TaskPublishers


class NodeTask:
    """One task of a node.

    Attributes:
        engine, pipeline: None while the engine is not open.

    Raises:
        ConfigError: there is no such task, or its model is for another.
    """

    def __init__(self, node: Node, name: str, settings: Settings, decoder: FrameDecoder, timer: StageTimer) -> None:
        self.name = name
        named = settings[name + '.model']
        self.model = load_model(named) if named else default_model(name, settings['engine'])
        if self.model.task != name:
            raise ConfigError('parameter {}.model: {} is a model for {}, expected one for {}.'.format(
                name, self.model.path, self.model.task, name))
        self.publishers: TaskPublishers = publishers_class(name)(NodeSink(node), self.model, settings, decoder)
        self.engine: Optional[Engine] = None
        self.pipeline: Optional[Pipeline] = None
        self._settings = settings
        self._decoder = decoder
        self._timer = timer

    def open(self, options: EngineOptions, built: Optional[BuiltEngine] = None) -> Engine:
        """Open the engine and make the pipeline, which writes into the publishers' messages; return the engine.

        Args:
            built: see `open_engine`.
        """
        self.engine = open_engine(self.model, options, self._decoder, built)
        self.pipeline = pipeline_class(self.name)(self.engine, self.model, self._settings, self._timer,
                                                  self.publishers.allocate, self.publishers.wants)
        return self.engine

    def configure(self) -> None:
        """Bring settings that the pipeline holds up to date. From any thread."""
        pipeline = self.pipeline  # The worker may take it away meanwhile.
        if pipeline is not None:
            pipeline.configure(self._settings)

    def close(self) -> None:
        """Close the engine. May be called twice."""
        if self.engine is not None:
            self.engine.close()
        self.engine = self.pipeline = None

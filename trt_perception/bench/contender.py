"""Contenders: the deployed pipeline on an engine, or anything else that turns images into results."""
import abc
from typing import Dict, Optional

import numpy as np

from ..core.engine import Engine
from ..core.errors import ConfigError
from ..core.model import Model
from ..core.pipeline import Pipeline
from ..core.tasks import pipeline_class
from ..core.timing import StageTimer
from ..engines import EngineOptions, open_engine
from .frames import EncodedImage, read_image

STAGES = ('read', 'preprocess', 'upload', 'infer', 'download', 'decode', 'publish')
"""Stages in the order of a frame. Stages that a contender does not have or cannot separate are missing."""
TRANSFERS = ('upload', 'download')


RESTING = {'max_pair_gap': 0.0}
"""Settings of the contenders: no gap limit, because the camera rests while others have their turn."""


class Contender(abc.ABC):
    """Turns images into results, one at a time.

    Attributes:
        name: its name in tables.
        task: one of tasks.TASKS; only contenders of one task are compared.
        facts: further properties that identify it: engine, precision, network file ...
    """

    def __init__(self, name: str, task: str, facts: Dict[str, str]) -> None:
        self.name = name
        self.task = task
        self.facts = facts

    @abc.abstractmethod
    def process(self, image: EncodedImage, stamp_ns: int) -> Dict[str, float]:
        """Process one image and return ms per stage, of STAGES.

        Raises:
            PerceptionError: it failed.
        """

    @abc.abstractmethod
    def result(self) -> Optional[np.ndarray]:
        """Return labels (H, W) uint8 or flow (H, W, 2) float32 of the last image; None = it had none."""

    def close(self) -> None:
        """Free its resources."""
        return


class LastTimes(StageTimer):
    """The last duration of each stage, by the last word of its name."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Dict[str, float] = {}

    def add(self, name: str, milliseconds: float) -> None:
        """Record a duration of a stage."""
        self.last[name.split()[-1]] = milliseconds


class PipelineContender(Contender):
    """The pipeline that the nodes run, on an engine.

    Results are written directly to their destination, as in a message; only nodes have the stage `publish`.

    Args:
        optional: whether the optional outputs are wanted, such as a confidence.
    """

    def __init__(self, model: Model, engine: Engine, threads: int = 0, optional: bool = True) -> None:
        self.engine = engine
        self._times = LastTimes()
        self._pipeline: Pipeline = pipeline_class(model.task)(engine, model, RESTING, self._times,
                                                              wants=lambda role: optional)
        self._result: Optional[np.ndarray] = None
        super().__init__('{} {} {}'.format(model.name, engine.backend, engine.precision), model.task, {
            'model': model.path, 'engine': engine.backend, 'precision': engine.precision, 'network': engine.file,
            'input': '{}x{}'.format(*engine.input_size), 'threads': str(threads)})

    def process(self, image: EncodedImage, stamp_ns: int) -> Dict[str, float]:
        """Process one image; see Contender."""
        self._times.last = {}
        with self._times.stage('read'):
            frame = read_image(image, stamp_ns)
        value = self._pipeline.process(frame)
        self._result = None if value is None else value[0]
        self._times.last.update(self.engine.stage_ms)
        return self._times.last

    def result(self) -> Optional[np.ndarray]:
        """Return the last result; see Contender."""
        return self._result

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def open_contender(model: Model, engine: str, threads: int = 0, optional: bool = True) -> PipelineContender:
    """Open the pipeline of a model on an engine.

    Args:
        engine: ENGINE or ENGINE:PRECISION, as the parameters of the nodes have them.
        optional: as for PipelineContender.

    Raises:
        ConfigError: there is no such engine or precision here, or the model has no network for it.
        EngineError: the network cannot be opened.
    """
    options = engine_options(engine, threads)
    return PipelineContender(model, open_engine(model, options), options.threads, optional)


def engine_options(engine: str, threads: int) -> EngineOptions:
    """Return the options for ENGINE or ENGINE:PRECISION; engines measure their stages.

    Raises:
        ConfigError: a colon without a precision.
    """
    name, colon, precision = engine.partition(':')
    if not name or (colon and not precision):
        raise ConfigError('--engine: got {!r}, expected ENGINE or ENGINE:PRECISION, e.g. onnxruntime:fp32.'.format(
            engine))
    return EngineOptions(name, precision, threads, profile=True)

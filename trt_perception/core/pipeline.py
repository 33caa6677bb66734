"""The common part of the pipelines of all tasks: Frame -> result, on one engine, with settings that may change."""
import abc
import math
from typing import Any, Callable, Generic, Mapping, Optional, Tuple, TypeVar

import numpy as np

from .data import FlowField, Frame, Size
from .engine import Engine
from .errors import ConfigError
from .model import Model
from .settings import defaults
from .timing import StageTimer

CAMERA = 'camera'
NETWORK = 'network'

Allocate = Callable[[str, Tuple[int, ...], type], np.ndarray]
"""Returns the memory of a result: (name, shape, dtype) -> array. Called when the geometry changes."""

SharedFlow = Callable[[], Optional[Callable[[], Optional[FlowField]]]]
"""Returns what gives the flow to the frame in hand, on the grid 'current', that is computed anyway; None = nothing."""

Result = TypeVar('Result', bound=Tuple[Any, ...])
"""A value of core.data whose first field is the array that is published."""


def allocate_array(name: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
    """Allocate the memory of a result as a plain array of that shape."""
    return np.empty(shape, dtype)


class Pipeline(abc.ABC, Generic[Result]):
    """Runs the engine of one task on frames.

    Args:
        settings: parameters of the nodes by name; those that are missing have their defaults. With output_size
            'camera' results are on the camera's pixel grid, with 'network' as the network gives them.
        timer: records the time of the stages.
        allocate: gives the memory of results, so that a publisher can pass that of its message.
        wants: returns whether an optional output of the task is needed; called per frame.
        camera: number of its camera, see `Engine.select`: each camera has a pipeline, all on one engine.

    Raises:
        EngineError: the engine's outputs are not those of the task.
    """

    task = ''
    """Key in tasks.TASKS."""
    lacks = ''
    """Why the last frame had no result: 'NAME: details', or health.FIRST_IMAGE; '' = it had one."""

    def __init__(self, engine: Engine, model: Model, settings: Optional[Mapping[str, Any]] = None,
                 timer: Optional[StageTimer] = None, allocate: Allocate = allocate_array,
                 wants: Callable[[str], bool] = lambda role: True, camera: int = 0) -> None:
        self._engine = engine
        self._camera = camera
        engine.select(camera)  # Now, so that a lack of memory is detected at start.
        self._model = model
        self._timer = timer or StageTimer()
        self._allocate = allocate
        self._wants = wants
        self._size = self._check_outputs()
        self._target: Optional[Size] = None
        self._settings = defaults()
        self.configure(settings or {})

    @property
    def gives_flow(self) -> bool:
        """Whether results are FlowFields on the grid of the frame itself, along which others can be carried."""
        return False

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply settings, from any thread; missing ones stay as they are. Only `runtime` ones may change later."""
        self._settings.update(settings)
        self._configured()

    def process(self, frame: Frame) -> Optional[Result]:
        """Return the result for one frame; None if a previous frame is missing.

        ITS ARRAYS ARE REUSED: they are valid until the next call.

        Raises:
            FrameError: the frame cannot be decoded.
            EngineError: the engine failed.
        """
        self._engine.select(self._camera)
        return self._process(frame)

    @abc.abstractmethod
    def reset(self) -> None:
        """Forget earlier frames."""

    @staticmethod
    @abc.abstractmethod
    def difference(result: np.ndarray, other: np.ndarray) -> str:
        """Return how far two results, (H, W) or (H, W, C) arrays for the same frame, agree, human-readable."""

    @abc.abstractmethod
    def _process(self, frame: Frame) -> Optional[Result]:
        """Implement `process`; the engine has this camera's inputs."""

    @abc.abstractmethod
    def _check_outputs(self) -> Size:
        """Refuse an engine whose outputs are not those of the task; return their (height, width)."""

    def _configured(self) -> None:
        """Read the settings that frames need from `self._settings`."""
        return

    @abc.abstractmethod
    def _resize(self, target: Size) -> None:
        """Allocate results of another (height, width) and prepare to resize to it."""

    def _least_confidence(self) -> int:
        """Return the task's setting min_confidence as a byte; 0 = off.

        Raises:
            ConfigError: it is set, but the model gives no confidence.
        """
        name = self.task + '.min_confidence'
        least = self._settings[name]
        if least and 'confidence' not in self._model.output.names:
            raise ConfigError('{}: got {}, but model {} gives no confidence. Set it to 0, or use a model whose YAML '
                              'names a confidence.'.format(name, least, self._model.name))
        return math.ceil(255 * least)

    def _set_target(self, frame: Frame) -> None:
        """Prepare for the size of a frame's result."""
        target = (frame.height, frame.width) if self._settings['output_size'] == CAMERA else self._size
        if target != self._target:
            self._resize(target)
            self._target = target

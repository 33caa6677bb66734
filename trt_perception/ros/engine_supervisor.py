"""The engines of a node from start to end: builds what is missing, opens them, and reopens them after a fault."""
import contextlib
import enum
import time
from typing import Any, Callable, Iterator, List, Optional, Sequence

from ..core.errors import ConfigError, EngineError
from ..core.settings import Settings
from ..engines import BuiltEngine, engine_options
from .node_task import NodeTask
from .preparation import Preparation

_LONGEST_BACKOFF_S = 30.0
TICK_S = 0.1
"""Longest wait before `stop` is noticed."""


class State(enum.Enum):
    """State of the engines; the values are human-readable."""

    OPENING = 'opening the engine'
    RUNNING = 'running'
    FAULT = 'engine fault, reopening'


class EngineSupervisor:
    """Opens and closes the engines of a node's tasks, all together. Only `stop` may be called from another thread.

    Args:
        log: the node's logger.

    Attributes:
        state: see State.
        last_error: text of the last fault; '' = there was none.
    """

    def __init__(self, tasks: Sequence[NodeTask], settings: Settings, log: Any) -> None:
        self.state = State.OPENING
        self.last_error = ''
        self._tasks = tasks
        self._log = log
        self._substitute = settings['serve_while_building']
        self._options = engine_options(settings)
        self._preparation: Optional[Preparation] = None
        self._stopped = False
        self._retry_at_s = 0.0
        self._backoff_s = 1.0

    @property
    def building(self) -> str:
        """Progress of the build of an engine, human-readable; '' while there is none."""
        preparation = self._preparation
        return preparation.progress if preparation is not None else ''

    def start(self, serve: Callable[[Callable[[], bool]], None]) -> None:
        """Open the engines; a build that is necessary may take minutes.

        Args:
            serve: handles frames while its argument, a function, returns True. Called if an engine must be built and
                serve_while_building is set, with the engines of that back-end.

        Raises:
            ConfigError, EngineError: they cannot be opened.
        """
        with self._prepare() as preparation:
            if self._substitute:
                self._serve_while_building(preparation, serve)
            self._wait(preparation)
        self._open(preparation.built)

    def ready(self) -> bool:
        """Return whether the engines run; after a fault, reopen them when their pause is over."""
        if self.state != State.RUNNING and time.monotonic() >= self._retry_at_s:
            try:
                with self._prepare() as preparation:
                    self._wait(preparation)
                self._open(preparation.built)
            except (EngineError, ConfigError) as error:  # ConfigError: the file has disappeared meanwhile.
                self.fail(str(error))
        return self.state == State.RUNNING

    def succeed(self) -> None:
        """Record that a frame was processed: the pause after the next fault is short again."""
        self._backoff_s = 1.0

    def fail(self, text: str) -> None:
        """Close the engines for a fault; they are reopened after a pause that grows from fault to fault."""
        self.state = State.FAULT
        self.last_error = text
        self._log.error('{} Reopening in {:.0f} s.'.format(text, self._backoff_s))
        self.close()
        self._retry_at_s = time.monotonic() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)

    def stop(self) -> None:
        """Cancel a build, and open nothing any more."""
        self._stopped = True

    def close(self) -> None:
        """Close the engines."""
        for task in self._tasks:
            task.close()

    def _serve_while_building(self, preparation: Preparation, serve: Callable[[Callable[[], bool]], None]) -> None:
        while preparation.is_alive() and not (preparation.progress or self._stopped):
            preparation.join(TICK_S)
        if preparation.is_alive():
            wanted = self._options
            self._options = wanted._replace(backend=self._substitute, precision='')
            self._open_tasks([None] * len(self._tasks))
            serve(preparation.is_alive)
            self.close()
            self.state = State.OPENING
            self._options = wanted

    def _wait(self, preparation: Preparation) -> None:
        while preparation.is_alive() and not self._stopped:
            preparation.join(TICK_S)
        preparation.check()

    @contextlib.contextmanager
    def _prepare(self) -> Iterator[Preparation]:
        before = self._preparation  # Of what is built while others serve.
        try:
            with Preparation([task.model for task in self._tasks], self._options) as preparation:
                self._preparation = preparation
                yield preparation
        finally:
            self._preparation = before

    def _open(self, built: List[Optional[BuiltEngine]]) -> None:
        if self._stopped:
            return
        for each in built:
            if each is not None:
                self._log.info(each.summary)
                if each.warning:
                    self._log.warning(each.warning)
        self._options = self._options._replace(rebuild=False)  # That was done.
        self._open_tasks(built)

    def _open_tasks(self, built: Sequence[Optional[BuiltEngine]]) -> None:
        for task, file in zip(self._tasks, built):
            engine = task.open(self._options, file)
            self._log.info('{}: {} on {}, {}, {}x{} px'.format(
                task.name, task.model.name, engine.backend, engine.precision, *engine.input_size))
        self.state = State.RUNNING

"""Builds missing engines in a separate thread, so that the node stays responsive."""
import threading
from typing import Any, List, Optional, Sequence

from ..core.model import Model
from ..engines import BuiltEngine, EngineOptions, prepare_engine


class _StopError(Exception):
    """Ends a build whose result is no longer needed."""


class Preparation(threading.Thread):
    """Prepares the engines of some models during a `with`, whose end cancels what is not finished.

    Attributes:
        progress: progress of the build, human-readable; '' until something must be built.
        built: for each finished model, the engine file; None if the model's own file is opened.
    """

    def __init__(self, models: Sequence[Model], options: EngineOptions) -> None:
        super().__init__(name='preparation', daemon=True)
        self.progress = ''
        self.built: List[Optional[BuiltEngine]] = []
        self._models = models
        self._options = options
        self._stopped = False
        self._error: Optional[Exception] = None

    def __enter__(self) -> 'Preparation':
        self.start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._stopped = True
        self.join()

    def run(self) -> None:
        """Prepare one engine after the other."""
        try:
            for model in self._models:
                self.built.append(prepare_engine(model, self._options, self._note))
        except _StopError:
            pass
        except Exception as error:  # Raised in the thread that waits: see `check`.
            self._error = error

    def check(self) -> None:
        """Raise the error of the thread, if there was one."""
        if self._error is not None:
            raise self._error

    def _note(self, text: str) -> None:
        if self._stopped:
            raise _StopError
        self.progress = text

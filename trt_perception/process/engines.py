"""Open engines for one job after another: opening one takes as long as a second of video or more."""
from typing import Dict, Tuple

from ..core.engine import Engine
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.settings import Settings
from ..engines import EngineOptions, carrying_flow, engine_options, open_engine


class Engines:
    """Opens each engine once; use it with `with`. For one thread.

    Attributes:
        decoder: shared by all engines, so that two tasks need one decode.
    """

    def __init__(self) -> None:
        self.decoder = FrameDecoder()
        self._opened: Dict[Tuple[str, EngineOptions], Engine] = {}

    def __enter__(self) -> 'Engines':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def get(self, model: Model, settings: Settings) -> Engine:
        """Return the engine of a task's model.

        Raises:
            ConfigError, EngineError: it cannot be opened.
        """
        return self._open(model, engine_options(settings))

    def carrying(self, settings: Settings) -> Engine:
        """Return the engine of the flow that carries results.

        Raises:
            ConfigError, EngineError: it cannot be opened.
        """
        return self._open(*carrying_flow(engine_options(settings)))

    def _open(self, model: Model, options: EngineOptions) -> Engine:
        key = repr(model), options
        if key not in self._opened:
            self._opened[key] = open_engine(model, options, self.decoder)
        return self._opened[key]

    def close(self) -> None:
        """Close all engines. The next `get` opens its engine again, as is necessary after an EngineError."""
        for engine in self._opened.values():
            engine.close()
        self._opened.clear()

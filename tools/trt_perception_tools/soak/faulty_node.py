"""`trt_perception` with one addition: SIGUSR1 makes the next inference fail, as a lost GPU would."""
from __future__ import annotations

import signal
import sys
from collections.abc import Collection
from typing import Any

from trt_perception import cli
from trt_perception.core.engine import Engine
from trt_perception.core.errors import EngineError

_asked: list[bool] = []


def _infer(self: Engine, wanted: Collection[str] | None = None) -> Any:
    if _asked:
        _asked.clear()
        raise EngineError('injected by trt_perception_tools soak: the device is gone. Wait: the node opens it again.')
    return _original(self, wanted)


_original = Engine.infer

if __name__ == '__main__':
    Engine.infer = _infer  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, lambda *_: _asked.append(True))
    sys.exit(cli.main())

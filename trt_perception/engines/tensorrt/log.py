"""The one logger that this process gives TensorRT.

TensorRT has a single logger: while one of its objects exists, it ignores or replaces another one; and it does not keep
the Python object alive.
"""
import logging
from collections import deque
from typing import Any, Deque

import tensorrt as trt

_log = logging.getLogger(__name__)

# TensorRT's INFO reports each step.
_LEVELS = {trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR, trt.ILogger.Severity.ERROR: logging.ERROR,
           trt.ILogger.Severity.WARNING: logging.WARNING, trt.ILogger.Severity.INFO: logging.DEBUG,
           trt.ILogger.Severity.VERBOSE: logging.DEBUG}
_KEPT = 8


class Log(trt.ILogger):
    """Forwards TensorRT's messages to `logging`, and keeps the errors for our own texts."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # super() does not work with pybind11.
        self._errors: Deque[str] = deque(maxlen=_KEPT)
        self._warnings: Deque[str] = deque(maxlen=_KEPT)

    def log(self, severity: Any, msg: str) -> None:
        """Record a message. Called from several threads."""
        level = _LEVELS[severity]
        if level >= logging.WARNING:
            kept = self._errors if level == logging.ERROR else self._warnings
            kept.append(' '.join(msg.split()))
        _log.log(level, 'TensorRT: %s', msg)

    def clear(self) -> None:
        """Forget the errors: later ones are from another call."""
        self._errors.clear()
        self._warnings.clear()

    def reason(self) -> str:
        """Return the errors since `clear`, or else the warnings: for TensorRT 8.5 a missing driver is a warning."""
        return ' | '.join(self._errors or self._warnings) or 'it gave no reason'


LOG = Log()

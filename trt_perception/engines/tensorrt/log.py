"""The one logger that this process gives TensorRT.

TensorRT has a single one: it ignores or swaps any other that it is given while something of it lives, and keeps no
Python object alive.
"""
import logging
from collections import deque
from typing import Any, Deque

import tensorrt as trt

_log = logging.getLogger(__name__)

# TensorRT's INFO is what it does, step by step.
_LEVELS = {trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR, trt.ILogger.Severity.ERROR: logging.ERROR,
           trt.ILogger.Severity.WARNING: logging.WARNING, trt.ILogger.Severity.INFO: logging.DEBUG,
           trt.ILogger.Severity.VERBOSE: logging.DEBUG}
_KEPT = 8


class Log(trt.ILogger):
    """Hands TensorRT's messages to `logging`, and keeps the errors for our own."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # super() is not enough for pybind11.
        self._errors: Deque[str] = deque(maxlen=_KEPT)
        self._warnings: Deque[str] = deque(maxlen=_KEPT)

    def log(self, severity: Any, msg: str) -> None:
        """Note a message. Called from several threads."""
        level = _LEVELS[severity]
        if level >= logging.WARNING:
            kept = self._errors if level == logging.ERROR else self._warnings
            kept.append(' '.join(msg.split()))
        _log.log(level, 'TensorRT: %s', msg)

    def clear(self) -> None:
        """Forget the errors: what comes now is of another call."""
        self._errors.clear()
        self._warnings.clear()

    def reason(self) -> str:
        """Return the errors since `clear`, or else the warnings: to TensorRT 8.5 a missing driver is one."""
        return ' | '.join(self._errors or self._warnings) or 'it gave no reason'


LOG = Log()

"""Times of stages: percentiles over the most recent samples, ms."""
import contextlib
import time
from typing import Dict, Iterator, NamedTuple

import numpy as np

WINDOW = 1024
"""Samples kept per stage: half a minute at 30 Hz."""


class Percentiles(NamedTuple):
    """Distribution of one stage, ms."""

    samples: int
    """Samples since the start, including those that have left the window."""
    p50: float
    p95: float
    p99: float
    max: float


class StageTimer:
    """Records durations per stage. One thread writes; any thread may read a summary."""

    def __init__(self) -> None:
        self._samples: Dict[str, np.ndarray] = {}
        self._counts: Dict[str, int] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a `with`; nothing is recorded if it raises."""
        start = time.perf_counter()
        yield
        self.add(name, (time.perf_counter() - start) * 1e3)

    def add(self, name: str, milliseconds: float) -> None:
        """Record a duration of a stage."""
        if name not in self._samples:
            self._counts[name] = 0
            self._samples[name] = np.zeros(WINDOW)
        self._samples[name][self._counts[name] % WINDOW] = milliseconds
        self._counts[name] += 1

    def summary(self) -> Dict[str, Percentiles]:
        """Return the percentiles of every stage, in the order in which stages were first seen."""
        result = {}
        for name in list(self._samples):
            count = self._counts[name]
            if count:
                recent = self._samples[name][:count]
                p50, p95, p99 = np.percentile(recent, [50, 95, 99])
                result[name] = Percentiles(count, float(p50), float(p95), float(p99), float(recent.max()))
        return result

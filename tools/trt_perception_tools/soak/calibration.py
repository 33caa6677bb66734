"""A fixed amount of work that is timed repeatedly during a measurement: the unit of the limits."""
from __future__ import annotations

import statistics
import threading
import time

import cv2
import numpy as np

_EVERY_S = 2.0
_PASSES = 12


class Calibration(threading.Thread):
    """Times the loop every two seconds, on the same machine and under the same load as the node.

    It blurs an image and multiplies matrices on one thread, as networks do: about 25 ms on a core of a server.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._wall_s: list[float] = []
        self._cpu_s: list[float] = []
        self._ended = threading.Event()
        self._image = np.full((480, 640, 3), 90, np.uint8)
        self._matrix = np.ones((160, 160), np.float32)

    def run(self) -> None:
        """Time the loop until `end`."""
        while not self._ended.wait(_EVERY_S if self._wall_s else 0.0):
            wall_s, cpu_s = time.monotonic(), time.thread_time()
            for _ in range(_PASSES):
                cv2.GaussianBlur(self._image, (7, 7), 1.5)
                np.einsum('ij,jk->ik', self._matrix, self._matrix)  # Without BLAS, whose threads would dominate.
            self._wall_s.append(time.monotonic() - wall_s)
            self._cpu_s.append(time.thread_time() - cpu_s)

    def end(self) -> None:
        """Stop."""
        self._ended.set()
        self.join()

    @property
    def wall_s(self) -> float:
        """Return the mean time of the loop, s: longer while other processes compete for the CPU."""
        return statistics.fmean(self._wall_s)

    @property
    def cpu_s(self) -> float:
        """Return the median CPU time of the loop, s."""
        return statistics.median(self._cpu_s)

"""Time of the engine that cameras share: decides whether long work fits before an image is lost. Knows clocks only."""
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Tuple

LONGEST = 10
"""Largest number of images of a camera from one with long work to the next, whether it fits or not."""
_INTERVALS = 16
_DURATIONS = 5
_GONE = 4
"""Intervals without an image after which a camera counts as gone."""


class EngineTime:
    """Grants long work, a segmentation, if no camera is expected to lose an image by it.

    One image of each camera may wait, so the one after the next is the first that would replace another. Its arrival is
    predicted from earlier arrivals, and the time of an image, with and without long work, from earlier images.

    `arrived` may be called from any thread; the others are for the thread that uses the engine.
    """

    def __init__(self, cameras: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrivals: List[Tuple[float, ...]] = [()] * cameras
        self._waits = [False] * cameras
        self._ages = [0] * cameras
        self._asks = 0
        self._asked_last = [0] * cameras
        self._began_s = 0.0
        self._granted: Optional[bool] = None
        self._long_s: Deque[float] = deque(maxlen=_DURATIONS)
        self._short_s: Deque[float] = deque(maxlen=_DURATIONS)

    def arrived(self, camera: int) -> None:
        """Note that an image has arrived."""
        self._arrivals[camera] = self._arrivals[camera][-_INTERVALS:] + (self._clock(),)
        self._waits[camera] = True

    def begin(self, camera: int) -> None:
        """Note that work on the newest image of a camera begins."""
        self._waits[camera] = False
        self._began_s = self._clock()
        self._granted = None

    def end(self) -> None:
        """Note that the work is done."""
        if self._granted is not None:
            (self._long_s if self._granted else self._short_s).append(self._clock() - self._began_s)

    def grants(self, camera: int) -> bool:
        """Return whether the present image, of this camera, gets long work. Called once per image."""
        self._ages[camera] += 1
        self._granted = self._ages[camera] >= LONGEST or self._is_next(camera) and self._fits()
        if self._granted:
            self._ages[camera] = 0
        self._asks += 1
        self._asked_last[camera] = self._asks
        return self._granted

    def _is_next(self, camera: int) -> bool:
        """Return whether no other active camera has waited for more of its images."""
        since = self._asked_last[camera]
        return all(age + 1 <= self._ages[camera] for age, asked in zip(self._ages, self._asked_last) if asked > since)

    def _fits(self) -> bool:
        now_s = self._clock()
        foreseen = [self._next_loss_s(camera, now_s) for camera in range(len(self._waits))]
        losses = [loss_s for loss_s in foreseen if loss_s is not None]
        if not losses or not self._long_s:
            return True  # No measurement yet: the first one is made now.
        others_s = (len(losses) - 1) * _usual(self._short_s)
        return self._began_s + _usual(self._long_s) + others_s <= min(losses)

    def _next_loss_s(self, camera: int, now_s: float) -> Optional[float]:
        """Return when a camera loses an image if none of its images is taken before; None = unknown, or it is gone."""
        arrivals, waits = self._arrivals[camera], self._waits[camera]
        intervals = sorted(after - before for before, after in zip(arrivals, arrivals[1:]))
        if not intervals:
            return None
        interval_s = intervals[len(intervals) // 4]  # Not the mean: where images jitter, the next may come early.
        if waits:
            return arrivals[-1] + interval_s
        if now_s - arrivals[-1] > _GONE * interval_s:
            return None
        return max(arrivals[-1] + interval_s, now_s) + interval_s


def _usual(durations: Deque[float]) -> float:
    """Return the second longest of the last ones, since one may be an outlier; 0 if there are none."""
    return sorted(durations)[-2:][0] if durations else 0.0

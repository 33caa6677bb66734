"""The rate at which a camera takes images, from the stamps of those that arrive."""
import collections
from typing import Deque

_SAMPLES = 65
_FEW = 20


class SenderRate:
    """Takes the stamps of successive images. Even if some are lost, others are still consecutive.

    If exactly every second image is lost, the camera seems to have half its rate.
    """

    def __init__(self) -> None:
        self._stamps: Deque[int] = collections.deque(maxlen=_SAMPLES)

    def add(self, stamp_ns: int) -> None:
        """Record the stamp of an image."""
        self._stamps.append(stamp_ns)

    @property
    def hz(self) -> float:
        """Images per second that the camera takes; 0 = too few have arrived, or their stamps do not increase."""
        stamps = list(self._stamps)
        intervals = sorted(after - before for before, after in zip(stamps, stamps[1:]))
        if len(intervals) < _FEW or intervals[0] <= 0:
            return 0.0
        return 1e9 / intervals[len(intervals) // 10]  # Not the shortest, because stamps jitter.

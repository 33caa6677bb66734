"""The rate at which a camera takes images, told by the stamps of those that arrive."""
import collections
from typing import Deque

_SAMPLES = 65
_FEW = 20


class SenderRate:
    """Takes the stamps of successive images. Where some are lost on the way, others still follow each other.

    A camera of which every second image is lost, and never two that follow each other, looks like one of half its rate.
    """

    def __init__(self) -> None:
        self._stamps: Deque[int] = collections.deque(maxlen=_SAMPLES)

    def add(self, stamp_ns: int) -> None:
        """Note the stamp of an image."""
        self._stamps.append(stamp_ns)

    @property
    def hz(self) -> float:
        """Images per second that the camera takes; 0 = too few have come, or their stamps do not rise."""
        stamps = list(self._stamps)
        intervals = sorted(after - before for before, after in zip(stamps, stamps[1:]))
        if len(intervals) < _FEW or intervals[0] <= 0:
            return 0.0
        return 1e9 / intervals[len(intervals) // 10]  # Not the shortest: stamps jitter.

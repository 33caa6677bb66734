"""Follows successive flow fields back over a longer time, so that slow growth exceeds their errors."""
from typing import List, Tuple

import numpy as np


class FlowChain:
    """The newest flow fields of one camera, enough to cover an interval.

    Args:
        interval_s: time that they cover at least, if there are enough of them, s.
        stride: only every stride-th row and column is kept.
    """

    def __init__(self, interval_s: float, stride: int) -> None:
        self._interval_ns = 0.9e9 * interval_s  # Images are not periodic to the microsecond.
        self._stride = stride
        self._newest: Tuple[int, Tuple[int, ...]] = (0, ())
        self._fields: List[Tuple[np.ndarray, int]] = []

    def add(self, flow: np.ndarray, stamp_ns: int, before_ns: int) -> Tuple[List[np.ndarray], int]:
        """Take the newest flow, and return the earlier ones that lead further back.

        Args:
            flow: (H, W, 2) float32 on the grid of the image at `stamp_ns`, px since that at `before_ns`.

        Returns:
            (H / stride, W / stride, 2) each, newest first; and the stamp of the image to which all lead back, ns. After
            a gap or another size there are none.
        """
        if self._newest != (before_ns, flow.shape):
            self._fields = []
        self._newest = stamp_ns, flow.shape
        count, since_ns = 0, before_ns
        while count < len(self._fields) and stamp_ns - since_ns < self._interval_ns:
            since_ns = self._fields[count][1]
            count += 1
        self._fields = [(flow[::self._stride, ::self._stride].copy(), before_ns), *self._fields[:count]]
        return [field for field, _ in self._fields[1:]], since_ns

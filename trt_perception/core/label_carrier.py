"""Carries labels along optical flow, from the image that was segmented to later ones. Knows arrays only.

Flow is followed on a small grid; a gather by nearest neighbour then brings the labels to the later image in one call.
"""
from typing import Optional

import cv2
import numpy as np

from .data import Size
from .image import NearestResizer, resize_flow, scale_flow

GRID = (64, 84)
"""(height, width) of the grid on which motion is followed, px."""
DOUBT_PER_IMAGE = 1
"""By how much of 255 confidence falls per image: docs/measurements/propagate.md. What the flow's own confidence could
add is not worth its time there."""


class LabelCarrier:
    """Where each pixel of the newest image was in the image whose labels are kept, and those labels.

    All memory is allocated when a geometry is first seen.

    Args:
        finest: (height, width) of what gave the labels, px: larger label maps hold no more than that, and are carried
            at this size.

    Attributes:
        age: images since the one whose labels are kept.
        has_confidence: whether a confidence is kept, too.
    """

    def __init__(self, finest: Size) -> None:
        height, width = GRID
        self.age = 0
        self.has_confidence = False
        self._finest = finest
        self._pixels = _coordinates(height, width)
        self._step = np.empty((height, width, 2), np.float32)
        self._there = np.empty_like(self._step)
        self._path, self._next_path = np.zeros_like(self._step), np.empty_like(self._step)
        self._size: Optional[Size] = None

    def keep(self, labels: np.ndarray, confidence: Optional[np.ndarray] = None) -> None:
        """Keep the results of the newest image: (H, W) uint8 labels, and their confidence, 255 = certain."""
        if labels.shape != self._size:
            self._allocate(labels.shape)
        self._smaller.resize(labels, self._labels)
        self.has_confidence = confidence is not None
        if confidence is not None:
            self._smaller.resize(confidence, self._confidence)
        self._path.fill(0)
        self.age = 0

    def move(self, flow: np.ndarray) -> None:
        """Follow the motion from the newest image to the one after it.

        Args:
            flow: (h, w, 2) float32 on the later image's grid, px of that grid: the point now at (x, y) was at
                (x - u, y - v). NaN counts as no motion.
        """
        height, width = GRID
        resize_flow(flow, self._step, (-width / flow.shape[1], -height / flow.shape[0]))
        cv2.patchNaNs(self._step, 0)
        np.add(self._pixels, self._step, out=self._there)
        _gather(self._path, self._there, self._next_path, cv2.INTER_LINEAR)
        self._next_path += self._step
        self._path, self._next_path = self._next_path, self._path
        self.age += 1

    def carry(self, labels: np.ndarray, confidence: Optional[np.ndarray] = None) -> None:
        """Write the kept labels as they lie on the newest image into (H, W) uint8 arrays of the size of those kept.

        What was outside the image takes the label at its edge.

        Args:
            confidence: where the confidence is written; None = it is not wanted.
        """
        (height, width), (rows, columns) = self._labels.shape, GRID
        scale_flow(self._path, self._step, (width / columns, height / rows))
        cv2.resize(self._step, (width, height), dst=self._source, interpolation=cv2.INTER_LINEAR)
        cv2.add(self._source, self._target, dst=self._source)
        _gather(self._labels, self._source, self._carried, cv2.INTER_NEAREST)
        self._larger.resize(self._carried, labels)
        if confidence is not None:
            _gather(self._confidence, self._source, self._carried, cv2.INTER_NEAREST)
            cv2.subtract(self._carried, DOUBT_PER_IMAGE * self.age, dst=self._carried)  # type: ignore[call-overload]
            self._larger.resize(self._carried, confidence)

    def _allocate(self, size: Size) -> None:
        height, width = (min(pair) for pair in zip(size, self._finest))
        self._smaller, self._larger = NearestResizer(size, (height, width)), NearestResizer((height, width), size)
        self._labels, self._confidence, self._carried = (np.empty((height, width), np.uint8) for _ in range(3))
        self._target = _coordinates(height, width)
        self._source = np.empty_like(self._target)
        self._size = size


def _coordinates(height: int, width: int) -> np.ndarray:
    """Return (height, width, 2) float32: x, y of every pixel."""
    return np.ascontiguousarray(np.stack(np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=2))


def _gather(values: np.ndarray, there: np.ndarray, out: np.ndarray, interpolation: int) -> None:
    """Write into `out` what `values` have at the coordinates x, y `there`; outside, what they have at the edge."""
    cv2.remap(values, there, None, interpolation, dst=out,  # type: ignore[call-overload]  # OpenCV takes None.
              borderMode=cv2.BORDER_REPLICATE)

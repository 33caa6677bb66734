"""Temporal stability of labels: which change from one frame to the next although the scene does not.

Pixels are followed by OpenCV's DIS (Kroeger et al., ECCV 2016), preset medium, at the
camera's size; pixels that fail the forward-backward check are left out.
"""
from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.data import VOID

from .metrics import class_iou, confusion_matrix, mean_iou, pixel_accuracy
from .scorer import Steadiness


class Track(NamedTuple):
    """Positions of a frame's pixels, (H, W), in the previous frame."""

    rows: np.ndarray
    """(H, W) intp, px."""
    columns: np.ndarray
    followed: np.ndarray
    """(H, W) bool; False = occluded, outside the image, or uncertain flow."""


class Tracker:
    """Follows pixels from each frame of a video to the next."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before: np.ndarray | None = None

    def track(self, image: np.ndarray) -> Track | None:
        """Follow the pixels of the next frame, (H, W) uint8 grey; None for the first one or another size."""
        before, now = self._before, np.array(image, order='C')  # Copied, because the camera's memory is reused.
        self._before = now
        if before is None or before.shape != now.shape:
            return None
        return follow(self._calc(now, before), self._calc(before, now))

    def _calc(self, image: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray(self._flow.calc(image, other, None))  # type: ignore[call-overload]


def follow(backward: np.ndarray, forward: np.ndarray) -> Track:
    """Combine the flow of a frame to the previous one, and back, both (H, W, 2) float32, px.

    A pixel is followed if both agree: |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5 (Sundaram et al., ECCV 2010).
    """
    height, width = backward.shape[:2]
    there = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2).astype(np.float32) + backward
    back = cv2.remap(forward, there[..., 0], there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap = ((backward + back) ** 2).sum(2)
    nearest = np.rint(there).astype(np.intp)
    inside = ((nearest >= 0) & (nearest < (width, height))).all(2)
    agrees = gap < 0.01 * ((backward ** 2).sum(2) + (back ** 2).sum(2)) + 0.5
    columns, rows = (nearest[..., axis].clip(0, most - 1) for axis, most in ((0, width), (1, height)))
    return Track(rows, columns, inside & agrees)


class LabelChanges:
    """Counts by class the labels of followed pixels that stay and that change."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._counts = np.zeros((len(names), len(names) + 1), np.int64)
        self._before: np.ndarray | None = None
        self._followed = self._pixels = 0

    def add(self, labels: np.ndarray, track: Track | None) -> None:
        """Take the labels of the next frame, (H, W) uint8, and the track of its pixels."""
        if track is not None and self._before is not None:
            carried = np.where(track.followed, self._before[track.rows, track.columns], VOID)
            self._counts += confusion_matrix(carried, labels, len(self._names))
            self._followed += int(track.followed.sum())
            self._pixels += labels.size
        self._before = labels.copy()

    def result(self) -> Steadiness:
        """Return the results."""
        pixels = self._counts.sum(1)
        changed = np.divide(pixels - np.diag(self._counts), pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)
        return Steadiness(1 - pixel_accuracy(self._counts), dict(zip(self._names, changed.tolist(), strict=True)),
                          mean_iou(self._counts), dict(zip(self._names, class_iou(self._counts).tolist(), strict=True)),
                          self._followed / self._pixels if self._pixels else math.nan)

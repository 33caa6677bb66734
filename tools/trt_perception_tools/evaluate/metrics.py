"""Scores of label maps and flow fields against ground truth. Knows arrays only."""
from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .reliability import surest_mean

_OUTLIER_PX = 3.0
_OUTLIER_SHARE = 0.05


def confusion_matrix(truth: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by true and by given class.

    Args:
        truth: (H, W) uint8 class ids; ids from `classes` on are not counted.
        labels: (H, W) uint8 class ids; ids from `classes` on are no class.

    Returns:
        (classes, classes + 1) int64; [t, p] = pixels of class t labelled p, the last column without a class.
    """
    known = truth < classes
    given = np.minimum(labels[known], classes).astype(np.int64)
    width = classes + 1
    counts = np.bincount(truth[known] * np.int64(width) + given, minlength=classes * width)
    return counts.reshape(classes, width)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Return intersection over union per class, (classes,) float64, 0..1; NaN for a class that never occurs."""
    classes = confusion.shape[0]
    hits = np.diag(confusion)
    union = confusion.sum(1) + confusion[:, :classes].sum(0) - hits
    return np.divide(hits, union, out=np.full(classes, np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray) -> float:
    """Return the mean IoU of the classes that occur in a (classes, classes) confusion matrix, 0..1."""
    iou = class_iou(confusion)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float('nan')


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Return the share of pixels with the right class in a (classes, classes) confusion matrix, 0..1."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float('nan')


SPEEDS_PX = (0.0, 10.0, 40.0, math.inf)
"""Limits of the speeds in Sintel's table: s0-10, s10-40, s40+ (Butler et al., ECCV 2012)."""
SPEED_NAMES = ('s0-10', 's10-40', 's40+')
SUREST = 0.8
"""Share of the pixels that is kept, without those of the lowest confidence."""


class FlowScore(NamedTuple):
    """The error of a flow field over the pixels with known true flow."""

    epe: float
    """End-point error: mean length of the difference, px."""
    fl_all: float
    """Share of outliers, off by more than 3 px and more than 5 % (KITTI 2015; Menze and Geiger, CVPR 2015), 0..1."""
    angular_deg: float
    """Mean angle between (u, v, 1) and the true (u, v, 1), degrees (Barron et al., IJCV 1994)."""
    speed_pixels: tuple[int, ...]
    """Pixels by their true speed, as in SPEEDS_PX."""
    speed_epe: tuple[float, ...]
    """End-point error of these pixels, px; NaN if there are none."""
    surest_epe: float = math.nan
    """End-point error of the SUREST share of the pixels, px; NaN without a confidence."""


def flow_score(flow: np.ndarray, truth: np.ndarray, confidence: np.ndarray | None = None) -> FlowScore:
    """Compare flow fields, (H, W, 2) float32, px; NaN in `truth` = unknown.

    NaN in `flow` counts as no motion and as an outlier, so that invalid pixels never improve the score.

    Args:
        confidence: confidence of `flow`, (H, W) uint8, 255 = certain.
    """
    known = np.isfinite(truth).all(axis=2)
    expected = truth[known].astype(np.float64)
    got = flow[known].astype(np.float64)
    invalid = ~np.isfinite(got).all(axis=1)
    got[invalid] = 0
    error = np.linalg.norm(got - expected, axis=1)
    speed = np.linalg.norm(expected, axis=1)
    groups = [error[(speed >= low) & (speed < high)] for low, high in pairwise(SPEEDS_PX)]
    by_speed = (tuple(group.size for group in groups), tuple(_mean(group) for group in groups))
    if not error.size:
        return FlowScore(math.nan, math.nan, math.nan, *by_speed)
    outlier = (error > _OUTLIER_PX) & (error > _OUTLIER_SHARE * speed)
    cosine = ((got * expected).sum(1) + 1) / np.sqrt(((got ** 2).sum(1) + 1) * (speed ** 2 + 1))
    return FlowScore(float(error.mean()), float((outlier | invalid).mean()),
                     float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()), *by_speed,
                     math.nan if confidence is None else surest_mean(error, confidence[known], SUREST))


def label_agreement(labels: np.ndarray, reference: np.ndarray) -> float:
    """Return the share of pixels with the same label in two (H, W) maps, 0..1."""
    return float((labels == reference).mean())


def flow_difference(flow: np.ndarray, reference: np.ndarray) -> float:
    """Return the mean length of the difference of two (H, W, 2) fields where both are valid, px; NaN = nowhere."""
    return _mean(np.linalg.norm((flow - reference)[np.isfinite(flow + reference).all(axis=2)], axis=1))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan

"""Scores of label maps and flow fields against ground truth. Knows arrays only."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
    """Return the mean IoU of the classes that occur, 0..1."""
    iou = class_iou(confusion)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float('nan')


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Return the share of pixels with the right class, 0..1."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float('nan')


class FlowScore(NamedTuple):
    """How far a flow field is from the truth, over the pixels whose true flow is known."""

    epe: float
    """End-point error: mean length of the difference, px."""
    fl_all: float
    """Share of outliers, off by more than 3 px and more than 5 % (KITTI 2015; Menze and Geiger, CVPR 2015), 0..1."""


def flow_score(flow: np.ndarray, truth: np.ndarray) -> FlowScore:
    """Compare flow fields, (H, W, 2) float32, px; NaN in `truth` = unknown.

    NaN in `flow` counts as no motion and as an outlier, so that giving a pixel up is never a gain.
    """
    known = np.isfinite(truth).all(axis=2)
    expected = truth[known].astype(np.float64)
    got = flow[known].astype(np.float64)
    invalid = ~np.isfinite(got).all(axis=1)
    got[invalid] = 0
    error = np.linalg.norm(got - expected, axis=1)
    outlier = (error > _OUTLIER_PX) & (error > _OUTLIER_SHARE * np.linalg.norm(expected, axis=1))
    if not error.size:
        return FlowScore(float('nan'), float('nan'))
    return FlowScore(float(error.mean()), float((outlier | invalid).mean()))

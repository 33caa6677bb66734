"""Reliability of a confidence: of the pixels with 70 % confidence, are 70 % right? Works on arrays.

A confidence has 256 levels, so counts by level have the complete information.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LEVELS = 256
BINS = 15
"""Number of bins as in Guo et al., On Calibration of Modern Neural Networks, ICML 2017."""


class Bin(NamedTuple):
    """Pixels of similar confidence."""

    pixels: int
    confidence: float
    """Mean, 0..1; NaN for an empty bin."""
    right: float
    """Share of right labels, 0..1; NaN for an empty bin."""


class Reliability(NamedTuple):
    """The confidence compared with the share of right labels."""

    pixels: int
    confidence: float
    """Mean, 0..1."""
    right: float
    """Share of right labels, 0..1."""
    ece: float
    """Expected calibration error: mean distance of confidence and share of right labels over the bins, 0..1."""
    auroc: float
    """Probability that a right label has more confidence than a wrong one, 0..1; NaN without either."""
    bins: Sequence[Bin]
    """BINS of equal width, from 0 to 1."""


def confidence_counts(truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by given class, confidence level, and whether the label is wrong (0) or right (1).

    Args:
        truth: (H, W) uint8 class ids; ids from `classes` on are not counted.
        labels: (H, W) uint8 class ids; ids from `classes` on are no class and are not counted.
        confidence: (H, W) uint8, 255 = certain.

    Returns:
        (classes, 256, 2) int64.
    """
    counted = (truth < classes) & (labels < classes)
    given = labels[counted]
    place = (given.astype(np.int64) * LEVELS + confidence[counted]) * 2 + (given == truth[counted])
    return np.bincount(place, minlength=classes * LEVELS * 2).reshape(classes, LEVELS, 2)


def reliability(counts: np.ndarray) -> Reliability:
    """Sum up (256, 2) counts of wrong and right labels by level of confidence."""
    counts = counts.astype(np.float64)
    levels = np.arange(LEVELS)
    place = np.minimum(levels * BINS // (LEVELS - 1), BINS - 1)
    pixels = np.bincount(place, counts.sum(1), BINS)
    confidence = np.bincount(place, counts.sum(1) * levels, BINS) / (LEVELS - 1)
    right = np.bincount(place, counts[:, 1], BINS)
    total = pixels.sum()
    wrong_below = np.cumsum(counts[:, 0]) - 0.5 * counts[:, 0]
    pairs = np.prod(counts.sum(0))
    return Reliability(
        int(total), _ratio(confidence.sum(), total), _ratio(right.sum(), total),
        _ratio(np.abs(confidence - right).sum(), total), _ratio(counts[:, 1] @ wrong_below, pairs),
        [Bin(int(count), _ratio(said, count), _ratio(true, count))
         for count, said, true in zip(pixels, confidence, right, strict=True)])


def surest_mean(errors: np.ndarray, confidence: np.ndarray, share: float) -> float:
    """Return the mean error of the pixels with the highest confidence; NaN if there are none.

    Args:
        errors: (N,) float.
        confidence: (N,) uint8, 255 = certain; pixels of the same level have the same weight.
        share: share of these pixels, 0..1.
    """
    pixels = np.bincount(confidence, minlength=LEVELS)[::-1].astype(np.float64)
    sums = np.bincount(confidence, errors, LEVELS)[::-1]
    wanted = share * errors.size
    taken = np.clip(wanted - (np.cumsum(pixels) - pixels), 0, pixels)
    means = np.divide(sums, pixels, out=np.zeros(LEVELS), where=pixels > 0)
    return _ratio(taken @ means, wanted)


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan

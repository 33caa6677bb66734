"""The growth of something rigid between two images, from its derotated flow."""
import math
from typing import NamedTuple

import numpy as np

_FLOW_FLOOR_PX = 0.03
_CORRELATION_PX = 8.0
"""Pixels nearer to each other than this share the error of their flow."""
_LEAST = 12


class ScaleFit(NamedTuple):
    """Of points at one depth: before = scale * now + offset, and how sure that is."""

    approach: float
    """1 / scale - 1: how far it came nearer, as a share of the depth that it has now; > 0 = it grows."""
    approach_error: float
    """Standard deviation; inf where there are too few points."""
    now: np.ndarray
    """(2,) middle of the points, on the plane z = 1."""
    before: np.ndarray
    """(2,) where that was."""
    place_error: float
    """Standard deviation of `before`, each of x and y."""


def fit_scale(now: np.ndarray, before: np.ndarray, focal_px: float, stride: int) -> ScaleFit:
    """Return how points grew; those that do otherwise, as of the background, are left out (Tukey's weights).

    Args:
        now, before: (N, 2) derotated, on the plane z = 1; NaN = not known.
        focal_px: focal length.
        stride: distance between neighbouring points, px.
    """
    valid = np.isfinite(before).all(axis=1)
    now, before = now[valid], before[valid]
    if len(now) < _LEAST:
        nothing = np.zeros(2)
        return ScaleFit(0.0, math.inf, nothing, nothing, math.inf)
    floor = _FLOW_FLOOR_PX / focal_px
    shift = before - now
    residuals = shift - np.median(shift, axis=0)
    for _ in range(5):
        length = np.hypot(residuals[:, 0], residuals[:, 1])
        spread = max(float(np.median(length)) / 1.1774, floor)  # Of a Rayleigh distribution.
        weights = np.clip(1 - (length / (4.685 * spread))**2, 0, None)**2
        total = weights.sum()
        middle, origin = weights @ now / total, weights @ before / total
        now_about, before_about = now - middle, before - origin
        moment = float(weights @ (now_about**2).sum(axis=1))
        scale = float(weights @ (now_about * before_about).sum(axis=1)) / max(moment, 1e-12)
        residuals = before_about - scale * now_about
    independent = min((stride / _CORRELATION_PX)**2, 1.0)
    scale = max(scale, 1e-3)
    return ScaleFit(1 / scale - 1, spread / math.sqrt(max(moment * independent, 1e-12)) / scale**2, middle, origin,
                    spread / math.sqrt(total * independent))

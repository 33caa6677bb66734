"""The growth of an obstacle between two images, from its derotated flow."""
import math
from typing import NamedTuple

import numpy as np

_FLOW_FLOOR_PX = 0.03
_LEAST = 12


class Growth(NamedTuple):
    """The estimates from the points of one obstacle; rays are on the plane z = 1."""

    approach: float
    """Approach as a share of the present depth; > 0 = it grows."""
    error: float
    """Standard deviation of the approach; inf if there are too few points."""
    now: np.ndarray
    """(2,) mean of the points now."""
    before: np.ndarray
    """(2,) its position in the previous image."""
    place_error: float
    """Standard deviation of `before`, each of x and y."""


NO_GROWTH = Growth(0.0, math.inf, np.zeros(2), np.zeros(2), math.inf)


def measure_growth(now: np.ndarray, before: np.ndarray, columns: np.ndarray, down: np.ndarray, rise: float,
                   horizon_error: float, flow_error: float, focal_px: float) -> Growth:
    """Return the growth of the points of an upright obstacle, without outliers such as the background.

    It moves along the ground, so that the heights of its points over the horizon grow as it comes nearer. The points of
    a column are at one depth, so this holds for the side of a car, too. The width is used if it agrees.

    Args:
        now, before: (N, 2), derotated, on the plane z = 1; NaN = unknown.
        columns: (N,) image column of each.
        down: (3,) unit vector towards the ground, optical frame.
        rise: descent of the camera towards the ground, as a share of the obstacle's depth.
        horizon_error: standard deviation of the horizon in the flow, from that of the camera's rotation, rad.
        flow_error: standard deviation that neighbouring points share, on the plane z = 1.
        focal_px: focal length.
    """
    valid = np.isfinite(before).all(axis=1)
    now, before, columns = now[valid], before[valid], columns[valid]
    if len(now) < _LEAST:
        return NO_GROWTH
    _, columns = np.unique(columns, return_inverse=True)
    below_now = now @ down[:2] + down[2] + rise
    below_before = before @ down[:2] + down[2]
    shift = before - now
    residuals = shift - np.median(shift, axis=0)
    for _ in range(6):
        length = np.hypot(residuals[:, 0], residuals[:, 1])
        spread = max(float(np.median(length)) / 1.1774, _FLOW_FLOOR_PX / focal_px)  # Of a Rayleigh distribution.
        weights = np.clip(1 - (length / (4.685 * spread))**2, 0, None)**2 + 1e-9
        moment = float(weights @ below_before**2)
        growth = float(weights @ (below_now * below_before)) / max(moment, 1e-12)
        per_column = np.bincount(columns, weights)
        middles = np.stack([np.bincount(columns, weights * each[:, 0]) for each in (now, before)]) / per_column
        residuals = np.stack([before[:, 0] - middles[1][columns], below_before - below_now / max(growth, 0.1)], axis=1)
    total = float(weights.sum())
    # An error that all points share moves them together; one that differs across the obstacle makes it grow.
    shared = math.hypot(horizon_error, flow_error) * abs(float(weights @ below_before)) / max(moment, 1e-12)
    error = math.hypot(spread / math.sqrt(max(moment, 1e-12)), shared)
    approach = growth - 1
    # Sideways: before = now / growth + offset over the columns, if all are at one depth.
    x, x_before = (each - per_column @ each / total for each in middles)
    wide = max(float(per_column @ x_before**2), 1e-12)
    sideways = float(per_column @ (x * x_before)) / wide - 1
    sideways_error = math.hypot(spread / math.sqrt(wide), flow_error / math.sqrt(wide / total))
    if abs(sideways - approach) < 2 * math.hypot(error, sideways_error):
        parts = np.array([error, sideways_error])**-2.0
        approach, error = float(parts @ (approach, sideways) / parts.sum()), float(parts.sum()**-0.5)
    return Growth(approach, error, weights @ now / total, weights @ before / total,
                  math.hypot(spread / math.sqrt(total), flow_error))

"""The flow of a whole image as one angle about each axis, as flight controllers take it (MAVLink OPTICAL_FLOW_RAD)."""
from typing import NamedTuple

import numpy as np

from .camera_model import CameraModel, ray_grid, rays_at

_WIDEST = 0.35
"""Half the side of the part of the image that is used, on the plane z = 1: 20 degrees."""
_STRIDE = 8


class IntegratedFlow(NamedTuple):
    """Sensor axes: x towards the upper edge of the image, y towards its right edge."""

    x: float
    """Flow about x, rad: > 0 when the image moves to the right; NaN without valid flow."""
    y: float
    """Flow about y, rad: > 0 when the image moves down."""
    quality: int
    """0 = no flow ... 255 = valid and equal everywhere."""


class FlowIntegrator:
    """Integrates the flow fields of one camera.

    Raises:
        FrameError: the camera is not calibrated.
    """

    def __init__(self, camera: CameraModel) -> None:
        self._rays = ray_grid(camera)
        height, width = camera.size
        columns, rows = np.meshgrid(np.arange(0, width, _STRIDE), np.arange(0, height, _STRIDE))
        now = self._rays[rows, columns]
        central = (np.abs(now) < _WIDEST).all(axis=-1)
        self._rows, self._columns = rows[central], columns[central]
        self._angles = np.arctan(now[central])

    def integrate(self, flow: np.ndarray) -> IntegratedFlow:
        """Return the median flow of the middle of the image.

        Args:
            flow: (H, W, 2) float32 on the grid of the current image, px per interval.
        """
        pixels = np.stack([self._columns, self._rows], axis=-1) - flow[self._rows, self._columns]
        turned = self._angles - np.arctan(rays_at(self._rays, pixels))
        turned = turned[np.isfinite(turned).all(axis=1)]
        if not len(turned):
            return IntegratedFlow(float('nan'), float('nan'), 0)
        x, y = np.median(turned, axis=0)
        # Flow within a fifth of the median, or 2 mrad, agrees.
        near = np.hypot(*(turned - (x, y)).T) < max(0.2 * float(np.hypot(x, y)), 2e-3)
        return IntegratedFlow(float(x), float(y), int(round(255 * near.sum() / len(self._angles))))

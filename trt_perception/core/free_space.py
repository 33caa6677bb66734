"""Free space by image column: how far the ground reaches before something stands on it, and the same as laser beams."""
from typing import NamedTuple

import numpy as np

from .class_costs import GROUND, OBSTACLE, UNSEEN, ClassTables
from .ground_plane import GroundPlane

FREE = GROUND
"""State of a column with visible ground up to the longest range; the others are OBSTACLE and UNSEEN (unlabelled)."""


class FreeSpace(NamedTuple):
    """The end of the ground in each image column, from below."""

    states: np.ndarray
    """(W,) uint8: FREE, OBSTACLE or UNSEEN."""
    rows: np.ndarray
    """(W,) int64, lowest row that is not ground, px; in a FREE column, the lowest beyond the longest range."""
    points: np.ndarray
    """(W, 2) float32, x and y of the ground at that row's lower edge, base frame, m."""
    ranges: np.ndarray
    """(W,) float32, distance of these points from the point below the camera, m."""
    classes: np.ndarray
    """(W,) uint8, class id of the obstacle; 255 = none."""


class FreeSpaceFinder:
    """Finds free space in the label maps of one camera.

    Args:
        max_range: distance up to which the ground is assumed to be a plane, m.
        crop_bottom: share of the image height, at the bottom, that shows the vehicle itself.
        least: consecutive non-ground rows that end the ground; fewer are noise.

    Attributes:
        bottom: one past the last row that is used.
    """

    def __init__(self, plane: GroundPlane, tables: ClassTables, max_range: float = 30.0, crop_bottom: float = 0.0,
                 least: int = 3) -> None:
        self.plane = plane
        self._tables = tables
        height = plane.camera.size[0]
        self._least = least
        self.bottom: int = height - int(round(height * crop_bottom))
        seen = plane.ranges[:self.bottom] <= max_range
        # The lowest row beyond the range of each column; a column without ground below ends at its bottom.
        self._limits = np.where(seen.all(axis=0), 0, self.bottom - 1 - np.argmin(seen[::-1], axis=0))
        self._top = max(int(self._limits.min()) - least, 0)
        self._gap = max(height // 32, least)
        self._columns = np.arange(plane.camera.size[1])
        limit = np.minimum(self._limits + 1, self.bottom - 1)
        self._limit_points = plane.edges[limit, self._columns]
        self._limit_ranges = plane.ranges[limit, self._columns]

    def find(self, labels: np.ndarray) -> FreeSpace:
        """Return the free space of one label map, (H, W) uint8 class ids."""
        top, bottom, columns = self._top, self.bottom, self._columns
        solid = self._tables.roles[labels[top:bottom]] != GROUND
        run = solid.copy()
        for step in range(1, self._least):
            run[step:] &= solid[:-step]
        run[:self._least - 1] = False
        rows = np.where(run.any(axis=0), bottom - 1 - np.argmax(run[::-1], axis=0), -1)
        ended = rows > self._limits
        rows = np.where(ended, rows, self._limits)
        # An unlabelled seam between ground and obstacle belongs to the obstacle: go up to the first label.
        above = np.maximum(rows - np.arange(self._gap)[:, np.newaxis], 0)
        roles = self._tables.roles[labels[above, columns]]
        first = np.argmax(roles != UNSEEN, axis=0)
        role = roles[first, columns]
        states = np.where(ended, np.where(role == OBSTACLE, OBSTACLE, UNSEEN), FREE).astype(np.uint8)
        states[self._limits == bottom - 1] = UNSEEN
        is_obstacle = states == OBSTACLE
        return FreeSpace(
            states, rows,
            np.where(ended[:, np.newaxis], self.plane.edges[rows, columns], self._limit_points),
            np.where(ended, self.plane.ranges[rows, columns], self._limit_ranges),
            np.where(is_obstacle, labels[above[first, columns], columns], 255).astype(np.uint8))


class Beams:
    """The beams of a virtual laser scanner at the origin of the base frame, with the view of the camera.

    Args:
        count: number of beams; at most half as many as image columns, so that each has some.

    Attributes:
        angles: (count,) float64, about z from x, rad; in equal steps.
    """

    def __init__(self, finder: FreeSpaceFinder, count: int = 160) -> None:
        ground = finder.plane.edges[np.isfinite(finder.plane.edges[..., 0])]
        azimuths = np.arctan2(ground[:, 1], ground[:, 0]) if len(ground) else np.array([-0.5, 0.5])
        count = max(2, min(count, finder.plane.camera.size[1] // 2))
        self.angles = np.linspace(azimuths.min(), azimuths.max(), count)

    def scan(self, free: FreeSpace) -> np.ndarray:
        """Return the range of each beam, m: (count,) float32; inf = free, NaN = not seen, as in REP 117."""
        step = self.angles[1] - self.angles[0]
        azimuths = np.arctan2(free.points[:, 1], free.points[:, 0])
        with np.errstate(invalid='ignore'):
            beams = np.rint((azimuths - self.angles[0]) / step)
        known = (beams >= 0) & (beams < len(self.angles))  # Not NaN: a column without visible ground.
        ranges = np.full(len(self.angles), np.nan, np.float32)
        ranges[beams[known & (free.states == FREE)].astype(np.intp)] = np.inf
        ranges[beams[known & (free.states == UNSEEN)].astype(np.intp)] = np.nan
        nearest = np.full(len(self.angles), np.inf, np.float32)
        obstacle = known & (free.states == OBSTACLE)
        np.minimum.at(nearest, beams[obstacle].astype(np.intp),
                      np.hypot(free.points[obstacle, 0], free.points[obstacle, 1]))
        return np.where(np.isfinite(nearest), nearest, ranges)

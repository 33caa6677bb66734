"""A local occupancy grid by inverse perspective mapping of a label map: the visible ground and its cost."""
from typing import NamedTuple, Tuple

import numpy as np

from .class_costs import GROUND, OBSTACLE, UNKNOWN, ClassTables
from .free_space import FreeSpace
from .ground_plane import GroundPlane

_LONGEST_JOIN_M = 0.5


class GridShape(NamedTuple):
    """A grid in the base frame: x from 0 to `length`, y from -`width` / 2 to `width` / 2, m."""

    length: float
    width: float
    resolution: float
    """Side of a cell, m."""

    @property
    def cells(self) -> Tuple[int, int]:
        """(rows, columns): along y and along x, as in nav_msgs/OccupancyGrid."""
        return int(round(self.width / self.resolution)), int(round(self.length / self.resolution))


class OccupancyMapper:
    """Makes occupancy grids from the label maps of one camera. The pixel of each cell is computed once.

    A cell has the cost of the class of the pixel at its centre, if that is ground and no obstacle is in front of it.
    Cells with the feet of obstacles have the cost of their class. Cells outside the image, behind an obstacle,
    unlabelled or beyond the longest range are UNKNOWN (-1).
    """

    def __init__(self, plane: GroundPlane, tables: ClassTables, shape: GridShape, max_range: float = 30.0) -> None:
        self.shape = shape
        self._plane = plane
        self._tables = tables
        rows, columns = shape.cells
        x = (np.arange(columns) + 0.5) * shape.resolution
        y = (np.arange(rows) + 0.5) * shape.resolution - shape.width / 2
        centres = np.stack(np.meshgrid(x, y), axis=-1)
        self._ranges = np.hypot(*np.moveaxis(centres - plane.mounting.position[:2], -1, 0)).astype(np.float32)
        pixels = plane.pixels(centres)
        height, width = plane.camera.size
        with np.errstate(invalid='ignore'):
            inside = ((pixels >= -0.5) & (pixels < (width - 0.5, height - 0.5))).all(axis=-1)
        inside &= self._ranges <= max_range
        nearest = np.rint(np.where(inside[..., np.newaxis], pixels, 0)).astype(np.intp)
        self._cells = np.flatnonzero(inside)
        self._columns = nearest[inside][:, 0]
        self._pixels = nearest[inside][:, 1] * width + self._columns
        self._ranges = self._ranges[inside]

    def map(self, labels: np.ndarray, free: FreeSpace) -> np.ndarray:
        """Return the grid of one label map: (rows, columns) int8, UNKNOWN or 0 = free ... 100 = lethal.

        Args:
            labels: (H, W) uint8 class ids.
            free: the result of `FreeSpaceFinder.find` for them.
        """
        grid = np.full(self.shape.cells, UNKNOWN, np.int8)
        shown = labels.ravel()[self._pixels]
        seen = (self._tables.roles[shown] == GROUND) & (self._ranges < free.ranges[self._columns])
        grid.ravel()[self._cells[seen]] = self._tables.costs[shown[seen]]
        self._draw_obstacles(grid, free)
        return grid

    def _draw_obstacles(self, grid: np.ndarray, free: FreeSpace) -> None:
        """Draw the feet of obstacles, and lines between neighbouring ones that are near each other."""
        away = free.points - self._plane.mounting.position[:2].astype(np.float32)
        feet = free.points + away * (0.5 * self.shape.resolution / np.maximum(free.ranges, 1e-3))[:, np.newaxis]
        left, right = feet[:-1], feet[1:]
        near = np.hypot(*(right - left).T) < _LONGEST_JOIN_M
        is_obstacle = free.states == OBSTACLE
        joined = np.flatnonzero(is_obstacle[:-1] & is_obstacle[1:] & near)
        steps = int(np.ceil(_LONGEST_JOIN_M / self.shape.resolution)) + 1
        parts = np.linspace(0, 1, steps)[:, np.newaxis, np.newaxis]
        points = np.concatenate([feet[is_obstacle], (left[joined] + parts * (right - left)[joined]).reshape(-1, 2)])
        costs = self._tables.costs[np.concatenate([free.classes[is_obstacle], np.tile(free.classes[joined], steps)])]
        cells = np.floor((points + (0, self.shape.width / 2)) / self.shape.resolution).astype(np.intp)
        inside = ((cells >= 0) & (cells < self.shape.cells[::-1])).all(axis=1)
        np.maximum.at(grid, (cells[inside, 1], cells[inside, 0]), costs[inside])

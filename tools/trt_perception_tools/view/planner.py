"""Entities of planner_node's topics: scans from above, grids of costs, texts of markers."""
from __future__ import annotations

from typing import Any

import numpy as np
import rerun as rr

LASER_SCAN, OCCUPANCY_GRID = 'sensor_msgs/msg/LaserScan', 'nav_msgs/msg/OccupancyGrid'
_FREE, _OCCUPIED, _UNKNOWN = np.array([235, 235, 235]), np.array([40, 40, 40]), np.array([120, 140, 150])


def log_scan(stream: rr.RecordingStream, place: str, scan: Any) -> None:
    """Log a LaserScan as seen from above, in metres: ahead is up, left is left."""
    ranges = np.asarray(scan.ranges, np.float64)
    angles = scan.angle_min + scan.angle_increment * np.arange(ranges.size)
    seen = np.isfinite(ranges) & (ranges >= scan.range_min) & (ranges <= scan.range_max)
    points = np.stack([-np.sin(angles) * ranges, -np.cos(angles) * ranges], 1)[seen]
    stream.log(place, rr.Points2D(points, radii=0.05, colors=(230, 120, 30)))
    stream.log(f'{place}/sensor', rr.Points2D([(0.0, 0.0)], radii=0.15, colors=(60, 120, 220), labels='camera'))


def log_grid(stream: rr.RecordingStream, place: str, grid: Any) -> None:
    """Log an OccupancyGrid as an image, a pixel per cell: x ahead is up, y left is left; free light, occupied dark."""
    height, width = grid.info.height, grid.info.width
    cells = np.asarray(grid.data, np.int8)
    if not cells.size or cells.size != height * width:
        return
    # Rows run along y, columns along x.
    cells = cells.reshape(height, width).T[::-1, ::-1]
    share = np.clip(cells, 0, 100)[..., np.newaxis] / 100
    colors = np.where(cells[..., np.newaxis] < 0, _UNKNOWN, _FREE + (_OCCUPIED - _FREE) * share)
    stream.log(place, rr.Image(np.ascontiguousarray(colors.astype(np.uint8))))


TYPES = {LASER_SCAN: log_scan, OCCUPANCY_GRID: log_grid}
"""Message type -> what logs it."""

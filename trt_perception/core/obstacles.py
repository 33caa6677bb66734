"""Obstacles of one image: where they stand, how they move over the ground, and when they reach the camera.

An obstacle stands on the ground plane, which gives its distance. Its growth in the image gives the time to contact.
Motion that the camera's own motion does not explain is its motion. All flow is without the camera's rotation.
"""
import math
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from .class_costs import OBSTACLE
from .columns import Group, group_columns, runs_above
from .ego_motion import EgoMotion, motion_jacobian
from .free_space import FreeSpace
from .ground_plane import GroundPlane
from .growth import NO_GROWTH, Growth, measure_growth

_FOOT_PX = 0.7
"""Standard deviation of the row of an obstacle's foot: rounding, and labels that end too early or too late."""
_MOVES = 3.0
"""Standard deviations above which an obstacle counts as moving."""
_STANDS = 2.0
"""Standard deviations below which it counts as standing still."""


class Obstacle(NamedTuple):
    """One obstacle, or a part of a long one with about the same distance."""

    class_id: int
    box: Tuple[int, int, int, int]
    """(left, top, right, bottom) in the image, px; right and bottom are one past the last pixel."""
    position: np.ndarray
    """(2,) x and y of the centre of its foot, base frame, m."""
    size: Tuple[float, float]
    """Width and height, m; the height is that of its visible pixels of one class."""
    distance: float
    """Distance from the point below the camera to the centre of its foot, m; at most that if it is not visible."""
    bearing: float
    """Bearing of the centre of its foot, about z from x of the base frame, rad."""
    time_to_contact: float
    """Time until the camera reaches its depth if nothing changes, s; inf = longer than the longest time, or unknown."""
    velocity: Optional[np.ndarray]
    """(2,) x and y over the ground, base frame, m/s; None = unknown."""
    is_moving: bool
    """Whether it moves over the ground by more than the error of the flow."""
    confidence: float
    """Probability, from the errors of the flow, that the time to contact is right within 25 %; if it is inf, that it is
    longer than the longest one."""


class ObstacleFinder:
    """Finds obstacles in the label maps and flow fields of one camera, both on the same pixel grid.

    Args:
        bottom: rows below it show the vehicle itself, or nothing, so that feet there are not visible.
        min_speed: lowest speed over the ground that counts as moving, m/s.
        longest_time: longer times to contact become inf, s.
        stride: only every stride-th row and column of the flow is used.
    """

    def __init__(self, plane: GroundPlane, bottom: int, min_speed: float = 0.7, longest_time: float = 10.0,
                 stride: int = 4) -> None:
        self._plane = plane
        self._bottom = bottom
        self._min_speed = min_speed
        self._longest_time = longest_time
        self._stride = stride
        self._focal = float(plane.camera.matrix[0, 0] + plane.camera.matrix[1, 1]) / 2
        self._rays = plane.rays[::stride, ::stride].astype(np.float64)
        self._columns = np.broadcast_to(np.arange(self._rays.shape[1]), self._rays.shape[:2])

    def find(self, labels: np.ndarray, free: FreeSpace, previous: np.ndarray, motion: Optional[EgoMotion],
             interval_s: float) -> List[Obstacle]:
        """Return the obstacles, from left to right.

        Args:
            labels: (H, W) uint8 class ids.
            free: the result of `FreeSpaceFinder.find` for them.
            previous: (H / stride, W / stride, 2), position of every stride-th pixel in the previous image, on the plane
                z = 1; NaN = unknown.
            motion: of the camera; None = unknown, so that nothing counts as moving.
            interval_s: time between both images.
        """
        stride = self._stride
        turn = np.eye(3) if motion is None else motion.rotation
        derotated = np.concatenate([previous, np.ones(previous.shape[:2] + (1,))], axis=-1) @ turn
        derotated = derotated[..., :2] / derotated[..., 2:]
        classes, ranges = free.classes[::stride], free.ranges[::stride]
        runs = runs_above(labels[::stride, ::stride], free.rows[::stride] // stride, classes)
        runs &= free.states[::stride] == OBSTACLE
        groups = group_columns(runs, ranges, classes, (self._rays - derotated) * self._focal)
        return [self._obstacle(group, runs, free, derotated, motion, interval_s) for group in groups]

    def _obstacle(self, group: Group, runs: np.ndarray, free: FreeSpace, derotated: np.ndarray,
                  motion: Optional[EgoMotion], interval_s: float) -> Obstacle:
        plane, stride = self._plane, self._stride
        inside = runs[:, group.left:group.right]
        columns = slice(group.left * stride, min(group.right * stride, len(free.rows)))
        middle = (group.left + group.right) // 2 * stride
        foot = int(np.median(free.rows[columns][free.states[columns] == OBSTACLE]))
        if not math.isfinite(plane.ranges[foot, middle]):  # A rolled camera: the horizon is lower there.
            foot = int(free.rows[middle])
        top = int(np.median(np.argmax(inside, axis=0)[inside.any(axis=0)])) * stride
        position = plane.edges[foot, middle].astype(np.float64)
        depth, depth_error = self._depth(foot, middle)
        size = ((columns.stop - columns.start) * depth / self._focal, max(foot + 1 - top, 1) * depth / self._focal)
        now, before, numbers = (each[:, group.left:group.right][inside]
                                for each in (self._rays, derotated, self._columns))
        growth = NO_GROWTH if motion is None else measure_growth(
            now, before, numbers, plane.mounting.down, float(_shift(motion) @ plane.mounting.down) / depth,
            math.sqrt(motion.covariance[3, 3]), motion.flow_error, self._focal)
        if foot + 2 >= self._bottom:  # Then it is nearer than its foot indicates.
            depth_error = math.inf
        time, confidence, velocity, is_moving = self._contact(growth, depth, depth_error, motion, interval_s)
        return Obstacle(
            group.class_id, (columns.start, top, columns.stop, foot + 1), position, size,
            float(np.hypot(*(position - plane.mounting.position[:2]))), math.atan2(position[1], position[0]), time,
            velocity, is_moving, confidence)

    def _contact(self, growth: Growth, depth: float, depth_error: float, motion: Optional[EgoMotion],
                 interval_s: float) -> Tuple[float, float, Optional[np.ndarray], bool]:
        """Return time to contact, its confidence, velocity, and whether it moves: see Obstacle."""
        approach, error, velocity, is_moving, may_move = growth.approach, growth.error, None, False, False
        if motion is not None and motion.inliers > 0 and math.isfinite(error) and math.isfinite(depth_error):
            velocity = self._velocity(growth, depth, motion, interval_s)
            deviations = self._own_motion(growth, depth, depth_error, motion)
            is_moving = any(size > max(self._min_speed * interval_s, _MOVES * spread) for size, spread in deviations)
            if all(size < _STANDS * spread for size, spread in deviations):
                # Then distance and own motion say it better than the growth of something small; unless it moves at a
                # speed that the flow could not tell.
                approach, error = _static_approach(growth, depth, depth_error, motion)
                may_move = 2 * max(spread for _, spread in deviations) > self._min_speed * interval_s
        # None is told if it is long, or the approach is within its error.
        time = interval_s / approach if approach > max(interval_s / self._longest_time, 2 * error) else math.inf
        confidence = self._confidence(time, approach, error, interval_s)
        if may_move:
            confidence = (confidence + self._confidence(time, growth.approach, growth.error, interval_s)) / 2
        return time, confidence, velocity, is_moving

    def _depth(self, row: int, column: int) -> Tuple[float, float]:
        """Return the optical z of the ground at the lower edge of a pixel, m, and its standard deviation."""
        mounting = self._plane.mounting
        here, below = (np.append(self._plane.edges[min(each, len(self._plane.edges) - 1), column], 0)
                       for each in (row, row + 1))
        depth = float((here - mounting.position) @ mounting.rotation[:, 2])
        step = float((here - below) @ mounting.rotation[:, 2])
        return depth, max(step, 1e-3) * _FOOT_PX

    def _velocity(self, growth: Growth, depth: float, motion: EgoMotion, interval_s: float) -> np.ndarray:
        """Return the velocity over the ground: (2,) in the base frame, m/s."""
        before = depth * (1 + growth.approach)
        relative = np.append(growth.before * before - growth.now * depth, before - depth)
        return (self._plane.mounting.rotation @ (_shift(motion) - relative))[:2] / interval_s

    def _own_motion(self, growth: Growth, depth: float, depth_error: float,
                    motion: EgoMotion) -> Tuple[Tuple[float, float], ...]:
        """Return its displacement sideways and along, m, each with its standard deviation."""
        shift = _shift(motion)
        # Sideways, the position in the image decides, which does not depend on the growth.
        before = depth + shift[2]
        static = (growth.now[0] * depth + shift[0]) / before
        turned = motion.rotation @ np.append(growth.now, 1) * depth
        jacobian = motion_jacobian(turned[np.newaxis], motion.translation)[0, 0]
        place_error = math.sqrt(growth.place_error**2 + float(jacobian @ motion.covariance @ jacobian)
                                + ((growth.now[0] * shift[2] - shift[0]) * depth_error / before**2)**2)
        along_error = math.sqrt((growth.error * depth)**2 + (growth.approach * depth_error)**2
                                + motion.covariance[2, 2])
        return ((abs(growth.before[0] - static) * before, place_error * before),
                (abs(shift[2] - growth.approach * depth), along_error))

    def _confidence(self, time: float, approach: float, error: float, interval_s: float) -> float:
        """Return the probability that a time is right within 25 %, or longer than the longest if it is inf."""
        if not math.isfinite(error):
            return 0.0
        if math.isinf(time):
            return _below(interval_s / self._longest_time, approach, error)
        return _below(interval_s / time / 0.75, approach, error) - _below(interval_s / time / 1.25, approach, error)


def _below(limit: float, mean: float, error: float) -> float:
    """Return the probability that a normally distributed value is below a limit."""
    return 0.5 * (1 + math.erf((limit - mean) / (error * math.sqrt(2))))


def _shift(motion: EgoMotion) -> np.ndarray:
    """Return how static points shifted since the previous image: (3,) m, in the axes of the current optical frame."""
    return motion.rotation.T @ motion.translation


def _static_approach(growth: Growth, depth: float, depth_error: float, motion: EgoMotion) -> Tuple[float, float]:
    """Return the approach of a static obstacle, from growth and distance together, and its standard deviation."""
    static = float(_shift(motion)[2]) / depth
    static_error = math.hypot(static * depth_error / depth, math.sqrt(motion.covariance[2, 2]) / depth)
    weights = np.array([growth.error, max(static_error, 1e-9)])**-2.0
    return float(weights @ (growth.approach, static) / weights.sum()), float(weights.sum()**-0.5)

"""Obstacles from image columns: the pixels above each column's foot, and groups of neighbouring columns."""
from typing import List, NamedTuple

import numpy as np

_JUMP_M = 0.5
_JUMP = 0.1
_SPREAD = 1.3
_SHIFT_PX = 1.5
_LEAST_COLUMNS = 3
_LEAST_POINTS = 20


class Group(NamedTuple):
    """Neighbouring columns of one obstacle."""

    left: int
    right: int
    """One past the last column."""
    class_id: int


def runs_above(labels: np.ndarray, feet: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the connected pixels of each column's class above its foot: (H, W) bool.

    Args:
        labels: (H, W) uint8 class ids.
        feet: (W,) rows.
        classes: (W,) class id of each column.
    """
    rows = np.arange(len(labels))[:, np.newaxis]
    above = rows <= feet
    same = (labels == classes) | ~above
    same |= np.abs(rows - feet) <= 1  # The foot's row may be rounded to the ground below, or be unlabelled.
    return np.logical_and.accumulate(same[::-1], axis=0)[::-1] & above & (labels == classes)


def group_columns(runs: np.ndarray, ranges: np.ndarray, classes: np.ndarray, flow: np.ndarray) -> List[Group]:
    """Return neighbouring columns of one class, distance and motion, from left to right.

    A new group begins where the distance jumps, or has changed by 30 % since the group's first column, so that a wall
    along the road becomes several groups.

    Args:
        runs: (H, W) bool, from `runs_above`.
        ranges: (W,) of the feet, m.
        classes: (W,) class ids.
        flow: (H, W, 2) px; NaN = not known.
    """
    weights = (runs & np.isfinite(flow[..., 0])).astype(np.float64)
    counts = weights.sum(axis=0)
    means = np.nan_to_num(flow * weights[..., np.newaxis]).sum(axis=0) / np.maximum(counts, 1)[:, np.newaxis]
    with np.errstate(invalid='ignore'):  # Columns without ground are at inf, and in no group.
        jump = np.abs(np.diff(ranges)) > np.maximum(_JUMP_M, _JUMP * np.minimum(ranges[1:], ranges[:-1]))
    moves = (np.abs(np.diff(means, axis=0)).max(axis=1) > _SHIFT_PX) & (counts[1:] > 0) & (counts[:-1] > 0)
    breaks = jump | moves | (classes[1:] != classes[:-1])
    occupied = runs.max(axis=0)
    groups, left = [], -1
    for column in range(len(ranges) + 1):
        ends = left >= 0 and (column == len(ranges) or not occupied[column] or breaks[column - 1]
                              or not 1 / _SPREAD < ranges[column] / ranges[left] < _SPREAD)
        if ends:
            if column - left >= _LEAST_COLUMNS and runs[:, left:column].sum() >= _LEAST_POINTS:
                groups.append(Group(left, column, int(classes[left])))
            left = -1
        if left < 0 and column < len(ranges) and occupied[column]:
            left = column
    return groups

"""Draws free space and obstacles into an image, for viewing. RGB, uint8."""
from typing import Iterable, Tuple

import numpy as np

from .class_costs import OBSTACLE
from .free_space import FREE, FreeSpace
from .obstacles import Obstacle

_FREE, _OBSTACLE, _UNSEEN = (40, 220, 90), (235, 60, 40), (160, 160, 160)
_LONG_S, _SHORT_S = 6.0, 1.0


def draw_plan(image: np.ndarray, free: FreeSpace, obstacles: Iterable[Obstacle]) -> None:
    """Draw the end of the ground of each column, and a box around each obstacle, a thick one if it moves.

    Args:
        image: (H, W, 3) uint8 RGB, of the label map's size; drawn into.
    """
    columns = np.arange(image.shape[1])
    for state, color in ((FREE, _FREE), (OBSTACLE, _OBSTACLE)):
        mine = columns[free.states == state]
        for offset in range(3):
            image[np.clip(free.rows[mine] + offset - 1, 0, len(image) - 1), mine] = color
    unseen = columns[(free.states != FREE) & (free.states != OBSTACLE)]
    image[np.clip(free.rows[unseen], 0, len(image) - 1), unseen] = _UNSEEN
    for each in obstacles:
        left, top, right, bottom = each.box
        thick = 4 if each.is_moving else 2
        color = time_color(each.time_to_contact)
        image[top:top + thick, left:right] = image[max(bottom - thick, 0):bottom, left:right] = color
        image[top:bottom, left:left + thick] = image[top:bottom, max(right - thick, 0):right] = color


def time_color(time_to_contact: float) -> Tuple[int, int, int]:
    """Return the colour of a time to contact: from red at a second over yellow to green at six seconds or more."""
    part = float(np.clip((time_to_contact - _SHORT_S) / (_LONG_S - _SHORT_S), 0, 1))
    return int(255 * min(1, 2 * (1 - part))), int(255 * min(1, 2 * part)), 0

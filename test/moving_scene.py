"""A scene of coloured squares that moves by whole pixels, and its labels: the brightest channel, as networks has it."""
import numpy as np

SIZE = (96, 128)
STEP = 2
"""Motion from image to image, px to the right."""


def scene(number, direction=1):
    """Return RGB squares of 16 px, each with texture that flow can follow; every image is shifted by STEP.

    Args:
        direction: -1 = to the left; the squares are others, too.
    """
    random = np.random.RandomState(direction + 1)
    cells = random.randint(0, 3, (SIZE[0] // 16, SIZE[1] // 16 + 8))
    texture = random.randint(0, 60, (SIZE[0], cells.shape[1] * 16, 3))
    rgb = texture + 150 * np.repeat(np.repeat(np.eye(3, dtype=int)[cells], 16, 0), 16, 1)
    left = 64 - STEP * direction * number
    return np.ascontiguousarray(rgb[:, left:left + SIZE[1]].astype(np.uint8))


def truth(number, direction=1):
    """Return the labels, (H, W)."""
    return scene(number, direction).argmax(axis=2)


def agreement(labels, number, direction=1):
    """Return the share of right labels, but for the columns at the sides, which come into view."""
    return (labels == truth(number, direction))[:, 16:-16].mean()

"""Where the pixels are in a tensor: axes as letters, found from its shape. Knows no network."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trt_perception.core.image import Size

Side = int | None
"""None where a file leaves it open."""

# N: 1; T: the two images of a pair; C: channels; H, W: rows, columns.
IMAGE_AXES = ('NCHW', 'NHWC', 'CHW', 'HWC', 'HW')
PAIR_AXES = ('NTCHW', 'NTHWC', 'NCTHW', 'TCHW', 'THWC')
_STRIDES = (1, 2, 4, 8, 16, 32)


class Grid(NamedTuple):
    """A tensor read as values per pixel: reshaped, not transposed, to `shape`."""

    shape: tuple[int, ...]
    """(1, C, h, w) or (1, h, w, C)."""
    axis: int
    """Axis of C: 1 or 3."""

    @property
    def channels(self) -> int:
        """Values per pixel."""
        return self.shape[self.axis]

    @property
    def size(self) -> Size:
        """(h, w), px."""
        height, width = (side for axis, side in enumerate(self.shape) if axis not in (0, self.axis))
        return height, width


def image_axes(shape: Sequence[Side], channels: Sequence[int], pair: bool) -> Iterator[tuple[str, int]]:
    """Yield the ways in which an input can hold an image, the likeliest first: axes, and the channels of the tensor.

    Args:
        channels: that one image can have, the likeliest first.
        pair: whether it has two images, in a separate axis or with the channels of both in one.
    """
    for patterns, counts in ((PAIR_AXES, channels), (IMAGE_AXES, [2 * each for each in channels])) if pair \
            else ((IMAGE_AXES, channels),):
        for axes in patterns:
            if len(axes) != len(shape) or (axes == 'HW' and (counts[-1] != 1 or None in shape)):
                continue
            sides = dict(zip(axes, shape, strict=True))
            # Of a network for pairs an open or fixed batch may be the two; else it becomes 1.
            if sides.get('T', 2) not in (2, None) or pair and sides.get('N', 1) not in (1, None):
                continue
            if min(side or 8 for side in (sides['H'], sides['W'])) < 8:
                continue
            for count in counts:
                if axes == 'HW' and count == 1 or 'C' in axes and sides['C'] in (count, None):
                    yield axes, count


def full_shape(axes: str, size: Size, channels: int) -> tuple[int, ...]:
    """Return the shape of a tensor with these axes."""
    sides = {'N': 1, 'T': 2, 'C': channels, 'H': size[0], 'W': size[1]}
    return tuple(sides[each] for each in axes)


def grids(shape: Sequence[int], size: Size) -> Iterator[Grid]:
    """Yield the ways in which an output can hold values per pixel: channels first, last, or one value.

    Args:
        size: of the network's image: an output has its proportions, or, as (rows * columns), a stride of it.
    """
    sides = list(shape)
    while len(sides) > 2 and sides[0] == 1:
        sides.pop(0)
    if len(sides) == 3:
        if _alike(sides[1:], size):
            yield Grid((1, *sides), 1)
        if _alike(sides[:2], size):
            yield Grid((1, *sides), 3)
        if 1 in sides[1:]:  # (C, P, 1), (P, C, 1) ...
            yield from grids([each for each in sides if each != 1], size)
    elif len(sides) == 2:
        if _alike(sides, size):
            yield Grid((1, 1, *sides), 1)
        for axis in (1, 0):
            for height, width in {(-(-size[0] // k), -(-size[1] // k)): None for k in _STRIDES}:
                if sides[axis] == height * width and height * width >= 4:
                    yield Grid((1, sides[0], height, width), 1) if axis else Grid((1, height, width, sides[1]), 3)
    elif len(sides) == 1:
        yield from grids([1, *sides, 1], size)


def margins(grid: Size, size: Size) -> tuple[int, int] | None:
    """Return the rows and columns that are missing at each side, of convolutions without padding; None = other sizes.

    Such a grid is the middle of the image, at its scale, and smaller by the same number of rows and columns.
    """
    rows, columns = size[0] - grid[0], size[1] - grid[1]
    same = 0 < rows == columns < min(size) // 2 and rows % 2 == 0
    return (rows // 2, columns // 2) if same else None


def is_whole_stride(grid: Size, size: Size) -> bool:
    """Whether a grid covers the image in steps of whole pixels, or is larger by a whole factor."""
    return all(abs(image - max(1, round(image / cells)) * cells) <= max(1, round(image / cells)) if image >= cells
               else cells % image == 0 for cells, image in zip(grid, size, strict=True))


def _alike(sides: Sequence[int], size: Size) -> bool:
    # To within one pixel of the smaller grid: strides round.
    if min(sides) < 2:
        return False
    height, width = sides
    return abs(height * size[1] - width * size[0]) <= max(size) or margins((height, width), size) is not None

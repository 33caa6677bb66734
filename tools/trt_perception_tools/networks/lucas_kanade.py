"""Lucas and Kanade's step (IJCAI 1981) between two feature maps: the motion that aligns the second with the first."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def window_mean(x: Tensor, radius: int) -> Tensor:
    """Return the mean of (N, C, H, W) over the part of a square window around each pixel that is inside the image."""
    side = 2 * radius + 1
    rows = functional.avg_pool2d(x, (1, side), 1, (0, radius), count_include_pad=False)
    return functional.avg_pool2d(rows, (side, 1), 1, (radius, 0), count_include_pad=False)


class LucasKanade(nn.Module):
    """Least squares of `first = second + gradient * motion` over square windows.

    Args:
        radii: radii of the windows, px; a window has 2 radius + 1 pixels per side.
        floor: added to the diagonal of the normal equations, so that a window without texture gives no motion.
        largest: motion in either direction, px, beyond which the linear model is invalid.
    """

    def __init__(self, radii: Sequence[int], floor: float = 1e-3, largest: float = 2.0) -> None:
        super().__init__()
        self.coordinates = _LeastSquares(tuple(radii), floor, largest)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return (N, 3 * windows, H, W) float32: for each window u and v in px, and its amount of texture, 0..1.

        Args:
            first: (N, C, H, W) features.
            second: the same, already warped by the known motion.
        """
        motion: Tensor = self.coordinates(first, second)
        return motion


class _LeastSquares(nn.Module):
    """The arithmetic, always in FP32, because a determinant is the difference of two nearly equal products.

    A module, so that its nodes have `/coordinates/` in their names and can stay FP32 when a graph becomes FP16.
    """

    def __init__(self, radii: tuple[int, ...], floor: float, largest: float) -> None:
        super().__init__()
        self.radii = radii
        self.floor = floor
        self.largest = largest

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        first, second = first.float(), second.float()
        total, rest = first + second, first - second
        # Central difference of the mean of both; zero at the border, where the other pixels of a window suffice.
        dx = functional.pad((total[..., 2:] - total[..., :-2]) * 0.25, (1, 1, 0, 0))
        dy = functional.pad((total[..., 2:, :] - total[..., :-2, :]) * 0.25, (0, 0, 1, 1))
        products = torch.cat([(a * b).mean(1, keepdim=True) for a, b in
                              ((dx, dx), (dx, dy), (dy, dy), (dx, rest), (dy, rest))], 1)
        steps = []
        for radius in self.radii:
            xx, xy, yy, xt, yt = window_mean(products, radius).chunk(5, 1)
            xx, yy = xx + self.floor, yy + self.floor
            determinant = xx * yy - xy * xy
            u, v = (yy * xt - xy * yt) / determinant, (xx * yt - xy * xt) / determinant
            texture = determinant / (xx + yy)  # About the smaller eigenvalue.
            steps += [u.clamp(-self.largest, self.largest), v.clamp(-self.largest, self.largest),
                      texture / (texture + 10 * self.floor)]
        return torch.cat(steps, 1)

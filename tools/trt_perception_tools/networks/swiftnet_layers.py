"""Parts of SwiftNet's decoder: pre-activated convolutions, the spatial pyramid, upsampling steps."""
from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .tracing import constants

Upsample = Literal['bilinear', 'nearest']

_GRIDS = (8, 4, 2)


class NormReluConv(nn.Module):
    """Batch normalisation, ReLU and a convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W) of (N, inputs, H, W)."""
        return self.conv(functional.relu(self.norm(x)))


class Pyramid(nn.Module):
    """Spatial pyramid pooling: adds features of grids of 8, 4 and 2 rows of nearly square cells."""

    def __init__(self, inputs: int, features: int, upsample: Upsample) -> None:
        super().__init__()
        self.upsample: Upsample = upsample
        level = features // len(_GRIDS)
        self.spp = nn.ModuleDict({'spp_bn': NormReluConv(inputs, features)})
        self.spp.update({f'spp{number}': NormReluConv(features, level) for number in range(len(_GRIDS))})
        self.spp['spp_fuse'] = NormReluConv(features + len(_GRIDS) * level, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, features, H, W) of (N, inputs, H, W)."""
        x = self.spp['spp_bn'](x)
        levels = [x]
        for number, rows in enumerate(_GRIDS):
            pooled = self.spp[f'spp{number}'](pool(x, rows))
            levels.append(resize(pooled, x, self.upsample))
        return self.spp['spp_fuse'](torch.cat(levels, 1))


class Up(nn.Module):
    """Doubles the size, adds the encoder's features of that size and blends."""

    def __init__(self, skip: int, features: int, upsample: Upsample) -> None:
        super().__init__()
        self.upsample: Upsample = upsample
        self.bottleneck = NormReluConv(skip, features)
        self.blend_conv = NormReluConv(features, features, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (N, features, H, W) of (N, features, H/2, W/2) and the encoder's (N, skip, H, W)."""
        return self.blend_conv(resize(x, skip, self.upsample) + self.bottleneck(skip))


def resize(x: Tensor, like: Tensor, mode: Upsample) -> Tensor:
    """Return (N, C, h, w) at the height and width of another tensor."""
    with constants():
        size = int(like.shape[2]), int(like.shape[3])
    return functional.interpolate(x, size, mode=mode, align_corners=False if mode == 'bilinear' else None)


def pool(x: Tensor, rows: int) -> Tensor:
    """Return (N, C, rows, columns), the means of (N, C, H, W) over nearly square cells, as matrix products.

    The same as functional.adaptive_avg_pool2d.
    ONNX has pooling only for grids that divide the image.
    """
    with constants():
        height, width = int(x.shape[2]), int(x.shape[3])
        columns = max(1, round(width / height * rows))
        along_y, along_x = torch.from_numpy(_pooling(height, rows)), torch.from_numpy(_pooling(width, columns).T)
    return along_y.to(x) @ x @ along_x.to(x)


def _pooling(inputs: int, outputs: int) -> np.ndarray:
    """Return (outputs, inputs) float32: row i averages the inputs that touch the i-th of `outputs` equal parts."""
    part, index = np.arange(outputs)[:, None], np.arange(inputs)
    begin, end = part * inputs // outputs, -(-(part + 1) * inputs // outputs)
    touches = (index >= begin) & (index < end)
    return (touches / (end - begin)).astype(np.float32)

"""TinyPwc: a small optical-flow network of this project: feature pyramid, warping, cost volumes, 0.3 M weights.

Borrowed: pyramid, warping and cost volume at two scales from PWC-Net (Sun et al., CVPR 2018); refinement from the
features of the first image and the warped ones of the second from LiteFlowNet's sub-pixel unit (Hui et al., CVPR 2018);
features of unit length in the cost volume from ARFlow (Liu et al., CVPR 2020); Lucas-Kanade's step (IJCAI 1981) between
learnt features at 1/4 and 1/2. Only operators that the ONNX parser of TensorRT 8.2 has: the warp gathers with INT32
indices, the cost volume pads, slices, multiplies and averages.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .lucas_kanade import LucasKanade
from .state_dict import load_state
from .tracing import constants


class TinyPwc(nn.Module):
    """Flow from the first image to the second.

    Takes (N, 2, H, W) float32, grey (x - 128) / 128 of both images, H and W multiples of 16; gives (N, 2, H / 2, W / 2)
    float32, u right and v down, px of the input, on the first image's grid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Sequential(_conv(1, 16, 2), _conv(16, 32, 2))
        self.eighth = nn.Sequential(_conv(32, 40, 2), _conv(40, 48))
        self.sixteenth = nn.Sequential(_conv(48, 56, 2), _conv(56, 64))
        self.match16 = nn.Conv2d(64, 32, 1)
        self.match8 = nn.Conv2d(48, 32, 1)
        self.match4 = nn.Conv2d(32, 16, 1)
        self.match2 = nn.Conv2d(16, 8, 1)
        self.decode16 = _Decoder(nn.Sequential(_conv(81 + 64, 56), _conv(56, 56, dilation=2), _conv(56, 48)), 48, 16)
        self.decode8 = _Decoder(nn.Sequential(_conv(25 + 2 + 5 + 48, 40), _conv(40, 40), _conv(40, 32)), 32, 16)
        self.decode4 = _Decoder(nn.Sequential(_conv(16 + 16 + 2 + 14 + 3, 32), _conv(32, 16)), 16, 4)
        self.decode2 = _Decoder(_conv(6 + 1 + 3 + 2 + 4, 12), 12, 0)
        self.warp = Warp()
        self.step4 = LucasKanade((2,))
        self.step2 = LucasKanade((1, 3))
        # With torch's initial weights the signal fades from layer to layer, and nothing was learnt in 500 steps.
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
                nn.init.zeros_(module.bias)
        for last in (self.decode16.flow, self.decode8.flow, self.decode4.flow, self.decode2.flow):
            nn.init.normal_(last.weight, std=0.01)

    def forward(self, pair: Tensor) -> Tensor:
        """Return the flow."""
        return self.pyramid(pair)[-1]

    def pyramid(self, pair: Tensor) -> list[Tensor]:
        """Return the flow, (N, 2, h, w) px of the input, at 1/16, 1/8, 1/4 and 1/2 of the input's size."""
        half = self.pixels[0](torch.cat([pair[:, :1], pair[:, 1:]]))
        quarter = self.pixels[1](half)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)

        first, second = _unit(self.match16(sixteenth)).chunk(2)
        volume = cost_volume(first, second, 4)
        flow16, features = self.decode16(torch.cat([volume, sixteenth.chunk(2)[0]], 1))

        first, second = _unit(self.match8(eighth)).chunk(2)
        before = 2 * _double(flow16)
        volume = cost_volume(first, self.warp(second, before), 2)
        flow8, features = self.decode8(torch.cat([volume, before, _double(features[:, :5]), eighth.chunk(2)[0]], 1))
        flow8 = before + flow8

        first, second = self.match4(quarter).chunk(2)
        before = 2 * _double(flow8)
        second = self.warp(second, before)
        flow4, features = self.decode4(torch.cat([first, second, before, _double(features[:, :14]),
                                                  self.step4(first, second)], 1))
        flow4 = before + flow4

        first, second = self.match2(half).chunk(2)
        before = 2 * _double(flow4)
        second = self.warp(second, before)
        apart = (first - second).abs().mean(1, keepdim=True)
        flow2, _ = self.decode2(torch.cat([self.step2(first, second), apart, first[:, :3], before,
                                           _double(features)], 1))
        flow2 = before + flow2
        return [flow16 * 16, flow8 * 8, flow4 * 4, flow2 * 2]


class _Coordinates(nn.Module):
    """Coordinates of bilinear sampling along a flow field, always in FP32 and INT32.

    A module, so that its nodes have `/coordinates/` in their names and can stay FP32 when a graph becomes FP16.
    """

    def forward(self, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return for every pixel its upper left neighbour and the distances from that.

        Args:
            flow: (N, 2, H, W) px.

        Returns:
            (N * H * W) INT32, index among all pixels; (N * H * W, 1) FP32, px to the right; likewise down.
        """
        with constants():
            n, _, height, width = (int(side) for side in flow.shape)
        flow = flow.float()
        x = (flow[:, 0] + torch.arange(width, dtype=torch.float32, device=flow.device)).clamp(0, width - 1)
        below = torch.arange(height, dtype=torch.float32, device=flow.device).view(-1, 1)
        y = (flow[:, 1] + below).clamp(0, height - 1)
        # In the last column all weight is on the right-hand neighbour, which is that column.
        left, top = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
        start = torch.arange(n, dtype=torch.int32, device=flow.device).view(-1, 1, 1) * (height * width)
        index = start + top.to(torch.int32) * width + left.to(torch.int32)
        return index.view(-1), (x - left).view(-1, 1), (y - top).view(-1, 1)


class Warp(nn.Module):
    """Bilinear sampling along a flow field by gathering; outside the image, its border is used."""

    def __init__(self) -> None:
        super().__init__()
        self.coordinates = _Coordinates()

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        """Return (N, C, H, W): `features` (N, C, H, W) at every pixel plus `flow` (N, 2, H, W) px.

        No gradient flows into the flow: every level learns from its own error.
        """
        with constants():
            n, channels, height, width = (int(side) for side in features.shape)
        index, right, down = self.coordinates(flow.detach())
        right, down = right.type_as(features), down.type_as(features)
        pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)
        a, b, c, d = (pixels.index_select(0, index + offset) for offset in (0, 1, width, width + 1))
        upper, lower = a + (b - a) * right, c + (d - c) * right
        return (upper + (lower - upper) * down).view(n, height, width, channels).permute(0, 3, 1, 2)


class _Decoder(nn.Module):
    """Convolutions that end in a flow, px of their level, and in `features` channels for the next level."""

    def __init__(self, body: nn.Module, width: int, features: int) -> None:
        super().__init__()
        self.body = body
        self.flow = nn.Conv2d(width, 2, 3, padding=1)
        self.features = nn.Conv2d(width, features, 1) if features else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        # In half precision 100 px would have steps of 0.5.
        return self.flow(x).float(), self.features(x).relu() if self.features is not None else x


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation), nn.ReLU())


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)


def _unit(x: Tensor) -> Tensor:
    # Values that all places have in common do not distinguish them.
    x = x - x.mean((2, 3), keepdim=True)
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)


def cost_volume(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Correlate (N, C, H, W) features: (N, (2 radius + 1)^2, H, W), mean product with the second ones moved by
    (dx, dy), dy outer.

    Computes products of whole blocks of columns, and cuts out the wanted diagonals: this moves less memory than
    products of single displacements.
    """
    n, channels, height, width = first.shape
    side = 2 * radius + 1
    block = _block(width)
    window = block + 2 * radius
    left = (first / channels).reshape(n, channels, height, width // block, block).permute(0, 2, 3, 4, 1)
    padded = functional.pad(second, (radius,) * 4)
    right = torch.stack([padded[..., start:start + window] for start in range(0, width, block)], 2)
    right = right.permute(0, 3, 2, 1, 4)
    products = torch.stack([left @ right[:, dy:dy + height] for dy in range(side)], 1)
    # Column x of a block meets the columns x .. x + side of its window. One more column per row makes them upright.
    products = functional.pad(products.flatten(-2), (0, block)).unflatten(-1, (block, window + 1))[..., :side]
    return products.permute(0, 1, 5, 2, 3, 4).reshape(n, side * side, height, width)


def _block(width: int) -> int:
    """Return the divisor of a row that is nearest to 16, the fastest block."""
    with constants():
        columns = int(width)
    return min((each for each in range(1, columns + 1) if columns % each == 0), key=lambda each: abs(each - 16))


def load(weights: Mapping[str, np.ndarray], where: str) -> TinyPwc:
    """Build the network with its state dict, as training saves it.

    Raises:
        ConfigError: `weights`, from the file `where`, are not TinyPwc's.
    """
    return load_state(TinyPwc(), weights, where)

"""PWC-Net: optical flow with pyramid, warping and cost volume (Sun et al., CVPR 2018), 9.4 M weights.

PWC-DC: dense connections and a context network. Module names are those of the PyTorch checkpoints of
github.com/NVlabs/PWC-Net, so that their state dicts load unchanged.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .state_dict import load_state
from .tracing import constants

_PYRAMID = (16, 32, 64, 96, 128, 196)
_DENSE = (128, 128, 96, 64, 32)
# Channels and dilation.
_CONTEXT = ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1))
_SLOPE = 0.1
_REACH = 4
"""Reach of the cost volume, px in each direction."""
_FLOW_PX = 20
"""The network's unit of flow, px of the input."""
_OUTSIDE_PX = 1e-4
"""Largest distance from the image of a sample that counts as inside."""
_FAST_CHANNEL_MULTIPLE = 16


class _Coordinates(nn.Module):
    """Coordinates of bilinear sampling along a flow field, always in FP32 and INT32.

    A module, so that its nodes have `/coordinates/` in their names and can stay FP32 when a graph becomes FP16:
    half-precision coordinates cost 1.1 % of the flow, half-precision indices 73 %.
    """

    def forward(self, flow: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return for every pixel its upper left neighbour, the distances from that, and whether it is inside.

        Args:
            flow: (1, 2, H, W), times `scale` px.

        Returns:
            (H, W) INT32, index among H * W pixels; (1, H, W, 1) FP32, px to the right and down; (1, H, W, 1), 1 or 0.
        """
        with constants():
            height, width = int(flow.shape[2]), int(flow.shape[3])
        u, v = (scale * flow.float()).reshape(2, height, width, 1).split(1)
        x = u + torch.arange(width, dtype=torch.float32, device=flow.device).view(-1, 1)
        y = v + torch.arange(height, dtype=torch.float32, device=flow.device).view(-1, 1, 1)
        near_x, near_y = x.clamp(0, width - 1), y.clamp(0, height - 1)
        inside = (x - near_x).abs() + (y - near_y).abs() < _OUTSIDE_PX
        left, top = near_x.clamp(0, width - 2).floor(), near_y.clamp(0, height - 2).floor()
        index = (top.int() * width + left.int()).view(height, width)
        return index, near_x - left, near_y - top, inside.float()


class Warp(nn.Module):
    """Bilinear sampling by gathers, because TensorRT 8.2 has no GridSample.

    As torch's grid_sample(align_corners=True), but 0 if a sample needs a pixel outside the image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.coordinates = _Coordinates()

    def forward(self, features: Tensor, flow: Tensor, scale: float) -> Tensor:
        """Return (1, C, H, W): `features` (1, C, H, W) at every pixel plus `scale` * `flow` (1, 2, H, W) px."""
        with constants():
            channels, width = int(features.shape[1]), int(features.shape[3])
        index, right, down, inside = self.coordinates(flow, scale)
        right, down, inside = (each.type_as(features) for each in (right, down, inside))
        # Channels last: gathering at 256x512 takes ONNX Runtime 0.4 ms instead of 15.
        pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)
        a, b, c, d = (pixels[index + offset] for offset in (0, 1, width, width + 1))
        upper, lower = a + (b - a) * right, c + (d - c) * right
        return ((upper + (lower - upper) * down) * inside).permute(0, 3, 1, 2)


class _Border(torch.autograd.Function):
    """A border of zeros of the cost volume's reach, as one ONNX node; a torch pad becomes a dozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return functional.pad(x, [_REACH] * 4)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[..., _REACH:-_REACH, _REACH:-_REACH]

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:
        return g.op('Pad', x, g.op('Constant', value_t=torch.tensor([0, 0, _REACH, _REACH] * 2)))


def cost_volume(first: Tensor, second: Tensor) -> Tensor:
    """Return (1, 81, H, W): means over channels of `first` times `second`, both (1, C, H, W), moved by up to 4 px.

    Displacements are in rows, top left first. Nine products of nine columns each give the bits of 81 products, with a
    third of the nodes.
    """
    with constants():
        height, width = int(first.shape[2]), int(first.shape[3])
    moves = range(2 * _REACH + 1)
    second = _Border.apply(second)
    columns = torch.cat([second[..., dx:dx + width] for dx in moves])
    rows = [(first * columns[:, :, dy:dy + height]).mean(1) for dy in moves]
    return torch.cat(rows).unsqueeze(0)


class PwcNet(nn.Module):
    """Flow from the first image to the second.

    Takes (1, 6, H, W) float32, BGR / 255 of both images, H and W multiples of 64; gives (1, 2, H / 4, W / 4)
    float32, u right and v down, on the first image's grid. Times 20 it is px of the input.
    """

    def __init__(self, channel_multiple: int = 1) -> None:
        """Build the published network, or the same with more channels, which can hold zeros.

        Args:
            channel_multiple: the decoder's channels become multiples of it, by more outputs of the deconvolutions
                `upfeat`.
        """
        super().__init__()
        inputs = 3
        for level, channels in enumerate(_PYRAMID, 1):
            for number, name in enumerate(_names(level)):
                self.add_module(name, _conv(inputs, channels, stride=1 if number else 2))
                inputs = channels
        inputs = costs = (2 * _REACH + 1) ** 2
        for level in range(6, 1, -1):
            for number, channels in enumerate(_DENSE):
                self.add_module(f'conv{level}_{number}', _conv(inputs, channels))
                inputs += channels
            self.add_module(f'predict_flow{level}', _predict(inputs))
            # The checkpoints have a deconv2, which nothing uses.
            self.add_module(f'deconv{level}', _double(2, 2))
            if level > 2:
                used = costs + _PYRAMID[level - 2] + 2
                upfeat = 2 + -(used + 2) % channel_multiple
                self.add_module(f'upfeat{level}', _double(inputs, upfeat))
                inputs = used + upfeat
        for number, (channels, dilation) in enumerate(_CONTEXT, 1):
            self.add_module(f'dc_conv{number}', _conv(inputs, channels, dilation=dilation))
            inputs = channels
        self.dc_conv7 = _predict(inputs)
        self.warp = Warp()

    def forward(self, pair: Tensor) -> Tensor:
        """Return the flow."""
        features = torch.cat(pair.split(3, 1))
        pyramid = []
        for level in range(1, 7):
            features = self._run(_names(level), features)
            pyramid.append(features)
        x = self._dense(6, _costs(*features.split(1)))
        flow = self._run(['predict_flow6'], x)
        for level in range(5, 1, -1):
            first, second = pyramid[level - 1].split(1)
            flow = self._run([f'deconv{level + 1}'], flow)
            costs = _costs(first, self.warp(second, flow, _FLOW_PX / 2 ** level))
            x = self._dense(level, torch.cat([costs, first, flow, self._run([f'upfeat{level + 1}'], x)], 1))
            flow = self._run([f'predict_flow{level}'], x)
        return flow + self._run([f'dc_conv{number}' for number in range(1, 8)], x)

    def _dense(self, level: int, x: Tensor) -> Tensor:
        for number in range(len(_DENSE)):
            x = torch.cat([self._run([f'conv{level}_{number}'], x), x], 1)
        return x

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x


def _names(level: int) -> list[str]:
    order = ('aa', 'a', 'b') if level == 6 else ('a', 'aa', 'b')
    return [f'conv{level}{part}' for part in order]


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation), nn.LeakyReLU(_SLOPE))


def _predict(inputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, 2, 3, padding=1)


def _double(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)


def _costs(first: Tensor, second: Tensor) -> Tensor:
    return functional.leaky_relu(cost_volume(first, second), _SLOPE)


def load(weights: Mapping[str, np.ndarray], where: str) -> PwcNet:
    """Build the network with a published state dict, its decoder filled up with zeros to multiples of 16 channels.

    The flow stays the same, and ONNX Runtime is 1.13 - 1.24 times faster (256x512, 2 cores).

    Raises:
        ConfigError: `weights`, from the file `where`, are not PWC-Net's.
    """
    published = load_state(PwcNet(), weights, where)
    network = PwcNet(_FAST_CHANNEL_MULTIPLE)
    with torch.no_grad():
        for name, values in published.named_parameters():
            parameter = network.get_parameter(name).zero_()
            parameter[tuple(slice(size) for size in values.shape)] = values
    return network.eval()

"""ESPNet: segmentation with efficient spatial pyramids (Mehta et al., ECCV 2018), about 0.35 M weights.

Module names are those of the published checkpoints, so that their state dicts load unchanged.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trt_perception.core.errors import ConfigError

from .state_dict import load_state

_EPS = 1e-3
_DILATIONS = (1, 2, 4, 8, 16)


class _Conv(nn.Module):
    """A convolution without bias that keeps the size, up to its stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 * dilation, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _PRelu(nn.PReLU):
    """nn.PReLU of elementwise operations, because ONNX Runtime's PRelu is ten times slower than these."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x) + self.weight.view(-1, 1, 1) * torch.clamp(x, max=0)


class _NormAct(nn.Module):
    """Batch normalisation and PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=_EPS)
        self.act = _PRelu(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))


class _ConvNormAct(_NormAct):
    """A convolution, then batch normalisation and PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(outputs)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))


class _SpatialPyramid(nn.Module):
    """Reduce, split into five dilated convolutions, transform, merge with hierarchical feature fusion."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        width = outputs // len(_DILATIONS)
        first = outputs - width * (len(_DILATIONS) - 1)
        self.c1 = _Conv(inputs, width, kernel, stride)
        for dilation in _DILATIONS:
            self.add_module(f'd{dilation}', _Conv(width, first if dilation == 1 else width, 3, dilation=dilation))

    def merged(self, x: Tensor) -> Tensor:
        """Return (1, outputs, h, w): the branch of dilation 1, then the running sums of the wider ones."""
        reduced = self.c1(x)
        branches = [self.get_submodule(f'd{dilation}')(reduced) for dilation in _DILATIONS]
        sums = [branches[1]]
        for branch in branches[2:]:
            sums.append(sums[-1] + branch)
        return torch.cat([branches[0], *sums], 1)


class _Downsampler(_SpatialPyramid):
    """A spatial pyramid at half the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel=3, stride=2)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPS)
        self.act = _PRelu(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.merged(x)))


class _EspBlock(_SpatialPyramid):
    """A spatial pyramid, with the input added if the widths agree."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.bn = _NormAct(outputs)
        self.residual = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        merged = self.merged(x)
        return self.bn(x + merged if self.residual else merged)


class _Encoder(nn.Module):
    """ESPNet-C: features at 1/2, 1/4 and 1/8, and class scores at 1/8."""

    def __init__(self, classes: int, p: int, q: int) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(3, 2, 1)
        self.level1 = _ConvNormAct(3, 16, 3, 2)
        self.b1 = _NormAct(16 + 3)
        self.level2_0 = _Downsampler(16 + 3, 64)
        self.level2 = nn.Sequential(*[_EspBlock(64, 64) for _ in range(p)])
        self.b2 = _NormAct(64 + 64 + 3)
        self.level3_0 = _Downsampler(64 + 64 + 3, 128)
        self.level3 = nn.Sequential(*[_EspBlock(128, 128) for _ in range(q)])
        self.b3 = _NormAct(128 + 128)
        self.classifier = _Conv(128 + 128, classes, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features at 1/2 without and with the image, at 1/4, and scores at 1/8."""
        half = self.shrink(image)
        features2_alone = self.level1(image)
        features2 = self.b1(torch.cat([features2_alone, half], 1))
        down = self.level2_0(features2)
        features4 = self.b2(torch.cat([self.level2(down), down, self.shrink(half)], 1))
        down = self.level3_0(features4)
        features8 = self.b3(torch.cat([down, self.level3(down)], 1))
        return features2_alone, features2, features4, self.classifier(features8)


class EspNet(nn.Module):
    """The encoder with the light-weight decoder.

    Takes (1, 3, H, W) float32, normalised, H and W multiples of 8; returns (1, classes, H, W) float32 scores.

    Args:
        joins_image: whether the decoder uses the image at 1/2, as with the weights for CamVid, unlike Cityscapes.
    """

    def __init__(self, classes: int = 20, p: int = 2, q: int = 8, joins_image: bool = True) -> None:
        super().__init__()
        self.encoder = _Encoder(classes, p, q)
        self.level3_C = _Conv(64 + 64 + 3, classes, 1)
        self.br = nn.BatchNorm2d(classes, eps=_EPS)
        self.joins_image = joins_image
        self.conv = _ConvNormAct(16 + (3 if joins_image else 0) + classes, classes, 3)
        self.up_l3 = nn.Sequential(_double(classes))
        self.combine_l2_l3 = nn.Sequential(_NormAct(2 * classes), _EspBlock(2 * classes, classes))
        self.up_l2 = nn.Sequential(_double(classes), _NormAct(classes))
        self.classifier = _double(classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return the scores of every class."""
        features2_alone, features2, features4, scores8 = self.encoder(image)
        scores4 = self.up_l3(self.br(scores8))
        scores2 = self.up_l2(self.combine_l2_l3(torch.cat([self.level3_C(features4), scores4], 1)))
        features = features2 if self.joins_image else features2_alone
        return self.classifier(self.conv(torch.cat([scores2, features], 1)))


def _double(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, 2, bias=False)


def load(weights: Mapping[str, np.ndarray], where: str) -> EspNet:
    """Build the network that fits a published state dict, from which classes, p, q and the decoder's inputs follow.

    Raises:
        ConfigError: `weights`, from the file `where`, are not ESPNet's.
    """
    blocks = [{name.split('.')[2] for name in weights if name.startswith(f'encoder.{level}.')}
              for level in ('level2', 'level3')]
    last, join = weights.get('classifier.weight'), weights.get('conv.conv.weight')
    if last is None or join is None:
        raise ConfigError(f'{where}: no array classifier.weight or conv.conv.weight, expected the state dict of an '
                          'ESPNet with decoder. Download pretrained/decoder/espnet_p_2_q_*.pth of '
                          'github.com/sacmehta/ESPNet.')
    classes = last.shape[1]
    joins_image = join.shape[1] > 16 + classes
    return load_state(EspNet(classes, len(blocks[0]), len(blocks[1]), joins_image), weights, where)

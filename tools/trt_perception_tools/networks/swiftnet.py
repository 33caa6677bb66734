"""SwiftNet: segmentation with an ImageNet encoder and a lean decoder (Orsic et al., CVPR 2019), single scale.

Module names are those of the published checkpoints, so that their state dicts load unchanged; those of the encoder
are torchvision's, so that its ImageNet weights fit, too.
"""
from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trt_perception.core.errors import ConfigError

from .efficientnet_lite import MEAN as IMAGENET_MEAN
from .efficientnet_lite import STD as IMAGENET_STD
from .efficientnet_lite import EfficientNetLite
from .repvgg import RepVggBlock
from .state_dict import fit_widths, load_state
from .swiftnet_layers import NormReluConv, Pyramid, Up, Upsample, resize

Encoder = Literal['resnet18', 'mobilenet_v2', 'repvgg', 'efficientnet_lite0']

_MEAN = (73.15, 82.90, 72.3)
_STD = (47.67, 48.49, 47.73)
_FEATURES = 128


class _Backbone(nn.Module, abc.ABC):
    """Normalisation, an encoder, the pyramid and the decoder; returns features at 1/4."""

    img_mean: Tensor
    img_std: Tensor

    def __init__(self, skips: Sequence[int], features: int, upsample: Upsample) -> None:
        """Build everything except the encoder, whose features have `skips` channels at 1/4, 1/8, 1/16 and 1/32."""
        super().__init__()
        self.register_buffer('img_mean', torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer('img_std', torch.tensor(_STD).view(1, 3, 1, 1))
        self.spp = Pyramid(skips[-1], features, upsample)
        self.upsample = nn.ModuleList(Up(skip, features, upsample) for skip in reversed(skips[:-1]))

    @abc.abstractmethod
    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the features, (N, C, h, w), at 1/4, 1/8, 1/16 and 1/32 of an image, (N, 3, H, W)."""

    def forward(self, image: Tensor) -> Tensor:
        *skips, deepest = self.encode((image - self.img_mean) / self.img_std)
        x = self.spp(deepest)
        for up, skip in zip(self.upsample, reversed(skips), strict=True):
            x = up(x, skip)
        return x


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential() if stride == 1 else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class _ResNet18(_Backbone):
    """ResNet-18 (He et al., CVPR 2016).

    The paper takes the features before the last ReLU of each stage. The published code's ReLU works in place, so that
    they are after it; the published weights were trained with that.
    """

    def __init__(self, width: float, features: int, upsample: Upsample) -> None:
        widths = [_scaled(channels, width) for channels in (64, 128, 256, 512)]
        super().__init__(widths, features, upsample)
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = nn.Sequential(_BasicBlock(widths[0], widths[0]), _BasicBlock(widths[0], widths[0]))
        self.layer2 = nn.Sequential(_BasicBlock(widths[0], widths[1], 2), _BasicBlock(widths[1], widths[1]))
        self.layer3 = nn.Sequential(_BasicBlock(widths[1], widths[2], 2), _BasicBlock(widths[2], widths[2]))
        self.layer4 = nn.Sequential(_BasicBlock(widths[2], widths[3], 2), _BasicBlock(widths[3], widths[3]))

    def encode(self, x: Tensor) -> list[Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        skips = [self.layer1(x)]
        for layer in (self.layer2, self.layer3, self.layer4):
            skips.append(layer(skips[-1]))
        return skips


class _InvertedResidual(nn.Module):
    """Expand, filter depthwise, project without an activation; a shortcut where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [] if expansion == 1 else [_conv_norm_relu6(inputs, hidden, 1)]
        self.conv = nn.Sequential(*expand, _conv_norm_relu6(hidden, hidden, 3, stride, groups=hidden),
                                  nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class _MobileNetV2(_Backbone):
    """MobileNetV2 (Sandler et al., CVPR 2018) without the last 1x1 convolution."""

    # Of each group of blocks: expansion, channels, blocks, stride.
    _GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
               (6, 320, 1, 1))
    # The last layers at 1/4, 1/8, 1/16 and 1/32.
    _SKIPS = (3, 6, 13, 17)

    def __init__(self, width: float, features: int, upsample: Upsample) -> None:
        super().__init__([_scaled(channels, width) for channels in (24, 32, 96, 320)], features, upsample)
        inputs = _scaled(32, width)
        layers: list[nn.Module] = [_conv_norm_relu6(3, inputs, 3, 2)]
        for expansion, channels, blocks, stride in self._GROUPS:
            outputs = _scaled(channels, width)
            for number in range(blocks):
                layers.append(_InvertedResidual(inputs, outputs, stride if number == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers)

    def encode(self, x: Tensor) -> list[Tensor]:
        skips = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self._SKIPS:
                skips.append(x)
        return skips


class _RepVgg(_Backbone):
    """RepVGG-A0 (Ding et al., CVPR 2021); `repvgg.merge` makes its blocks plain convolutions."""

    _BLOCKS = (2, 4, 14, 1)

    def __init__(self, width: float, features: int, upsample: Upsample) -> None:
        widths = [_scaled(channels, width) for channels in (48, 96, 192, 1280)]
        super().__init__(widths, features, upsample)
        inputs = widths[0]
        self.stage0 = RepVggBlock(3, inputs, 2)
        for number, (outputs, blocks) in enumerate(zip(widths, self._BLOCKS, strict=True), 1):
            stage = [RepVggBlock(inputs, outputs, 2), *(RepVggBlock(outputs, outputs) for _ in range(blocks - 1))]
            self.add_module(f'stage{number}', nn.Sequential(*stage))
            inputs = outputs

    def encode(self, x: Tensor) -> list[Tensor]:
        x = self.stage0(x)
        skips = []
        for number in range(1, len(self._BLOCKS) + 1):
            x = self.get_submodule(f'stage{number}')(x)
            skips.append(x)
        return skips


class _EfficientNetLite0(_Backbone):
    """EfficientNet-Lite0 at full width, because its ImageNet weights fit only that."""

    def __init__(self, width: float, features: int, upsample: Upsample) -> None:
        encoder = EfficientNetLite()
        super().__init__(encoder.skips, features, upsample)
        self.encoder = encoder
        self.img_mean.copy_(torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.img_std.copy_(torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def encode(self, x: Tensor) -> list[Tensor]:
        return self.encoder(x)


_ENCODERS: dict[str, Callable[[float, int, Upsample], _Backbone]] = {
    'resnet18': _ResNet18, 'mobilenet_v2': _MobileNetV2, 'repvgg': _RepVgg, 'efficientnet_lite0': _EfficientNetLite0}


class SwiftNet(nn.Module):
    """Scores of every class at full resolution.

    Takes (1, 3, H, W) float32, RGB 0..255, which it normalises with the buffers `backbone.img_mean` and
    `backbone.img_std`, H and W multiples of 32; returns (1, classes, H, W) float32 scores.
    """

    def __init__(self, classes: int = 19, encoder: Encoder = 'resnet18', width: float = 1.0,
                 upsample: Upsample = 'bilinear', pretrained: bool = False) -> None:
        """Build the published network, or a variant that has to be trained.

        Args:
            pretrained: whether the encoder begins with ImageNet's weights; only for efficientnet_lite0.
            width: factor on the channels of encoder and decoder, a multiple of 1/16.
            upsample: interpolation in pyramid and decoder; the scores are always bilinear.

        Raises:
            ConfigError: another width, or no pretrained weights for this encoder.
        """
        super().__init__()
        if width <= 0 or 16 * width % 1:
            raise ConfigError(f'SwiftNet: got width {width}, expected a multiple of 1/16, e.g. 0.5.')
        self.width = width
        features = _scaled(_FEATURES, width)
        self.backbone = _ENCODERS[encoder](width, features, upsample)
        self.logits = NormReluConv(features, classes, bias=True)
        if pretrained:
            if not isinstance(self.backbone, _EfficientNetLite0):
                raise ConfigError(f'SwiftNet: pretrained: no ImageNet weights for encoder {encoder}. '
                                  'Use encoder: efficientnet_lite0.')
            self.backbone.encoder.load_imagenet()

    def forward(self, image: Tensor) -> Tensor:
        """Return the scores of every class."""
        return resize(self.quarter(image), image, 'bilinear')

    def quarter(self, image: Tensor) -> Tensor:
        """Return the scores before the last interpolation: (N, classes, H / 4, W / 4) of an image (N, 3, H, W)."""
        return self.logits(self.backbone(image))

    def keep_width(self) -> None:
        """Add the width to the weights, for `load`: once channels have been removed, shapes do not tell it."""
        self.register_buffer('unpruned_width', torch.tensor(self.width))


def _conv_norm_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU6())


def _scaled(channels: int, width: float) -> int:
    """Return the nearest multiple of 8 that is not 10 % too small, which is MobileNet's rule."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels * width else rounded + 8


_TELLTALES: dict[str, Encoder] = {'features': 'mobilenet_v2', 'stage0': 'repvgg', 'encoder': 'efficientnet_lite0'}
"""Module of the backbone that only one encoder has -> the encoder."""


def load(weights: Mapping[str, np.ndarray], where: str, upsample: Upsample = 'bilinear') -> SwiftNet:
    """Build the network that fits a published state dict, or a pruned one: classes, encoder and width follow from it.

    Raises:
        ConfigError: `weights`, from the file `where`, are not SwiftNet's.
    """
    norm, bias = weights.get('logits.norm.weight'), weights.get('logits.conv.bias')
    if norm is None or bias is None:
        raise ConfigError(f'{where}: no arrays logits.norm.weight and logits.conv.bias, expected the state dict of a '
                          'single-scale SwiftNet. Train or download one with github.com/orsic/swiftnet.')
    parts = {name.split('.')[1] for name in weights if name.startswith('backbone.')}
    encoder: Encoder = next((name for part, name in _TELLTALES.items() if part in parts), 'resnet18')
    unpruned_width = weights.get('unpruned_width')
    if unpruned_width is None:
        return load_state(SwiftNet(bias.size, encoder, norm.size / _FEATURES, upsample), weights, where)
    # Shortcuts depend on the width: MobileNetV2 has one if the number of channels stays the same.
    network = SwiftNet(bias.size, encoder, float(unpruned_width), upsample)
    network.keep_width()
    fit_widths(network, weights)
    return load_state(network, weights, where)

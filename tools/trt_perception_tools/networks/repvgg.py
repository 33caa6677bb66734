"""RepVGG blocks: three branches while training, one convolution when deployed (Ding et al., CVPR 2021).

Module names are those of the published checkpoints.
"""
from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights


class _ConvNorm(nn.Module):
    """A convolution and batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class RepVggBlock(nn.Module):
    """ReLU of the sum of a 3x3 convolution, a 1x1 convolution and, if the shapes agree, the input itself.

    Each has its own batch normalisation. The sum is linear in the input: `merged` returns the equal 3x3 convolution
    of the evaluation mode.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.rbr_identity = nn.BatchNorm2d(inputs) if stride == 1 and inputs == outputs else None
        self.rbr_dense = _ConvNorm(inputs, outputs, 3, stride)
        self.rbr_1x1 = _ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / stride, W / stride)."""
        y = self.rbr_dense(x) + self.rbr_1x1(x)
        return functional.relu(y if self.rbr_identity is None else y + self.rbr_identity(x))

    def merged(self) -> nn.Sequential:
        """Return the equal convolution and its ReLU."""
        dense, point = self.rbr_dense, self.rbr_1x1
        branches = [_folded(dense.conv.weight, dense.bn), _folded(point.conv.weight, point.bn)]
        inputs, outputs = dense.conv.in_channels, dense.conv.out_channels
        if self.rbr_identity is not None:
            same = torch.eye(inputs).to(dense.conv.weight)[:, :, None, None]
            branches.append(_folded(same, self.rbr_identity))
        conv = nn.Conv2d(inputs, outputs, 3, dense.conv.stride[0], 1)
        # A 1x1 kernel is the centre of a 3x3 one.
        conv.weight.data = sum((functional.pad(kernel, [(3 - kernel.shape[2]) // 2] * 4) for kernel, _ in branches),
                               torch.zeros_like(dense.conv.weight.data))
        assert conv.bias is not None
        conv.bias.data = sum((bias for _, bias in branches), torch.zeros_like(branches[0][1]))
        return nn.Sequential(conv, nn.ReLU()).train(self.training)


def merge(network: nn.Module) -> nn.Module:
    """Return the network with every RepVGG block as one convolution; unchanged if it has none.

    The result is the same in evaluation mode, but cannot be trained further with three branches.
    """
    if not any(isinstance(module, RepVggBlock) for module in network.modules()):
        return network
    if isinstance(network, RepVggBlock):
        return network.merged()
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, RepVggBlock):
                setattr(parent, name, child.merged())
    return network


def _folded(kernel: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(kernel, None, norm.running_mean, norm.running_var, norm.eps, norm.weight,
                                        norm.bias)
    return weight.detach(), bias.detach()

"""FlowNetS: optical flow from stacked images by an encoder-decoder (Dosovitskiy et al., ICCV 2015), 39 M weights.

Module names are those of the checkpoints of github.com/ClementPinard/FlowNetPytorch, so that their state dicts load
unchanged; the flow at lower resolutions, whose loss only training uses, feeds the decoder.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from .state_dict import load_state


class FlowNetS(nn.Module):
    """Flow from the first image to the second.

    Takes (1, 6, H, W) float32, RGB / 255 minus (0.411, 0.432, 0.45) of both images, H and W multiples of 64; gives
    (1, 2, H / 4, W / 4) float32, u right and v down, on the first image's grid. Times 20 it is px of the input.
    """

    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = _conv(6, 64, 7, 2, batch_norm)
        self.conv2 = _conv(64, 128, 5, 2, batch_norm)
        self.conv3 = _conv(128, 256, 5, 2, batch_norm)
        self.conv3_1 = _conv(256, 256, 3, 1, batch_norm)
        self.conv4 = _conv(256, 512, 3, 2, batch_norm)
        self.conv4_1 = _conv(512, 512, 3, 1, batch_norm)
        self.conv5 = _conv(512, 512, 3, 2, batch_norm)
        self.conv5_1 = _conv(512, 512, 3, 1, batch_norm)
        self.conv6 = _conv(512, 1024, 3, 2, batch_norm)
        self.conv6_1 = _conv(1024, 1024, 3, 1, batch_norm)
        for level, inputs, outputs in ((6, 1024, 512), (5, 1026, 256), (4, 770, 128), (3, 386, 64)):
            self.add_module(f'predict_flow{level}', _predict(inputs))
            self.add_module(f'upsampled_flow{level}_to_{level - 1}', _double(2, 2))
            self.add_module(f'deconv{level - 1}', nn.Sequential(_double(inputs, outputs), nn.LeakyReLU(0.1)))
        self.predict_flow2 = _predict(194)

    def forward(self, pair: Tensor) -> Tensor:
        """Return the flow."""
        features2 = self.conv2(self.conv1(pair))
        features3 = self.conv3_1(self.conv3(features2))
        features4 = self.conv4_1(self.conv4(features3))
        features5 = self.conv5_1(self.conv5(features4))
        x = self.conv6_1(self.conv6(features5))
        for level, features in ((6, features5), (5, features4), (4, features3), (3, features2)):
            flow = self.get_submodule(f'predict_flow{level}')(x)
            flow = self.get_submodule(f'upsampled_flow{level}_to_{level - 1}')(flow)
            x = torch.cat([features, self.get_submodule(f'deconv{level - 1}')(x), flow], 1)
        return self.predict_flow2(x)


def _conv(inputs: int, outputs: int, kernel: int, stride: int, batch_norm: bool) -> nn.Sequential:
    norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not batch_norm), *norm,
                         nn.LeakyReLU(0.1))


def _predict(inputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, 2, 3, padding=1, bias=False)


def _double(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)


def load(weights: Mapping[str, np.ndarray], where: str) -> FlowNetS:
    """Build the network that fits a published state dict, with batch normalisation if the state dict has it.

    Raises:
        ConfigError: `weights`, from the file `where`, are not FlowNetS's.
    """
    return load_state(FlowNetS('conv1.1.running_mean' in weights), weights, where)

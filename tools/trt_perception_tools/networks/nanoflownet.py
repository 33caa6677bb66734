"""NanoFlowNet: optical flow without warping or correlation (Bouwmeester et al., ICRA 2023), 0.17 M weights.

An STDC encoder (Fan et al., CVPR 2021) with a BiSeNet decoder; the heads that only training needs are left out.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trt_perception.core.errors import ConfigError

# Training resized the images from 510 to 112 rows, but not the values of the flow.
_TRAINING_SCALE = 510 / 112


class _PaddedAtEnd(torch.autograd.Function):
    """A depthwise 3x3 convolution of stride 2 whose ONNX node pads by itself.

    torch.nn.Conv2d cannot pad one side only, and the exporter turns a torch pad into a dozen nodes that ONNX Runtime
    does not fuse (12 % of the network's time).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return _padded_at_end(x, weight)

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any) -> Any:
        return g.op('Conv', x, weight, kernel_shape_i=[3, 3], strides_i=[2, 2], pads_i=[0, 0, 1, 1],
                    group_i=weight.type().sizes()[0])


def _padded_at_end(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(functional.pad(x, (0, 1, 0, 1)), weight, stride=2, groups=weight.shape[0])


class _SeparableConv(nn.Module):
    """A depthwise 3x3 convolution, a 1x1 convolution, ReLU; TensorFlow's SAME padding for even sides."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            x = self.depthwise(x)
        elif torch.onnx.is_in_onnx_export():
            x = _PaddedAtEnd.apply(x, self.depthwise.weight)
        else:
            x = _padded_at_end(x, self.depthwise.weight)
        return functional.relu(self.pointwise(x))


class _Stage(nn.Module):
    """Two short-term dense blocks: the first halves the size, the second widens to `outputs`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter, eighth = outputs // 2, outputs // 4, outputs // 8
        # ceil_mode is SAME for an even side: the last window exceeds the image and averages only its pixels inside.
        self.shrink = nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)
        self.project = nn.Conv2d(inputs, half, 1)
        self.down1 = _SeparableConv(inputs, half, 2)
        self.down2 = _SeparableConv(half, quarter)
        self.down3 = _SeparableConv(quarter, quarter)
        self.fuse = nn.Conv2d(outputs, half, 1)
        self.wide1 = _SeparableConv(half, quarter)
        self.wide2 = _SeparableConv(quarter, eighth)
        self.wide3 = _SeparableConv(eighth, eighth)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down2(self.down1(x))
        skip = functional.relu(self.project(self.shrink(x)))
        x = functional.relu(self.fuse(torch.cat([skip, wide, self.down3(wide)], 1)))
        half = self.wide1(x)
        quarter = self.wide2(half)
        return torch.cat([x, half, quarter, self.wide3(quarter)], 1)


class _Attention(nn.Module):
    """A separable convolution whose channels are weighted by global image features."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = _SeparableConv(inputs, 32)
        self.gate = nn.Conv2d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(_global_mean(x)))


class _Fusion(nn.Module):
    """Joins the decoder's features with those of the first stage."""

    def __init__(self) -> None:
        super().__init__()
        self.join = nn.Conv2d(32 + 64, 64, 1)
        self.squeeze = nn.Conv2d(64, 16, 1)
        self.gate = nn.Conv2d(16, 64, 1)

    def forward(self, decoded: Tensor, features: Tensor) -> Tensor:
        x = functional.relu(self.join(torch.cat([decoded, features], 1)))
        return x + x * torch.sigmoid(self.gate(functional.relu(self.squeeze(_global_mean(x)))))


class NanoFlowNet(nn.Module):
    """Flow from the first image to the second.

    Takes (1, 2, H, W) float32, grey (x - 128) / 128 of both images, H and W multiples of 16; gives
    (1, 2, H / 4, W / 4) float32, u right and v down, px of the input, on the first image's grid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SeparableConv(2, 16, 2)
        self.stage4 = _Stage(16, 64)
        self.stage8 = _Stage(64, 128)
        self.stage16 = _Stage(128, 256)
        self.context = nn.Conv2d(256, 32, 1)
        self.attend16 = _Attention(256)
        self.refine8 = _SeparableConv(32, 32)
        self.attend8 = _Attention(128)
        self.refine4 = _SeparableConv(32, 32)
        self.fusion = _Fusion()
        self.head = _SeparableConv(64, 64)
        self.flow = nn.Conv2d(64, 2, 1)

    def forward(self, pair: Tensor) -> Tensor:
        """Return the flow."""
        features4 = self.stage4(self.stem(pair))
        features8 = self.stage8(features4)
        features16 = self.stage16(features8)
        context = functional.relu(self.context(_global_mean(features16)))
        x = self.refine8(_double(self.attend16(features16) * context))
        x = self.refine4(_double(self.attend8(features8) + x))
        return self.flow(self.head(self.fusion(x, features4))) / _TRAINING_SCALE


def _global_mean(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, 1)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)


# Module -> layer of the published Keras model, which numbers its layers in the order they were made.
_KERAS_LAYERS = {
    'stem': 'separable_conv2d',
    'stage4.down1': 'separable_conv2d_1', 'stage4.down2': 'separable_conv2d_2', 'stage4.down3': 'separable_conv2d_3',
    'stage4.wide1': 'separable_conv2d_4', 'stage4.wide2': 'separable_conv2d_5', 'stage4.wide3': 'separable_conv2d_6',
    'stage4.project': 'conv2d', 'stage4.fuse': 'conv2d_1',
    'stage8.down1': 'separable_conv2d_8', 'stage8.down2': 'separable_conv2d_9', 'stage8.down3': 'separable_conv2d_10',
    'stage8.wide1': 'separable_conv2d_11', 'stage8.wide2': 'separable_conv2d_12',
    'stage8.wide3': 'separable_conv2d_13', 'stage8.project': 'conv2d_2', 'stage8.fuse': 'conv2d_3',
    'stage16.down1': 'separable_conv2d_14', 'stage16.down2': 'separable_conv2d_15',
    'stage16.down3': 'separable_conv2d_16', 'stage16.wide1': 'separable_conv2d_17',
    'stage16.wide2': 'separable_conv2d_18', 'stage16.wide3': 'separable_conv2d_19',
    'stage16.project': 'conv2d_4', 'stage16.fuse': 'conv2d_5',
    'context': 'conv2d_6',
    'attend16.conv': 'separable_conv2d_20', 'attend16.gate': 'conv2d_7', 'refine8': 'separable_conv2d_21',
    'attend8.conv': 'separable_conv2d_23', 'attend8.gate': 'conv2d_8', 'refine4': 'separable_conv2d_24',
    'fusion.join': 'conv2d_9', 'fusion.squeeze': 'conv2d_10', 'fusion.gate': 'conv2d_11',
    'head': 'separable_conv2d_26', 'flow': 'output',
}


def load(weights: Mapping[str, np.ndarray], where: str) -> NanoFlowNet:
    """Build the network with the arrays of the published Keras model, named `layer/array`.

    Raises:
        ConfigError: `weights`, from the file `where`, are not NanoFlowNet's.
    """
    network = NanoFlowNet()
    state = {}
    for name, parameter in network.state_dict().items():
        module, kind = name.rsplit('.', 1)
        prefix = ''
        if module not in _KERAS_LAYERS:
            module, part = module.rsplit('.', 1)
            prefix = part + '_' if kind == 'weight' else ''
        key = f'{_KERAS_LAYERS[module]}/{prefix}{"kernel" if kind == "weight" else kind}'
        if key not in weights:
            raise ConfigError(f'{where}: no array {key}, expected the layers of nanoflownet.h5 as `layer/array`. '
                              'Take nanoflownet.npz, or read the .h5 with h5py and save its arrays.')
        array = np.asarray(weights[key])
        if kind == 'weight':
            # Keras (h, w, in, out); depthwise (h, w, channel, 1).
            array = array.transpose((2, 3, 0, 1) if prefix == 'depthwise_' else (3, 2, 0, 1))
        if array.shape != tuple(parameter.shape):
            raise ConfigError(f'{where}: {key}: got shape {weights[key].shape}, which does not fit NanoFlowNet '
                              f'(torch {tuple(parameter.shape)}). Take the weights of the full-size network.')
        state[name] = torch.from_numpy(np.ascontiguousarray(array))
    network.load_state_dict(state)
    return network.eval()

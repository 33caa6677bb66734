"""Input and output layers around a network in its exported graph: images in, labels or flow out.

A network has two graphs. The one for onnxruntime has bytes as input and output: uint8 NHWC, normalised in the graph.
TensorRT 8.2 has no uint8, so the one for tensorrt has float32 NCHW, normalised by the engine, and INT32 labels. Both
contain the argmax, so that bytes are copied instead of scores.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trt_perception.core.image import Size
from trt_perception.core.model import ModelInput

from ..graphs.runtimes import Runtime
from ..networks.lucas_kanade import window_mean
from ..networks.tracing import constants
from .confidence import Calibration, Confidence

Decision = Literal['labels', 'quarter', 'logits']
"""Place of the argmax of a segmentation graph: full resolution; 1/4, upsampled by nearest neighbour; none."""
DECISIONS: tuple[Decision, ...] = ('labels', 'quarter', 'logits')
_AROUND_PX = 24
"""Half the side of the window for the deviation of the flow, px of the input."""


class GreyLevels(nn.Module):
    """(1, H, W, C) uint8 -> (1, C, H, W) float32, normalised by the model's YAML."""

    mean: Tensor
    std: Tensor

    def __init__(self, image: ModelInput) -> None:
        super().__init__()
        self.register_buffer('mean', torch.from_numpy(image.mean).view(1, -1, 1, 1))
        self.register_buffer('std', torch.from_numpy(image.std).view(1, -1, 1, 1))
        # The exporter would keep them.
        self._is_identity = not image.mean.any() and bool((image.std == 1).all())

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's input."""
        # Transpose before the cast: a quarter of the bytes to move.
        levels = image.permute(0, 3, 1, 2).float()
        return levels if self._is_identity else (levels - self.mean) / self.std


def _feed(image: ModelInput, runtime: Runtime) -> nn.Module:
    # The runtime normalises a float input itself (core/preprocess.py, and on the GPU kernels.cu).
    return GreyLevels(image) if runtime == 'onnxruntime' else nn.Identity()


def network_inputs(images: Sequence[np.ndarray], image: ModelInput, runtime: Runtime) -> tuple[Tensor, ...]:
    """Return the input from an engine of this runtime for (1, H, W, C) uint8 images in the YAML's colour order."""
    tensors = tuple(torch.from_numpy(pixels) for pixels in images)
    return tensors if runtime == 'onnxruntime' else tuple(GreyLevels(image)(tensor) for tensor in tensors)


class SegmentationHead(nn.Module):
    """An image -> labels (1, H, W), and confidence (1, H, W), 255 = certain.

    Takes (1, H, W, 3) uint8 in the YAML's colour order and returns uint8. For tensorrt, it takes (1, 3, H, W) float32,
    normalised, and both outputs are INT32, so that one kernel of the engine converts them to bytes.

    Labels are the argmax over the first `classes` outputs; further outputs (CamVid's void) are ignored, so that every
    pixel gets a class. ESPNet on CamVid test then has mIoU 56.95 % and pixel accuracy 87.5 %; with void pixels, 56.88 %
    and 85.6 %.
    Confidence is the softmax probability of the best class among the same outputs, calibrated if possible. If the
    network has scores at 1/4 first, the confidence is computed there and then upsampled: at full size it took 8.5 %
    (FP32) to 15 % (INT8) of the network's time, wanted or not.

    With the decision 'quarter', labels are at 1/4, too: one per block of 4x4 pixels. With 'logits' the only output is
    the scores, (1, classes, H, W) float32, which no pipeline takes: for measurements of other methods.
    """

    certain: Tensor

    def __init__(self, network: nn.Module, image: ModelInput, classes: int, confidence: bool = True,
                 runtime: Runtime = 'onnxruntime', decision: Decision = 'labels',
                 calibration: Calibration | None = None) -> None:
        super().__init__()
        self.feed = _feed(image, runtime)
        self.network = network
        self.classes = classes
        self.confidence = Confidence(calibration) if confidence else None
        self.decision: Decision = decision
        self.dtype = torch.uint8 if runtime == 'onnxruntime' else torch.int32
        self.register_buffer('certain', torch.tensor(255.0))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return labels, and confidence if it is wanted; or the scores."""
        network: Any = self.network
        x = self.feed(image)
        if not hasattr(network, 'quarter'):
            scores = coarse = self._known(network(x))
        else:
            coarse = self._known(network.quarter(x))
            scores = coarse if self.decision == 'quarter' else _resized(coarse, x)
        if self.decision == 'logits':
            return (scores,)
        labels = scores.argmax(1).to(self.dtype)
        if self.decision == 'quarter':
            labels = _enlarged(labels, 4)
        if self.confidence is None:
            return (labels,)
        confidence = self.confidence(coarse)
        if hasattr(network, 'quarter'):
            confidence = _resized(confidence, x)
        return labels, torch.round(self.certain * confidence[:, 0]).to(self.dtype)

    def _known(self, scores: Tensor) -> Tensor:
        with constants():
            outputs = int(scores.shape[1])
        # Without this condition the graph would copy all scores.
        return scores[:, :self.classes] if outputs > self.classes else scores


def _resized(x: Tensor, like: Tensor) -> Tensor:
    with constants():
        size = int(like.shape[2]), int(like.shape[3])
    return functional.interpolate(x, size, mode='bilinear', align_corners=False)


def _enlarged(labels: Tensor, factor: int) -> Tensor:
    # For integers, which interpolate() does not take.
    with constants():
        height, width = int(labels.shape[1]), int(labels.shape[2])
    blocks = labels.view(1, height, 1, width, 1).expand(1, height, factor, width, factor)
    return blocks.reshape(1, height * factor, width * factor)


class FlowHead(nn.Module):
    """Two images -> flow (1, h, w, 2) float32, px of the input, from the first to the second.

    Takes (1, H, W, C) uint8 in the YAML's colour order; for tensorrt (1, C, H, W) float32, normalised.

    Optionally it also returns the confidence, (1, h, w) uint8, for tensorrt INT32: 255 / (1 + 2 s), where s is the mean
    deviation of the flow, px, from its mean around the pixel. Errors occur at the borders of moving things. On held-out
    synthetic pairs the 80 % most confident pixels of TinyPwc had 0.83 of the mean error, where the true error gives
    0.62; a layer that learnt the expected error gave 0.92.
    """

    certain: Tensor

    def __init__(self, network: nn.Module, image: ModelInput, flow_px: float = 1, size: Size | None = None,
                 runtime: Runtime = 'onnxruntime', confidence: bool = False) -> None:
        """Wrap a network.

        Args:
            flow_px: the network's unit of flow, px of the input.
            size: (height, width) of the result, bilinear; None = that of the network.
            confidence: whether to return it.
        """
        super().__init__()
        self.feed = _feed(image, runtime)
        self.network = network
        self.flow_px = flow_px
        self.size = size
        self.confidence = confidence
        self.dtype = torch.uint8 if runtime == 'onnxruntime' else torch.int32
        # A tensor, because a number over a tensor is exported as Reciprocal, which TensorRT 8.2 does not list.
        self.register_buffer('certain', torch.tensor(255.0))

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        """Return the flow on the first image's grid, and its confidence if it is wanted."""
        # torch.cat of uint8 would be exported with casts to int64.
        pair = torch.cat([self.feed(first), self.feed(second)], 1)
        flow = self.network(pair)
        if self.flow_px != 1:
            flow = flow * self.flow_px
        if self.size:
            flow = functional.interpolate(flow, self.size, mode='bilinear', align_corners=False)
        result = flow.permute(0, 2, 3, 1)
        if not self.confidence:
            return (result,)
        with constants():
            radius = max(1, _AROUND_PX * int(flow.shape[3]) // int(pair.shape[3]))
        deviation = window_mean((flow - window_mean(flow, radius)).abs(), radius).sum(1)
        return result, torch.round(self.certain / (1 + 2 * deviation)).to(self.dtype)

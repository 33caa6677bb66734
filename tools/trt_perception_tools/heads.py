"""What stands around a network in its exported graph: uint8 pictures in, labels or flow out.

These are the graphs for CPU runtimes: NHWC, and the argmax inside, so that bytes are copied instead of scores.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from trt_perception.core.model import ModelInput


class _Head(nn.Module):
    """A network fed with grey levels as the model's YAML says."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, image: ModelInput) -> None:
        super().__init__()
        self.network = network
        self.register_buffer('mean', torch.from_numpy(image.mean).view(1, -1, 1, 1))
        self.register_buffer('std', torch.from_numpy(image.std).view(1, -1, 1, 1))

    def _normalised(self, image: Tensor) -> Tensor:
        # Transpose before the cast: a quarter of the bytes to move.
        return (image.permute(0, 3, 1, 2).float() - self.mean) / self.std


class SegmentationHead(_Head):
    """(1, H, W, 3) uint8, in the YAML's colour order -> labels (1, H, W) uint8, and confidence (1, H, W) uint8.

    Labels are the argmax over the first `classes` outputs; outputs beyond them (CamVid's void) are not seen, so that
    every pixel gets a class. Measured for ESPNet on CamVid test: mIoU 56.95 % and pixel accuracy 87.5 %, against
    56.88 % and 85.6 % with pixels given up as void.
    Confidence is the softmax probability of the label among the same outputs, 255 = certain.
    """

    def __init__(self, network: nn.Module, image: ModelInput, classes: int, confidence: bool = True) -> None:
        super().__init__(network, image)
        self.classes = classes
        self.confidence = confidence

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return labels, and confidence where it is wanted."""
        scores = self.network(self._normalised(image))[:, :self.classes]
        labels = scores.argmax(1).to(torch.uint8)
        if not self.confidence:
            return (labels,)
        # The largest softmax probability is 1 / sum(exp(score - largest score)): no softmax of all classes.
        best = scores.amax(1, keepdim=True)
        confidence = torch.round(255 / torch.exp(scores - best).sum(1))
        return labels, confidence.to(torch.uint8)


class FlowHead(_Head):
    """Two (1, H, W, C) uint8 pictures -> flow (1, h, w, 2) float32, px of the input, from the first to the second."""

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor]:
        """Return the flow on the first picture's grid."""
        # torch.cat of uint8 would be exported as a detour over int64.
        pair = torch.cat([self._normalised(first), self._normalised(second)], 1)
        return (self.network(pair).permute(0, 2, 3, 1),)

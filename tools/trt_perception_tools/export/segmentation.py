"""Exports segmentation networks, with labels and confidence as outputs."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import Model, ModelInput

from ..graphs.difference import Difference
from ..graphs.runtimes import Runtime
from ..networks import Network
from .exporter import Exporter, HeadOptions
from .heads import SegmentationHead

_LIMITS = {'labels': 1e-3, 'confidence': 2}


class SegmentationExporter(Exporter):
    """Builds a SegmentationHead around a network."""

    options = frozenset({'decision', 'calibration'})

    def head(self, model: Model, network: Network, module: nn.Module, size: Size, runtime: Runtime,
             options: HeadOptions) -> nn.Module:
        """Return the network with its argmax; see Exporter."""
        if options.decision == 'quarter' and not hasattr(module, 'quarter'):
            raise ConfigError(f'--head quarter: {network.module} has no scores at 1/4 of the image. Export swiftnet.')
        return SegmentationHead(module, model.input, _count_classes(model, network, module),
                                model.output.confidence is not None, runtime, options.decision, options.calibration)

    def bare_head(self, network: Network, module: nn.Module, image: ModelInput) -> nn.Module:
        """Return the network with its argmax over all outputs, without confidence."""
        return SegmentationHead(module, image, _count_outputs(network, module), confidence=False, runtime='tensorrt')

    def difference(self, got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Difference:
        """Return the share of pixels with another label and the largest difference of the confidence, of 255."""
        if got[0].ndim == 4:  # Scores.
            labels = float((got[0].argmax(1) != expected[0].argmax(1)).mean())
        else:
            labels = float((got[0] != expected[0]).mean())
        confidence = int(np.abs(got[1].astype(int) - expected[1]).max()) if len(got) > 1 else 0
        return Difference({'labels': labels, 'confidence': confidence}, _LIMITS,
                          f'{labels:.4%} of the labels differ, confidence by at most {confidence} of 255')

    def outputs(self, model: Model, options: HeadOptions) -> list[str]:
        """Return labels and confidence, or the scores; see Exporter."""
        return ['logits'] if options.decision == 'logits' else super().outputs(model, options)


def _count_outputs(network: Network, module: nn.Module) -> int:
    with torch.no_grad():
        return int(module(torch.zeros(1, network.channels, network.multiple, network.multiple)).shape[1])


def _count_classes(model: Model, network: Network, module: nn.Module) -> int:
    assert model.labels is not None
    ids = [each.id for each in model.labels.classes]
    outputs = _count_outputs(network, module)
    if ids != list(range(len(ids))) or len(ids) > outputs:
        raise ConfigError(f'{model.path}: labels: {model.labels.name} has the ids {ids}, expected 0, 1, 2 ... and at '
                          f'most {outputs} of them, the outputs of the network. Correct the label set.')
    return len(ids)

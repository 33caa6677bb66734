"""Exports optical-flow networks, from two images to flow in px."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import Model, ModelInput

from ..graphs.difference import Difference
from ..graphs.runtimes import Runtime
from ..networks import Network
from .exporter import Exporter, HeadOptions
from .heads import FlowHead

_LIMITS = {'flow_px': 1e-3, 'confidence': 2}


class OpticalFlowExporter(Exporter):
    """Builds a FlowHead around a network."""

    options = frozenset({'full_size_flow'})

    def head(self, model: Model, network: Network, module: nn.Module, size: Size, runtime: Runtime,
             options: HeadOptions) -> nn.Module:
        """Return the network with flow converted to px; see Exporter."""
        if model.output.flow_scale != 1:
            raise ConfigError(f'{model.path}: output: flow_scale: got {model.output.flow_scale}, expected 1: exported '
                              'graphs give pixels. Remove the field.')
        return FlowHead(module, model.input, network.flow_px, size if options.full_size_flow else None, runtime,
                        model.output.confidence is not None)

    def bare_head(self, network: Network, module: nn.Module, image: ModelInput) -> nn.Module:
        """Return the network with flow converted to px."""
        return FlowHead(module, image, network.flow_px, runtime='tensorrt')

    def difference(self, got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Difference:
        """Return the largest differences of the flow, px, and of the confidence, of 255."""
        flow_px = float(np.abs(got[0] - expected[0]).max())
        confidence = int(np.abs(got[1].astype(int) - expected[1]).max()) if len(got) > 1 else 0
        return Difference({'flow_px': flow_px, 'confidence': confidence}, _LIMITS,
                          f'flow differs by at most {flow_px:.1e} px, confidence by at most {confidence} of 255')

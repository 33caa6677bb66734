"""Imports optical-flow networks."""
from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from trt_perception.core.image import Size
from trt_perception.core.model import LabelSet
from trt_perception.core.tasks import OPTICAL_FLOW

from ..graphs.difference import Difference
from . import model_card
from .importer import Importer, Tensors, graph_text
from .interface import NOTATION, Output, channel_axes
from .model_card import Interview, Question

_TOLERANCE = 1e-3
"""Of the largest flow, or of 1 where all is smaller."""


class OpticalFlowImporter(Importer):
    """Leaves the flow as it is, in float32."""

    task = OPTICAL_FLOW
    result = 'flow'
    words = 'flow'
    kinds = 'flow (1, 2, H, W) or (1, H, W, 2)'

    def interpret(self, name: str, array: np.ndarray, size: Size) -> Output | None:
        """Return floats of two channels; see Importer."""
        axes = [axis for axis in channel_axes(array, size) if array.shape[axis] == 2]
        return Output(name, array.shape, array.dtype, axes[0]) if axes and array.dtype in NOTATION else None

    def head(self, output: Output, classes: int, byte: np.dtype) -> str:
        """Return a cast to float32, where it is another type."""
        if output.dtype == np.float32:
            return ''
        given = ['{}[{}] raw'.format(NOTATION[output.dtype], ', '.join(map(str, output.shape)))]
        return graph_text(given, ['float[A, B, C, D] flow'], ['flow = Cast <to = 1> (raw)'])

    def outputs(self, output: Output, byte: np.dtype) -> Tensors:
        """Return the flow; see Importer."""
        return {'flow': (np.dtype(np.float32), output.shape)}

    def difference(self, got: Mapping[str, np.ndarray], reference: np.ndarray, output: Output,
                   classes: int) -> Difference:
        """Return the largest difference, in the network's own unit."""
        off = float(np.abs(got['flow'] - reference).max())
        limit = _TOLERANCE * max(1.0, float(np.abs(reference).max()))
        return Difference({'flow': off}, {'flow': limit}, f'flow differs by at most {off:.1e}')

    def ask(self, interview: Interview, output: Output, name: str,
            args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
        """Ask for the unit of the flow; see Importer."""
        scale = interview.ask(Question('--flow-scale', "Network's output times this = px of its picture",
                                       model_card.flow_scale, '1'), args.flow_scale)
        return {'flow': 'flow', **({'flow_scale': scale} if scale != 1 else {})}, None

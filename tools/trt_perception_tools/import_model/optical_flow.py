"""Imports optical-flow networks."""
from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import LabelSet
from trt_perception.core.tasks import OPTICAL_FLOW

from ..graphs.difference import Difference
from ..graphs.layout import grids, is_whole_stride, margins
from . import model_card
from .importer import Importer, Tensors, graph_text, read_grids
from .model_card import Interview, Question
from .output import FLOW, NOTATION, Output

_TOLERANCE = 1e-3
"""Tolerance relative to the largest flow, or to 1 if all flow is smaller."""
_PARTS = (re.compile(r'(?:^|[^a-z])(?:flow_?)?(?:u|x|dx|vx|fx|hor[a-z]*)(?:_?flow)?(?:$|[^a-z])'),
          re.compile(r'(?:^|[^a-z])(?:flow_?)?(?:v|y|dy|vy|fy|ver[a-z]*)(?:_?flow)?(?:$|[^a-z])'))
"""Names of the parts of a flow field: right, down."""


class OpticalFlowImporter(Importer):
    """Leaves the flow unchanged, in float32."""

    task = OPTICAL_FLOW
    result = 'flow'
    words = 'flow'
    kinds = 'flow (1, 2, H, W) or (1, H, W, 2), or u and v apart'

    def interpret(self, name: str, array: np.ndarray, size: Size) -> Output | None:
        """Return floats of two channels; see Importer."""
        if array.dtype not in NOTATION or array.dtype.kind != 'f':
            return None
        found = [each for each in grids(array.shape, size) if each.channels == 2]
        return Output((name,), array.shape, array.dtype, found[0], FLOW) if found else None

    def join(self, results: Mapping[str, np.ndarray], names: Sequence[str], size: Size) -> Output | None:
        """Return u and v if they are two outputs: as given, or by their names."""
        single = {each: grid for each, array in results.items() if array.dtype in NOTATION and array.dtype.kind == 'f'
                  for grid in grids(array.shape, size) if grid.channels == 1}
        pairs = [(names[0], names[1])] if len(names) == 2 else [
            (right, down) for right in single for down in single if right != down
            and _PARTS[0].search(right.lower()) and _PARTS[1].search(down.lower())
            and not _PARTS[1].search(right.lower()) and not _PARTS[0].search(down.lower())]
        if len(pairs) != 1 or not set(pairs[0]) <= set(single):
            return None
        right, down = (results[name] for name in pairs[0])
        if right.shape != down.shape or right.dtype != down.dtype:
            return None
        return Output(pairs[0], right.shape, right.dtype, single[pairs[0][0]], FLOW,
                      'as --output-name says' if names else 'u and v by their names')

    def check(self, output: Output, results: Mapping[str, np.ndarray], network: onnx.ModelProto, named: bool,
              size: Size, where: str) -> Output:
        """Refuse a field without its border."""
        if margins(output.grid.size, size) is not None and not is_whole_stride(output.grid.size, size):
            raise ConfigError(f'{where}: got flow of {output.grid.size[0]}x{output.grid.size[1]} for images of '
                              f'{size[0]}x{size[1]}: its convolutions have no padding, and the border is missing. Only '
                              'a network with padding can be used.')
        return output

    def decide(self, output: Output, makers: set[str], arrays: Sequence[np.ndarray]) -> Output:
        """Return it unchanged, because its unit is asked for."""
        return output

    def head(self, output: Output, classes: int, byte: np.dtype) -> str:
        """Return a cast to float32 if it is another type, and u and v joined if they are separate."""
        given, steps, parts = read_grids(output, cast=True)
        steps.append(f'flow = Concat <axis = {output.grid.axis}> ({", ".join(parts)})' if len(parts) > 1
                     else f'flow = Identity ({parts[0]})')
        return graph_text(given, ['float[A, B, C, D] flow'], steps)

    def outputs(self, output: Output, byte: np.dtype) -> Tensors:
        """Return the flow; see Importer."""
        shape = list(output.grid.shape)
        shape[output.grid.axis] = 2
        return {'flow': (np.dtype(np.float32), tuple(shape))}

    def difference(self, got: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], output: Output,
                   classes: int) -> Difference:
        """Return the largest difference, in the network's own unit."""
        flow = np.concatenate([reference[name].reshape(output.grid.shape) for name in output.names], output.grid.axis)
        off = float(np.abs(got['flow'] - flow).max())
        limit = _TOLERANCE * max(1.0, float(np.abs(flow).max()))
        return Difference({'flow': off}, {'flow': limit}, f'flow differs by at most {off:.1e}')

    def ask(self, interview: Interview, output: Output, name: str,
            args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
        """Ask for the unit of the flow; see Importer."""
        scale = interview.ask(Question('--flow-scale', "Network's output times this = px of its image",
                                       model_card.flow_scale, '1'), args.flow_scale)
        return {'flow': 'flow', **({'flow_scale': scale} if scale != 1 else {})}, None

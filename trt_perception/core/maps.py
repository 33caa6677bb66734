"""Resizes an engine's output of one byte per pixel to the size of a result."""
from typing import Optional

import numpy as np

from .data import Size
from .engine import Engine
from .errors import EngineError
from .image import NearestResizer
from .tensors import map_size


class MapOutput:
    """Labels, or a confidence, resized by nearest neighbour, by the engine if it can.

    Args:
        name: name of the output.
        hint: remedy for an output of another shape or type, a sentence.

    Attributes:
        result: (H, W) uint8, the memory of the result; after `resize_to`.

    Raises:
        EngineError: the output is no map of bytes.
    """

    def __init__(self, engine: Engine, name: str,
                 hint: str = '`trt_perception_tools import-model` casts it in the graph.') -> None:
        spec = {spec.name: spec for spec in engine.outputs}[name]
        size = map_size(spec.shape)
        if size is None or spec.dtype != np.uint8:
            raise EngineError('{}: output {!r}: got {} {}, expected uint8 (1, H, W). {}'.format(
                engine.file, name, spec.dtype.name, spec.shape, hint))
        self.name = name
        self.size: Size = size
        self._engine = engine
        self._resizer: Optional[NearestResizer] = None

    def resize_to(self, result: np.ndarray) -> None:
        """From now on write into `result`, (H, W) uint8."""
        self.result = result
        done = self._engine.resize_output(self.name, result.shape) or result.shape == self.size
        self._resizer = None if done else NearestResizer(self.size, result.shape)

    def read(self, output: np.ndarray) -> np.ndarray:
        """Return the result, (H, W) uint8, filled from the engine's output, (1, h, w) uint8."""
        if self._resizer is None:
            np.copyto(self.result, output.reshape(self.result.shape))
            return self.result
        return self._resizer.resize(output.reshape(self.size), self.result)

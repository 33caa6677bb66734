"""Segmentation: Frame -> LabelMap."""
from typing import Callable, Optional, Tuple

import numpy as np

from .data import Frame, LabelMap
from .engine import Engine
from .errors import EngineError
from .image import NearestResizer, Size
from .model import SEGMENTATION, Model
from .timing import StageTimer

CAMERA = 'camera'
NETWORK = 'network'

Allocate = Callable[[str, Tuple[int, ...], type], np.ndarray]
"""Gives the memory of a result: (name, shape, dtype) -> array. Called when the geometry changes."""


def allocate_array(name: str, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
    """Allocate the memory of a result as a plain array."""
    return np.empty(shape, dtype)


class SegmentationPipeline:
    """Runs a segmentation engine on frames.

    Args:
        output_size: 'camera' = labels on the camera's pixel grid (nearest neighbour); 'network' = as the network
            gives them.
        allocate: where results are written, so that a publisher can hand out its message's own memory.
        wants_confidence: asked per frame; bringing the confidence to size costs as much as the labels.

    Raises:
        EngineError: the engine's outputs are no label map.
    """

    task = SEGMENTATION

    def __init__(self, engine: Engine, model: Model, output_size: str = CAMERA, timer: Optional[StageTimer] = None,
                 allocate: Allocate = allocate_array, wants_confidence: Callable[[], bool] = lambda: True) -> None:
        self._engine = engine
        self._wants_confidence = wants_confidence
        self._input = model.input.names[0]
        self._output_size = output_size
        self._timer = timer or StageTimer()
        self._allocate = allocate
        names = {'labels': model.output.labels, 'confidence': model.output.confidence}
        self._names = {role: name for role, name in names.items() if name}
        specs = {spec.name: spec for spec in engine.outputs}
        for name in self._names.values():
            spec = specs[name]
            if len(spec.shape) < 2 or int(np.prod(spec.shape[:-2])) != 1 or spec.dtype != np.uint8:
                scores = spec.dtype == np.float32 and name == self._names['labels']
                hint = 'These look like logits: put the argmax into the graph at export, so that bytes are copied ' \
                       'instead of floats.' if scores else 'Cast it in the graph at export.'
                raise EngineError('{}: output {!r}: got {} {}, expected uint8 (1, H, W). {}'.format(
                    engine.file, name, spec.dtype.name, spec.shape, hint))
        sizes = {(specs[name].shape[-2], specs[name].shape[-1]) for name in self._names.values()}
        if len(sizes) > 1:
            raise EngineError('{}: labels and confidence differ in size: {}.'.format(engine.file, sorted(sizes)))
        self._size: Size = sizes.pop()
        self._target: Optional[Size] = None

    def process(self, frame: Frame) -> LabelMap:
        """Segment one frame. THE ARRAYS ARE REUSED: they are valid until the next call.

        Raises:
            FrameError: the frame cannot be decoded.
            EngineError: the engine failed.
        """
        with self._timer.stage('segmentation preprocess'):
            self._engine.put_image(self._input, frame)
        self._set_target((frame.height, frame.width) if self._output_size == CAMERA else self._size)
        names = {role: name for role, name in self._names.items() if role == 'labels' or self._wants_confidence()}
        with self._timer.stage('segmentation infer'):
            outputs = self._engine.infer(names.values())
        with self._timer.stage('segmentation decode'):
            results = {role: self._decoded(role, outputs[name]) for role, name in names.items()}
        return LabelMap(results['labels'], results.get('confidence'), frame.stamp_ns, frame.frame_id)

    def reset(self) -> None:
        """Forget earlier frames: segmentation has none."""

    def _decoded(self, role: str, output: np.ndarray) -> np.ndarray:
        resizer, result = self._resizers[role], self._results[role]
        if resizer is None:
            np.copyto(result, output.reshape(result.shape))
            return result
        return resizer.resize(output.reshape(self._size), result)

    def _set_target(self, target: Size) -> None:
        if target == self._target:
            return
        self._results = {role: self._allocate(role, target, np.uint8) for role in self._names}
        resizer = NearestResizer(self._size, target) if target != self._size else None
        self._resizers = {role: None if self._engine.resize_output(name, target) else resizer
                          for role, name in self._names.items()}
        self._target = target

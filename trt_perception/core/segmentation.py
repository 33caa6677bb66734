"""Segmentation: Frame -> LabelMap."""
import numpy as np

from .data import VOID, Frame, LabelMap
from .errors import EngineError
from .image import Size
from .maps import MapOutput
from .pipeline import Pipeline
from .tasks import SEGMENTATION


class SegmentationPipeline(Pipeline[LabelMap]):
    """Runs a segmentation engine on frames. Labels are resized by nearest neighbour.

    The optional output is `confidence`; resizing it costs as much as the labels. Labels below the setting
    `segmentation.min_confidence` become VOID.

    Raises:
        ConfigError: `segmentation.min_confidence` is set, but the model gives no confidence; by `configure` too.
    """

    task = SEGMENTATION

    def _process(self, frame: Frame) -> LabelMap:
        with self._timer.stage('segmentation preprocess'):
            self._engine.put_image(self._model.input.names[0], frame)
        self._set_target(frame)
        wanted, least = self._wants('confidence'), self._least  # Which may change meanwhile.
        names = {role: name for role, name in self._model.output.names.items()
                 if role == 'labels' or wanted or least}
        with self._timer.stage('segmentation infer'):
            outputs = self._engine.infer(names.values())
        with self._timer.stage('segmentation decode'):
            results = {role: self._maps[role].read(outputs[name]) for role, name in names.items()}
            if least:
                results['labels'][results['confidence'] < least] = VOID
        return LabelMap(results['labels'], results.get('confidence') if wanted else None, frame.stamp_ns,
                        frame.frame_id)

    def reset(self) -> None:
        """Forget earlier frames: segmentation has none."""

    @staticmethod
    def difference(result: np.ndarray, other: np.ndarray) -> str:
        """Return the share of equal labels of two (H, W) maps."""
        return '{:.2f} % equal'.format(100 * float((result == other).mean()))

    def _configured(self) -> None:
        self._least = self._least_confidence()

    def _check_outputs(self) -> Size:
        types = {spec.name: spec.dtype for spec in self._engine.outputs}
        names = self._model.output.names
        scores = 'These look like logits: `trt_perception_tools import-model` puts the argmax into the graph, so ' \
                 'that bytes are copied instead of floats.'
        self._maps = {role: MapOutput(self._engine, name, scores) if role == 'labels' and types[name] == np.float32
                      else MapOutput(self._engine, name) for role, name in names.items()}
        sizes = {each.size for each in self._maps.values()}
        if len(sizes) > 1:
            raise EngineError('{}: labels and confidence differ in size: {}.'.format(
                self._engine.file, sorted(sizes)))
        return sizes.pop()

    def _resize(self, target: Size) -> None:
        for role, each in self._maps.items():
            each.resize_to(self._allocate(role, target, np.uint8))

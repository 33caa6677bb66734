"""What the tools know of the tests' third task, depth: how it is scored."""
import numpy as np

from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model
from trt_perception_tools.datasets.images import read_image
from trt_perception_tools.evaluate.data import INTERVAL_NS, Dataset, Sample
from trt_perception_tools.evaluate.scorer import Measure, Scorer, Totals


class DepthScorer(Scorer):
    """Scores maps of depth by the mean absolute difference, m."""

    part = Measure('error, m')
    total = Measure('mean error, m')
    measures = {'within': Measure('within 10 %, %', 100)}
    agreement = Measure('off FP32, m', digits=3)
    better = 'lower'
    sample = 'image'
    error = '{:.2f} m off {}'
    deviation = Measure('depth, m', digits=4)
    differs = 'depth differs by {:.3f} m'
    truth = 'depth maps'
    layouts = 'NAME.png with NAME.npy'

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._errors: dict[str, float] = {}
        self._within: list[float] = []

    def add(self, name, value, truth):
        self._errors[name] = float(np.abs(value.depth - truth).mean())
        self._within.append(float((np.abs(value.depth - truth) < 0.1 * truth).mean()))
        return self._errors[name]

    def totals(self):
        return Totals(self._errors, float(np.mean(list(self._errors.values()))),
                      {'within': float(np.mean(self._within))})

    @staticmethod
    def agree(result, reference):
        return float(np.abs(result - reference).mean())

    deviate = agree

    @staticmethod
    def has_truth(path):
        return any(path.glob('*.npy'))

    @staticmethod
    def open_truth(path, split):
        names = sorted(each.stem for each in path.glob('*.npy'))
        return Dataset('depth', names, lambda number: Sample(
            (frame_from_array(read_image(path / f'{names[number]}.png'), number * INTERVAL_NS),),
            np.load(path / f'{names[number]}.npy')), True)

    @staticmethod
    def tiles(image, result, expected, model):
        return [np.repeat(each[..., None].clip(0, 255).astype(np.uint8), 3, 2)
                for each in (expected, result, np.abs(result - expected))]

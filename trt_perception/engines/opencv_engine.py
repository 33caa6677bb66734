"""Classical optical flow with OpenCV on the CPU: needs no network, only settings."""
import json
from typing import Any, Collection, Dict, Optional

import cv2
import numpy as np

from ..core.data import Frame, TensorSpec
from ..core.engine import Engine, Specs
from ..core.errors import EngineError
from ..core.image import FrameDecoder
from ..core.model import Model
from .backends import EngineOptions

_PRESETS = ('ultrafast', 'fast', 'medium')
_LIMITS = {'height': (16, 16384), 'width': (16, 16384), 'finest_scale': (0, 4), 'blur': (1, 31)}
"""Of the settings that are integers. Images of less than 16 px have no pyramid for DIS."""
_FAR_PX = 1e6
_AROUND = (25, 25)
"""Window for the deviation of the flow, px."""


class OpenCvEngine(Engine):
    """Dense inverse search (DIS; Kroeger et al., ECCV 2016), in OpenCV since 4.0.

    The file is JSON: `preset` (ultrafast, fast or medium), `height` and `width` of the compared images, and optionally
    `finest_scale` instead of the preset's: 0 = all pixels, 1 = half the size; and `blur`, the side of a box filter for
    both images, px: 3 reduces the aliasing of small images. Both inputs are grey, uint8 (1, H, W, 1); the
    flow is float32 (1, H, W, 2), px from the first to the second.

    The confidence, uint8 (1, H, W), takes as long as the flow, and is computed only when wanted: 255 / (1 + d + 2 s).
    d is the forward-backward error, px, and s the mean deviation of the flow from its mean around the pixel, px. It is
    0 where the flow leaves the image. On synthetic pairs with the preset medium, the 80 % most confident pixels have
    0.61 of the mean error; by d alone 0.64, by s alone 0.67.

    OpenCV has one number of threads for the whole process; `num_threads` sets it, unless it is 0.
    """

    backend = 'opencv'
    runtime = 'OpenCV'
    version = cv2.__version__

    def __init__(self, model: Model, precision: str, options: EngineOptions,
                 decoder: Optional[FrameDecoder] = None) -> None:
        self._threads = options.num_threads
        super().__init__(model, model.network_file(self.backend, precision, ''), precision, decoder)

    def _open(self) -> Specs:
        names, output = self.model.input.names, self.model.output
        if output.flow is None:
            raise EngineError('{}: task: got {}, expected optical_flow: OpenCV computes flow only. Choose another '
                              'engine for it.'.format(self.model.path, self.model.task))
        if not hasattr(cv2, 'DISOpticalFlow_create'):
            raise EngineError('{}: OpenCV {} has no DIS optical flow, which came with 4.0. Install a newer OpenCV, or '
                              'choose another model.'.format(self.file, cv2.__version__))
        settings = _settings(self.file)
        size = (settings['height'], settings['width'])
        self._method = cv2.DISOpticalFlow_create(getattr(cv2, 'DISOPTICAL_FLOW_PRESET_' + settings['preset'].upper()))
        if 'finest_scale' in settings:
            self._method.setFinestScale(settings['finest_scale'])
        self._blur = settings.get('blur', 1)
        if self._threads:
            cv2.setNumThreads(self._threads)
        self._first, self._second = names
        self._flow, self._confidence = output.flow, output.confidence
        outputs = [TensorSpec(output.flow, (1,) + size + (2,), np.dtype(np.float32))]
        if output.confidence:
            outputs.append(TensorSpec(output.confidence, (1,) + size, np.dtype(np.uint8)))
        return [TensorSpec(name, (1,) + size + (1,), np.dtype(np.uint8)) for name in names], outputs

    def _connect(self) -> None:
        height, width = self.input_size
        self._results = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.outputs}
        self._back = np.zeros((height, width, 2), np.float32)
        self._columns = np.arange(width, dtype=np.float32)
        self._rows = np.arange(height, dtype=np.float32)[:, np.newaxis]

    def _put_image(self, name: str, frame: Frame) -> None:
        super()._put_image(name, frame)
        if self._blur > 1:
            image = self._tensors[name][0, :, :, 0]
            cv2.blur(image, (self._blur, self._blur), image)

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        first, second = (self._tensors[name][0, :, :, 0] for name in (self._first, self._second))
        flow = self._results[self._flow][0]
        self._find(first, second, flow)
        if self._confidence is not None and self._confidence in wanted:
            self._find(second, first, self._back)
            self._compare(flow, self._results[self._confidence][0])
        return self._results

    def _find(self, first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> None:
        # DIS uses the array's content as a first guess, so a result would depend on the previous pair.
        flow.fill(0)
        self._method.calc(first, second, flow)

    def _compare(self, flow: np.ndarray, confidence: np.ndarray) -> None:
        """Write the confidence, from how well `flow` and `self._back` cancel each other, and how smooth `flow` is."""
        # Outside the image there is nothing to compare with, which counts as a large error.
        back = cv2.remap(self._back, self._columns + flow[..., 0], self._rows + flow[..., 1], cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_CONSTANT, borderValue=(_FAR_PX, _FAR_PX))
        back += flow
        distance = cv2.magnitude(back[..., 0], back[..., 1])
        deviation = cv2.blur(cv2.absdiff(flow, cv2.blur(flow, _AROUND)), _AROUND)
        deviation = deviation[..., 0] + deviation[..., 1]  # A sum over the last axis takes 8 times as long.
        np.copyto(confidence, 255 / (1 + distance + 2 * deviation) + 0.5, casting='unsafe')


def _settings(file: str) -> Dict[str, Any]:
    """Read and check the file of settings."""
    expected = 'JSON such as {"preset": "fast", "height": 480, "width": 640}'
    try:
        with open(file, encoding='utf-8') as stream:
            settings = json.load(stream)
    except ValueError as error:  # No JSON, or no UTF-8.
        raise EngineError('{}: not valid JSON: {}. Expected {}.'.format(file, error, expected)) from error
    if not isinstance(settings, dict) or set(settings) - {'finest_scale', 'blur'} != {'preset', 'height', 'width'}:
        raise EngineError('{}: got {!r}, expected {}.'.format(file, settings, expected))
    if settings['preset'] not in _PRESETS:
        raise EngineError('{}: preset: got {!r}, expected one of {}.'.format(
            file, settings['preset'], ', '.join(_PRESETS)))
    for name, (least, most) in _LIMITS.items():
        value = settings.get(name, least)
        if type(value) is not int or not least <= value <= most:
            raise EngineError('{}: {}: got {!r}, expected an integer from {} to {}.'.format(
                file, name, value, least, most))
    return settings

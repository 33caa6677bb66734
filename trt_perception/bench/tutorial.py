"""The segmentation loop of ONNX Runtime and ROS tutorials, line by line: the baseline to beat.

A fair baseline: no copy or conversion that common examples do not have, float32 throughout, one open session.
"""
import time
from typing import Dict, List, Optional

import cv2
import numpy as np
import onnxruntime as ort

from ..core.errors import ConfigError, EngineError
from ..core.model import Model
from .contender import Contender
from .frames import EncodedImage


class Tutorial:
    """A session on a network from normalised float32 NCHW to scores.

    Args:
        file: ONNX file; `trt_perception_tools export MODEL --head logits --for tensorrt` writes one.
        model: model with the normalisation of its input.
        threads: of the session; 0 = ONNX Runtime's default.

    Raises:
        ConfigError: the model is not for segmentation, or not for colour images.
        EngineError: the file is not such a network.
    """

    def __init__(self, file: str, model: Model, threads: int = 0) -> None:
        if not model.output.labels or model.input.color == 'gray':
            raise ConfigError('--tutorial: {} is a model for {} of {} images, expected segmentation of colour '
                              'images. Leave --tutorial out.'.format(model.path, model.task, model.input.color))
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = ort.InferenceSession(file, options, providers=['CPUExecutionProvider'])
        except Exception as error:  # ONNX Runtime has no public base class for its errors.
            raise EngineError('--tutorial {}: ONNX Runtime {} cannot open it: {}'.format(
                file, ort.__version__, error)) from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        shapes: List[list] = [inputs[0].shape, outputs[0].shape]
        if len(inputs) != 1 or inputs[0].type != 'tensor(float)' or outputs[0].type != 'tensor(float)' \
                or [len(shape) for shape in shapes] != [4, 4] or shapes[0][:2] != [1, 3]:
            raise EngineError('--tutorial {}: got {} {} in and {} {} out, expected tensor(float) [1, 3, H, W] in and '
                              'tensor(float) [1, classes, H, W] out. Export it with --head logits --for tensorrt.'
                              .format(file, inputs[0].type, shapes[0], outputs[0].type, shapes[1]))
        self.name = inputs[0].name
        self.height, self.width = shapes[0][2:]
        self.bgr = model.input.color == 'bgr'
        self.mean = model.input.mean / 255
        self.std = model.input.std / 255
        self.x = np.zeros(shapes[0], np.float32)
        self.seconds: List[float] = []

    def segment(self, data: np.ndarray, height: int, width: int, step: int) -> bytes:
        """Return the label of every pixel of a bgr8 image, (N,) uint8, as the data of a mono8 message."""
        self.seconds = [time.perf_counter()]
        image = np.ascontiguousarray(data[:height * step].reshape(height, step)[:, :3 * width])
        image = image.reshape(height, width, 3)
        self._lap()
        resized = cv2.resize(image, (self.width, self.height))
        if not self.bgr:
            resized = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
        x = resized.astype(np.float32) / 255.0
        x = (x - self.mean) / self.std
        x = np.expand_dims(np.transpose(x, (2, 0, 1)), 0)
        self._lap()
        self.x = x
        logits = self.run()
        self._lap()
        labels = np.argmax(logits[0], axis=0).astype(np.uint8)
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        self._lap()
        result = labels.tobytes()
        self._lap()
        return result

    def run(self) -> np.ndarray:
        """Run the network alone on the last image; return its scores, (1, classes, H, W) float32."""
        scores: np.ndarray = self.session.run(None, {self.name: self.x})[0]
        return scores

    def _lap(self) -> None:
        self.seconds.append(time.perf_counter())


class TutorialContender(Contender):
    """The tutorial without ROS; `publish` makes the message's bytes."""

    def __init__(self, file: str, model: Model, threads: int = 0) -> None:
        self.tutorial = Tutorial(file, model, threads)
        self._labels: Optional[np.ndarray] = None
        super().__init__('tutorial', model.task, {
            'model': model.path, 'engine': 'onnxruntime', 'precision': 'fp32', 'network': file,
            'input': '{}x{}'.format(self.tutorial.height, self.tutorial.width), 'threads': str(threads)})

    def process(self, image: EncodedImage, stamp_ns: int) -> Dict[str, float]:
        """Process one image; see Contender."""
        if image.encoding != 'bgr8':
            raise ConfigError('--tutorial: got {} images, expected bgr8, which tutorials ask cv_bridge for. Leave '
                              '--tutorial or --frames out.'.format(image.encoding or 'compressed'))
        data = self.tutorial.segment(image.data, image.height, image.width, image.step)
        self._labels = np.frombuffer(data, np.uint8).reshape(image.height, image.width)
        laps = np.diff(self.tutorial.seconds) * 1e3
        return dict(zip(('read', 'preprocess', 'infer', 'decode', 'publish'), laps.tolist()))

    def result(self) -> Optional[np.ndarray]:
        """Return the last labels; see Contender."""
        return self._labels

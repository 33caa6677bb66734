"""The golden frame: compares an engine's results on stored images with those at export.

Compares labels and flow, the published results; independent of inference runtimes.
"""
import os
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence
from zipfile import ZipFile

import numpy as np

from ...core.data import Frame
from ...core.engine import Engine
from ...core.errors import ConfigError
from ...core.image import FrameDecoder, Size, frame_from_array
from ...core.limits import MAX_GOLDEN_BYTES
from ...core.model import CHANNELS, Model
from ...core.tensors import image_layout
from ..backends import EngineOptions, open_engine

# Precision -> (share of equal labels at least, mean length of the flow difference at most, px of the network's input).
# Faults are gross: half-precision index arithmetic changes 73 % of PWC-Net's flow, an overflow all of it. Rounding is
# small: with all tensors in FP16, ONNX Runtime changes 0.01 - 0.08 % of the labels of our networks, and their flow by
# 0.002 px at most. The bounds lie between, for a TX2 also sums in FP16. FP32 is TF32 on GPUs since Ampere, with the
# mantissa of FP16; BF16's has three bits less. Entropy-calibrated INT8 changed 2.3 - 2.6 % of SwiftNet's labels.
TOLERANCES = {'fp32': (0.995, 0.05), 'fp16': (0.99, 0.1), 'bf16': (0.96, 0.5), 'int8': (0.9, 1.0)}


class Golden(NamedTuple):
    """Images, and the results of the network for them."""

    images: Dict[str, np.ndarray]
    """Input name -> (H, W, C) uint8 of the network's size, in the model's channel order."""
    outputs: Dict[str, np.ndarray]
    """Output name -> result of the network in FP32."""
    source: str
    """The runtime that computed them, human-readable."""


class Verdict(NamedTuple):
    """The comparison of an engine with the golden frame."""

    passed: Optional[bool]
    """None = there is no golden frame."""
    text: str
    """The numbers, or the reason."""


def golden_path(network: str) -> str:
    """Return the path of the golden frame of a network file, if it has one."""
    return os.path.splitext(network)[0] + '.golden.npz'


def write(path: str, golden: Golden) -> None:
    """Write a golden frame."""
    arrays: Dict[str, Any] = {'picture:' + name: value for name, value in golden.images.items()}
    arrays.update({'output:' + name: value for name, value in golden.outputs.items()})
    np.savez_compressed(path, source=np.array(golden.source), **arrays)


def read(path: str) -> Golden:
    """Read a golden frame.

    Raises:
        ConfigError: the file is not a golden frame.
    """
    try:
        with ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_GOLDEN_BYTES:
            raise ValueError('{} bytes unpacked, more than {}'.format(size, MAX_GOLDEN_BYTES))
        with np.load(path, allow_pickle=False) as file:
            parts: Dict[str, Dict[str, np.ndarray]] = {'picture': {}, 'output': {}}
            for key in file.files:
                kind, _, name = key.partition(':')
                if name:
                    parts[kind][name] = file[key]
                    if parts[kind][name].dtype.kind not in 'biuf':
                        raise ValueError('{!r} holds no numbers'.format(key))
            return Golden(parts['picture'], parts['output'], str(file['source']))
    except Exception as error:  # For a damaged file, numpy, zipfile and zlib raise any error.
        raise ConfigError('{}: not a golden frame: {}. Regenerate it with `trt_perception_tools golden`.'.format(
            path, error)) from error


def record(engine: Engine, model: Model, images: Mapping[str, np.ndarray], source: str) -> Golden:
    """Return the golden frame of an engine for images by input name (see Golden.images)."""
    return Golden({name: np.array(image) for name, image in images.items()},
                  {name: np.array(array) for name, array in _run(engine, model, images).items()}, source)


def reference(model: Model, network: str, frames: Sequence[Frame] = ()) -> Golden:
    """Return the results of ONNX Runtime for images.

    Args:
        network: ONNX file in FP32.
        frames: one per input of the model; none = synthetic images.

    Raises:
        PerceptionError: ONNX Runtime is not installed, or cannot run the file.
    """
    alone = model._replace(files={'onnxruntime': {'fp32': network}})
    engine = open_engine(alone, EngineOptions('onnxruntime', 'fp32'))
    try:
        images = synthetic_images(model, engine.input_size)
        for name, frame in zip(model.input.names, frames):
            image = FrameDecoder().image(frame, model.input.color, engine.input_size)
            images[name] = image.reshape(engine.input_size + (CHANNELS[model.input.color],))
        return record(engine, model, images, 'ONNX Runtime')
    finally:
        engine.close()


def synthetic_images(model: Model, size: Size) -> Dict[str, np.ndarray]:
    """Draw soft patches as (H, W, C) uint8 images for a model; in the second of two they are 2 px further right."""
    height, width = size
    channels, color = CHANNELS[model.input.color], model.input.color
    rows, columns = height // 16 + 1, (width + 2) // 16 + 1
    coarse = np.random.RandomState(0).randint(0, 256, (rows, columns, channels)).astype(np.uint8)
    soft = FrameDecoder().image(frame_from_array(coarse, color=color), color, (16 * rows, 16 * columns))
    drawn = soft.reshape(16 * rows, 16 * columns, channels)[:height]
    return {name: drawn[:, shift:width + shift] for name, shift in zip(model.input.names, (2, 0))}


def check(engine: Engine, model: Model, precision: str, golden: Golden) -> Verdict:
    """Run an engine on the golden frame and compare labels and flow within the precision's tolerance.

    Raises:
        EngineError: the engine cannot be run.
        ConfigError: the golden frame is from another network.
    """
    names = [name for name in (model.output.labels, model.output.flow) if name]
    outputs = _run(engine, model, golden.images)
    for name in names:
        expected = golden.outputs.get(name)
        if expected is None or expected.size != outputs[name].size or name == model.output.flow \
                and image_layout(expected.shape, 2) is None:
            raise ConfigError('golden frame of {}: output {!r}: got {}, expected {}. Regenerate it with '
                              '`trt_perception_tools golden`.'.format(
                                  model.name, name, None if expected is None else expected.shape, outputs[name].shape))
    least_equal, most_px = TOLERANCES[precision]
    texts, passed = [], True
    if model.output.labels:
        name = model.output.labels
        equal = float(np.mean(outputs[name].reshape(-1) == golden.outputs[name].reshape(-1)))
        passed &= equal >= least_equal
        texts.append('{:.2f} % of the labels equal those of {} (at least {:g} %)'.format(
            100 * equal, golden.source, 100 * least_equal))
    if model.output.flow:
        name = model.output.flow
        difference = _field(outputs[name]) - _field(golden.outputs[name])
        mean_px = float(np.mean(np.sqrt(np.sum(difference**2, axis=2)))) * abs(model.output.flow_scale)
        passed &= mean_px <= most_px  # Not so for NaN.
        texts.append('the flow differs from {} by {:.3f} px on average (at most {:g} px)'.format(
            golden.source, mean_px, most_px))
    if not texts:
        return Verdict(None, 'not checked: only labels and flow are compared')
    return Verdict(bool(passed), '; '.join(texts))


def _run(engine: Engine, model: Model, images: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    for name in model.input.names:
        image = images.get(name)
        expected = engine.input_size + (CHANNELS[model.input.color],)
        if image is None or image.shape != expected or image.dtype != np.uint8:
            raise ConfigError('golden frame of {}: image {!r}: got {}, expected uint8 {}. Regenerate it with '
                              '`trt_perception_tools golden`.'.format(
                                  model.name, name, None if image is None else '{} {}'.format(
                                      image.dtype.name, image.shape), expected))
        engine.put_image(name, frame_from_array(image, color=model.input.color))
    return engine.infer()


def _field(flow: np.ndarray) -> np.ndarray:
    """Return (H, W, 2) float64 of a network's (1, H, W, 2) or (1, 2, H, W)."""
    layout = image_layout(flow.shape, 2)
    assert layout is not None  # OpticalFlowPipeline refuses others.
    return np.asarray(layout.pixels(flow), np.float64)

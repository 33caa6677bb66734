"""Images of a folder as input tensors of a network, one batch after the other: for INT8 calibration."""
import os
from collections import deque
from glob import glob
from typing import Deque, Dict, Iterator, List, Sequence

import numpy as np

from ...core.compressed import decode_compressed
from ...core.data import Frame, TensorSpec
from ...core.errors import ConfigError, FrameError
from ...core.image import FrameDecoder
from ...core.model import Model
from ...core.preprocess import InputWriter
from ..backends import Progress

_ENDINGS = ('.png', '.jpg', '.jpeg')


def images_of(folder: str) -> List[str]:
    """Return the paths of a folder's images, sorted.

    Raises:
        ConfigError: there are none.
    """
    paths = sorted(path for path in glob(os.path.join(folder, '*')) if path.lower().endswith(_ENDINGS))
    if not paths:
        raise ConfigError('--calibration {}: no {} in it, expected some hundred typical images.'.format(
            folder, ' or '.join(_ENDINGS)))
    return paths


def batches(model: Model, specs: Sequence[TensorSpec], images: Sequence[str],
            report: Progress) -> Iterator[Dict[str, np.ndarray]]:
    """Yield the inputs by name for every image, or every two successive ones. Damaged images are skipped.

    THE ARRAYS ARE REUSED: they are valid until the next batch.

    Args:
        specs: specs of the network's inputs, float32.
    """
    decoder = FrameDecoder()
    writers = {spec.name: InputWriter(spec, model.input, decoder, model.path) for spec in specs}
    arrays = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in specs}
    last: Deque[Frame] = deque(maxlen=len(model.input.names))
    for number, path in enumerate(images, 1):
        report('calibrating with image {} of {}'.format(number, len(images)))
        try:
            last.append(decode_compressed(np.fromfile(path, np.uint8), 0, ''))
        except FrameError as error:  # TensorRT, which calls this, would not understand it.
            print('{}: left out: {}'.format(path, error))
            continue
        if len(last) == last.maxlen:
            for name, frame in zip(model.input.names, last):
                writers[name].write(frame, arrays[name])
            yield arrays

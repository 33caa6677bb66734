"""Images and annotations on disk, whatever the dataset."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.compressed import decode_compressed
from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.regular_file import read_regular

_MOST_BYTES = 2**30


class LabelledImage(NamedTuple):
    """An image with the class of every pixel."""

    name: str
    image: Path
    annotation: Path


def read_image(path: Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8, BGR.

    Raises:
        ConfigError: OpenCV cannot read the file as an image, or pixels of a JPEG or PNG are missing.
    """
    image = _decoded(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f'{path}: no image that OpenCV can read. Restore the file.')
    return image


def read_ids(path: Path, kind: str) -> np.ndarray:
    """Return an image of ids as (H, W) uint8.

    Raises:
        ConfigError: it is not an image of one channel, or has colours.
    """
    ids = _decoded(path, cv2.IMREAD_UNCHANGED)
    if ids is None or ids.ndim != 2 or ids.dtype != np.uint8:
        channels = 1 if ids is None or ids.ndim == 2 else ids.shape[2]
        got = 'no image' if ids is None else f'{channels} channels of {8 * ids.itemsize} bits'
        raise ConfigError(f'{path}: got {got}, expected an 8-bit image of one channel, the {kind}. Restore the file; '
                          'colours or a palette must be turned into ids first.')
    return ids


def _decoded(path: Path, flags: int) -> np.ndarray | None:
    try:
        data = np.frombuffer(read_regular(str(path), _MOST_BYTES), np.uint8)
        if data[:8].tobytes().startswith((b'\xff\xd8\xff', b'\x89PNG')):
            decode_compressed(data, 0, '')  # OpenCV fills missing parts with gray, without an error.
        return cv2.imdecode(data, flags)
    except OSError as error:
        raise ConfigError(f'{path}: {error.strerror}. Restore the file.') from error
    except FrameError as error:
        raise ConfigError(f'{path}: {error}') from error
    except cv2.error:
        return None

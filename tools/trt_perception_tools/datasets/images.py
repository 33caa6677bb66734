"""Pictures and annotations on disk, whatever the dataset."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.errors import ConfigError


class LabelledPicture(NamedTuple):
    """A picture with the class of every pixel."""

    name: str
    image: Path
    annotation: Path


def read_picture(path: Path) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8, BGR.

    Raises:
        ConfigError: it is none.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f'{path}: no picture that OpenCV can read. Restore the file.')
    return picture


def read_ids(path: Path, kind: str) -> np.ndarray:
    """Return a picture of ids as (H, W) uint8.

    Raises:
        ConfigError: it is no picture of one channel.
    """
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if ids is None or ids.ndim != 2 or ids.dtype != np.uint8:
        raise ConfigError(f'{path}: expected an 8-bit picture of one channel, the {kind}. Restore the file.')
    return ids

"""Images and annotations on disk, whatever the dataset."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.errors import ConfigError


class LabelledImage(NamedTuple):
    """An image with the class of every pixel."""

    name: str
    image: Path
    annotation: Path


def read_image(path: Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8, BGR.

    Raises:
        ConfigError: OpenCV cannot read the file as an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f'{path}: no image that OpenCV can read. Restore the file.')
    return image


def read_ids(path: Path, kind: str) -> np.ndarray:
    """Return an image of ids as (H, W) uint8.

    Raises:
        ConfigError: it is no image of one channel.
    """
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if ids is None or ids.ndim != 2 or ids.dtype != np.uint8:
        raise ConfigError(f'{path}: expected an 8-bit image of one channel, the {kind}. Restore the file.')
    return ids

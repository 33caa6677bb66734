"""Example frames for third-party networks, preprocessed as in a node."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size

from ..datasets.images import read_image

_SHIFT_PX = 3
_SUFFIXES = frozenset({'.png', '.jpg', '.jpeg', '.bmp', '.webp', '.ppm'})
_MOST = 4
"""Number of recorded frames that are tried."""


def example_frames(size: Size) -> list[list[np.ndarray]]:
    """Return synthetic frames, each as (H, W, 3) uint8 images that move 3 px to the left from one to the next.

    Blobs of every colour; the same at night; a road under a sky; and one colour alone.
    """
    height, width = size
    # On white noise no network is certain of anything.
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    wide = width + 16
    blobs = cv2.resize(noise, (wide, height + 16), interpolation=cv2.INTER_CUBIC)[:height]
    rows, columns = np.mgrid[0:height, 0:wide]
    road = np.where((rows < height / 2)[..., np.newaxis], (200, 170, 120), (90, 90, 95))
    road = road + 25 * np.sin(columns / 7)[..., np.newaxis] + random.normal(0, 6, (height, wide, 3))
    scenes = [blobs, blobs // 6, np.clip(road, 0, 255), np.full((height, wide, 3), (40, 90, 200))]
    return [[np.ascontiguousarray(scene[:, _SHIFT_PX * number:_SHIFT_PX * number + width], np.uint8)
             for number in range(2)] for scene in scenes]


def recorded_frames(folder: Path, size: Size) -> list[list[np.ndarray]]:
    """Return (H, W, 3) images of a folder, each with the next one, resized: as `example_frames`, RGB.

    Raises:
        ConfigError: there is no such folder, or fewer than two images in it.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if len(files) < 2:
        raise ConfigError(f'--images {folder}: got {len(files)} images, expected a folder of at least two. Give frames '
                          'of the camera.')
    chosen = np.unique(np.linspace(0, len(files) - 2, _MOST).round().astype(int))
    return [[cv2.resize(read_image(files[number + step])[..., ::-1], size[::-1], interpolation=cv2.INTER_LINEAR)
             for step in range(2)] for number in chosen]


def as_fed(image: np.ndarray, color: str, mean: Sequence[float], std: Sequence[float], fed: np.dtype) -> np.ndarray:
    """Return the input from an engine for an (H, W, 3) RGB image: (1, H, W, C) of type `fed`."""
    if color == 'gray':
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., np.newaxis]
    elif color == 'bgr':
        image = image[..., ::-1]
    if fed == np.float32:
        image = (image.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(image[np.newaxis], fed)

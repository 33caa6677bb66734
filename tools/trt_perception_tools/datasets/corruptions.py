"""Image corruptions by light, weather and camera: colour casts, exposure, blur, JPEG, noise, fog, rain.

For `evaluate --corrupt`, and for augmentation. Works on arrays with a random generator.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

Corrupt = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
"""(image, strength, random) -> image; images are (H, W, 3) uint8 RGB and never changed in place."""


class Corruption(NamedTuple):
    """A named change of an image."""

    apply: Corrupt
    varies: bool = False
    """Whether it is random for every image of a camera, like noise, and unlike a colour cast."""


def corrupt(image: np.ndarray, name: str, strength: float, random: np.random.Generator) -> np.ndarray:
    """Return a corrupted copy of an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: one of CORRUPTIONS.
        strength: 0 = unchanged, 1 = bad conditions for a vehicle; above 1 = worse.
        random: the only source of randomness.
    """
    return CORRUPTIONS[name].apply(image, strength, random) if strength else image.copy()


def _recolour(image: np.ndarray, gains: ArrayLike, gamma: float = 1.0) -> np.ndarray:
    """Return 255 * gain * (level / 255) ** gamma of every channel, rounded and clipped."""
    levels = 255 * (np.arange(256) / 255)[:, None] ** gamma * np.asarray(gains)
    return np.asarray(cv2.LUT(image, np.rint(levels).clip(0, 255).astype(np.uint8)[:, None]))


def _warm(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _recolour(image, (1 + 0.2 * strength, 1, 1 - 0.2 * strength))


def _cold(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _recolour(image, (1 - 0.2 * strength, 1, 1 + 0.2 * strength))


def _gains(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _recolour(image, 1 + strength * random.uniform(-0.3, 0.3, 3), np.exp(strength * random.uniform(-0.5, 0.5)))


def _dark(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _recolour(image, [0.5 ** strength] * 3)


def _bright(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _recolour(image, [1.6 ** strength] * 3)


def _blur(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Blur by a Gaussian whose standard deviation is 1/240 of the height, x strength."""
    sigma = max(strength * image.shape[0] / 240, 0.01)  # OpenCV refuses 0.
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


def _jpeg(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Compress with quality 45, 20, 9 at strength 0.5, 1, 1.5."""
    quality = round(100 * 0.2 ** strength)
    _, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, max(quality, 1)])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _noise(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Add noise whose standard deviation is sqrt(16 + level) grey levels, x strength: read-out and photons."""
    levels = image.astype(np.float32)
    deviation = strength * np.sqrt(16 + levels)
    noisy = levels + deviation * random.standard_normal(image.shape, np.float32)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


_HORIZON = 0.45
"""Row of the horizon of a forward-looking camera, as a share of the height."""


def _fog(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Add airlight by Koschmieder's law, which increases with the distance.

    The distance is that of a flat road; everything near or above the horizon has the same distance.
    """
    rows = (np.arange(image.shape[0]) + 0.5) / image.shape[0]
    distance = np.minimum(0.1 / np.maximum(rows - _HORIZON, 1e-6), 1)
    own = np.exp(-strength * distance).astype(np.float32)[:, None, None]
    air = np.float32(random.uniform(170, 220))
    return np.rint(image * own + air * (1 - own)).clip(0, 255).astype(np.uint8)


def _rain(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Draw 400 slanted, half transparent streaks, x strength, each 1/30 .. 1/12 of the height long."""
    height, width = image.shape[:2]
    count = round(400 * strength)
    slant = random.uniform(-0.3, 0.3)
    tops = random.uniform((-0.1 * width, -0.1 * height), (1.1 * width, height), (count, 2))
    lengths = random.uniform(height / 30, height / 12, (count, 1))
    ends = tops + lengths * (slant, 1)
    streaks = np.zeros((height, width), np.uint8)
    cv2.polylines(streaks, list(np.rint(np.stack([tops, ends], 1)).astype(np.int32)), False, 255,
                  max(1, round(height / 480)), cv2.LINE_AA)
    share = cv2.GaussianBlur(streaks, (3, 3), 0)[..., None] * np.float32(0.5 / 255)
    return np.rint(image * (1 - share) + 210 * share).astype(np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    'warm': Corruption(_warm),
    'cold': Corruption(_cold),
    'gains': Corruption(_gains),
    'dark': Corruption(_dark),
    'bright': Corruption(_bright),
    'blur': Corruption(_blur),
    'jpeg': Corruption(_jpeg),
    'noise': Corruption(_noise, varies=True),
    'fog': Corruption(_fog),
    'rain': Corruption(_rain, varies=True),
}
"""At strength 1: R x 1.2 and B x 0.8; R x 0.8 and B x 1.2; each channel x 0.7 .. 1.3 after a gamma of exp(-0.5 .. 0.5);
levels x 0.5; x 1.6; the others are described at the functions above."""
STRENGTHS = (0.5, 1.0, 1.5)
"""Strengths of `evaluate --corrupt`."""

"""Named corruptions of a camera image: what light, weather, lenses and transport do to it.

Each takes an image (H, W, 3) uint8, BGR, a strength, 0 = none to 3 = strong, and a random generator, and returns a new
image of the same shape. Training draws strengths between; `evaluate --corrupt` uses 1, 2 and 3.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def toned(image: np.ndarray, gains: Sequence[float], gamma: float = 1.0) -> np.ndarray:
    """Return 255 * (gain * level / 255) ** gamma for every channel, clipped: one table look-up.

    Args:
        image: (H, W, 3) uint8.
        gains: of the three channels, in the image's order.
        gamma: exponent; above 1 darkens.
    """
    levels = np.arange(256)[:, None] * np.asarray(gains) / 255
    table = (255 * np.clip(levels, 0, 1) ** gamma + 0.5).astype(np.uint8)
    return cv2.LUT(image, table[None])


def warm(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Late sun or a wrong white balance; 2: red x 1.2, blue x 0.8."""
    return toned(image, (1 - 0.1 * strength, 1, 1 + 0.1 * strength))


def cold(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Shade or a wrong white balance; 2: red x 0.8, blue x 1.2."""
    return toned(image, (1 + 0.1 * strength, 1, 1 - 0.1 * strength))


def cast(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Another camera's colours; 2: each channel x 0.7 - 1.3 and a gamma of exp(-0.5) - exp(0.5)."""
    gains = 1 + 0.15 * strength * random.uniform(-1, 1, 3)
    return toned(image, gains, float(np.exp(0.25 * strength * random.uniform(-1, 1))))


def dark(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Dusk or a short exposure: levels x 0.7 for each step."""
    return toned(image, [0.7 ** strength] * 3)


def bright(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """A long exposure: levels x 1.25 for each step, clipped."""
    return toned(image, [1.25 ** strength] * 3)


def blur(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """A lens out of focus: Gaussian, sigma 0.8 px of 360 rows for each step."""
    sigma = 0.8 * strength * image.shape[0] / 360
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image.copy()


def noise(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """A hot sensor: Gaussian, deviation 7 levels for each step."""
    drawn = random.standard_normal(image.shape, np.float32) * (7 * strength)
    return np.clip(image + drawn + 0.5, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """A narrow link: JPEG of quality 35, 18 and 9."""
    quality = max(1, round(70 * 0.5 ** strength))
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def fog(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Grey veil, thickest at and above the middle row, where the scene is far away."""
    height = image.shape[0]
    distance = np.clip(1.6 - 1.4 * np.arange(height) / height, 0.2, 1)[:, None, None]
    seen = np.exp(-0.5 * strength * distance).astype(np.float32)
    return (image * seen + 215 * (1 - seen) + 0.5).astype(np.uint8)


def rain(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Bright streaks of one slant over a slightly duller image."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), np.uint8)
    length = height / 18
    slant = random.uniform(-0.35, 0.35)
    starts = random.uniform((-length, 0), (height, width), (int(150 * strength), 2))
    for (top, left), share in zip(starts, random.uniform(0.5, 1.3, len(starts)), strict=True):
        end = round(left + slant * length * share), round(top + length * share)
        cv2.line(streaks, (round(left), round(top)), end, 255, 1, cv2.LINE_AA)
    streaks = cv2.GaussianBlur(streaks, (3, 3), 0)
    seen = 1 - streaks[..., None].astype(np.float32) * (0.5 / 255)
    return (image * (1 - 0.06 * strength) * seen + 225 * (1 - seen) + 0.5).astype(np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    each.__name__: each for each in (warm, cold, cast, dark, bright, blur, noise, jpeg, fog, rain)}

"""Random views of a labelled image: scale, crop, flip, colours. Knows only arrays and a random generator.

Uses OpenCV: torchvision and albumentations would be a second image library for the three operations below, and one
warp for scale, crop and flip together is faster than their chains of steps.
"""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from trt_perception.core.data import VOID

from ..datasets.corruptions import CORRUPTIONS, STRENGTHS, corrupt

_OTHERS = [name for name in CORRUPTIONS if name != 'gains']


@dataclass(frozen=True)
class Augmentation:
    """Augmentations of an image and their strengths."""

    crop: tuple[int, int]
    """(height, width) of the view, px."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest zoom, with a uniform logarithm."""
    flip: bool = True
    brightness: float = 0.3
    """Colours are multiplied by 1 - x .. 1 + x; likewise contrast (about the mean) and saturation (about grey)."""
    contrast: float = 0.3
    saturation: float = 0.3
    cast: float = 0.0
    """Largest strength of the corruption `gains`, the colours of another camera, for every view."""
    corrupt: float = 0.0
    """Share of views, 0..1, with another of the named corruptions, up to the largest strength."""
    mix: float = 0.0
    """Share of views with half of the classes of another image's view pasted over them (ClassMix, WACV 2021)."""
    centred: float = 0.5
    """Share of views around a pixel of a random class of the image, so that rare classes are more frequent."""

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f'scale: got {list(self.scale)}, expected [smallest, largest], above 0.')


def view(image: np.ndarray, labels: np.ndarray, how: Augmentation, random: np.random.Generator,
         other: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return a random view of an image and of its labels, both (*crop).

    Args:
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8, VOID = none; what lies outside the image is VOID and grey.
        how: the kinds and strengths.
        random: the only source of randomness.
        other: image and labels, half of whose classes, at least one, are pasted over the view.
    """
    image, labels = _warped(image, labels, how, random)
    if other is not None:
        pasted, pasted_labels = _warped(*other, how, random)
        classes = np.unique(pasted_labels[pasted_labels != VOID])
        where = np.isin(pasted_labels, random.permutation(classes)[:(classes.size + 1) // 2])
        image, labels = np.where(where[..., None], pasted, image), np.where(where, pasted_labels, labels)
    return recoloured(image, how, random), labels


def _warped(image: np.ndarray, labels: np.ndarray, how: Augmentation,
            random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    matrix = _warp(labels, how, random)
    size = how.crop[1], how.crop[0]
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=(128, 128, 128))
    labels = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
                            borderMode=cv2.BORDER_CONSTANT, borderValue=VOID)
    return image, labels


def _warp(labels: np.ndarray, how: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Return the (2, 3) matrix from pixels of the view to pixels of the image."""
    height, width = labels.shape
    zoom = np.exp(random.uniform(*np.log(how.scale)))
    view_height, view_width = how.crop[0] / zoom, how.crop[1] / zoom
    if random.random() < how.centred:
        classes = np.unique(labels[::4, ::4])
        classes = classes[classes != VOID]
        centre = _pixel_of(labels, random.choice(classes), random) if classes.size else (height / 2, width / 2)
        # Anywhere in the middle of the view, so that the centre of the view is not special.
        top = centre[0] - view_height * random.uniform(0.2, 0.8)
        left = centre[1] - view_width * random.uniform(0.2, 0.8)
    else:
        top, left = random.uniform(size=2) * (height - view_height, width - view_width)
    # Inside the image if it is larger than the view, else anywhere around it.
    top = np.clip(top, min(0, height - view_height), max(0, height - view_height))
    left = np.clip(left, min(0, width - view_width), max(0, width - view_width))
    flipped = how.flip and random.random() < 0.5
    step = 1 / zoom
    # Pixel centres are at +0.5: x of the image = left + step * (x of the view + 0.5) - 0.5.
    across = (-step, left + view_width - 0.5 * step - 0.5) if flipped else (step, left + 0.5 * step - 0.5)
    return np.array([[across[0], 0, across[1]], [0, step, top + 0.5 * step - 0.5]])


def _pixel_of(labels: np.ndarray, class_id: int, random: np.random.Generator) -> tuple[float, float]:
    rows, columns = np.nonzero(labels[::4, ::4] == class_id)
    chosen = random.integers(rows.size)
    return rows[chosen] * 4.0, columns[chosen] * 4.0


def recoloured(image: np.ndarray, how: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Return the image, (H, W, 3) uint8 RGB, in other light, and corrupted for some views."""
    return _corrupted(_toned(image, how, random), how, random)


def _toned(image: np.ndarray, how: Augmentation, random: np.random.Generator) -> np.ndarray:
    gain, contrast, saturation = (random.uniform(1 - each, 1 + each)
                                  for each in (how.brightness, how.contrast, how.saturation))
    if (gain, contrast, saturation) == (1, 1, 1):
        return image
    # All three are linear in the colours: one 3 x 4 matrix. The mean is the centre of the contrast.
    mean = float(image.mean()) * gain
    mix = saturation * np.eye(3) + (1 - saturation) / 3
    matrix = np.hstack([gain * contrast * mix, np.full((3, 1), mean * (1 - contrast))])
    return cv2.transform(image, matrix)


def _corrupted(image: np.ndarray, how: Augmentation, random: np.random.Generator) -> np.ndarray:
    if how.cast:
        image = corrupt(image, 'gains', random.uniform(0, how.cast), random)
    if random.random() < how.corrupt:
        image = corrupt(image, random.choice(_OTHERS), random.uniform(0, STRENGTHS[-1]), random)
    return image

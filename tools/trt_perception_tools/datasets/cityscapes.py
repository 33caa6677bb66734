"""Cityscapes (Cordts et al., CVPR 2016) on disk: finds images and annotations of the 19 evaluated classes."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError

from .images import LabelledImage, read_ids

NAMES: tuple[str, ...] = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
    'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
"""Names of the classes 0..18."""
CLASSES = len(NAMES)
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The `id` of the classes 0..18 in the dataset's own labels.py."""
_HIGHEST_LABEL_ID = 33
_IMAGE = '_leftImg8bit'


def cityscapes_images(folder: Path, split: str) -> list[LabelledImage]:
    """List a split: `leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.*`, `gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png`.

    Raises:
        ConfigError: there is no such split, or an annotation is missing.
    """
    root = folder / 'leftImg8bit' / split
    images = []
    for image in sorted(root.glob(f'*/*{_IMAGE}.*')):
        name = image.stem[:-len(_IMAGE)]
        annotation = folder / 'gtFine' / split / image.parent.name / f'{name}_gtFine_labelIds.png'
        if not annotation.is_file():
            raise ConfigError(f'{annotation}: no such file, expected the annotation of {image.name}. Complete the '
                              'dataset.')
        images.append(LabelledImage(name, image, annotation))
    if not images:
        raise ConfigError(f'{root}: no CITY/NAME{_IMAGE}.* below it. Give the folder of Cityscapes.')
    return images


def read_cityscapes_annotation(path: Path) -> np.ndarray:
    """Return an annotation as (H, W) uint8 class ids 0..18, VOID (255) for classes that are not evaluated.

    Raises:
        ConfigError: it is not an image of one channel, or has ids that Cityscapes does not have.
    """
    labels = read_ids(path, 'label ids')
    # 255 is id -1, the licence plate.
    if ((labels > _HIGHEST_LABEL_ID) & (labels != VOID)).any():
        raise ConfigError(f'{path}: got label id {labels[labels != VOID].max()}, expected 0..{_HIGHEST_LABEL_ID}. Use '
                          'gtFine_labelIds.')
    classes = np.full(256, VOID, np.uint8)
    classes[list(_LABEL_IDS)] = range(CLASSES)
    return classes[labels]

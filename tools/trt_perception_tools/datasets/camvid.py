"""CamVid (Brostow et al., 2009) in SegNet's layout on disk: finds images and annotations of the 11 classes."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError

from .images import LabelledImage, read_ids

CAMVID_CLASSES = 11
"""Ids 0..10 in the annotations; 11 means void."""


def labelled_images(folder: Path, split: str) -> list[LabelledImage]:
    """List a split of CamVid in SegNet's layout: `test.txt`, `test/NAME.*`, `testannot/NAME.png`.

    Raises:
        ConfigError: the list or a file that it names is missing.
    """
    listing = folder / f'{split}.txt'
    if not listing.is_file():
        raise ConfigError(f'{listing}: no such file, expected the names of the images of split {split!r}. Give the '
                          'folder of CamVid with --data.')
    found = {path.stem: path for path in sorted((folder / split).glob('*.*'))}
    images = []
    try:
        lines = listing.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f'{listing}: got {error}, expected a text in UTF-8. Save it so.') from error
    for line in filter(None, map(str.strip, lines)):
        # A name, which may have spaces and dots, or a path; SegNet's own lists have two paths.
        name = next((each for each in (line, Path(line).stem) if each in found), Path(line.split()[0]).stem)
        annotation = folder / f'{split}annot' / f'{name}.png'
        if name not in found or not annotation.is_file():
            raise ConfigError(f'{listing}: {name}: no {split}/{name}.* with a {annotation.parent.name}/'
                              f'{annotation.name}. Complete the dataset.')
        images.append(LabelledImage(name, found[name], annotation))
    if not images:
        raise ConfigError(f'{listing}: names no image. Complete the dataset.')
    return images


def read_annotation(path: Path) -> np.ndarray:
    """Return a CamVid annotation as (H, W) uint8 class ids, VOID (255) = none.

    Raises:
        ConfigError: it is not an image of one channel, or has ids that CamVid does not have.
    """
    labels = read_ids(path, 'class ids')
    if labels.max() > CAMVID_CLASSES:
        raise ConfigError(f'{path}: got class id {labels.max()}, expected 0..{CAMVID_CLASSES - 1}, or '
                          f'{CAMVID_CLASSES} for void. Use annotations of the SegNet split.')
    labels[labels == CAMVID_CLASSES] = VOID
    return labels

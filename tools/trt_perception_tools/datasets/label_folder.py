"""Labelled images of any classes, as `trt_perception_tools export-dataset` writes them.

images/NAME.png or .jpg   labels/NAME.png   classes.json
"""
from __future__ import annotations

import json
from pathlib import Path

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import LabelClass, LabelSet

from .images import LabelledImage

CLASSES_FILE = 'classes.json'


def is_label_folder(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / CLASSES_FILE).is_file() and (folder / 'labels').is_dir()


def label_folder_images(folder: Path) -> list[LabelledImage]:
    """List the labelled images.

    Raises:
        ConfigError: there is none, or a label map has no image.
    """
    found = {path.stem: path for path in sorted((folder / 'images').glob('*.*'))}
    images = []
    for annotation in sorted((folder / 'labels').glob('*.png')):
        if annotation.stem not in found:
            raise ConfigError(f'{annotation}: no images/{annotation.stem}.* for it. Complete the dataset: '
                              '`trt_perception_tools export-dataset --images BAG`.')
        images.append(LabelledImage(annotation.stem, found[annotation.stem], annotation))
    if not images:
        raise ConfigError(f'{folder / "labels"}: no NAME.png in it. Complete the dataset.')
    return images


def read_label_set(folder: Path) -> LabelSet:
    """Return the classes of classes.json.

    Raises:
        ConfigError: it is missing or damaged.
    """
    path = folder / CLASSES_FILE
    try:
        classes = json.loads(path.read_text(encoding='utf-8'))['classes']
        return LabelSet(folder.name, tuple(
            LabelClass(int(each['id']), str(each['name']), tuple(each['color'])) for each in classes))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path}: {type(error).__name__}: {error}, expected the JSON with id, name and color of each '
                          'class. Write it.') from error

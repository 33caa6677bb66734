"""The meaning of ids in annotations, and the classes of a model that are scored on them: any label set on any dataset.

A mapping is a YAML:

    truth: {0: sky, 1: building, 3: road, 8: car}      # id in the annotations -> scored class; other ids are ignored
    model: {vegetation: tree, truck: car, bus: car}    # class of the models -> scored class; others by their own name
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError, did_you_mean
from trt_perception.core.model import LabelClass, LabelSet, Model, load_labels
from trt_perception.core.yaml_file import read_yaml

from ..datasets.camvid import CAMVID_CLASSES, labelled_images
from ..datasets.images import read_ids

_LOOKED_AT = 16
"""Annotations whose ids are compared with a model's."""


class Classes(NamedTuple):
    """The scored classes, and their names in ground truth and models."""

    names: tuple[str, ...]
    """Names of the scored classes 0, 1, ..."""
    truth: Mapping[int, str]
    """Id in the annotations -> scored class."""
    model: Mapping[str, str]
    """Class of a model -> scored class, if the names differ."""

    def truth_table(self) -> np.ndarray:
        """Return (256,) uint8: id in the annotations -> number of the scored class; VOID = ignored."""
        table = np.full(256, VOID, np.uint8)
        for number, name in self.truth.items():
            table[number] = self.names.index(name)
        return table

    def model_table(self, model: Model) -> np.ndarray:
        """Return (256,) uint8: id of a model's label set -> number of the scored class; VOID = none of them.

        Raises:
            ConfigError: the mapping names a class that the model does not have, or none of its classes is scored.
        """
        assert model.labels is not None
        own = {each.name.casefold(): each for each in model.labels.classes}
        for name in self.model:
            if name.casefold() not in own:
                raise ConfigError(f'--classes: model: got {name!r}, expected a class of {model.labels.name}'
                                  f'{did_you_mean(name, own)}')
        scored = {name.casefold(): number for number, name in enumerate(self.names)}
        renamed = {name.casefold(): target.casefold() for name, target in self.model.items()}
        table = np.full(256, VOID, np.uint8)
        for name, each in own.items():
            table[each.id] = scored.get(renamed.get(name, name), VOID)
        if (table == VOID).all():
            raise ConfigError(f'{model.path}: labels: {model.labels.name} has {", ".join(own)}, expected some of the '
                              f'scored classes {", ".join(self.names)}. Say which is which with --classes YAML: model: '
                              '{own name: scored name}.')
        return table

    def labels_of(self, model: Model) -> LabelSet:
        """Return the scored classes as a label set, in the model's colours."""
        assert model.labels is not None
        table = self.model_table(model)
        colors = {int(table[each.id]): each.color for each in reversed(model.labels.classes)}
        return LabelSet('classes', tuple(LabelClass(number, name, colors.get(number, (255, 255, 255)))
                                         for number, name in enumerate(self.names)))


def read_classes(text: str) -> Classes:
    """Return the content of --classes: a label set, whose ids the annotations have, or the file of a mapping.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(text).expanduser()
    content: Any = None
    if path.suffix in ('.yaml', '.yml') and path.is_file():
        content = read_yaml(str(path))
    if not isinstance(content, dict) or 'truth' not in content:
        return classes_of(load_labels(text))
    truth, model = content.pop('truth'), content.pop('model', None) or {}
    if content:
        raise ConfigError(f'--classes {text}: got the field {next(iter(content))!r}, expected truth and model.')
    if not isinstance(truth, dict) or not truth or not all(
            type(number) is int and 0 <= number <= VOID and isinstance(name, str) for number, name in truth.items()):
        raise ConfigError(f'--classes {text}: truth: got {truth!r}, expected ids 0..255 of the annotations and the '
                          'names of the classes that they count as, e.g. {0: road, 1: sky}.')
    names = tuple(dict.fromkeys(truth.values()))
    if not isinstance(model, dict) or not all(isinstance(each, str) for pair in model.items() for each in pair):
        raise ConfigError(f'--classes {text}: model: got {model!r}, expected classes of the model and the scored '
                          'classes that they count as, e.g. {truck: car}.')
    for name in model.values():
        if name not in names:
            raise ConfigError(f'--classes {text}: model: got the scored class {name!r}, expected one of truth: '
                              f'{", ".join(names)}{did_you_mean(name, names)}')
    return Classes(names, truth, model)


def classes_of(labels: LabelSet) -> Classes:
    """Return the classes of annotations that have the ids of a label set."""
    return Classes(tuple(each.name for each in labels.classes), {each.id: each.name for each in labels.classes}, {})


def own_classes(model: Model, folder: Path, split: str) -> Classes | None:
    """Return a model's own classes if annotations in CamVid's layout can only have these; None = ambiguous.

    This is so if it has fewer classes than CamVid, and the annotations have no other ids. One more, or 255, is void.
    """
    labels = model.labels
    if labels is None or not (folder / f'{split}annot').is_dir() or len(labels.classes) >= CAMVID_CLASSES:
        return None
    images = labelled_images(folder, split)
    ids = {int(each) for image in images[::max(1, len(images) // _LOOKED_AT)]
           for each in np.unique(read_ids(image.annotation, 'class ids'))}
    own = {each.id for each in labels.classes}
    return classes_of(labels) if ids <= own | {max(own) + 1, VOID} else None

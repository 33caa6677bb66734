"""Results by camera and stamp, from a bag or from a folder of labelled images. Compares nothing."""
from __future__ import annotations

import abc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trt_perception import consumer
from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.model import LabelClass, LabelSet

from ..datasets.flow import read_flow
from ..datasets.images import read_ids
from ..datasets.label_folder import read_label_set
from ..recorded import FLOW_INFO, LABEL_MAP_PNG, Recording, Topic, flow_info_of, label_set_of, labels_of

Key = tuple[str, int]
"""Camera (a namespace, '' = none) and stamp, ns."""
_FIELDS = {consumer.LABEL_MAP: 'labels', LABEL_MAP_PNG: 'labels', consumer.LABEL_CONFIDENCE: 'confidence',
           consumer.FLOW: 'flow'}
_SIDE_DATA = (consumer.CLASSES, consumer.FLOW_INTERVAL, FLOW_INFO)
_RESULTS = ('labels', 'flow')


class Result(NamedTuple):
    """The results of an image; None = none."""

    key: Key
    labels: np.ndarray | None = None
    """(H, W) uint8 class ids; 255 = no class."""
    confidence: np.ndarray | None = None
    """(H, W) uint8, 255 = certain."""
    flow: np.ndarray | None = None
    """(H, W, 2) float32, px; NaN = invalid."""


class Run(abc.ABC):
    """The results of one run.

    Attributes:
        path: the bag or folder.
        classes: the classes of the labels, by camera; a camera may be missing.
        contents: fields of Result by image.
        intervals_ns: time between the two images of flow fields, if known.
        faults: description of unreadable messages -> number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.classes: dict[str, LabelSet] = {}
        self.contents: dict[Key, set[str]] = {}
        self.intervals_ns: dict[Key, int] = {}
        self.faults: dict[str, int] = {}

    @abc.abstractmethod
    def results(self, keys: set[Key]) -> Iterator[Result]:
        """Yield the results of some images, in the order of their recording."""


class RecordedRun(Run):
    """The results in a bag: of `trt_perception process`, or recorded from nodes.

    Raises:
        ConfigError: no readable bag, or no labels and no flow in it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._recording = Recording(path)
        with_raw = {each.camera for each in self._recording.topics if each.role == consumer.LABEL_MAP}
        self._topics = {each for each in self._recording.topics if each.role in _FIELDS and not (
            each.role == LABEL_MAP_PNG and each.camera in with_raw)}
        contents: dict[Key, set[str]] = defaultdict(set)
        for topic, stamp_ns, message in self._recording.messages(
                lambda topic: topic in self._topics or topic.role in _SIDE_DATA):
            try:
                if topic.role == consumer.CLASSES:
                    self.classes[topic.camera] = label_set_of(message)
                elif topic.role == consumer.FLOW_INTERVAL:
                    self.intervals_ns[topic.camera, stamp_ns] = abs(stamp_ns - consumer.other_stamp_ns(message))
                elif topic.role == FLOW_INFO:
                    at_ns, interval_ns = flow_info_of(message)
                    self.intervals_ns[topic.camera, at_ns] = interval_ns
                else:
                    contents[topic.camera, stamp_ns].add(_FIELDS[topic.role])
            except FrameError as error:
                self._count(error)
        self.contents = {key: fields for key, fields in contents.items() if fields & set(_RESULTS)}
        if not self.contents:
            names = ', '.join(each.name for each in self._recording.topics) or 'no topics'
            raise ConfigError(f'bag {self._recording.path}: got {names}, expected segmentation/label_map or '
                              'optical_flow/flow. Give a bag that `trt_perception process` wrote.')

    def results(self, keys: set[Key]) -> Iterator[Result]:
        """Yield the results of some images; see Run."""
        partial: dict[Key, Result] = {}
        waiting = {key: set(self.contents[key]) for key in keys}
        for topic, stamp_ns, message in self._recording.messages(lambda topic: topic in self._topics):
            key = topic.camera, stamp_ns
            field = _FIELDS[topic.role]
            if field not in waiting.get(key, ()):  # Not wanted; or the stamp is repeated, as in a loop.
                continue
            waiting[key].discard(field)
            try:
                partial[key] = _with(partial.get(key, Result(key)), field, topic, message)
            except FrameError as error:
                self._count(error)
            if not waiting[key]:
                yield partial.pop(key, Result(key))

    def _count(self, error: FrameError) -> None:
        self.faults[str(error)] = self.faults.get(str(error), 0) + 1


class LabelledFolder(Run):
    """Ground truth as files: `labels/STAMP.png` with class ids, `flow/STAMP.flo` or KITTI's `.png`, and `classes.json`.

    STAMP is the image's stamp, ns. The labels have the layout of `trt_perception_tools export-dataset`.

    Raises:
        ConfigError: there are no such files, or classes.json is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._files: dict[Key, dict[str, Path]] = defaultdict(dict)
        for field, suffixes in (('labels', ('.png',)), ('flow', ('.flo', '.png'))):
            for file in sorted((path / field).glob('*')):
                if file.suffix in suffixes and file.stem.isdecimal():
                    self._files['', int(file.stem)][field] = file
        if not self._files:
            raise ConfigError(f'{path}: got no file labels/STAMP.png nor flow/STAMP.flo, STAMP in ns. Give a bag, or a '
                              'folder with the truth.')
        self.contents = {key: set(files) for key, files in self._files.items()}
        if any('labels' in files for files in self._files.values()):
            self.classes[''] = read_label_set(path)

    def results(self, keys: set[Key]) -> Iterator[Result]:
        """Yield the results of some images; see Run."""
        for key in sorted(keys):
            files = self._files[key]
            yield Result(key, read_ids(files['labels'], 'class ids') if 'labels' in files else None,
                         flow=read_flow(files['flow']) if 'flow' in files else None)


def open_run(path: Path) -> Run:
    """Open a bag, a folder with a bag, or a folder of labelled images.

    Raises:
        ConfigError: it is none of them.
    """
    return LabelledFolder(path) if is_folder(path) else RecordedRun(path)


def is_folder(path: Path) -> bool:
    """Return whether results are files in a folder, not a bag."""
    return any((path / field).is_dir() for field in _RESULTS)


def common_classes(first: LabelSet | None, second: LabelSet | None) -> tuple[LabelSet, np.ndarray, np.ndarray]:
    """Return the classes of a comparison of two label maps, and tables from the ids of each to positions among them.

    These are the classes of the second, and those that only the first has, matched by name. Without any, ids are names.

    Returns:
        The classes, with their positions as ids; two tables, (256,) uint8, whose 255 is no class.
    """
    names: dict[str, LabelClass] = {}
    for label_set in (second or first, first):
        for each in label_set.classes if label_set else ():
            names.setdefault(each.name, each)
    if not names:
        names = {str(number): LabelClass(number, str(number), (number * 67 % 256, number * 131 % 256, 128))
                 for number in range(VOID)}
    places = {name: place for place, name in enumerate(names)}
    tables = []
    for label_set in (first or second, second or first):
        table = np.full(256, VOID, np.uint8)
        for each in label_set.classes if label_set else names.values():
            table[each.id] = places[each.name]
        tables.append(table)
    classes = tuple(each._replace(id=place) for place, each in enumerate(names.values()))
    return LabelSet((second or first or LabelSet('ids', ())).name, classes), tables[0], tables[1]


def _with(result: Result, field: str, topic: Topic, message: object) -> Result:
    if field == 'flow':
        return result._replace(flow=consumer.flow_of(message))
    pixels = labels_of(topic, message)
    return result._replace(labels=pixels) if field == 'labels' else result._replace(confidence=pixels)

"""Runs a comparison: pairs the results of two runs by camera and stamp, and keeps the worst."""
from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import LabelSet

from ..evaluate.metrics import confusion_matrix
from .frame import (
    AGREEMENT,
    CONFIDENCE_CHANGE,
    EPE,
    EXTRA,
    MISSING,
    OTHER_INTERVAL,
    flow_numbers,
    label_numbers,
    on_grid,
)
from .run import Key, Result, Run, common_classes


class Frame(NamedTuple):
    """One image with results of both runs."""

    key: Key
    """Name of the camera in the second run."""
    numbers: dict[str, float]
    """Values by measure."""


class Pair(NamedTuple):
    """Two results of one image, on one grid; labels are positions in the common classes."""

    frame: Frame
    first: Result
    second: Result


class Comparison:
    """Compares two runs on the images that both have; the second is the reference.

    Args:
        keep: number of the worst frames to keep, by labels and by flow each.

    Attributes:
        classes: the classes of the comparison, by camera of the second run.
        frames: in the order of the recording; complete once `pairs` has ended.
        missing, extra: images with results of only the second run, or only the first.
        other_interval: number of frames whose flow spans another interval, because a run lost images; not compared.

    Raises:
        ConfigError: the runs have no image in common.
    """

    def __init__(self, first: Run, second: Run, keep: int = 6) -> None:
        self._first, self._second, self._keep = first, second, keep
        self._cameras = _matching_cameras(first, second)
        mine = {(self._cameras.get(camera, camera), stamp): (camera, stamp) for camera, stamp in first.contents}
        self._common = {key: mine[key] for key in second.contents if key in mine}
        self.missing = sorted(set(second.contents) - set(mine))
        self.extra = sorted(set(mine) - set(second.contents))
        if not self._common:
            raise ConfigError(f'{first.path} and {second.path}: got {len(mine)} and {len(second.contents)} images with '
                              'results, none with the same stamp. Compare runs over the same recording.')
        self._tables = {}
        self.classes: dict[str, LabelSet] = {}
        for camera in {camera for camera, _ in second.contents}:
            before = next((name for name, other in self._cameras.items() if other == camera), camera)
            self.classes[camera], *tables = common_classes(first.classes.get(before), second.classes.get(camera))
            self._tables[camera] = tables
        self._confusions = {camera: np.zeros((len(each.classes), len(each.classes) + 1), np.int64)
                            for camera, each in self.classes.items()}
        self.frames: list[Frame] = []
        self.other_interval = 0
        self._worst: dict[str, list[tuple[float, int, Pair]]] = {AGREEMENT: [], EPE: []}

    def __len__(self) -> int:
        return len(self._common)

    def run(self) -> Iterator[Frame]:
        """Compare frame by frame."""
        mine = self._first.results(set(self._common.values()))
        theirs = self._second.results(set(self._common))
        waiting: tuple[dict[Key, Result], dict[Key, Result]] = ({}, {})
        for side, result in _alternating(mine, theirs):
            camera, stamp_ns = result.key
            key = (self._cameras.get(camera, camera), stamp_ns) if side == 0 else result.key
            waiting[side][key] = result
            if key in waiting[1 - side]:
                yield self._compare(key, waiting[0].pop(key), waiting[1].pop(key))

    def _compare(self, key: Key, first: Result, second: Result) -> Frame:
        first = on_grid(first, second)
        numbers: dict[str, float] = {}
        if first.labels is not None and second.labels is not None:
            tables, names = self._tables[key[0]], [each.name for each in self.classes[key[0]].classes]
            first, second = (each._replace(labels=table[each.labels])
                             for each, table in zip((first, second), tables, strict=True))
            assert first.labels is not None
            assert second.labels is not None
            confusion = confusion_matrix(second.labels, first.labels, len(names))
            self._confusions[key[0]] += confusion
            numbers.update(label_numbers(confusion, names))
        if first.confidence is not None and second.confidence is not None:
            numbers[CONFIDENCE_CHANGE] = float(first.confidence.mean() - second.confidence.mean()) / 255
        if first.flow is not None and second.flow is not None and self._same_interval(first.key, key):
            numbers.update(flow_numbers(first.flow, second.flow))
        frame = Frame(key, numbers)
        self.frames.append(frame)
        for measure, sign in ((AGREEMENT, -1), (EPE, 1)):
            if measure in numbers:
                entry = (sign * numbers[measure], -len(self.frames), Pair(frame, first, second))
                kept = self._worst[measure]
                heapq.heappush(kept, entry) if len(kept) < self._keep else heapq.heappushpop(kept, entry)
        return frame

    def _same_interval(self, first: Key, second: Key) -> bool:
        intervals = self._first.intervals_ns.get(first), self._second.intervals_ns.get(second)
        same = None in intervals or intervals[0] == intervals[1]
        self.other_interval += not same
        return same

    def worst(self, measure: str) -> list[Pair]:
        """Return the kept frames that differ most by AGREEMENT or EPE: the worst first, the earliest of equal ones."""
        return [pair for _, _, pair in sorted(self._worst[measure], key=lambda entry: entry[:2], reverse=True)]

    def numbers(self) -> dict[str, float]:
        """Return the numbers of the whole run: means over the frames; of IoUs and classes those of all pixels."""
        found: dict[str, list[float]] = {}
        for frame in self.frames:
            for measure, value in frame.numbers.items():
                found.setdefault(measure, []).append(value)
        totals = {measure: math.fsum(values) / len(values) for measure, values in found.items()}
        merged: dict[tuple[str, ...], np.ndarray] = {}
        for camera, confusion in self._confusions.items():
            names = tuple(each.name for each in self.classes[camera].classes)
            merged[names] = merged.get(names, np.zeros_like(confusion)) + confusion
        for names, confusion in merged.items():
            if len(merged) == 1 and confusion.any():  # For cameras with different classes, the means are kept.
                totals.update(label_numbers(confusion, list(names)))
        return {**totals, MISSING: float(len(self.missing)), EXTRA: float(len(self.extra)),
                OTHER_INTERVAL: float(self.other_interval)}


def _matching_cameras(first: Run, second: Run) -> dict[str, str]:
    """Return camera of the first run -> camera of the second; with one each, they are the same whatever their names."""
    cameras = [sorted({camera for camera, _ in run.contents}) for run in (first, second)]
    return {cameras[0][0]: cameras[1][0]} if len(cameras[0]) == len(cameras[1]) == 1 else {}


def _alternating(first: Iterator[Result], second: Iterator[Result]) -> Iterator[tuple[int, Result]]:
    """Yield (0, result of the first) and (1, result of the second) in turn, until both have ended."""
    open_sides = {0: first, 1: second}
    while open_sides:
        for side in list(open_sides):
            result = next(open_sides[side], None)
            if result is None:
                del open_sides[side]
            else:
                yield side, result

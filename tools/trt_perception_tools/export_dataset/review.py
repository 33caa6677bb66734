"""A contact sheet of images to review: where the network is least certain, and where labels flicker."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.colors import label_palette, overlay_labels
from trt_perception.core.data import VOID
from trt_perception.core.model import LabelSet

from ..evaluate.overlay import label_legend
from ..evaluate.video import Track, Tracker
from .formats import resized, write_image
from .moments import Moment, RunMoments

LEAST_CERTAIN, MOST_FLICKERING = 'least certain', 'most flickering'
APART_NS = 1_000_000_000
"""Shortest time between two shown images, because neighbours look alike."""
_TILE_PX = 320
_MOST_COLUMNS = 3
_CAPTION_PX = 22
_RED = np.array((220, 40, 40), np.uint8)


class Reviewed(NamedTuple):
    """An image and the reason for its review."""

    camera: str
    stamp_ns: int
    confidence: float
    """Mean confidence, 0..1; NaN = there is none."""
    flicker: float
    """Share of the pixels followed from the previous image whose label changed, 0..1; NaN = unknown."""


class _Follower:
    """Finds, camera by camera, which labels changed from one image to the next although the scene did not."""

    def __init__(self) -> None:
        self._trackers: dict[str, Tracker] = {}
        self._before: dict[str, np.ndarray] = {}

    def changed(self, moment: Moment) -> tuple[np.ndarray, Track] | None:
        """Return (H, W) bool, the changed labels, and the track of the pixels; None = unknown."""
        if moment.image is None or moment.labels is None:
            return None
        grey = cv2.cvtColor(resized(moment.image, moment.labels.shape), cv2.COLOR_BGR2GRAY)
        track = self._trackers.setdefault(moment.camera, Tracker()).track(grey)
        before = self._before.get(moment.camera)
        self._before[moment.camera] = moment.labels
        if track is None or before is None or before.shape != moment.labels.shape:
            return None
        return track.followed & (before[track.rows, track.columns] != moment.labels), track


def review(moments: Iterable[Moment]) -> list[Reviewed]:
    """Return the data of each labelled image."""
    follower = _Follower()
    found = []
    for moment in moments:
        if moment.labels is None:
            continue
        confidence = float('nan') if moment.confidence is None else float(moment.confidence.mean()) / 255
        changes = follower.changed(moment)
        flicker = float('nan')
        if changes is not None and changes[1].followed.any():
            flicker = float(changes[0].sum() / changes[1].followed.sum())
        found.append(Reviewed(moment.camera, moment.stamp_ns, confidence, flicker))
    return found


def worst(reviewed: Sequence[Reviewed], badness: Callable[[Reviewed], float], count: int) -> list[Reviewed]:
    """Return the images with the highest badness, the highest first, one per second of a camera."""
    chosen: list[Reviewed] = []
    known = [each for each in reviewed if np.isfinite(badness(each))]
    for each in sorted(known, key=badness, reverse=True):
        if len(chosen) < count and all(each.camera != other.camera or abs(each.stamp_ns - other.stamp_ns) >= APART_NS
                                       for other in chosen):
            chosen.append(each)
    return chosen


def write_review(run: RunMoments, output: Path, count: int) -> list[Reviewed]:
    """Write review.jpg and review.json to a folder and return the images.

    Args:
        count: number of images of each kind on the sheet.
    """
    reviewed = review(run)
    rows = {LEAST_CERTAIN: worst(reviewed, lambda each: -each.confidence, count),
            MOST_FLICKERING: worst(reviewed, lambda each: each.flicker, count)}
    tiles = _tiles(run, {(each.camera, each.stamp_ns) for row in rows.values() for each in row})
    columns = min(count, _MOST_COLUMNS)
    strips = []
    for title, row in rows.items():
        if row:
            strips.append(_caption(title, 2 * _TILE_PX * columns, 1.2))
        for start in range(0, len(row), columns):
            strips.append(_strip([_captioned(each, tiles[each.camera, each.stamp_ns], title)
                                  for each in row[start:start + columns]], 2 * _TILE_PX * columns))
    if strips:
        strips += [label_legend(classes, dict.fromkeys((each.name for each in classes.classes)), strips[0].shape[1])
                   for classes in dict.fromkeys(run.classes.values())]
        write_image(output / 'review.jpg', np.concatenate(strips)[..., ::-1])
    (output / 'review.json').write_text(json.dumps(
        {title: [{name: None if value != value else value for name, value in each._asdict().items()} for each in row]
         for title, row in rows.items()}, indent=1) + '\n', encoding='utf-8')
    return reviewed


def _strip(pictures: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Return images side by side, on white."""
    strip = np.full((max(each.shape[0] for each in pictures), width, 3), 255, np.uint8)
    x = 0
    for each in pictures:
        strip[:each.shape[0], x:x + each.shape[1]] = each
        x += each.shape[1]
    return strip


def _tiles(run: RunMoments, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """Return the drawings of the selected images: (h, w, 3) uint8 RGB each."""
    follower = _Follower()
    tiles = {}
    for moment in run:
        if moment.labels is None:
            continue
        changes = follower.changed(moment)
        if (moment.camera, moment.stamp_ns) in wanted:
            tiles[moment.camera, moment.stamp_ns] = _draw(moment, run.classes.get(moment.camera), changes)
    return tiles


def _draw(moment: Moment, classes: LabelSet | None, changes: tuple[np.ndarray, Track] | None) -> dict[str, np.ndarray]:
    assert moment.labels is not None
    labels = moment.labels
    image = np.full((*labels.shape, 3), 255, np.uint8) if moment.image is None else \
        np.ascontiguousarray(resized(moment.image, labels.shape)[..., ::-1])
    tiles = {'labels': overlay_labels(image, labels, label_palette(classes or LabelSet('', ())), 0.5)}
    grey = np.repeat(image.mean(2, keepdims=True) * 0.5 + 60, 3, 2).astype(np.uint8)
    if moment.confidence is not None:  # The less certain, the redder.
        doubt = (255 - moment.confidence.astype(np.float32))[..., np.newaxis] / 255
        tiles[LEAST_CERTAIN] = (grey * (1 - doubt) + _RED * doubt).astype(np.uint8)
        tiles[LEAST_CERTAIN][labels == VOID] = 0
    if changes is not None:
        tiles[MOST_FLICKERING] = grey.copy()
        tiles[MOST_FLICKERING][changes[0]] = _RED
    return {name: _small(tile) for name, tile in tiles.items()}


def _captioned(each: Reviewed, tiles: dict[str, np.ndarray], title: str) -> np.ndarray:
    """Return the labels, next to the reason why the image was chosen, with a line of text below."""
    value = f'mean confidence {each.confidence:.2f}' if title == LEAST_CERTAIN else \
        f'{each.flicker:.1%} of the labels changed'
    time = datetime.fromtimestamp(each.stamp_ns * 1e-9, timezone.utc).strftime('%H:%M:%S.%f')[:-3]
    text = f'{each.camera + "  " if each.camera else ""}{time}  {value}'
    pair = np.concatenate([tiles['labels'], tiles[title]], axis=1)
    return np.concatenate([pair, _caption(text, pair.shape[1], 0.45)])


def _small(tile: np.ndarray) -> np.ndarray:
    return resized(tile, (max(1, round(tile.shape[0] * _TILE_PX / tile.shape[1])), _TILE_PX))


def _caption(text: str, width: int, scale: float) -> np.ndarray:
    strip = np.full((int(_CAPTION_PX * max(1.0, scale * 1.6)), width, 3), 255, np.uint8)
    cv2.putText(strip, text, (6, strip.shape[0] - 7), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return strip

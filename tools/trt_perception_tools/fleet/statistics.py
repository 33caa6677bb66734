"""Statistics of a piece: shares of the classes, and the frames with the lowest confidence."""
from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trt_perception import consumer
from trt_perception.core.data import VOID
from trt_perception.core.errors import FrameError

from ..recorded import LABEL_MAP_PNG, Recorded, Recording, label_set_of, labels_of

KEPT = 20
"""How many uncertain frames of a piece are kept."""
_STEP = 4
"""Only every 4th pixel of every 4th row of label maps is counted."""


def piece_statistics(folder: Path) -> dict[str, Any]:
    """Return, of a bag with results, as JSON has it:

    classes: share of the pixels by class, 0..1; frames: how many label maps; uncertain: [mean confidence 0..1, stamp in
    ns, camera] of the frames with the least, those first.
    """
    names: dict[str, dict[int, str]] = {}
    counts: dict[str, np.ndarray] = {}
    uncertain: list[tuple[float, int, str]] = []
    frames = 0
    for topic, stamp_ns, message in _messages(folder):
        try:
            if topic.role == consumer.CLASSES:
                names[topic.camera] = {each.id: each.name for each in label_set_of(message).classes}
            elif topic.role == consumer.LABEL_CONFIDENCE:
                mean = float(labels_of(topic, message)[::_STEP, ::_STEP].mean()) / 255
                uncertain = heapq.nsmallest(KEPT, [*uncertain, (round(mean, 4), stamp_ns, topic.camera)])
            else:
                labels = labels_of(topic, message)[::_STEP, ::_STEP]
                counts[topic.camera] = counts.get(topic.camera, 0) + np.bincount(labels.ravel(), minlength=256)
                frames += 1
        except FrameError:  # Our own results, damaged on disk; the images were counted by `process`.
            continue
    shares: dict[str, float] = {}
    total = sum(int(each.sum()) for each in counts.values())
    for camera, each in counts.items():
        for number in np.flatnonzero(each).tolist():
            name = 'no class' if number == VOID else names.get(camera, {}).get(number, f'id {number}')
            shares[name] = shares.get(name, 0.0) + int(each[number]) / total
    return {'classes': shares, 'frames': frames, 'uncertain': [list(each) for each in uncertain]}


def _messages(folder: Path) -> Iterator[Recorded]:
    """Yield classes, label maps and confidences of a bag, file by file: its metadata.yaml is slow to read."""
    for file in sorted(each for each in folder.iterdir() if each.suffix in ('.mcap', '.db3')):
        yield from _messages_of(file)


def _messages_of(file: Path) -> Iterator[Recorded]:
    recording = Recording(file)
    raw = any(each.role == consumer.LABEL_MAP for each in recording.topics)
    roles = {consumer.CLASSES, consumer.LABEL_CONFIDENCE, consumer.LABEL_MAP if raw else LABEL_MAP_PNG}
    yield from recording.messages(lambda topic: topic.role in roles)
    recording.close()

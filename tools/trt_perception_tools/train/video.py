"""Learn consistent labels from unlabelled video, from one frame to the next (Liu et al., ECCV 2020)."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trt_perception.core.image import FrameDecoder

from ..evaluate.data import open_video
from ..evaluate.video import Tracker
from .augment import Augmentation, recoloured

_NOWHERE = -1


@dataclass(frozen=True)
class Consistency:
    """The section `video` of a recipe."""

    clips: tuple[Path, ...]
    """Bags, folders of images or video files."""
    size: tuple[int, int]
    """(height, width) that their images are resized to, px."""
    pairs: int = 2
    """Pairs of successive frames for each batch of labelled images."""
    factor: float = 1.0
    """Factor of the consistency loss."""
    every: int = 2
    """Only every n-th row and column is used."""


class Pairs(NamedTuple):
    """Successive frames."""

    before: np.ndarray
    """(N, h, w, 3) uint8, RGB."""
    now: np.ndarray
    source: Tensor
    """(N, h, w) int64: the pixel of `before`, row * w + column, that each pixel of `now` was; -1 = unknown."""


class Clips:
    """Clips in memory, and the positions of their pixels in the previous frame."""

    def __init__(self, settings: Consistency) -> None:
        self._images: list[np.ndarray] = []
        self._sources: dict[int, np.ndarray] = {}
        width = settings.size[1]
        for path in settings.clips:
            tracker, decoder = Tracker(), FrameDecoder()
            for frame in open_video(path, '', None).frames:
                track = tracker.track(decoder.image(frame, 'gray', settings.size))
                if track is not None:
                    source = np.where(track.followed, track.rows * width + track.columns, _NOWHERE)
                    self._sources[len(self._images)] = source.astype(np.int32)
                self._images.append(decoder.image(frame, 'rgb', settings.size).copy())

    def draw(self, count: int, how: Augmentation, random: np.random.Generator) -> Pairs:
        """Return random views, (*crop), of pairs; both frames of a pair have the same crop and colours."""
        before: list[np.ndarray] = []
        now: list[np.ndarray] = []
        sources = []
        for number in random.choice(sorted(self._sources), count):
            height, width = self._images[number].shape[:2]
            top, left = (int(random.integers(whole - part + 1))
                         for whole, part in zip((height, width), how.crop, strict=True))
            window = slice(top, top + how.crop[0]), slice(left, left + how.crop[1])
            seed = int(random.integers(2 ** 32))
            for views, each in ((before, number - 1), (now, number)):
                views.append(recoloured(self._images[each][window], how, np.random.default_rng(seed)))
            rows, columns = np.divmod(self._sources[number][window], width)
            rows, columns = rows - top, columns - left
            inside = (rows >= 0) & (rows < how.crop[0]) & (columns >= 0) & (columns < how.crop[1])
            sources.append(np.where(inside & (self._sources[number][window] != _NOWHERE),
                                    rows * how.crop[1] + columns, _NOWHERE))
        return Pairs(np.stack(before), np.stack(now), torch.from_numpy(np.stack(sources)).long())


def consistency_loss(before: Tensor, now: Tensor, source: Tensor, every: int) -> Tensor:
    """Return the mean squared distance, 0..2, of a pixel's class probabilities from the previous ones.

    Args:
        before: (N, classes, H, W) float scores of the earlier frames.
        now: the same of the later frames.
        source: (N, H, W) int64, see Pairs.
        every: only every n-th row and column of `now` is used.
    """
    source = source[:, ::every, ::every].flatten(1)
    given = now[:, :, ::every, ::every].float().softmax(1).flatten(2)
    scores = before.float().flatten(2).gather(2, source.clamp(min=0)[:, None].expand(-1, before.shape[1], -1))
    distance = functional.mse_loss(given, scores.softmax(1), reduction='none').sum(1)
    known = source != _NOWHERE
    return (distance * known).sum() / known.sum().clamp(min=1)

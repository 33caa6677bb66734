"""Training of optical flow: pairs, a multi-scale loss, validation.

Pairs are from synthetic_flow, or crops of recorded pairs if the recipe names some. The held-out pairs for validation
are from the same generator with another seed, so that no test data is used.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from trt_perception.core.errors import ConfigError

from ..datasets.flow import FlowPair, flow_pairs, read_flow
from ..datasets.images import read_image
from ..datasets.synthetic_flow import Scenery, SyntheticFlow
from ..networks.tinypwc import TinyPwc
from .config import checked

Batch = tuple[Tensor, Tensor, Tensor]
"""First and second image, (N, H, W) uint8; flow (N, 2, H, W) float32, px, unknown = NaN."""

_VALIDATION_SEED = 1_000_000_007
_LEVEL_WEIGHTS = (0.1, 0.2, 0.5, 1.0)
"""Weights of the flow at 1/16, 1/8, 1/4 and 1/2."""


@dataclass(frozen=True)
class FlowSettings:
    """The section `optical_flow` of a recipe."""

    network: Literal['tinypwc'] = 'tinypwc'
    size: tuple[int, int] = (192, 256)
    """(height, width) of the training images, px."""
    batch: int = 8
    steps_per_epoch: int = 500
    workers: int = 1
    """Processes that draw pairs; 0 = the training process itself."""
    scenery: Scenery = field(default_factory=Scenery)
    images: tuple[Path, ...] = ()
    """Folders of images whose grey levels are textures, in addition to the synthetic ones."""
    validation_images: tuple[Path, ...] = ()
    """Textures of the held-out pairs, from other recordings than `images`."""
    recorded: tuple[Path, ...] = ()
    """Folders of pairs with ground truth (see datasets.flow.flow_pairs) to learn from as well."""
    recorded_share: float = 0.5
    """Share of recorded pairs, 0..1, if `recorded` names some."""
    exponent: float = 0.7
    """Exponent of the end-point error in the loss; below 1, small errors count more."""
    validation_size: tuple[int, int] = (384, 512)
    validation_pairs: int = 48

    def __post_init__(self) -> None:
        for name, size in (('size', self.size), ('validation_size', self.validation_size)):
            if any(side < 32 or side % 16 for side in size):
                raise ValueError(f'{name}: got {size}, expected multiples of 16, from 32 on.')
        for name, count in (('batch', self.batch), ('steps_per_epoch', self.steps_per_epoch),
                            ('validation_pairs', self.validation_pairs)):
            if count < 1:
                raise ValueError(f'{name}: got {count}, expected at least 1.')


class FlowTask:
    """Optical flow for the Trainer; see trainer.Task."""

    better: Literal['higher', 'lower'] = 'lower'
    measure = 'EPE on held-out synthetic pairs, px'

    def __init__(self, settings: Mapping[str, object], where: str, seed: int) -> None:
        self.settings = checked(FlowSettings, settings, where)
        self.seed = seed
        self.steps_per_epoch = self.settings.steps_per_epoch
        self.network = TinyPwc()
        self._recorded = tuple(pair for folder in self.settings.recorded for pair in flow_pairs(folder))
        self._validation: list[Batch] = []

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield batches; every epoch has its own textures."""
        settings = self.settings
        pairs = _Pairs(settings, settings.size, self.seed * 100_003 + epoch, settings.batch * settings.steps_per_epoch,
                       self._recorded, settings.images)
        if not settings.workers:
            _single_threaded(0)
        # A forked process hangs in OpenCV, because it does not have its threads.
        yield from DataLoader(pairs, settings.batch, num_workers=settings.workers, worker_init_fn=_single_threaded,
                              multiprocessing_context='spawn' if settings.workers else None)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return scalars: the loss, and the end-point error of the finest flow, px."""
        first, second, flow = batch
        levels = self.network.pyramid(_normalised(first, second))
        known = flow.isfinite().all(1, keepdim=True)
        flow = torch.where(known, flow, 0)
        weights = known.float()
        loss = torch.zeros(())
        for estimate, weight in zip(levels, _LEVEL_WEIGHTS, strict=True):
            if estimate is levels[-1]:  # As deployed: the finest one, upsampled.
                truth, share, estimate = flow, weights, _enlarged(estimate, flow.shape[2:])
            else:
                step = flow.shape[3] // estimate.shape[3]
                share = functional.avg_pool2d(weights, step)
                truth = functional.avg_pool2d(flow, step) / share.clamp(min=1e-6)
            error = (estimate.float() - truth).square().sum(1, keepdim=True)
            total = share.sum().clamp(min=1)
            loss = loss + weight * (share * (error + 0.01).pow(self.settings.exponent / 2)).sum() / total
        return {'loss': loss, 'epe': (share * error.detach().sqrt()).sum() / total}

    @torch.no_grad()
    def validate(self) -> float:
        """Return the mean end-point error over the held-out pairs, px."""
        if not self._validation:
            self._validation = list(DataLoader(_Pairs(self.settings, self.settings.validation_size,
                                                      _VALIDATION_SEED, self.settings.validation_pairs,
                                                      images=self.settings.validation_images)))
        errors = []
        for first, second, flow in self._validation:
            estimate = _enlarged(self.network(_normalised(first, second)), flow.shape[2:])
            errors.append(float((estimate - flow).square().sum(1).sqrt().mean()))
        return float(np.mean(errors))


class _Pairs(Dataset[Batch]):
    """A number of pairs that depend on the seed only. The generator is made in the process that uses it."""

    def __init__(self, settings: FlowSettings, size: tuple[int, int], seed: int, count: int,
                 recorded: Sequence[FlowPair] = (), images: tuple[Path, ...] = ()) -> None:
        self._settings = settings
        self._size = size
        self._seed = seed
        self._count = count
        self._recorded = recorded
        self._images = images
        self._generator: SyntheticFlow | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self._seed, 2, number))
        if self._recorded and rng.random() < self._settings.recorded_share:
            first, second, flow = _cut(self._recorded[int(rng.integers(len(self._recorded)))], self._size, rng)
        else:
            if self._generator is None:
                self._generator = SyntheticFlow(self._size, self._settings.scenery, self._seed,
                                                _textures(self._images))
            first, second, flow, _ = self._generator.sample(number)
        planes = torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))
        return torch.from_numpy(first), torch.from_numpy(second), planes


def _cut(pair: FlowPair, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a random part of a recorded pair: two (H, W) uint8 images and (H, W, 2) float32 flow."""
    flow = read_flow(pair.flow)
    images = [cv2.cvtColor(read_image(path), cv2.COLOR_BGR2GRAY) for path in (pair.first, pair.second)]
    shapes = {flow.shape[:2], *(image.shape for image in images)}
    if len(shapes) > 1 or flow.shape[0] < size[0] or flow.shape[1] < size[1]:
        raise ConfigError(f'{pair.flow}: got images and flow of {shapes}, expected one size, at least {size[0]}x'
                          f'{size[1]}. Take a smaller size in the recipe, or restore the files.')
    row, column = (int(rng.integers(have - want + 1)) for have, want in zip(flow.shape, size, strict=False))
    box = np.s_[row:row + size[0], column:column + size[1]]
    return np.ascontiguousarray(images[0][box]), np.ascontiguousarray(images[1][box]), flow[box]


@lru_cache(maxsize=2)
def _textures(folders: tuple[Path, ...]) -> list[np.ndarray]:
    """Read every image below the folders as (h, w) float32, 0..1."""
    paths = [path for folder in folders for path in sorted(folder.rglob('*.*'))
             if path.suffix.lower() in ('.png', '.jpg', '.jpeg', '.ppm', '.webp')]
    return [cv2.cvtColor(read_image(path), cv2.COLOR_BGR2GRAY).astype(np.float32) / np.float32(255)
            for path in paths]


def _single_threaded(_: int) -> None:
    # For such small images, OpenCV's threads mostly wait.
    cv2.setNumThreads(1)


def _normalised(first: Tensor, second: Tensor) -> Tensor:
    return (torch.stack([first, second], 1).float() - 128) / 128


def _enlarged(flow: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(flow, size=size, mode='bilinear', align_corners=False)

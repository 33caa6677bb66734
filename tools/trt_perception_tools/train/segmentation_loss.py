"""The loss of segmentation: weighted cross-entropy, of the hardest pixels or all, and Dice."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trt_perception.core.data import VOID


@dataclass(frozen=True)
class Loss:
    """The loss: weighted cross-entropy, and optionally others with their factors."""

    weight_power: float = 0.5
    """A class's weight is its frequency to minus this power, scaled to mean 1 over the pixels; 0 = all equal."""
    every: int = 1
    """Only every n-th row and column is used, others in each step: full size takes as much time as the network."""
    hardest: float = 1.0
    """Share of the pixels of a batch that is used: those with the largest cross-entropy (OHEM)."""
    dice: float = 0.0
    """Factor of 1 - the mean soft Dice coefficient over the batch's classes: it weighs classes as mean IoU does."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f'every: got {self.every}, expected at least 1.')
        if not 0 < self.hardest <= 1:
            raise ValueError(f'hardest: got {self.hardest}, expected a share, above 0 to 1.')


def class_weights(labels: Iterable[np.ndarray], classes: int, power: float) -> Tensor:
    """Return (classes,) float32: frequency to minus `power`, scaled so that the mean over all pixels is 1."""
    counts = np.zeros(classes, np.int64)
    for each in labels:
        counts += np.bincount(each.ravel(), minlength=VOID + 1)[:classes]
    frequency = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    weights = frequency ** -power
    return torch.from_numpy((weights / (weights * frequency).sum()).astype(np.float32))


def segmentation_loss(scores: Tensor, labels: Tensor, settings: Loss, weights: Tensor) -> dict[str, Tensor]:
    """Return 'loss' and its parts.

    Args:
        scores: (N, classes, H, W) float.
        labels: (N, H, W) int64, VOID is ignored.
        settings: the parts and their factors.
        weights: (classes,) float32.
    """
    known = labels != VOID
    logarithms = scores.permute(0, 2, 3, 1)[known].float().log_softmax(1)
    truth = labels[known]
    own = logarithms.gather(1, truth[:, None])[:, 0]
    counted = -own * weights[truth]
    if settings.hardest < 1:
        counted = counted.topk(max(1, int(counted.numel() * settings.hardest))).values
    # The weights have mean 1 over the dataset, so the sum is divided by pixels rather than by their weights.
    losses = {'cross_entropy': counted.sum() / max(1, counted.numel())}
    losses['loss'] = losses['cross_entropy']
    if settings.dice:
        losses['dice'] = _dice(logarithms.exp(), own.exp(), truth)
        losses['loss'] = losses['loss'] + settings.dice * losses['dice']
    return losses


def _dice(shares: Tensor, own: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - the mean soft Dice coefficient over the classes that occur (Milletari et al., 3DV 2016).

    Args:
        shares: (pixels, classes) of every class.
        own: (pixels,) shares of the true class.
        truth: (pixels,) class ids.
    """
    counts = torch.bincount(truth, minlength=shares.shape[1])
    overlap = shares.new_zeros(shares.shape[1]).index_add(0, truth, own)
    area = shares.sum(0) + counts
    present = counts > 0
    return 1 - (2 * overlap[present] / area[present]).mean() if present.any() else shares.sum()

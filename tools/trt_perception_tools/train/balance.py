"""Shift the scores of each class to raise the mean IoU, on the images that a recipe validates with.

Class weights, views around rare classes and pasted classes make a network predict some classes too often and others
too rarely. This command adds a constant to the scores of each class. The constants go into the bias of the last layer,
so they cost nothing at run time. They are found by coordinate ascent on the mean IoU.

    trt_perception_tools balance tools/configs/swiftnet_camvid.yaml --weights out/train/swiftnet_camvid/best.pt

With several recipes, the constants maximise the average of their mean IoUs: for example that of the network to ship and
that of a network trained without one drive, which it is validated on. All networks get the same constants; the new
weights are written to balanced.pt beside the old ones, for `export`.
"""
from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError

from ..evaluate.metrics import class_iou, confusion_matrix
from ..networks.state_dict import load_state
from ..networks.swiftnet import SwiftNet
from ..networks.weights import read_weights
from .recipe import read_recipe
from .segmentation import SegmentationTask
from .trainer import make_task

_STEPS = (0.5, 0.25, 0.125)
_LEAST_GAIN = 1e-4
"""Of the mean IoU, for a step to be taken: less would take many steps for nothing."""
_LEAST_SHARE = 1e-3
"""Share of the pixels below which a class does not count: to raise the mean, it would be predicted nowhere."""
_EVERY = 6
"""Only every sixth row and column is used, so that a search takes seconds: 21 MB of scores for CamVid's val."""


class Scored(NamedTuple):
    """The scores of some pixels and their true classes."""

    scores: np.ndarray
    """(pixels, classes) float32."""
    truth: np.ndarray
    """(pixels,) uint8 class ids, none of them VOID."""

    def mean_iou(self, offsets: np.ndarray) -> float:
        """Return the mean IoU, 0..1, of all but the rarest classes, with `offsets`, (classes,), added to the scores."""
        labels = (self.scores + offsets).argmax(1).astype(np.uint8)
        confusion = confusion_matrix(self.truth, labels, self.scores.shape[1])
        return float(class_iou(confusion)[confusion.sum(1) >= _LEAST_SHARE * self.truth.size].mean())


def balance(parts: Sequence[Scored]) -> np.ndarray:
    """Return the offsets, (classes,) float32, that maximise the mean IoU, averaged over the parts."""
    offsets = np.zeros(parts[0].scores.shape[1], np.float32)
    best = _score(parts, offsets)
    for step in _STEPS:
        improves = True
        while improves:
            improves = False
            for number, change in itertools.product(range(len(offsets)), (-step, step)):
                tried = offsets.copy()
                tried[number] += change
                score = _score(parts, tried)
                if score > best + _LEAST_GAIN:
                    offsets, best, improves = tried, score, True
    return offsets


def _score(parts: Sequence[Scored], offsets: np.ndarray) -> float:
    return float(np.mean([part.mean_iou(offsets) for part in parts]))


def collect(images: Iterable[tuple[Tensor, np.ndarray]]) -> Scored:
    """Return the pixels of what SegmentationTask.scored() yields, at the size of the truth."""
    scores, truths = [], []
    for each, truth in images:
        # As the labels of the deployed model are brought back to the image's size.
        full = functional.interpolate(each[None], truth.shape, mode='nearest-exact')[0, :, ::_EVERY, ::_EVERY]
        known = truth[::_EVERY, ::_EVERY] != VOID
        scores.append(full.permute(1, 2, 0).float().cpu().numpy()[known])
        truths.append(truth[::_EVERY, ::_EVERY][known])
    return Scored(np.concatenate(scores), np.concatenate(truths))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('recipe', type=Path, nargs='+', metavar='RECIPE', help='recipes of the trainings')
    parser.add_argument('--weights', type=Path, nargs='+', required=True, metavar='FILE',
                        help='best.pt of each training')
    parser.add_argument('--share', type=float, default=0.5, metavar='X',
                        help='how much of the best offsets to add, 0..1: all of them fit the few drives that they were '
                             'found on too closely (default: 0.5)')
    parser.add_argument('--threads', type=int, metavar='N', help="CPU threads instead of the recipes'")


def execute(args: argparse.Namespace) -> int:
    """Write balanced.pt beside each file of weights, and print offsets and scores."""
    if not 0 < args.share <= 1:
        raise ConfigError(f'--share: got {args.share}, expected more than 0 and at most 1.')
    if len(args.weights) != len(args.recipe):
        raise ConfigError(f'--weights: got {len(args.weights)} files, expected one for each of {len(args.recipe)} '
                          'recipes.')
    tasks = [_trained(*each, args.threads) for each in zip(args.recipe, args.weights, strict=True)]
    parts = [collect(tqdm(task.scored(), str(path), unit='image', leave=False, disable=None))
             for task, path in zip(tasks, args.recipe, strict=True)]
    offsets = np.float32(args.share) * balance(parts)
    print('added to the scores:', ', '.join(f'{number}: {offset:+.3f}' for number, offset in enumerate(offsets)))
    for task, part, weights in zip(tasks, parts, args.weights, strict=True):
        _last_bias(task.network, str(weights)).data += torch.from_numpy(offsets)
        output = weights.with_name('balanced.pt')
        torch.save({'state_dict': task.network.state_dict()}, output)
        print(f'{output}: {task.measure} {part.mean_iou(np.zeros_like(offsets)):.4f} -> {part.mean_iou(offsets):.4f}')
    return 0


def _trained(recipe_path: Path, weights: Path, threads: int | None) -> SegmentationTask:
    recipe, settings = read_recipe(recipe_path, {} if threads is None else {'threads': threads})
    task = make_task(recipe, settings, str(recipe_path))
    if not isinstance(task, SegmentationTask):
        raise ConfigError(f'{recipe_path}: task: got {recipe.task}, expected segmentation, which has classes.')
    load_state(task.network, read_weights(weights), str(weights))
    _last_bias(task.network, str(weights))
    return task


def _last_bias(network: nn.Module, where: str) -> Tensor:
    if not isinstance(network, SwiftNet):
        raise ConfigError(f'{where}: got {type(network).__name__}, expected SwiftNet, whose last layer has a bias.')
    bias = network.logits.conv.bias
    assert bias is not None
    return bias

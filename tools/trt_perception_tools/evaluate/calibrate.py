"""Calibrate a confidence: of the pixels with 70 % confidence, 70 % should be right.

Runs a model on labelled images that it was not trained on, each one unchanged and under one of the named corruptions,
because a vehicle's images differ from those of a dataset. For each class, the parameters are fitted that bring the
confidence closest to the share of right labels. `export --calibration` puts the result into the graph.

    trt_perception_tools calibrate swiftnet_camvid --data CAMVID --split val --output confidence.yaml

Images of a drive that is also in the training data are easier than those of a vehicle elsewhere. A second model,
trained by the same recipe without one drive, shows the right confidence for new places; both models count equally:

    trt_perception_tools calibrate MODEL WITHOUT_DRIVE --data CAMVID --split val train --only '' DRIVE --output YAML
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from trt_perception.bench.contender import RESTING
from trt_perception.core.errors import ConfigError
from trt_perception.core.model import Model, load_model, model_names
from trt_perception.core.pipeline import Pipeline
from trt_perception.core.tasks import SEGMENTATION, pipeline_class
from trt_perception.engines import EngineOptions, open_engine

from ..datasets.corruptions import CORRUPTIONS, STRENGTHS
from ..export.confidence import Calibration, write_calibration
from .data import MOST_OF_BAG, Dataset, Sample, open_dataset
from .reliability import LEVELS, confidence_counts, reliability
from .scoring import corrupted

_FEW = 1000
"""Wrong and right pixels that a class must have; with fewer its softmax stays unchanged."""


def fit_calibration(counts: np.ndarray) -> Calibration:
    """Return the slope and offset by class that make the counted labels most likely (Platt, 1999).

    Args:
        counts: (classes, 256, 2) pixels, or their weights, by given class, level of confidence, and whether the label
            is wrong or right.
    """
    probability = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    odds = torch.logit(probability)
    pairs = []
    for each in torch.from_numpy(counts).double():
        if (each.sum(0) < _FEW).any():
            pairs.append((1.0, 0.0))
            continue
        weights = each / each.sum()
        scale = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([scale], max_iter=100, line_search_fn='strong_wolfe')

        def loss(scale: torch.Tensor = scale, weights: torch.Tensor = weights,
                 optimiser: torch.optim.Optimizer = optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            scores = scale[0] * odds + scale[1]
            value = -(weights[:, 1] * functional.logsigmoid(scores)
                      + weights[:, 0] * functional.logsigmoid(-scores)).sum()
            value.backward()
            return value

        optimiser.step(loss)
        slope, offset = scale.detach().tolist()
        pairs.append((slope, offset))
    slopes, offsets = zip(*pairs, strict=True)
    return Calibration(slopes, offsets)


def calibrated_counts(counts: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return (classes, 256, 2) counts as they would be with a calibrated confidence."""
    odds = np.log((np.arange(LEVELS) + 0.5) / (LEVELS - 0.5 - np.arange(LEVELS)))
    result = np.zeros_like(counts)
    for number, (slope, offset) in enumerate(zip(*calibration, strict=True)):
        levels = np.rint((LEVELS - 1) / (1 + np.exp(-(slope * odds + offset)))).astype(int)
        np.add.at(result[number], levels, counts[number])
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', nargs='+', help=f'one of {", ".join(model_names())}, or the path of a model YAML; its '
                                                 'network exported without --calibration')
    parser.add_argument('--data', type=Path, required=True, metavar='PATH', help='folder of CamVid or Cityscapes')
    parser.add_argument('--split', nargs='+', default=['val'], help='train, val or test (default: val); one for each '
                                                                    'model, or one for all')
    parser.add_argument('--only', nargs='+', default=[''], metavar='PREFIX',
                        help='only images whose names begin so, e.g. a drive that the network has not seen; as --split')
    parser.add_argument('--output', type=Path, required=True, metavar='YAML', help='the file to write')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads (default: all cores)')


def execute(args: argparse.Namespace) -> int:
    """Write the calibration, and print its effect on the images to which it was fitted."""
    parts = []
    for model, split, prefix in zip(args.model, _for_each(args.model, args.split, '--split'),
                                    _for_each(args.model, args.only, '--only'), strict=True):
        parts.append(_part(load_model(model), args.data, split, prefix, args.threads))
    names = parts[0].names
    if any(part.names != names for part in parts):
        raise ConfigError(f'{", ".join(args.model)}: have different classes, expected the same. Give variants of one '
                          'model.')
    # Each part has the weight of the first, whatever its number of images.
    counts = sum(part.counts * (parts[0].counts.sum() / part.counts.sum()) for part in parts)
    calibration = fit_calibration(counts)
    write_calibration(args.output, calibration, names, f'Of {parts[0].model}: confidence = sigmoid(slope * log odds + '
                      f'offset), found on {" and ".join(part.images for part in parts)}.')
    after = calibrated_counts(counts, calibration)
    for name, *pair in zip(['all', *names], [counts.sum(0), *counts], [after.sum(0), *after], strict=True):
        before, now = (reliability(each) for each in pair)
        print(f'{name:12} says {before.confidence:.3f} -> {now.confidence:.3f}, right {now.right:.3f}, '
              f'ECE {before.ece:.3f} -> {now.ece:.3f}')
    print(f'{args.output}: give it to export with --calibration')
    return 0


class _Part(NamedTuple):
    """The scores of one model on its images."""

    model: str
    images: str
    names: list[str]
    """Names of the classes."""
    counts: np.ndarray
    """(classes, 256, 2) pixels, see `fit_calibration`."""


def _for_each(models: list[str], values: list[str], option: str) -> list[str]:
    if len(values) not in (1, len(models)):
        raise ConfigError(f'{option}: got {len(values)} values, expected one for all models, or one for each.')
    return values if len(values) == len(models) else values * len(models)


def _part(model: Model, folder: Path, split: str, prefix: str, threads: int) -> _Part:
    if model.labels is None or not model.output.confidence:
        raise ConfigError(f'{model.path}: gives no confidence, expected a segmentation model whose output has one. '
                          'Name it in the YAML, and export the network again.')
    dataset = open_dataset(folder, SEGMENTATION, split, '', MOST_OF_BAG)
    if not dataset.has_truth:
        raise ConfigError(f'{folder}: has no labels, expected CamVid or Cityscapes. Give such a folder with --data.')
    names = [each.name for each in model.labels.classes]
    counts = _count(model, dataset.named(prefix), len(names), threads)
    return _Part(model.name, f'{dataset.title} {prefix}'.strip(), names, counts.astype(np.float64))


def _count(model: Model, dataset: Dataset, classes: int, threads: int) -> np.ndarray:
    engine = open_engine(model, EngineOptions(num_threads=threads))
    pipeline: Pipeline[Any] = pipeline_class(model.task)(engine, model, RESTING)
    counts = np.zeros((classes, LEVELS, 2), np.int64)
    try:
        for number in tqdm(range(len(dataset.names)), 'calibrate', unit='image', leave=False, disable=None):
            for sample in _seen(dataset.read(number), number):
                result = pipeline.process(sample.frames[0])
                assert sample.truth is not None
                assert result is not None
                counts += confidence_counts(sample.truth, result.labels, result.confidence, classes)
    finally:
        engine.close()
    return counts


def _seen(sample: Sample, number: int) -> Iterator[Sample]:
    yield sample
    names = list(CORRUPTIONS)
    yield corrupted(sample, names[number % len(names)], STRENGTHS[0], number)

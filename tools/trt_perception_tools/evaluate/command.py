"""Score models side by side through the pipeline that the nodes run: accuracy, and agreement with FP32.

Every model is scored on every --engine, all on the same pictures, in turns. --data is a folder of CamVid or Cityscapes
(segmentation), of Middlebury, FlyingChairs, Sintel or KITTI pairs (optical flow), or, without truth, a folder of
pictures or a bag: then the first FP32 contender is what the others are compared with. Exit status 1 when --fail-under
or --fail-above is not met.
"""
from __future__ import annotations

import argparse
import heapq
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from trt_perception.bench.contender import engine_options
from trt_perception.core.data import FlowField, LabelMap
from trt_perception.core.errors import ConfigError
from trt_perception.core.model import PRECISIONS, SEGMENTATION, Model, load_model, model_names
from trt_perception.core.optical_flow import PREVIOUS, OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import AUTO, BACKENDS, EngineOptions, open_engine

from .data import Dataset, Sample, open_dataset
from .metrics import (
    SPEED_NAMES,
    FlowScore,
    class_iou,
    confusion_matrix,
    flow_difference,
    flow_score,
    label_agreement,
    mean_iou,
    pixel_accuracy,
)
from .report import Score, as_json, html_page, panel, table

_FP32 = 'fp32'


class _Bad(NamedTuple):
    """A result that is far off; the largest error is the greatest."""

    error: float
    number: int
    name: str
    picture: np.ndarray

    def __lt__(self, other: tuple[object, ...]) -> bool:
        return self[:2] < other[:2]


class _Contender:
    """A model on an engine, and what is known of its results so far."""

    def __init__(self, model: Model, options: EngineOptions, worst: int) -> None:
        self.model = model
        self.engine = open_engine(model, options)
        # True flow is on the first picture's grid.
        self.pipeline: SegmentationPipeline | OpticalFlowPipeline = (
            SegmentationPipeline(self.engine, model) if model.task == SEGMENTATION
            else OpticalFlowPipeline(self.engine, model, flow_grid=PREVIOUS))
        self.name = f'{model.name} {self.engine.backend} {self.engine.precision}'
        self.reference: _Contender | None = None
        self.result = np.empty(0)
        self.bad: list[_Bad] = []
        self._worst = worst
        self._seconds = 0.0
        classes = len(model.labels.classes) if model.labels else 0
        self._confusion = np.zeros((classes, classes + 1), np.int64)
        self._flow_scores: dict[str, FlowScore] = {}
        self._agreement: list[float] = []

    def run(self, sample: Sample) -> None:
        """Process a sample, and time its last frame."""
        self.pipeline.reset()
        for frame in sample.frames[:-1]:
            self.pipeline.process(frame)
        start = time.perf_counter()
        value: LabelMap | FlowField | None = self.pipeline.process(sample.frames[-1])
        self._seconds += time.perf_counter() - start
        if value is None:
            raise ConfigError(f'{self.model.name}: got two pictures of different sizes, expected a pair of one size. '
                              'Give pictures of one camera.')
        self.result = value[0]

    def score(self, number: int, name: str, sample: Sample) -> None:
        """Compare the last result with the truth and with the reference's."""
        other = self.reference.result if self.reference else None
        if self.model.labels is not None:
            error = self._score_labels(sample.truth, other)
        else:
            error = self._score_flow(name, sample.truth, other)
        expected = sample.truth if sample.truth is not None else other
        full = len(self.bad) == self._worst
        if self._worst and expected is not None and error > (self.bad[0].error if full else 0):
            # Drawn at once: results are overwritten by the next sample's.
            bad = _Bad(error, number, name, panel(sample.frames[0], self.result, expected, self.model))
            (heapq.heapreplace if full else heapq.heappush)(self.bad, bad)

    def _score_labels(self, truth: np.ndarray | None, other: np.ndarray | None) -> float:
        if other is not None:
            self._agreement.append(label_agreement(self.result, other))
        if truth is None:
            return 1 - self._agreement[-1] if self._agreement else 0.0
        confusion = confusion_matrix(truth, self.result, len(self._confusion))
        self._confusion += confusion
        accuracy = pixel_accuracy(confusion)
        return 0.0 if math.isnan(accuracy) else 1 - accuracy

    def _score_flow(self, name: str, truth: np.ndarray | None, other: np.ndarray | None) -> float:
        if other is not None:
            self._agreement.append(flow_difference(self.result, other))
        if truth is None:
            error = self._agreement[-1] if self._agreement else 0.0
        else:
            self._flow_scores[name] = flow_score(self.result, truth)
            error = self._flow_scores[name].epe
        return 0.0 if math.isnan(error) else error

    def finish(self, count: int, has_truth: bool) -> Score:
        """Close the engine and return the score."""
        self.engine.close()
        score = Score(
            self.model.name, self.model.task, self.engine.backend, self.engine.precision, self.engine.input_size, count,
            self._seconds * 1e3 / count, reference=self.reference.name if self.reference else '',
            agreement=float(np.mean(self._agreement)) if self._agreement else math.nan)
        if not has_truth:
            return score
        if self.model.labels is not None:
            iou = class_iou(self._confusion).tolist()
            return score._replace(
                parts=dict(zip([each.name for each in self.model.labels.classes], iou, strict=True)),
                total=mean_iou(self._confusion), secondary=pixel_accuracy(self._confusion),
                confusion=self._confusion.tolist())
        scores = list(self._flow_scores.values())
        epe, fl_all, angular_deg = (float(np.mean([each[field] for each in scores])) for field in range(3))
        return score._replace(parts={name: each.epe for name, each in self._flow_scores.items()}, total=epe,
                              secondary=fl_all, angular_deg=angular_deg, speeds=_by_speed(scores))


def _by_speed(scores: Sequence[FlowScore]) -> dict[str, float]:
    """Return the EPE of all pixels of each speed."""
    pixels = np.array([each.speed_pixels for each in scores])
    sums = (np.nan_to_num([each.speed_epe for each in scores]) * pixels).sum(0)
    return {name: float(total / count) if count else math.nan
            for name, total, count in zip(SPEED_NAMES, sums, pixels.sum(0), strict=True)}


class Evaluation(NamedTuple):
    """What came out."""

    scores: list[Score]
    worst: dict[str, list[tuple[str, np.ndarray]]]
    """Contender -> (caption, picture (H, W, 3) uint8 RGB), the worst first."""


def evaluate(contenders: Sequence[tuple[Model, EngineOptions]], dataset: Dataset, worst: int = 0) -> Evaluation:
    """Score models on engines on a dataset, in turns.

    Args:
        worst: how many results per contender to draw.

    Raises:
        ConfigError: a contender does not fit the dataset or the others, or a file is unusable.
        EngineError: a network cannot be opened or run.
    """
    for model, _ in contenders:
        _check_labels(model, contenders[0][0], dataset)
    runners = [_Contender(model, options, worst) for model, options in contenders]
    plain = [each for each in runners if each.engine.precision == _FP32]
    for each in runners:
        own = [other for other in plain if other.model.path == each.model.path]
        first = (own or plain or [each])[0]
        each.reference = first if first is not each else None
    if not dataset.has_truth and all(each.reference is None for each in runners):
        raise ConfigError(f'{dataset.title}: has no truth, and there is no other contender in FP32 to agree with. Give '
                          'several, one of them in FP32, e.g. --engine onnxruntime:fp32 openvino:bf16.')
    progress = tqdm(dataset.names, 'evaluate', unit='picture' if runners[0].model.labels else 'pair', leave=False,
                    disable=None)
    for number, name in enumerate(progress):
        sample = dataset.read(number)
        for each in runners:
            each.run(sample)
        for each in runners:
            each.score(number, name, sample)
    return Evaluation([each.finish(len(dataset.names), dataset.has_truth) for each in runners], {
        each.name: [(_caption(bad, each, dataset), bad.picture) for bad in sorted(each.bad, reverse=True)]
        for each in runners if each.bad})


def _caption(bad: _Bad, contender: _Contender, dataset: Dataset) -> str:
    what = 'of the labels' if contender.model.labels else 'px'
    error = f'{bad.error:.1%}' if contender.model.labels else f'{bad.error:.2f}'
    against = 'the truth' if dataset.has_truth or contender.reference is None else contender.reference.name
    return f'{bad.name}: {error} {what} off {against}'


def _check_labels(model: Model, first: Model, dataset: Dataset) -> None:
    if model.labels is None:
        return
    ids = [each.id for each in model.labels.classes]
    names = [each.name for each in model.labels.classes]
    classes = dataset.classes or [each.name for each in first.labels.classes] if first.labels else []
    whose = dataset.title if dataset.classes else first.name
    if ids != list(range(len(classes))):
        raise ConfigError(f"{model.path}: labels: {model.labels.name} has {len(names)} classes, expected {whose}'s "
                          f'{len(classes)}, ids 0..{len(classes) - 1}. Evaluate a model of that label set.')
    for number, (name, expected) in enumerate(zip(names, classes, strict=True)):
        if name.casefold() != expected.casefold():
            raise ConfigError(f'{model.path}: labels: class {number} of {model.labels.name} is {name!r}, expected '
                              f'{expected!r} as in {whose}. Evaluate a model of that label set.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('models', nargs='+', metavar='MODEL',
                        help=f'one of {", ".join(model_names())}, or the path of a model YAML; several are compared')
    parser.add_argument('--data', type=Path, required=True, metavar='PATH',
                        help='folder of the dataset or of pictures, or a bag')
    parser.add_argument('--split', default='test', help='of CamVid, Cityscapes: train, val or test (default: test)')
    parser.add_argument('--topic', default='', help='image topic of the bag (default: the only one)')
    parser.add_argument('--limit', type=int, default=0, metavar='N',
                        help='N pictures, evenly spread (default: all; of a bag the first 256)')
    parser.add_argument('--engine', nargs='+', default=[AUTO], metavar='ENGINE[:PRECISION]',
                        help=f'{AUTO} (default), {", ".join(BACKENDS)}; several are compared')
    parser.add_argument('--precision', default='',
                        help=f'{", ".join(PRECISIONS)}, for engines without their own (default: the engine\'s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads (default: all cores)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the scores there too')
    parser.add_argument('--html', type=Path, metavar='FILE', help='write a page with scores, confusions, worst results')
    parser.add_argument('--worst', type=int, default=3, metavar='N',
                        help='how many results per contender the page shows (default: 3)')
    parser.add_argument('--fail-under', type=float, metavar='SHARE',
                        help='lowest mean IoU to accept, 0..1; without truth lowest share of labels as in FP32')
    parser.add_argument('--fail-above', type=float, metavar='PX',
                        help='highest mean EPE to accept; without truth highest mean difference from FP32')


def execute(args: argparse.Namespace) -> int:
    """Score the models, print the table, and return 1 when one misses the limit."""
    models = [load_model(name) for name in args.models]
    task = models[0].task
    for model in models:
        if model.task != task:
            raise ConfigError(f'{model.path}: task: got {model.task}, but {models[0].name} does {task}. Evaluate '
                              'models of one task at a time.')
    if (args.fail_above if task == SEGMENTATION else args.fail_under) is not None:
        raise ConfigError(f'{"--fail-above" if task == SEGMENTATION else "--fail-under"}: not a limit for {task}. Use '
                          '--fail-under for segmentation (mean IoU), --fail-above for optical flow (mean EPE).')
    for option, value in (('--limit', args.limit), ('--worst', args.worst), ('--threads', args.threads)):
        if value < 0:
            raise ConfigError(f'{option}: got {value}, expected 0 or more.')
    options = [engine_options(text, args.threads) for text in args.engine]
    if args.precision:
        options = [each if each.precision else each._replace(precision=args.precision) for each in options]
    dataset = open_dataset(args.data, task, args.split, args.topic, args.limit or 256)
    if args.limit:
        dataset = dataset.some(args.limit)
    scores, worst = evaluate([(model, each) for model in models for each in options], dataset,
                             args.worst if args.html else 0)
    print(table(scores))
    if args.json:
        args.json.write_text(as_json(scores), encoding='utf-8')
    if args.html:
        args.html.write_text(html_page(dataset.title, scores, worst, models[0].labels), encoding='utf-8')
    return _gate(scores, args.fail_under, args.fail_above)


def _gate(scores: Sequence[Score], lowest: float | None, highest: float | None) -> int:
    """Say which scores miss the limits, and return the exit status."""
    status = 0
    for score in scores:
        value = score.total if score.parts else score.agreement
        if not score.parts and not score.reference:
            continue  # The one that the others are compared with.
        for limit, met in ((lowest, lowest is None or value >= lowest), (highest, highest is None or value <= highest)):
            if not met:
                print(f'{score.contender}: {value:.4f} misses the limit {limit}')
                status = 1
    return status

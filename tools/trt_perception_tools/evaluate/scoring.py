"""Runs models on engines over a dataset, its corruptions and a video, and scores the deployed pipeline."""
from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from trt_perception.bench.contender import RESTING
from trt_perception.core.data import Frame
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import FrameDecoder, frame_from_array
from trt_perception.core.model import Model
from trt_perception.core.pipeline import Pipeline
from trt_perception.core.tasks import pipeline_class
from trt_perception.engines import EngineOptions, open_engine

from ..datasets.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from ..tasks import scorer_class
from .carrying import CarriedLabels
from .classes import Classes
from .data import Dataset, Sample, Video
from .scorer import Robustness, Score, Scorer
from .video import LabelChanges, Tracker

_FP32 = 'fp32'
_TILE_PX = 320
_REMEDY = 'Say which is which with --classes, or evaluate a model of that label set.'
_GAP_PX = 4

Condition = tuple[str, float]
"""A corruption and its strength."""


class _Bad(NamedTuple):
    """A bad result; ordered by the error."""

    error: float
    number: int
    name: str
    panel: np.ndarray

    def __lt__(self, other: tuple[object, ...]) -> bool:
        return self[:2] < other[:2]


class _Contender:
    """A model on an engine, and the statistics of its results so far."""

    def __init__(self, model: Model, options: EngineOptions, worst: int, mapping: Classes | None = None) -> None:
        # The model that is scored; the engine runs the original one.
        self.model = model if mapping is None else model._replace(labels=mapping.labels_of(model))
        self.table = None if mapping is None else mapping.model_table(model)
        self.engine = open_engine(model, options)
        self.threads = options.num_threads
        self.scorer = scorer_class(model.task)(self.model)
        self.pipeline: Pipeline[Any] = pipeline_class(model.task)(self.engine, model,
                                                                  {**RESTING, **self.scorer.settings})
        self.conditions: dict[Condition, Scorer] = {}
        self.changes: LabelChanges | None = None
        self.carrying: list[CarriedLabels] = []
        self.seconds = 0.0
        self.name = f'{model.name} {self.engine.backend} {self.engine.precision}'
        self.reference: _Contender | None = None
        self.value: Any = None
        self.bad: list[_Bad] = []
        self._worst = worst
        self._times: list[float] = []
        self._agreements: list[float] = []

    def run(self, sample: Sample, timed: bool = True) -> None:
        """Process a sample, and record the time of its last frame."""
        self.pipeline.reset()
        for frame in sample.frames[:-1]:
            self.pipeline.process(frame)
        start = time.perf_counter()
        self.value = self.pipeline.process(sample.frames[-1])
        self.seconds = time.perf_counter() - start
        if timed:
            self._times.append(self.seconds)
        if self.value is None:
            raise ConfigError(f'{self.model.name}: got two images of different sizes, expected a pair of one size. '
                              'Give images of one camera.')
        if self.table is not None:
            self.value = self.value._replace(labels=self.table[self.value.labels])

    def score(self, number: int, name: str, sample: Sample) -> None:
        """Compare the last result with the truth and with the reference's."""
        result, error = self.value[0], 0.0
        other = self.reference.value[0] if self.reference else None
        if other is not None:
            self._agreements.append(self.scorer.agree(result, other))
            error = abs(self._agreements[-1] - (self.scorer.better == 'higher'))
        if sample.truth is not None:
            error = self.scorer.add(name, self.value, sample.truth)
        expected = sample.truth if sample.truth is not None else other
        full = len(self.bad) == self._worst
        # An unknown error is NaN, which is never the larger one.
        if self._worst and expected is not None and error > (self.bad[0].error if full else 0):
            # Drawn now, because the next sample overwrites the results.
            bad = _Bad(error, number, name, _panel(sample.frames[0], result, expected, self.scorer))
            (heapq.heapreplace if full else heapq.heappush)(self.bad, bad)

    def score_under(self, condition: Condition, name: str, sample: Sample) -> None:
        """Process a corrupted sample, and compare the result with the truth."""
        self.run(sample, timed=False)
        assert sample.truth is not None
        if condition not in self.conditions:
            self.conditions[condition] = scorer_class(self.model.task)(self.model)
        self.conditions[condition].add(name, self.value, sample.truth)

    def finish(self, dataset: Dataset | None) -> Score:
        """Close the engine and return the score."""
        for each in self.carrying:
            each.close()
        self.engine.close()
        score = Score(
            self.model.name, self.model.task, self.engine.backend, self.engine.precision, self.engine.input_size,
            len(self._times), float(np.mean(self._times)) * 1e3,
            reference=self.reference.name if self.reference else '',
            agreement=float(np.mean(self._agreements)) if self._agreements else math.nan)
        if dataset and dataset.has_truth:
            score = score._replace(**self.scorer.totals()._asdict())
        if self.conditions:
            score = score._replace(robustness=self._robustness(score.total))
        if self.changes:
            score = score._replace(steadiness=self.changes.result()._replace(
                carried={each.every: each.result() for each in self.carrying}))
        return score

    def _robustness(self, clean: float) -> Robustness:
        totals = {condition: each.totals().total for condition, each in self.conditions.items()}
        names = list(dict.fromkeys(name for name, _ in totals))
        ratios = np.array([[totals[name, strength] for strength in STRENGTHS] for name in names]) / clean
        worst = ratios.min(0) if self.scorer.better == 'higher' else ratios.max(0)
        return Robustness({name: [totals[name, strength] for strength in STRENGTHS] for name in names},
                          ratios.mean(0).tolist(), worst.tolist())


class Evaluation(NamedTuple):
    """The results."""

    scores: list[Score]
    worst: dict[str, list[tuple[str, np.ndarray]]]
    """Contender -> (caption, image (H, W, 3) uint8 RGB), the worst first."""


def evaluate(contenders: Sequence[tuple[Model, EngineOptions]], dataset: Dataset | None, worst: int = 0,
             corruptions: Sequence[str] = (), video: Video | None = None, propagate: Sequence[int] = ()) -> Evaluation:
    """Score models on engines on a dataset, interleaved, and their stability in a video.

    Args:
        worst: number of results per contender to draw.
        corruptions: names of CORRUPTIONS for further scores of the dataset.
        propagate: for each n, also segment only every n-th image of the video, and carry its labels.

    Raises:
        ConfigError: a contender does not fit the dataset or the others, or a file is unusable.
        EngineError: a network cannot be opened or run.
    """
    for model, _ in contenders:
        _check_labels(model, contenders[0][0], dataset)
    if corruptions and not (dataset and dataset.has_truth):
        raise ConfigError(f'--corrupt: {dataset.title if dataset else "no --data"}: has no truth to compare with. Give '
                          'a dataset with labels or flow with --data.')
    mapping = dataset.mapping if dataset else None
    runners = [_Contender(model, options, worst, mapping) for model, options in contenders]
    if dataset:
        _score(runners, dataset, corruptions)
    if video:
        _watch(runners, video, dataset is None, propagate)
    return Evaluation([each.finish(dataset) for each in runners], {
        each.name: [(_caption(bad, each, dataset), bad.panel) for bad in sorted(each.bad, reverse=True)]
        for each in runners if each.bad and dataset})


def _score(runners: Sequence[_Contender], dataset: Dataset, corruptions: Sequence[str]) -> None:
    plain = [each for each in runners if each.engine.precision == _FP32]
    for each in runners:
        own = [other for other in plain if other.model.path == each.model.path]
        first = (own or plain or [each])[0]
        each.reference = first if first is not each else None
    if not dataset.has_truth and all(each.reference is None for each in runners):
        raise ConfigError(f'{dataset.title}: has no truth, and there is no other contender in FP32 to agree with. Give '
                          'several, one of them in FP32, e.g. --engine onnxruntime:fp32 openvino:bf16.')
    progress = tqdm(dataset.names, 'evaluate', unit=runners[0].scorer.sample, leave=False, disable=None)
    for number, name in enumerate(progress):
        sample = dataset.read(number)
        for each in runners:
            each.run(sample)
        for each in runners:
            each.score(number, name, sample)
        for corruption in corruptions:
            for strength in STRENGTHS:
                changed = corrupted(sample, corruption, strength, number)
                for each in runners:
                    each.score_under((corruption, strength), name, changed)


def corrupted(sample: Sample, corruption: str, strength: float, seed: int) -> Sample:
    """Return a sample with a corruption on its frames, the same for the same seed."""
    frames = []
    for number, frame in enumerate(sample.frames):
        random = np.random.default_rng((seed, number if CORRUPTIONS[corruption].varies else 0))
        image = FrameDecoder().image(frame, 'rgb', (frame.height, frame.width))
        frames.append(frame_from_array(corrupt(image, corruption, strength, random), frame.stamp_ns, frame.frame_id,
                                         'rgb'))
    return sample._replace(frames=tuple(frames))


def _watch(runners: Sequence[_Contender], video: Video, timed: bool, propagate: Sequence[int]) -> None:
    for each in runners:
        if each.model.labels is None:
            raise ConfigError(f'--video: {each.model.name} does {each.model.task}, expected a model that gives labels. '
                              'Evaluate a segmentation model.')
        each.changes = LabelChanges([label.name for label in each.model.labels.classes])
        each.carrying = [CarriedLabels(each.model, each.engine, each.table, every, 1 + number, each.threads)
                         for number, every in enumerate(propagate)]
    tracker = Tracker()
    decoder = FrameDecoder()
    for frame in tqdm(video.frames, 'video', unit='image', total=video.length, leave=False, disable=None):
        track = tracker.track(decoder.image(frame, 'gray', (frame.height, frame.width)))
        for each in runners:
            each.run(Sample((frame,), None), timed)
            assert each.changes is not None
            each.changes.add(each.value.labels, track)
            for carrying in each.carrying:
                carrying.add(frame, each.value.labels, each.seconds)


def _caption(bad: _Bad, contender: _Contender, dataset: Dataset) -> str:
    against = 'the truth' if dataset.has_truth or contender.reference is None else contender.reference.name
    return f'{bad.name}: {contender.scorer.error.format(bad.error, against)}'


def _panel(frame: Frame, result: np.ndarray, expected: np.ndarray, scorer: Scorer) -> np.ndarray:
    """Draw the image, with the tiles of the task next to it: (H, W, 3) uint8 RGB."""
    image = FrameDecoder().image(frame, 'rgb', (frame.height, frame.width)).copy()
    tiles = [image, *scorer.tiles(image, result, expected, scorer.model)]
    height = max(1, round(frame.height * _TILE_PX / frame.width))
    strip = np.full((height, len(tiles) * (_TILE_PX + _GAP_PX) - _GAP_PX, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        left = number * (_TILE_PX + _GAP_PX)
        strip[:, left:left + _TILE_PX] = cv2.resize(tile, (_TILE_PX, height), interpolation=cv2.INTER_AREA)
    return strip


def _check_labels(model: Model, first: Model, dataset: Dataset | None) -> None:
    if model.labels is None or (dataset and dataset.mapping):
        return
    ids = [each.id for each in model.labels.classes]
    names = [each.name for each in model.labels.classes]
    known = dataset.classes if dataset else ()
    classes = known or [each.name for each in first.labels.classes] if first.labels else []
    whose = dataset.title if dataset and known else first.name
    if ids != list(range(len(classes))):
        raise ConfigError(f"{model.path}: labels: {model.labels.name} has {len(names)} classes, expected {whose}'s "
                          f'{len(classes)}, ids 0..{len(classes) - 1}. {_REMEDY}')
    for number, (name, expected) in enumerate(zip(names, classes, strict=True)):
        if name.casefold() != expected.casefold():
            raise ConfigError(f'{model.path}: labels: class {number} of {model.labels.name} is {name!r}, expected '
                              f'{expected!r} as in {whose}. {_REMEDY}')

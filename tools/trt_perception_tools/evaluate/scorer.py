"""Scores and their accumulation: one subclass of Scorer per task, which also defines their display."""
from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from markupsafe import Markup

from trt_perception.core.model import Model

from .data import Dataset

NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Measure(NamedTuple):
    """Format of a number in tables."""

    title: str
    factor: float = 1.0
    digits: int = 2

    def text(self, value: float) -> str:
        """Return the number as text; '-' for NaN."""
        return '-' if math.isnan(value) else f'{value * self.factor:.{self.digits}f}'


class Totals(NamedTuple):
    """The score of one contender over all samples."""

    parts: Mapping[str, float]
    """Scores as described by Scorer.part; NaN for parts that never occur."""
    total: float
    """Score as described by Scorer.total."""
    measures: Mapping[str, float] = NOTHING
    """Further numbers, keys of Scorer.measures."""
    details: Mapping[str, Any] = NOTHING
    """Data that only the page of the task shows."""


class Robustness(NamedTuple):
    """Totals on corrupted images."""

    totals: Mapping[str, Sequence[float]]
    """Corruption -> total at each of corruptions.STRENGTHS."""
    mean: Sequence[float]
    """Mean of all corruptions relative to the total on clean images: a ratio per strength."""
    worst: Sequence[float]
    """The same for the corruption that harms most."""


class Carried(NamedTuple):
    """Scores of labels that are carried to the images between the segmented ones."""

    agreement: float
    """Mean IoU with the model's own labels of the images to which they are carried, 0..1."""
    time: float
    """Time relative to segmenting every image."""


class Steadiness(NamedTuple):
    """Stability of labels from one frame of a video to the next, along the optical flow."""

    flicker: float
    """Share of the pixels that can be followed whose label changes, 0..1."""
    flicker_by_class: Mapping[str, float]
    """Share by the class in the previous frame; NaN for a class that never occurs."""
    consistency: float
    """Mean IoU of the labels and those of the frame before, carried along the flow, 0..1."""
    consistency_by_class: Mapping[str, float]
    """The same for the IoU of each class."""
    followed: float
    """Share of all pixels that can be followed, 0..1."""
    carried: Mapping[int, Carried] = NOTHING
    """If labels are carried as well: n, of which every n-th image is segmented -> the scores."""


class Score(NamedTuple):
    """The scores of a model on an engine. Scores without ground truth are empty or NaN."""

    model: str
    task: str
    engine: str
    precision: str
    input_size: tuple[int, int]
    """(height, width) of the network's input, px."""
    frames: int
    """Images or pairs."""
    milliseconds: float
    """Mean per image or pair: decode, resize, network, result at the camera's size; without reading files."""
    parts: Mapping[str, float] = NOTHING
    total: float = math.nan
    measures: Mapping[str, float] = NOTHING
    details: Mapping[str, Any] = NOTHING
    reference: str = ''
    """The FP32 contender for the comparison; empty = it is this one, or there is none."""
    agreement: float = math.nan
    """Agreement with the reference, as described by Scorer.agreement."""
    robustness: Robustness | None = None
    steadiness: Steadiness | None = None

    @property
    def contender(self) -> str:
        """Model, engine and precision."""
        return f'{self.model} {self.engine} {self.precision}'


class Scorer(abc.ABC):
    """Accumulates the scores of one contender."""

    part: ClassVar[Measure]
    """Score of each class or pair."""
    total: ClassVar[Measure]
    """The number by which contenders are compared."""
    measures: ClassVar[Mapping[str, Measure]]
    """Key in Totals.measures -> its format."""
    agreement: ClassVar[Measure]
    """Agreement of two results for the same image."""
    better: ClassVar[Literal['higher', 'lower']]
    """Whether higher or lower values of total and agreement are better."""
    sample: ClassVar[str]
    """The unit that is scored: image or pair."""
    error: ClassVar[str]
    """Format of the error of a sample in a caption."""
    deviation: ClassVar[Measure]
    """Deviation of the results of a changed network, see `deviate`."""
    differs: ClassVar[str]
    """Format of a deviation in a sentence."""
    truth: ClassVar[str]
    """The content of a dataset of the task."""
    layouts: ClassVar[str]
    """Names of the folder layouts that `has_truth` knows."""
    settings: ClassVar[Mapping[str, object]] = NOTHING
    """Parameters of the pipeline with which its results have the form of the ground truth."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @abc.abstractmethod
    def add(self, name: str, value: Any, truth: np.ndarray) -> float:
        """Compare a pipeline's result with the ground truth, and return its error: 0 = none; NaN = unknown.

        Args:
            truth: (H, W) or (H, W, C), as `open_truth` reads it.
        """

    @abc.abstractmethod
    def totals(self) -> Totals:
        """Return the totals of all samples so far."""

    @staticmethod
    @abc.abstractmethod
    def agree(result: np.ndarray, reference: np.ndarray) -> float:
        """Return how well the first arrays of two results, both (H, W) or (H, W, C), agree."""

    @staticmethod
    @abc.abstractmethod
    def deviate(result: np.ndarray, reference: np.ndarray) -> float:
        """Return the difference between the raw outputs of a changed network and the original."""

    @staticmethod
    @abc.abstractmethod
    def has_truth(path: Path) -> bool:
        """Return whether a folder is a dataset of the task."""

    @staticmethod
    @abc.abstractmethod
    def open_truth(path: Path, split: str) -> Dataset:
        """Return the dataset in a folder.

        Raises:
            ConfigError: it is incomplete.
        """

    @staticmethod
    @abc.abstractmethod
    def tiles(image: np.ndarray, result: np.ndarray, expected: np.ndarray, model: Model) -> Sequence[np.ndarray]:
        """Draw the expectation, the result, and the difference over an image, all (H, W, 3) uint8 RGB."""

    @staticmethod
    def text(scores: Sequence[Score]) -> str:
        """Return further lines below the table, empty = none."""
        return ''

    @staticmethod
    def sections(scores: Sequence[Score]) -> Iterator[Markup]:
        """Yield the parts of the page that only this task has, as HTML."""
        yield from ()

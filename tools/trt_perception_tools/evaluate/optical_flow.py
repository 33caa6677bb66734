"""Scores flow fields: end-point error, outliers, and how well the confidence finds the errors."""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup

from trt_perception.core.colors import color_flow
from trt_perception.core.data import FlowField
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model
from trt_perception.core.optical_flow import PREVIOUS

from ..datasets.flow import flow_pairs, read_flow
from ..datasets.images import read_image
from ..report import html
from .data import INTERVAL_NS, Dataset, Sample, check_size
from .metrics import SPEED_NAMES, SUREST, FlowScore, flow_difference, flow_score
from .scorer import Measure, Score, Scorer, Totals


class OpticalFlowScorer(Scorer):
    """Keeps the score of every pair."""

    part = Measure('EPE, px')
    total = Measure('mean EPE')
    measures = {'fl_all': Measure('Fl-all, %', 100), 'angular_deg': Measure('angular error, degrees'),
                **{name: Measure(f'EPE {name} px') for name in SPEED_NAMES},
                'surest': Measure(f'EPE of the surest {SUREST:.0%}, over all')}
    agreement = Measure('off FP32, px', digits=3)
    better = 'lower'
    sample = 'pair'
    error = '{:.2f} px off {}'
    deviation = Measure('flow, px', digits=4)
    differs = 'flow differs by {:.3f} px'
    truth = 'flow pairs'
    layouts = 'Middlebury, FlyingChairs, Sintel or KITTI'
    settings = {'flow_grid': PREVIOUS}  # True flow is on the first image's grid.

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._scores: dict[str, FlowScore] = {}

    def add(self, name: str, value: FlowField, truth: np.ndarray) -> float:
        """Score a pair; see Scorer."""
        self._scores[name] = flow_score(value.flow, truth, value.confidence)
        return self._scores[name].epe

    def totals(self) -> Totals:
        """Return the EPE of each pair and the means; see Scorer."""
        scores = list(self._scores.values())
        epe, fl_all, angular_deg = (float(np.mean([each[field] for each in scores])) for field in range(3))
        measures = {'fl_all': fl_all, 'angular_deg': angular_deg, **_by_speed(scores)}
        surest = float(np.mean([each.surest_epe for each in scores]))
        if not math.isnan(surest):
            measures['surest'] = surest / epe if epe else math.nan
        return Totals({name: each.epe for name, each in self._scores.items()}, epe, measures)

    @staticmethod
    def agree(result: np.ndarray, reference: np.ndarray) -> float:
        """Return the mean difference of two (H, W, 2) fields, px."""
        return flow_difference(result, reference)

    @staticmethod
    def deviate(result: np.ndarray, reference: np.ndarray) -> float:
        """Return the mean length of the difference of (1, 2, H, W) or (1, H, W, 2), in the network's unit."""
        axis = 1 if reference.shape[1] == 2 else 3
        return float(np.linalg.norm(result - reference, axis=axis).mean())

    @staticmethod
    def has_truth(path: Path) -> bool:
        """Return whether there is true flow below a folder; see Scorer."""
        return any(next(path.rglob(kind), None) for kind in ('*.flo', 'flow_occ/*_10.png'))

    @staticmethod
    def open_truth(path: Path, split: str) -> Dataset:
        """Return all pairs below a folder; see Scorer."""
        pairs = flow_pairs(path)

        def sample(number: int) -> Sample:
            pair = pairs[number]
            first, second = (frame_from_array(read_image(file), stamp) for file, stamp in (
                (pair.first, 0), (pair.second, INTERVAL_NS)))
            if (first.height, first.width) != (second.height, second.width):
                raise ConfigError(f'{pair.second}: got another size than {pair.first}, expected a pair of one size. '
                                  'Restore the files.')
            truth = read_flow(pair.flow)
            check_size(pair.flow, truth, first)
            return Sample((first, second), truth)
        return Dataset(path.resolve().name, [pair.name for pair in pairs], sample, True)

    @staticmethod
    def tiles(image: np.ndarray, result: np.ndarray, expected: np.ndarray, model: Model) -> Sequence[np.ndarray]:
        """Draw the fields in colours of one scale, and the length of their difference; see Scorer."""
        known = np.isfinite(expected).any()
        longest_px = float(np.nanpercentile(np.linalg.norm(expected, axis=2), 99)) if known else 1.0
        return [*(color_flow(flow.astype(np.float32), max(longest_px, 1.0)) for flow in (expected, result)),
                _error_map(result, expected, max(longest_px, 3.0))]

    @staticmethod
    def sections(scores: Sequence[Score]) -> Iterator[Markup]:
        """Yield the errors by speed; see Scorer."""
        if scores[0].measures:
            yield html.heading('EPE by true speed')
            yield html.bars(SPEED_NAMES, {score.contender: [score.measures[name] for name in SPEED_NAMES]
                                          for score in scores}, 'px')


def _by_speed(scores: Sequence[FlowScore]) -> dict[str, float]:
    """Return the EPE of all pixels of each speed."""
    pixels = np.array([each.speed_pixels for each in scores])
    sums = (np.nan_to_num([each.speed_epe for each in scores]) * pixels).sum(0)
    return {name: float(total / count) if count else math.nan
            for name, total, count in zip(SPEED_NAMES, sums, pixels.sum(0), strict=True)}


def _error_map(result: np.ndarray, expected: np.ndarray, longest_px: float) -> np.ndarray:
    """Paint the length of the difference: black = none, bright = `longest_px` or more, or invalid."""
    error = np.nan_to_num(np.linalg.norm(np.nan_to_num(result) - expected, axis=2))
    levels = np.clip(error / longest_px * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB))

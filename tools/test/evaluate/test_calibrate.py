import numpy as np
import pytest
import torch

from trt_perception_tools.evaluate.calibrate import calibrated_counts, fit_calibration
from trt_perception_tools.evaluate.reliability import LEVELS, reliability
from trt_perception_tools.export.confidence import Calibration


def counts_of(slope: float, offset: float, pixels: int = 200_000) -> np.ndarray:
    """Return (256, 2) counts of a classifier whose labels are right with probability sigmoid(slope * z + offset)."""
    random = np.random.default_rng(0)
    odds = np.log((np.arange(LEVELS) + 0.5) / (LEVELS - 0.5 - np.arange(LEVELS)))
    levels = random.integers(60, LEVELS, pixels)
    right = random.random(pixels) < 1 / (1 + np.exp(-(slope * odds[levels] + offset)))
    return np.stack([np.bincount(levels[right == kind], minlength=LEVELS) for kind in (False, True)], 1)


def test_slope_and_offset_of_each_class_are_found():
    true = [(1.0, 0.0), (0.5, -0.3), (1.5, 0.4)]
    found = fit_calibration(np.stack([counts_of(*each) for each in true]))
    np.testing.assert_allclose(np.transpose(found), true, atol=0.03)


def test_a_class_that_is_hardly_seen_stays_as_it_is():
    assert fit_calibration(np.stack([counts_of(0.5, -1, 500)])) == Calibration((1.0,), (0.0,))


def test_an_overconfident_class_says_the_truth_afterwards():
    counts = np.stack([counts_of(0.6, -0.8), counts_of(1.0, 0.0)])
    assert reliability(counts[0]).ece > 0.1
    after = calibrated_counts(counts, fit_calibration(counts))
    assert after.sum() == counts.sum()
    for each in after:
        assert reliability(each).ece < 0.01


def test_counts_change_as_the_exported_graph_does():
    from trt_perception_tools.export.confidence import Confidence

    calibration = Calibration((0.7, 1.0), (-0.5, 0.0))
    probability = 0.8
    scores = torch.tensor([np.log(probability / (1 - probability)), 0.0]).view(1, 2, 1, 1).float()
    expected = 255 * Confidence(calibration)(scores).item()
    counts = np.zeros((2, LEVELS, 2), np.int64)
    counts[0, round(255 * probability), 1] = 5
    [(number, level, kind)] = np.argwhere(calibrated_counts(counts, calibration))
    assert (number, kind) == (0, 1)
    assert level == pytest.approx(expected, abs=1)

import math

import numpy as np
import pytest
from hypothesis import given, strategies

from trt_perception_tools.evaluate.reliability import BINS, confidence_counts, reliability, surest_mean


def counts_of(*groups: tuple[int, int, int]) -> np.ndarray:
    """Return counts of groups of (confidence level, wrong labels, right labels)."""
    counts = np.zeros((256, 2), np.int64)
    for level, wrong, right in groups:
        counts[level] += (wrong, right)
    return counts


def test_pixels_are_counted_by_given_class_and_level():
    truth = np.array([[0, 0, 1, 255, 1]], np.uint8)
    labels = np.array([[0, 1, 1, 1, 255]], np.uint8)
    counts = confidence_counts(truth, labels, np.array([[9, 200, 200, 7, 1]], np.uint8), 2)
    assert counts.shape == (2, 256, 2)
    assert counts.sum() == 3  # Neither without truth nor without a label.
    assert counts[0, 9].tolist() == [0, 1]
    assert counts[1, 200].tolist() == [1, 1]


def test_a_confidence_that_is_the_share_of_right_labels_has_no_calibration_error():
    found = reliability(counts_of((51, 80, 20), (204, 20, 80)))
    assert found.ece == pytest.approx(0)
    assert (found.pixels, found.right) == (200, 0.5)
    assert found.confidence == pytest.approx(0.5)
    # Of 100 x 100 pairs of a right and a wrong label: 80 x 80 in order, 20 x 20 against it, the rest tied.
    assert found.auroc == pytest.approx(0.8 * 0.8 + 0.5 * (0.2 * 0.8 + 0.8 * 0.2))


def test_the_calibration_error_weighs_each_bin_by_its_pixels():
    # 30 pixels say 1 and half are right; 10 say 0.2 and all are right.
    found = reliability(counts_of((255, 15, 15), (51, 0, 10)))
    assert found.ece == pytest.approx((30 * 0.5 + 10 * 0.8) / 40)
    assert [each.pixels for each in found.bins if each.pixels] == [10, 30]
    assert found.bins[-1] == (30, 1.0, 0.5)
    assert found.bins[3].confidence == pytest.approx(0.2)


def test_neighbouring_levels_of_one_bin_balance_each_other():
    # 0.5 +- 0.02 in one of 15 bins: half of the labels are right.
    assert reliability(counts_of((123, 10, 0), (132, 0, 10))).ece == pytest.approx(0, abs=1e-3)


def test_only_right_labels_have_no_auroc_and_no_pixels_have_nothing():
    assert math.isnan(reliability(counts_of((9, 0, 3))).auroc)
    nothing = reliability(counts_of())
    assert nothing.pixels == 0
    assert all(math.isnan(each) for each in (nothing.confidence, nothing.right, nothing.ece, nothing.auroc))


@pytest.mark.parametrize('seed', range(3))
def test_ece_and_auroc_are_those_of_torchmetrics(seed: int):
    torch = pytest.importorskip('torch')
    classification = pytest.importorskip('torchmetrics.functional.classification')
    random = np.random.default_rng(seed)
    # Without the levels on an edge between two bins, which belong to either.
    levels = random.choice([level for level in range(256) if level % (255 // BINS) or level == 255], 20000)
    right = random.random(20000) < (levels / 255) ** (1 + seed)
    counts = np.zeros((256, 2), np.int64)
    np.add.at(counts, (levels, right.astype(int)), 1)
    found = reliability(counts)
    confidence, truth = torch.from_numpy(levels / 255), torch.from_numpy(right.astype(np.int64))
    assert found.ece == pytest.approx(classification.binary_calibration_error(
        confidence, truth, n_bins=BINS, norm='l1').item(), abs=1e-6)
    assert found.auroc == pytest.approx(classification.binary_auroc(confidence, truth).item(), abs=1e-6)


def test_the_surest_pixels_have_the_mean_error_of_the_highest_levels():
    errors, confidence = np.array([1.0, 2, 3, 10]), np.array([250, 200, 100, 0], np.uint8)
    assert surest_mean(errors, confidence, 0.75) == 2
    assert surest_mean(errors, confidence, 1) == 4
    assert surest_mean(errors, confidence, 0.625) == (1 + 2 + 0.5 * 3) / 2.5
    assert math.isnan(surest_mean(errors[:0], confidence[:0], 0.8))


def test_pixels_of_one_level_have_the_same_part():
    assert surest_mean(np.array([1.0, 3, 8]), np.array([9, 9, 9], np.uint8), 0.5) == 4


@given(strategies.lists(strategies.tuples(strategies.integers(0, 255), strategies.booleans()), min_size=1, max_size=60))
def test_scores_are_what_their_definitions_say_pixel_by_pixel(pixels: list[tuple[int, bool]]):
    found = reliability(counts_of(*((level, not right, right) for level, right in pixels)))
    bins: dict[int, list[tuple[int, bool]]] = {}
    for level, right in pixels:
        bins.setdefault(min(level * BINS // 255, BINS - 1), []).append((level, right))
    assert found.ece == pytest.approx(sum(
        abs(sum(level / 255 - right for level, right in each)) for each in bins.values()) / len(pixels))
    pairs = [(a > b) + 0.5 * (a == b) for a, right in pixels if right for b, other in pixels if not other]
    assert found.auroc == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True)


@given(strategies.lists(strategies.tuples(strategies.integers(0, 255), strategies.floats(0, 100)), min_size=1,
                        max_size=40, unique_by=lambda each: each[0]), strategies.integers(1, 40))
def test_the_surest_of_different_levels_are_the_first_of_the_sorted(pixels: list[tuple[int, float]], count: int):
    count = min(count, len(pixels))
    confidence, errors = np.array([level for level, _ in pixels], np.uint8), np.array([error for _, error in pixels])
    first = errors[np.argsort(-confidence.astype(int))][:count]
    assert surest_mean(errors, confidence, count / len(pixels)) == pytest.approx(first.mean(), abs=1e-9)

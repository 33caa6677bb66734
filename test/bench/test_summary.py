import numpy as np
import pytest

from trt_perception.bench.measure import Series
from trt_perception.bench.ros_path import stream_of
from trt_perception.bench.summary import distribution, medians, overhead, ratio, summarise


def test_percentiles_are_those_of_all_values():
    values = np.arange(1, 1001, dtype=float)
    got = distribution(values)
    assert (got.samples, got.max, got.mean) == (1000, 1000.0, 500.5)
    assert [got.p50, got.p90, got.p95, got.p99] == pytest.approx([500.5, 900.1, 950.05, 990.01])


def test_a_ratio_compares_turn_with_turn():
    # The machine is twice as slow in the second turn; the ratio does not see it.
    reference = np.array([10.0, 10.0, 99.0, 20.0, 20.0, 21.0])
    values = np.array([12.0, 12.0, 12.0, 24.0, 24.0, 24.0])
    assert ratio(values, reference, 3) == (1.2, 1.2, 1.2, 2)
    got = overhead(values, reference, 3)
    assert got[:3] == pytest.approx((0.2, 0.2, 0.2))


def test_the_spread_of_a_ratio_is_that_of_its_turns():
    got = ratio(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.ones(5), 1)
    assert got == (3.0, 2.0, 4.0, 5)


def test_an_incomplete_turn_counts_only_when_it_is_the_only_one():
    assert medians(np.array([1.0, 3.0, 8.0, 10.0, 500.0]), 2).tolist() == [2.0, 9.0]
    assert medians(np.array([1.0, 3.0, 8.0]), 10).tolist() == [3.0]


def test_means_with_and_without_transfers():
    total = np.array([10.0, 14.0])
    stages = {'upload': np.array([1.0, 2.0]), 'infer': np.array([6.0, 6.0]), 'download': np.array([2.0, 3.0])}
    series = Series(None, total, stages, 2)  # Whose it is does not matter.
    got = summarise(series, series)
    assert got.total.mean == 12.0
    assert got.mean_without_transfers_ms == 8.0
    assert got.fps == pytest.approx(1000 / 12)
    assert got.ratio == (1.0, 1.0, 1.0, 1)
    without = series._replace(stages_ms={'infer': stages['infer']})
    assert summarise(without, series).mean_without_transfers_ms is None


def test_a_stream_is_told_by_the_definitions_of_ros2_benchmark():
    ms = 10**6
    sent = [0, 100 * ms, 200 * ms, 300 * ms]
    received = {100 * ms: 150 * ms, 200 * ms: 280 * ms, 300 * ms: 350 * ms, 900 * ms: 910 * ms}  # One of another run.
    got = stream_of(sent, received)
    assert (got.sent, got.missed) == (4, 1)
    assert got.first_sent_received_ms == 150.0
    assert got.first_ms == 50.0
    assert got.mean_ms == 60.0
    assert got.rate_hz == pytest.approx(3 / 0.2)
    assert got.age_ms.tolist() == [50.0, 80.0, 50.0]

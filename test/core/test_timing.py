from types import SimpleNamespace

import numpy as np
import pytest

from trt_perception.core import timing
from trt_perception.core.timing import WINDOW, StageTimer


def percentiles_of(values):
    return tuple(np.percentile(values, [50, 95, 99])) + (max(values),)


def test_percentiles_are_those_of_numpy():
    timer = StageTimer()
    values = np.random.RandomState(0).gamma(2, 5, 137).tolist()
    for value in values:
        timer.add('infer', value)
    stage = timer.summary()['infer']
    assert stage.samples == 137
    assert (stage.p50, stage.p95, stage.p99, stage.max) == pytest.approx(percentiles_of(values))


def test_only_the_most_recent_samples_count():
    timer = StageTimer()
    values = np.random.RandomState(1).uniform(0, 100, 2 * WINDOW + 100).tolist()
    values[50] = 1e6  # Long ago.
    for value in values:
        timer.add('infer', value)
    stage = timer.summary()['infer']
    assert stage.samples == 2 * WINDOW + 100
    assert tuple(stage)[1:] == pytest.approx(percentiles_of(values[-WINDOW:]))


def test_one_sample_is_every_percentile():
    timer = StageTimer()
    timer.add('infer', 7.5)
    assert tuple(timer.summary()['infer']) == (1, 7.5, 7.5, 7.5, 7.5)


def test_stages_are_apart_and_in_the_order_of_their_first_sample():
    timer = StageTimer()
    for name, value in (('b', 1.0), ('a', 2.0), ('b', 3.0)):
        timer.add(name, value)
    summary = timer.summary()
    assert list(summary) == ['b', 'a']
    assert (summary['b'].samples, summary['b'].max, summary['a'].max) == (2, 3.0, 2.0)


def test_no_stage_gives_an_empty_summary():
    assert StageTimer().summary() == {}


def test_the_body_of_a_with_is_timed_in_milliseconds(monkeypatch):
    clock = iter([10.0, 10.25, 20.0, 20.75])
    monkeypatch.setattr(timing, 'time', SimpleNamespace(perf_counter=lambda: next(clock)))
    timer = StageTimer()
    for _ in range(2):
        with timer.stage('infer'):
            pass
    stage = timer.summary()['infer']
    assert (stage.samples, stage.p50, stage.max) == (2, 500.0, 750.0)


def test_a_body_that_raises_is_not_noted_and_its_error_passes():
    timer = StageTimer()
    with pytest.raises(ValueError, match='^planted$'):
        with timer.stage('infer'):
            raise ValueError('planted')
    assert timer.summary() == {}
    with timer.stage('infer'):
        pass
    assert timer.summary()['infer'].samples == 1

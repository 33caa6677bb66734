import time
from pathlib import Path

import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.share import share_path
from trt_perception_tools.soak.budget import MEASURES, judge, read_budget
from trt_perception_tools.soak.calibration import Calibration


def test_the_shipped_budget_bounds_every_measure():
    assert set(read_budget(Path(share_path('config', 'budget.yaml')))) == set(MEASURES)


def test_what_is_over_its_bound_or_was_not_measured_fails():
    verdicts = judge({'start': 10.0, 'age_p99': 5.0, 'cpu_per_image': 3.0}, {'start': 10.0, 'age_p99': 5.1}, True)
    assert [(each.measure, each.passed) for each in verdicts] == [
        ('start', True), ('age_p99', False), ('cpu_per_image', False)]


def test_recovery_is_judged_only_with_faults():
    assert [each.measure for each in judge({'start': 1.0, 'recovery': 1.0}, {}, False)] == ['start']


@pytest.mark.parametrize(('text', 'fault'), [
    ('budget: {begin: 1}', "unknown field 'begin'"), ('budget: {start: soon}', "start: got 'soon', expected a number"),
    ('budget: {}', 'got no measure'), ('bounds: {}', 'budget: missing')])
def test_a_wrong_budget_is_refused(tmp_path: Path, text: str, fault: str):
    (tmp_path / 'budget.yaml').write_text(text)
    with pytest.raises(ConfigError, match=fault.replace('(', r'\(')):
        read_budget(tmp_path / 'budget.yaml')


def test_the_calibration_loop_takes_cpu_time_that_hardly_depends_on_load():
    calibration = Calibration()
    calibration.start()
    while not calibration._cpu_s:
        time.sleep(0.01)
    calibration.end()
    assert 0.001 < calibration.cpu_s < 1
    assert calibration.wall_s >= 0.9 * calibration.cpu_s

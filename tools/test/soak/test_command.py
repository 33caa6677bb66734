import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('psutil')

from rig import free_domain

from trt_perception_tools.soak.command import memory_growth

ROOT = Path(__file__).resolve().parents[3]


def soak(output: Path, *arguments: str) -> tuple[subprocess.CompletedProcess, dict]:
    """Run the verb, and return how it ended and its report."""
    with free_domain() as domain:
        done = subprocess.run([sys.executable, '-m', 'trt_perception_tools', 'soak', '--bag', str(ROOT / 'demo/street'),
                               '--output', str(output), *arguments], capture_output=True, text=True, timeout=500,
                              env={**os.environ, 'ROS_DOMAIN_ID': str(domain)}, check=False)
    return done, json.loads((output / 'report.json').read_text())


def test_a_node_gets_over_a_fault_and_keeps_to_its_budget(tmp_path: Path):
    done, report = soak(tmp_path, '--seconds', '11')  # Ten of them before the first fault.
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(report['faults']) == 1
    assert all(each['recovered_s'] is not None for each in report['faults'])
    assert report['label_maps'] > 5
    assert set(report['measured']) == {'start', 'cpu_per_image', 'latency_p99', 'age_p99', 'memory_mb_per_minute',
                                       'log_lines_per_minute', 'recovery'}
    assert report['over_budget'] == []


def test_the_growth_of_memory_is_that_of_a_minute_but_no_more_than_was_measured():
    def grown(seconds: int) -> list[tuple[float, float]]:
        """Return samples with 50 MB more at the start of the run, then 0.5 MB more every second."""
        return [(1000.0 + second, 200 + 0.5 * second + 50 * min(1, 5 * second / seconds)) for second in range(seconds)]

    assert memory_growth(grown(100)) == pytest.approx(30)
    assert memory_growth(grown(600)) == pytest.approx(30)
    assert memory_growth(grown(10)) == pytest.approx(3.5)  # From the 2nd second to the 9th.
    assert memory_growth(grown(2)) is None


def test_what_is_over_budget_is_named(tmp_path: Path):
    (tmp_path / 'budget.yaml').write_text('budget: {start: 0.01, log_lines_per_minute: 100}')
    done, report = soak(tmp_path, '--seconds', '2', '--no-faults', '--budget', str(tmp_path / 'budget.yaml'))
    assert done.returncode == 1
    assert report['over_budget'] == ['start']
    assert 'FAILED: start ' in done.stdout
    assert 'passed: log_lines_per_minute' in done.stdout
    assert report['ended_well']
    assert report['exit_status'] in (0, 130, -signal.SIGINT)

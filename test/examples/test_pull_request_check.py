"""The check for pull requests: its criteria are read, and it runs on two checkouts where the tools are installed."""
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'examples' / 'pull_request_check'


def test_its_criteria_are_of_measures_that_there_are():
    criteria = pytest.importorskip('trt_perception_tools.compare.criteria')
    assert len(criteria.read_criteria(FOLDER / 'criteria.yaml')) == 6

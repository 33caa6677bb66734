"""The budget of a node: a YAML of limits, by which measurements are judged. Measures nothing."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from trt_perception.core.errors import ConfigError
from trt_perception.core.fields import Fields
from trt_perception.core.yaml_file import read_yaml

MEASURES = {
    'start': 'CPU time of the node up to its first label map, calibration loops',
    'cpu_per_image': 'CPU time of the node per processed image, calibration loops',
    'latency_p99': 'image received to label map published, 99th percentile, calibration loops',
    'age_p99': 'image taken to label map published, 99th percentile, calibration loops',
    'memory_mb_per_minute': 'growth of resident memory in a minute, after the first fifth of the run',
    'log_lines_per_minute': 'lines of log, those of injected faults left out',
    'recovery': 'longest time without a label map after an injected fault ended, calibration loops',
}


class Verdict(NamedTuple):
    """A measure and its bound."""

    measure: str
    got: float | None
    """None = not measured, which counts as failed."""
    most: float

    @property
    def passed(self) -> bool:
        """Whether it is within the budget."""
        return self.got is not None and self.got <= self.most


def read_budget(path: Path) -> dict[str, float]:
    """Read bounds from a YAML: `budget`, a mapping of measures to their upper bounds.

    Raises:
        ConfigError: a measure is unknown, or its limit is not a number.
    """
    fields = Fields(str(path), read_yaml(str(path)))
    budget = fields.section('budget')
    fields.done()
    bounds = {name: float(budget.take(name, (int, float), 'a number')) for name in MEASURES if name in budget.values}
    budget.known = list(MEASURES)
    budget.done()
    if not bounds:
        raise ConfigError(f'{path}: budget: got no measure, expected some of {", ".join(MEASURES)}. Add one.')
    return bounds


def judge(bounds: Mapping[str, float], measured: Mapping[str, float], with_faults: bool) -> list[Verdict]:
    """Return a verdict for each limit; recovery is judged only if faults were injected."""
    return [Verdict(name, measured.get(name), most) for name, most in bounds.items()
            if with_faults or name != 'recovery']

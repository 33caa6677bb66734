"""The user's criteria for a comparison: reads and checks a YAML, and judges numbers by it."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from trt_perception.core.errors import ConfigError
from trt_perception.core.fields import Fields, is_number
from trt_perception.core.yaml_file import read_yaml

from .frame import CLASS_MEASURES, FRAME_MEASURES, RUN_MEASURES


class Criterion(NamedTuple):
    """A bound on a measure."""

    measure: str
    least: float | None
    most: float | None
    """Upper bound; of the absolute value if the measure is a change."""
    frames: float | None
    """Share of the frames that must meet it, 0..1; None = the value of the whole run must meet it."""

    def __str__(self) -> str:
        bound = f'>= {self.least:g}' if self.least is not None else f'<= {self.most:g}'
        return f'{self.measure} {bound}' + ('' if self.frames is None else f' in {self.frames:.4g} of the frames')

    def met(self, value: float) -> bool:
        """Return whether a number is within the bound."""
        return value >= self.least if self.least is not None else abs(value) <= (self.most or 0.0)


class Verdict(NamedTuple):
    """A criterion, judged on a run."""

    criterion: Criterion
    passed: bool
    got: float | None
    """The value of the run, or the share of the frames within the bound; None = there is none."""


def read_criteria(path: Path) -> list[Criterion]:
    """Read criteria from a YAML: a list `criteria` of {measure, least or most, frames}.

    Raises:
        ConfigError: a field is missing, unknown or wrong; the text names file and field.
    """
    fields = Fields(str(path), read_yaml(str(path)))
    found = [_criterion(Fields(f'{path}: criteria[{number}]', entry))
             for number, entry in enumerate(fields.take('criteria', list, 'a list of {measure, least or most}'))]
    fields.done()
    return found


def _criterion(fields: Fields) -> Criterion:
    known = [*FRAME_MEASURES, *RUN_MEASURES, *(f'{name}.CLASS' for name in CLASS_MEASURES)]
    measure = fields.take('measure', str, 'one of ' + ', '.join(known))
    of_class = any(measure.startswith(f'{name}.') for name in CLASS_MEASURES)
    if measure not in (*FRAME_MEASURES, *RUN_MEASURES) and not of_class:
        raise fields.error('measure', measure, 'one of ' + ', '.join(known))
    bounds = {}
    for key in ('least', 'most', 'frames'):
        value = fields.values.get(key)
        fields.known.append(key)
        if value is not None and not is_number(value):
            raise fields.error(key, value, 'a number')
        bounds[key] = fields.values.pop(key, None)
    fields.done()
    if (bounds['least'] is None) == (bounds['most'] is None):
        raise ConfigError(f'{fields.where}: expected either least or most. Give one of them.')
    if bounds['frames'] is not None and (measure in RUN_MEASURES or not 0 < bounds['frames'] <= 1):
        raise fields.error('frames', bounds['frames'], f'a share above 0, up to 1, of a measure other than '
                                                       f'{", ".join(RUN_MEASURES)}')
    return Criterion(measure, **bounds)


def judge(criteria: Iterable[Criterion], run: Mapping[str, float], frames: Iterable[Mapping[str, float]]
          ) -> list[Verdict]:
    """Judge a run by its numbers and those of its frames. A criterion without a number is not met."""
    frames = list(frames)
    verdicts = []
    for each in criteria:
        if each.frames is None:
            value = run.get(each.measure)
            verdicts.append(Verdict(each, value is not None and each.met(value), value))
        else:
            values = [numbers[each.measure] for numbers in frames if each.measure in numbers]
            share = sum(map(each.met, values)) / len(values) if values else None
            verdicts.append(Verdict(each, share is not None and share >= each.frames, share))
    return verdicts

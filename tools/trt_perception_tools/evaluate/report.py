"""Scores as a table and as JSON. Computes no score."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..datasets.corruptions import STRENGTHS
from ..tasks import scorer_class
from .scorer import Measure, Score

MOST_ROWS = 40
"""Largest number of pairs that are listed one by one; Sintel has two thousand."""

Row = list[str]


def parts_rows(scores: Sequence[Score]) -> list[Row]:
    """Return the row of each class or pair: its name, and a text per score."""
    scorer = scorer_class(scores[0].task)
    return [[part, *(scorer.part.text(score.parts[part]) for score in scores)] for part in scores[0].parts]


def summary_rows(scores: Sequence[Score]) -> list[Row]:
    """Return the rows of all other numbers."""
    scorer = scorer_class(scores[0].task)
    rows = []
    if scores[0].parts:
        rows.append(_row(scorer.total, [score.total for score in scores]))
    rows += [_row(measure, [score.measures.get(name, math.nan) for score in scores])
             for name, measure in scorer.measures.items() if any(name in score.measures for score in scores)]
    if any(score.reference for score in scores):
        rows.append(_row(scorer.agreement, [score.agreement for score in scores]))
    return [*rows, ['ms', *(f'{score.milliseconds:.1f}' for score in scores)],
            ['network input', *('{}x{}'.format(*score.input_size) for score in scores)]]


def corruption_rows(scores: Sequence[Score]) -> list[Row]:
    """Return a header and a row per score and strength: the total clean, under each corruption, mean and worst."""
    scorer = scorer_class(scores[0].task)
    rows: list[Row] = []
    for score in scores:
        under = score.robustness
        if under is None:
            continue
        if not rows:
            rows.append([scorer.total.title, 'clean', *under.totals, 'mean / clean', 'worst / clean'])
        rows += [[f'{score.contender}, strength {strength:g}', scorer.total.text(score.total),
                  *(scorer.total.text(totals[number]) for totals in under.totals.values()),
                  f'{under.mean[number]:.3f}', f'{under.worst[number]:.3f}']
                 for number, strength in enumerate(STRENGTHS)]
    return rows


def video_rows(scores: Sequence[Score]) -> list[Row]:
    """Return a header and rows of the labels' scores in the video: a text per score in each."""
    steady = [score.steadiness for score in scores if score.steadiness]
    if not steady:
        return []
    changed, same = Measure('labels that change, %', 100), Measure('temporal consistency, %', 100)
    return [['', *(score.model for score in scores if score.steadiness)],
            _row(changed, [each.flicker for each in steady]),
            *(_row(changed._replace(title=f'- {name}'), [each.flicker_by_class[name] for each in steady])
              for name in steady[0].flicker_by_class),
            _row(same, [each.consistency for each in steady]),
            *(_row(same._replace(title=f'- {name}'), [each.consistency_by_class[name] for each in steady])
              for name in steady[0].consistency_by_class),
            _row(Measure('pixels followed, %', 100), [each.followed for each in steady]),
            *(row for every in steady[0].carried for row in (
                _row(Measure(f'every {every}. segmented: agreement of the carried labels, %', 100),
                     [each.carried[every].agreement for each in steady]),
                _row(Measure(f'every {every}. segmented: time, % of segmenting all', 100),
                     [each.carried[every].time for each in steady])))]


def _row(measure: Measure, values: Sequence[float]) -> Row:
    return [measure.title, *map(measure.text, values)]


def table(scores: Sequence[Score]) -> str:
    """Lay out scores of one task as text, a column per contender; shares are in %."""
    scorer = scorer_class(scores[0].task)
    parts, others = parts_rows(scores), summary_rows(scores)
    others += [['engine', *(score.engine for score in scores)], ['precision', *(score.precision for score in scores)]]
    shown = parts if len(parts) <= MOST_ROWS else []
    lines = _aligned([[scorer.part.title if parts else '', *(score.model for score in scores)], *shown, *others])
    rule = '-' * len(lines[0])
    text = [lines[0], rule, *lines[1:1 + len(shown)], *([rule] if shown else []), *lines[1 + len(shown):]]
    references = {score.reference for score in scores if score.reference}
    blocks = ['\n'.join([*text, *(f'FP32: {name}' for name in sorted(references))]), scorer.text(scores),
              *('\n'.join(_aligned(rows)) for rows in (corruption_rows(scores), video_rows(scores)))]
    return '\n\n'.join(block for block in blocks if block)


def _aligned(rows: Sequence[Row]) -> list[str]:
    widths = [max((len(row[column]) for row in rows)) for column in range(len(rows[0]))] if rows else []
    return ['  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def as_json(scores: Sequence[Score]) -> str:
    """Return scores as JSON; missing numbers are null."""
    return json.dumps([_plain(score) for score in scores], indent=2) + '\n'


def _plain(value: Any) -> Any:
    if hasattr(value, '_asdict'):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value

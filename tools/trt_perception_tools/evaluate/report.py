"""Scores as a table, as JSON and as an HTML page with the worst results as pictures. Computes no score."""
from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np

from trt_perception.bench import html
from trt_perception.core.colors import color_flow, label_palette, overlay_labels
from trt_perception.core.data import VOID, Frame
from trt_perception.core.image import FrameDecoder
from trt_perception.core.model import SEGMENTATION, LabelSet, Model

_TILE_PX = 320
_GAP_PX = 4
_NOTHING: Mapping[str, float] = MappingProxyType({})
_MOST_ROWS = 40
"""Pairs of a flow dataset that are listed one by one; Sintel has two thousand."""


class Score(NamedTuple):
    """How one model did on one engine. What there is no truth for is empty or NaN."""

    model: str
    task: str
    engine: str
    precision: str
    input_size: tuple[int, int]
    """(height, width) of the network's picture, px."""
    frames: int
    """Pictures or pairs."""
    milliseconds: float
    """Mean per picture or pair: decode, resize, network, result at the camera's size; without reading files."""
    parts: Mapping[str, float] = _NOTHING
    """Segmentation: IoU per class, 0..1, NaN for a class that never occurs. Flow: EPE per pair, px."""
    total: float = math.nan
    """Mean of the parts."""
    secondary: float = math.nan
    """Segmentation: pixel accuracy, 0..1. Flow: mean Fl-all, 0..1."""
    angular_deg: float = math.nan
    """Flow: mean angular error."""
    speeds: Mapping[str, float] = _NOTHING
    """Flow: EPE of all pixels of a speed, px; NaN for a speed that never occurs."""
    confusion: Sequence[Sequence[int]] = ()
    """Segmentation: pixels by true class (row) and given class (column); the last column is no class."""
    reference: str = ''
    """The FP32 contender that it is compared with; empty = it is that itself, or there is none."""
    agreement: float = math.nan
    """Segmentation: share of labels equal to the reference's, 0..1. Flow: mean difference, px."""

    @property
    def contender(self) -> str:
        """Model, engine and precision."""
        return f'{self.model} {self.engine} {self.precision}'


def _columns(scores: Sequence[Score]) -> tuple[str, list[tuple[str, list[str]]], list[tuple[str, list[str]]]]:
    """Return the unit of the parts, the parts, and all other rows: a text per score in each."""
    segmentation = scores[0].task == SEGMENTATION
    factor, unit = (100, 'IoU, %') if segmentation else (1, 'EPE, px')
    parts = [(part, [f'{score.parts[part] * factor:.2f}' for score in scores]) for part in scores[0].parts]
    rows: list[tuple[str, list[str]]] = []
    if parts:
        totals = ('mean IoU, %', 'pixel accuracy, %') if segmentation else ('mean EPE', 'Fl-all, %')
        rows = [(totals[0], [f'{score.total * factor:.2f}' for score in scores]),
                (totals[1], [f'{score.secondary * 100:.2f}' for score in scores])]
    if parts and not segmentation:
        rows.append(('angular error, degrees', [f'{score.angular_deg:.2f}' for score in scores]))
        rows += [(f'EPE {speed} px', ['-' if math.isnan(score.speeds[speed]) else f'{score.speeds[speed]:.2f}'
                                      for score in scores]) for speed in scores[0].speeds]
    if any(score.reference for score in scores):
        rows.append(('labels as in FP32, %' if segmentation else 'off FP32, px',
                     [('-' if not score.reference else f'{score.agreement * 100:.2f}' if segmentation
                       else f'{score.agreement:.3f}') for score in scores]))
    rows += [('ms', [f'{score.milliseconds:.1f}' for score in scores]),
             ('network input', ['{}x{}'.format(*score.input_size) for score in scores]),
             ('engine', [score.engine for score in scores]), ('precision', [score.precision for score in scores])]
    return unit, parts, rows


def table(scores: Sequence[Score]) -> str:
    """Lay out scores of one task as text, a column per contender; shares are in %."""
    unit, parts, others = _columns(scores)
    rows = [[unit if parts else '', *(score.model for score in scores)]]
    rows += [[name, *texts] for name, texts in [*(parts if len(parts) <= _MOST_ROWS else []), *others]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = '-' * len(lines[0])
    after = len(lines) - len(others)
    text = [lines[0], rule, *lines[1:after], *([rule] if after > 1 else []), *lines[after:]]
    references = {score.reference for score in scores if score.reference}
    return '\n'.join([*text, *(f'FP32: {name}' for name in sorted(references))])


def as_json(scores: Sequence[Score]) -> str:
    """Return scores as JSON; a number that there is not is null."""
    return json.dumps([_without_nan(score._asdict()) for score in scores], indent=2) + '\n'


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def panel(frame: Frame, result: np.ndarray, expected: np.ndarray, model: Model) -> np.ndarray:
    """Draw the picture, what was expected, what came out, and where they differ: (H, W, 3) uint8 RGB.

    Args:
        expected: like the result: labels, or flow in px with NaN = unknown.
    """
    picture = FrameDecoder().picture(frame, 'rgb', (frame.height, frame.width)).copy()
    if model.labels is not None:
        palette = label_palette(model.labels)
        tiles = [picture, *(overlay_labels(picture, labels, palette, 0.7) for labels in (expected, result)),
                 _wrong_labels(picture, result, expected)]
    else:
        longest = float(np.nanpercentile(np.linalg.norm(expected, axis=2), 99)) if np.isfinite(expected).any() else 1.0
        tiles = [picture, *(color_flow(flow.astype(np.float32), max(longest, 1.0)) for flow in (expected, result)),
                 _flow_error(result, expected, max(longest, 3.0))]
    height = max(1, round(frame.height * _TILE_PX / frame.width))
    strip = np.full((height, len(tiles) * (_TILE_PX + _GAP_PX) - _GAP_PX, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        left = number * (_TILE_PX + _GAP_PX)
        strip[:, left:left + _TILE_PX] = cv2.resize(tile, (_TILE_PX, height), interpolation=cv2.INTER_AREA)
    return strip


def legend(labels: LabelSet) -> np.ndarray:
    """Draw the colours of the classes: (H, W, 3) uint8 RGB."""
    column, line, most = 150, 22, 7
    strip = np.full((line * -(-len(labels.classes) // most), column * most, 3), 255, np.uint8)
    for number, each in enumerate(labels.classes):
        x, y = number % most * column, number // most * line
        cv2.rectangle(strip, (x, y + 3), (x + 15, y + 17), each.color, -1)
        cv2.putText(strip, each.name, (x + 20, y + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _wrong_labels(picture: np.ndarray, result: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Paint wrong labels red over the grey picture, unlabelled pixels black."""
    tile = np.repeat(picture.mean(2, keepdims=True) * 0.6 + 60, 3, 2).astype(np.uint8)
    tile[result != expected] = (220, 40, 40)
    tile[expected == VOID] = 0
    return tile


def _flow_error(result: np.ndarray, expected: np.ndarray, longest_px: float) -> np.ndarray:
    """Paint the length of the difference: black = none, bright = `longest_px` or more, or given up."""
    error = np.nan_to_num(np.linalg.norm(np.nan_to_num(result) - expected, axis=2))
    levels = np.clip(error / longest_px * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB))


def html_page(title: str, scores: Sequence[Score], worst: Mapping[str, Sequence[tuple[str, np.ndarray]]],
              labels: LabelSet | None) -> str:
    """Return a self-contained HTML page: scores, parts, confusions, worst results."""
    return html.page(f'Evaluation on {title}', _body(scores, worst, labels))


def _body(scores: Sequence[Score], worst: Mapping[str, Sequence[tuple[str, np.ndarray]]],
          labels: LabelSet | None) -> Iterator[str]:
    segmentation = scores[0].task == SEGMENTATION
    unit, parts, others = _columns(scores)
    yield html.paragraph(f'{scores[0].frames} {"pictures" if segmentation else "pairs"}, every contender on each, in '
                         'turns, through the pipeline that the nodes run. Times are means: trust their ratios.')
    columns = [each for each in others if each[0] not in ('engine', 'precision')]  # Part of the contender's name.
    yield html.table(['', *(name for name, _ in columns)],
                     [[score.contender, *(texts[number] for _, texts in columns)]
                      for number, score in enumerate(scores)])
    for name in sorted({score.reference for score in scores if score.reference}):
        yield html.paragraph(f'Agreement with FP32 is that with {name}.')
    if 0 < len(parts) <= _MOST_ROWS:
        yield html.heading(f'{"IoU per class" if segmentation else "EPE per pair"}')
        yield html.bars([name for name, _ in parts], {
            score.contender: [value * (100 if segmentation else 1) for value in score.parts.values()]
            for score in scores}, '%' if segmentation else 'px')
    if scores[0].speeds:
        yield html.heading('EPE by true speed')
        yield html.bars(list(scores[0].speeds),
                        {score.contender: list(score.speeds.values()) for score in scores}, 'px')
    if scores[0].confusion:
        yield html.heading('Confusions')
        yield html.paragraph('Of the pixels of the class in the row, % that were given the class in the column.')
        for score in scores:
            yield _confusions(score)
    if worst:
        expected = 'the truth' if parts else 'FP32'
        yield html.heading('Worst results')
        yield html.paragraph(
            f'From left to right: the picture; {expected}; the result; where they differ, '
            + ('red, and black where there is no label.' if segmentation else 'the brighter, the farther off.'))
        if labels is not None:
            yield html.picture(_png(legend(labels)))
    for contender, pictures in worst.items():
        yield html.heading(contender, 3)
        for caption, picture in pictures:
            yield html.picture(_png(picture), caption)


def _confusions(score: Score) -> str:
    counts = np.array(score.confusion, np.float64)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    columns = [*map(str, range(len(shares))), 'none']
    if not counts[:, -1].any():
        columns.pop()  # The label of every pixel is a class, as it is with our own graphs.
    rows = [[f'{number} {name}', *(f'{share:.1f}' if share >= 0.05 else '' for share in shares[number, :len(columns)])]
            for number, name in enumerate(score.parts)]
    return html.table([score.contender, *columns], rows)


def _png(picture: np.ndarray) -> bytes:
    _, data = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return data.tobytes()

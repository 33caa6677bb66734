"""A comparison as one HTML page, with the worst moments as images. Compares nothing."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup

from trt_perception.core.colors import color_flow, color_labels, label_palette, overlay_labels
from trt_perception.core.model import LabelSet

from ..evaluate.page import legend, png
from ..report import html
from .comparison import Comparison, Pair
from .criteria import Verdict
from .frame import AGREEMENT, EPE, FRAME_MEASURES, IOU, SHARE_CHANGE
from .run import Key

_WIDTH_PX = 480
_WORDS = {'labels.agreement': 'same label, of all pixels', 'labels.mean_iou': 'mean IoU of the classes',
          'labels.confidence_change': 'change of the mean confidence', 'flow.epe_px': 'mean difference of the flow, px',
          'flow.fl_all': 'flow off by more than 3 px and 5 %',
          'frames.missing': 'images without a result in the first run',
          'frames.extra': 'images without a result in the second run',
          'flow.other_interval': 'images whose flow spans another interval, and is not compared'}


def comparison_page(names: tuple[str, str], comparison: Comparison, numbers: Mapping[str, float],
                    verdicts: Sequence[Verdict], images: Mapping[Key, np.ndarray]) -> str:
    """Return a self-contained HTML page.

    Args:
        names: names of the two runs.
        images: camera images, (H, W, 3) uint8 RGB, of the worst moments, where the recordings have them.
    """
    return html.page(f'{names[0]} compared with {names[1]}', list(_body(names, comparison, numbers, verdicts, images)))


def number_rows(numbers: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return measure, value and meaning, for a table."""
    return [(measure, f'{value:.4g}', _WORDS[measure]) for measure, value in numbers.items() if measure in _WORDS]


def verdict_rows(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str]]:
    """Return criterion, number, and whether it is met, for a table."""
    return [(str(each.criterion), 'no number' if each.got is None else f'{each.got:.4g}',
             'passed' if each.passed else 'FAILED') for each in verdicts]


def _body(names: tuple[str, str], comparison: Comparison, numbers: Mapping[str, float], verdicts: Sequence[Verdict],
          images: Mapping[Key, np.ndarray]) -> Iterator[Markup]:
    yield html.paragraph(f'{len(comparison.frames)} images of which both have results; {names[1]} is the reference.')
    if verdicts:
        yield html.heading('Criteria')
        yield html.table(['criterion', 'got', ''], verdict_rows(verdicts))
    yield html.heading('Numbers')
    yield html.table(['measure', 'value', ''], number_rows(numbers), '<><')
    classes = [measure[len(IOU) + 1:] for measure in numbers if measure.startswith(f'{IOU}.')]
    if classes:
        yield html.heading('Classes')
        yield html.bars(classes, {'IoU': [100 * numbers[f'{IOU}.{name}'] for name in classes]}, '%',
                        'Intersection over union of the two runs.')
        yield html.table(['class', 'IoU, %', 'change of its share of the image, points'], [
            [name, f'{100 * numbers[f"{IOU}.{name}"]:.2f}', f'{100 * numbers[f"{SHARE_CHANGE}.{name}"]:+.3f}']
            for name in classes])
    yield from _course(comparison)
    for measure, title, draw in ((AGREEMENT, 'Labels that differ most', _label_panels),
                                 (EPE, 'Flow that differs most', _flow_panels)):
        pairs = [pair for pair in comparison.worst(measure) if _differs(pair, measure)]
        if not pairs:
            continue
        yield html.heading(title)
        yield html.paragraph(f'From left to right: {names[0]}, {names[1]}, and where they differ.')
        if measure == AGREEMENT:
            for each in {label_set.classes: label_set for label_set in comparison.classes.values()}.values():
                yield html.image(png(legend(each)))
        for pair in pairs:
            camera, stamp_ns = pair.frame.key
            tiles = draw(pair, images.get(pair.frame.key), comparison.classes[camera])
            caption = f'stamp {stamp_ns / 1e9:.3f} s: {measure} {pair.frame.numbers[measure]:.4g}'
            yield html.image(png(_side_by_side(tiles)), f'{camera}, {caption}' if camera else caption)


def _course(comparison: Comparison) -> Iterator[Markup]:
    for measure in FRAME_MEASURES:
        values = [frame.numbers.get(measure, math.nan) for frame in comparison.frames]
        if sum(map(math.isfinite, values)) > 1:
            yield html.heading(f'{measure} over the run', 3)
            yield html.lines({measure: values}, '', _WORDS[measure], 'image')


def _differs(pair: Pair, measure: str) -> bool:
    return pair.frame.numbers[measure] != (1.0 if measure == AGREEMENT else 0.0)


def _label_panels(pair: Pair, image: np.ndarray | None, classes: LabelSet) -> list[np.ndarray]:
    assert pair.first.labels is not None
    assert pair.second.labels is not None
    palette = label_palette(classes)
    if image is None:
        tiles = [color_labels(labels, palette) for labels in (pair.first.labels, pair.second.labels)]
        gray = np.full((*pair.second.labels.shape, 3), 190, np.uint8)
    else:
        image = cv2.resize(image, pair.second.labels.shape[::-1], interpolation=cv2.INTER_AREA)
        tiles = [overlay_labels(image, labels, palette, 0.6) for labels in (pair.first.labels, pair.second.labels)]
        gray = np.repeat(image.mean(2, keepdims=True) * 0.6 + 60, 3, 2).astype(np.uint8)
    gray[(pair.first.labels != pair.second.labels) & (pair.second.labels < len(classes.classes))] = (220, 40, 40)
    return [*tiles, gray]


def _flow_panels(pair: Pair, image: np.ndarray | None, classes: LabelSet) -> list[np.ndarray]:
    first, second = pair.first.flow, pair.second.flow
    assert first is not None
    assert second is not None
    length = np.linalg.norm(second, axis=2)
    longest = max(1.0, float(np.nanpercentile(length, 99))) if np.isfinite(length).any() else 1.0
    return [color_flow(flow, longest) for flow in (first, second, first - second)]


def _side_by_side(tiles: Sequence[np.ndarray]) -> np.ndarray:
    height, width = tiles[0].shape[:2]
    shown = width if width < _WIDTH_PX else _WIDTH_PX
    return np.hstack([cv2.resize(tile, (shown, round(height * shown / width)), interpolation=cv2.INTER_AREA)
                      for tile in tiles])


def write_page(path: Path, page: str) -> None:
    """Write a page atomically."""
    partial = path.with_suffix('.partial')
    partial.write_text(page, encoding='utf-8')
    partial.replace(path)

"""Scores as one HTML page, with the worst results as images. Computes no score."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from markupsafe import Markup

from trt_perception.core.model import LabelSet

from ..report import html
from ..tasks import scorer_class
from .report import MOST_ROWS, corruption_rows, parts_rows, summary_rows, video_rows
from .scorer import Score


def html_page(title: str, scores: Sequence[Score], worst: Mapping[str, Sequence[tuple[str, np.ndarray]]],
              labels: LabelSet | None) -> str:
    """Return a self-contained HTML page.

    Args:
        worst: contender -> (caption, image (H, W, 3) uint8 RGB), the worst first.
        labels: label set for the legend; None = the task has none.
    """
    return html.page(f'Evaluation on {title}', _body(scores, worst, labels))


def _body(scores: Sequence[Score], worst: Mapping[str, Sequence[tuple[str, np.ndarray]]],
          labels: LabelSet | None) -> Iterator[Markup]:
    scorer = scorer_class(scores[0].task)
    parts, others = parts_rows(scores), summary_rows(scores)
    yield html.paragraph(f'{scores[0].frames} {scorer.sample}s, every contender on each, interleaved, through the '
                         'pipeline that the nodes run. Times are means: trust their ratios.')
    yield html.table(['', *(row[0] for row in others)],
                     [[score.contender, *(row[number] for row in others)] for number, score in enumerate(scores, 1)])
    for name in sorted({score.reference for score in scores if score.reference}):
        yield html.paragraph(f'Agreement with FP32 is that with {name}.')
    if 0 < len(parts) <= MOST_ROWS:
        yield html.heading(scorer.part.title)
        yield html.bars([row[0] for row in parts], {
            score.contender: [value * scorer.part.factor for value in score.parts.values()] for score in scores},
            '%' if scorer.part.factor == 100 else '')
    yield from scorer.sections(scores)
    under = corruption_rows(scores)
    if under:
        yield html.heading('On corrupted images')
        yield html.table(under[0], under[1:])
    steady = video_rows(scores)
    if steady:
        yield html.heading('In the video')
        yield html.paragraph("Labels of pixels that OpenCV's DIS flow carries from one frame to the next and back: the "
                             'share that changes, by the class before, and the IoU of the labels before and after.')
        yield html.table(steady[0], steady[1:])
    if worst:
        yield html.heading('Worst results')
        yield html.paragraph(f'From left to right: the image; {"the truth" if parts else "FP32"}; the result; where '
                             'they differ.')
        if labels is not None:
            yield html.image(png(legend(labels)))
    for contender, panels in worst.items():
        yield html.heading(contender, 3)
        for caption, panel in panels:
            yield html.image(png(panel), caption)


def legend(labels: LabelSet) -> np.ndarray:
    """Draw the colours of the classes: (H, W, 3) uint8 RGB."""
    column, line, most = 150, 22, 7
    strip = np.full((line * -(-len(labels.classes) // most), column * most, 3), 255, np.uint8)
    for number, each in enumerate(labels.classes):
        x, y = number % most * column, number // most * line
        cv2.rectangle(strip, (x, y + 3), (x + 15, y + 17), each.color, -1)
        cv2.putText(strip, each.name, (x + 20, y + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def png(image: np.ndarray) -> bytes:
    """Return an image, (H, W, 3) uint8 RGB, as a PNG file."""
    _, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return data.tobytes()

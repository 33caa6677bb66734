"""Parts of a self-contained HTML page: no script, nothing loaded. Knows no measurement.

Every function escapes its input and returns markup; `page` puts markup together.
"""
from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

_ALIGN = {'<': 'l', '>': 'r', '^': 'c'}
_ENVIRONMENT = Environment(loader=PackageLoader(__package__, ''), autoescape=True)
_TABLE = _ENVIRONMENT.from_string(
    '<div class="scroll"><table>{% if caption %}<caption>{{ caption }}</caption>{% endif %}<thead>{% if header %}<tr>'
    '{% for side, cell in header %}<th class="{{ side }}">{{ cell }}</th>{% endfor %}</tr>{% endif %}</thead><tbody>'
    '{% for row in rows %}\n<tr>{% for side, cell in row %}<td class="{{ side }}">{{ cell }}</td>{% endfor %}</tr>'
    '{% endfor %}\n</tbody></table></div>')
_FIGURE = _ENVIRONMENT.from_string(
    '<figure><img alt="{{ caption }}" src="data:{{ kind }};base64,{{ data }}">'
    '{% if caption %}<figcaption>{{ caption }}</figcaption>{% endif %}</figure>')


def page(title: str, body: Iterable[Markup]) -> str:
    """Return a whole HTML document of what the functions below return."""
    return _ENVIRONMENT.get_template('page.html.j2').render(title=title, body=body)


def heading(text: str, level: int = 2) -> Markup:
    """Return a heading, level 2 or 3."""
    return Markup('<h{0}>{1}</h{0}>').format(level, text)


def paragraph(text: str) -> Markup:
    """Return a paragraph of plain text."""
    return Markup('<p>{}</p>').format(text)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], align: str = '', caption: str = '') -> Markup:
    """Return a table of texts.

    Args:
        header: a text per column; all empty = no such row.
        align: a character per column: < left, > right, ^ centred; by default the first is left, the others right.
    """
    sides = [_ALIGN[align[i]] if i < len(align) else 'r' if i else 'l' for i in range(len(header))]
    return Markup(_TABLE.render(caption=caption, header=list(zip(sides, header, strict=True)) if any(header) else [],
                                rows=[list(zip(sides, row, strict=True)) for row in rows]))


def image(png: bytes, caption: str = '') -> Markup:
    """Return a PNG file as an image inside the page."""
    return _figure('image/png', png, caption)


def bars(labels: Sequence[str], series: Mapping[str, Sequence[float]], unit: str = '', caption: str = '',
         whiskers: Mapping[str, Sequence[tuple[float, float]]] | None = None, stacked: bool = False) -> Markup:
    """Return horizontal bars from zero: see plots.bars."""
    from . import plots  # Here, and below: matplotlib takes a second, which `--help` need not wait for.
    return _figure('image/svg+xml', plots.bars(labels, series, unit, whiskers or {}, stacked), caption)


def lines(series: Mapping[str, Sequence[float]], unit: str = '', caption: str = '', x_label: str = '') -> Markup:
    """Return values over their number in the sequence, one line per series."""
    from . import plots
    return _figure('image/svg+xml', plots.lines(series, unit, x_label), caption)


def histograms(series: Mapping[str, Sequence[float]], unit: str = '', caption: str = '') -> Markup:
    """Return how often each value occurs, a strip per series over one common axis: see plots.histograms."""
    from . import plots
    return _figure('image/svg+xml', plots.histograms(series, unit), caption)


def reliability(series: Mapping[str, Sequence[tuple[float, float, float]]], caption: str = '') -> Markup:
    """Return a reliability diagram: see plots.reliability."""
    from . import plots
    return _figure('image/svg+xml', plots.reliability(series), caption)


def _figure(kind: str, data: bytes, caption: str) -> Markup:
    return Markup(_FIGURE.render(kind=kind, data=base64.b64encode(data).decode('ascii'), caption=caption))

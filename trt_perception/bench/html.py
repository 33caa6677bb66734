"""Reports as one self-contained HTML page: tables, pictures, plots. No script, nothing loaded; knows no measurement.

Every function returns HTML and escapes what it is given; only `page` takes HTML.
"""
import base64
import math
from html import escape
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #5b6570; --paper: #fff; --line: #d9dee4; --shade: #f4f6f8;
  --c0: #2f6db5; --c1: #d9822b; --c2: #3c8d5a; --c3: #a84f8f; --c4: #7a6a58; --c5: #3aa0a8;
  --c6: #b8433f; --c7: #8c8c2e; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --faint: #9aa5b1; --paper: #15191e;
  --line: #353c45; --shade: #1e242b; --c0: #6aa5e8; --c1: #eda75c; --c2: #6fbf8b; --c3: #d38abf; --c4: #b5a592;
  --c5: #6ccbd2; --c6: #e27f79; --c7: #c2c266; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; font-weight: 600; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line);
  font-weight: 600; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; font-weight: 600; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
figure { margin: 1rem 0 1.4rem; }
figcaption, caption { color: var(--faint); font-size: .87rem; text-align: left; padding: .3rem 0; max-width: 46rem; }
.scroll { overflow-x: auto; margin: .8rem 0 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .28rem .75rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap; }
.l { text-align: left; overflow-wrap: anywhere; min-width: 8rem; } .r { text-align: right; white-space: nowrap; }
.c { text-align: center; }
img { max-width: 100%; height: auto; display: block; }
svg { display: block; overflow: visible; width: 100%; }
svg text { font-size: 12px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg text.faint { fill: var(--faint); }
.grid { stroke: var(--line); stroke-width: 1; } .whisker { stroke: var(--ink); stroke-width: 1.25; }
.track { fill: var(--shade); } .plot { padding: 0 .5rem 0 56px; } .wide { padding-right: 4.5rem; }
polyline { fill: none; stroke-width: 1.2; stroke-linejoin: round; }
.key { font-size: .87rem; margin: 0 0 .4rem; max-width: none; } .key span { margin-right: 1.1rem; white-space: nowrap; }
.key i { display: inline-block; width: .75rem; height: .75rem; margin-right: .35rem; border-radius: 2px;
  vertical-align: -1px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .scroll { overflow: visible; } }
"""

_COLORS = 8
_ALIGN = {'<': 'l', '>': 'r', '^': 'c'}


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole HTML document of parts that are HTML already: what the functions below return."""
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<title>{0}</title>\n<style>{1}</style></head>\n<body>\n<h1>{0}</h1>\n{2}\n</body></html>\n'.format(
                escape(title), _STYLE, '\n'.join(body)))


def heading(text: str, level: int = 2) -> str:
    """Return a heading, level 2 or 3."""
    return '<h{0}>{1}</h{0}>'.format(level, escape(text))


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return '<p>{}</p>'.format(escape(text))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], align: str = '', caption: str = '') -> str:
    """Return a table of texts.

    Args:
        header: a text per column; all empty = no such row.
        align: a character per column: < left, > right, ^ centred; what is missing: the first left, the others right.
    """
    sides = [_ALIGN[align[i]] if i < len(align) else 'r' if i else 'l' for i in range(len(header))]

    def line(cells: Sequence[object], tag: str) -> str:
        return '<tr>{}</tr>'.format(''.join('<{0} class="{1}">{2}</{0}>'.format(tag, side, escape(str(cell)))
                                            for side, cell in zip(sides, cells)))
    return '<div class="scroll"><table>{}<thead>{}</thead><tbody>\n{}\n</tbody></table></div>'.format(
        '<caption>{}</caption>'.format(escape(caption)) if caption else '', line(header, 'th') if any(header) else '',
        '\n'.join(line(row, 'td') for row in rows))


def picture(png: bytes, caption: str = '') -> str:
    """Return a PNG file as a picture inside the page."""
    return _figure('<img alt="{}" src="data:image/png;base64,{}">'.format(
        escape(caption), base64.b64encode(png).decode('ascii')), caption)


def bars(labels: Sequence[str], series: Mapping[str, Sequence[float]], unit: str = '', caption: str = '',
         whiskers: Optional[Mapping[str, Sequence[Tuple[float, float]]]] = None, stacked: bool = False) -> str:
    """Return horizontal bars from zero, with their values.

    Args:
        series: name -> a value >= 0 per label; NaN = no bar. With one name, no key is drawn.
        whiskers: name of a series -> (low, high) per label.
        stacked: the series of a label follow each other in one bar; its value is their sum.
    """
    whiskers = whiskers or {}
    names = list(series)
    sums = [sum(v for v in (series[name][i] for name in names) if _is_real(v)) for i in range(len(labels))]
    ends = sums if stacked else [v for name in names for v in series[name]]
    limit = max([v for v in ends + [high for pairs in whiskers.values() for _, high in pairs] if _is_real(v)] + [0])
    limit = limit or 1.0
    parts: List[str] = []
    y = 0
    for i, label in enumerate(labels):
        parts.append(_text(0, y + 12, label))
        if stacked:
            parts.append(_text('100%', y + 12, _value(sums[i], unit), 'end'))
            parts.append('<rect class="track" x="0" y="{}" width="100%" height="16"/>'.format(y + 18))
            start = 0.0
            for color, name in enumerate(names):
                value = series[name][i]
                if _is_real(value):
                    parts.append(_bar(start / limit, value / limit, y + 18, 16, color,
                                      '{}: {}'.format(name, _value(value, unit))))
                    start += value
            y += 46
            continue
        y += 18
        for color, name in enumerate(names):
            value = series[name][i]
            parts.append('<rect class="track" x="0" y="{}" width="100%" height="14"/>'.format(y))
            if _is_real(value):
                low, high = whiskers[name][i] if name in whiskers else (value, value)
                parts.append(_bar(0, value / limit, y, 14, color, '{}: {}'.format(name, _value(value, unit))))
                if _is_real(low) and _is_real(high) and high > low:
                    parts.append(_whisker(low / limit, high / limit, y + 7))
            parts.append(_text('100%', y - 6 if len(names) == 1 else y + 11, _value(value, unit),
                               'end' if len(names) == 1 else 'beside'))
            y += 18
        y += 10
    return _figure('{}<div class="{}"><svg role="img" height="{}">{}</svg></div>'.format(
        _key(names), '' if stacked or len(names) == 1 else 'wide', max(y - 8, 1), ''.join(parts)), caption)


def lines(series: Mapping[str, Sequence[float]], unit: str = '', caption: str = '', points: int = 500,
          x_label: str = '') -> str:
    """Return values over their number in the sequence, one line per series, from zero up.

    Long series are thinned to the smallest and largest of each stretch, so that no peak is lost.
    """
    limit = max([v for values in series.values() for v in values if _is_real(v)] + [0]) or 1.0
    length = max([len(values) for values in series.values()] + [2])
    ticks = _ticks(limit)
    top = max(limit, ticks[-1])
    height = 200
    drawn = []
    for color, values in enumerate(series.values()):
        thin = ' '.join('{:.1f},{:.2f}'.format(1000.0 * i / (length - 1), 100 - 100 * v / top)
                        for i, v in _thinned(values, points))
        drawn.append('<polyline stroke="var(--c{})" points="{}" vector-effect="non-scaling-stroke"/>'.format(
            color % _COLORS, thin))
    marks = []
    for tick in ticks:
        y = height - height * tick / top
        marks.append('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>'.format(y))
        marks.append(_text(-6, y + 4, _number(tick) + (' ' + unit if unit and tick == ticks[-1] else ''), 'end', True))
    marks.append(_text(0, height + 16, '1', faint=True))
    marks.append(_text('100%', height + 16, '{}{}'.format(length, ' ' + x_label if x_label else ''), 'end', True))
    return _figure(_key(list(series)) + (
        '<div class="plot"><svg role="img" height="{}">{}'
        '<svg width="100%" height="{}" viewBox="0 0 1000 100" preserveAspectRatio="none">{}</svg></svg></div>').format(
            height + 20, ''.join(marks), height, ''.join(drawn)), caption)


def histograms(series: Mapping[str, Sequence[float]], unit: str = '', caption: str = '', bins: int = 60) -> str:
    """Return how often each value occurs, a strip per series over one common axis.

    The axis ends at the 99.5th percentile of all values; what lies beyond is in the last bin.
    """
    values = sorted(v for each in series.values() for v in each if _is_real(v))
    if not values:
        return _figure('', caption)
    low, high = values[0], values[int(0.995 * (len(values) - 1))]
    if high <= low:
        low, high = low - 0.5, low + 0.5
    strip, parts = 58, []
    for number, (name, each) in enumerate(series.items()):
        counts: Dict[int, int] = {}
        for v in each:
            if _is_real(v):
                place = min(max(int((v - low) / (high - low) * bins), 0), bins - 1)
                counts[place] = counts.get(place, 0) + 1
        base = number * strip + strip - 4
        parts.append(_text(0, base - 40, name))
        parts.append('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>'.format(base))
        for place, count in sorted(counts.items()):
            tall = 36.0 * count / max(counts.values())
            parts.append('<rect x="{:.3f}%" y="{:.1f}" width="{:.3f}%" height="{:.1f}" fill="var(--c{})">'
                         '<title>{}</title></rect>'.format(
                             100.0 * place / bins, base - tall, 92.0 / bins, tall, number % _COLORS,
                             escape('{} from {}'.format(count, _value(low + (high - low) * place / bins, unit)))))
    bottom = len(series) * strip + 14
    for share, anchor in ((0.0, 'start'), (0.5, 'middle'), (1.0, 'end')):
        parts.append(_text('{:.0f}%'.format(100 * share), bottom, _value(low + share * (high - low), unit), anchor,
                           True))
    return _figure('<svg role="img" height="{}">{}</svg>'.format(bottom + 4, ''.join(parts)), caption)


def _figure(content: str, caption: str) -> str:
    return '<figure>{}{}</figure>'.format(
        content, '<figcaption>{}</figcaption>'.format(escape(caption)) if caption else '')


def _key(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ''
    return '<p class="key">{}</p>'.format(' '.join('<span><i style="background:var(--c{})"></i>{}</span>'.format(
        number % _COLORS, escape(name)) for number, name in enumerate(names)))


def _text(x: object, y: float, text: str, anchor: str = 'start', faint: bool = False) -> str:
    # beside = to the right of x, by a gap.
    place = 'dx="8"' if anchor == 'beside' else 'text-anchor="{}"'.format(anchor)
    return '<text x="{}" y="{:.1f}" {}{}>{}</text>'.format(
        x, y, place, ' class="faint"' if faint else '', escape(text))


def _bar(start: float, share: float, y: float, height: int, color: int, title: str) -> str:
    return '<rect x="{:.3f}%" y="{}" width="{:.3f}%" height="{}" fill="var(--c{})"><title>{}</title></rect>'.format(
        100 * start, y, 100 * share, height, color % _COLORS, escape(title))


def _whisker(low: float, high: float, y: float) -> str:
    return ''.join('<line class="whisker" x1="{:.3f}%" x2="{:.3f}%" y1="{}" y2="{}"/>'.format(
        100 * x1, 100 * x2, y1, y2) for x1, x2, y1, y2 in (
            (low, high, y, y), (low, low, y - 4, y + 4), (high, high, y - 4, y + 4)))


def _is_real(value: float) -> bool:
    return math.isfinite(value)


def _number(value: float) -> str:
    """Return three significant digits, without an exponent for what people read."""
    if not _is_real(value):
        return '-'
    if value == 0 or abs(value) >= 100:
        return '{:,.0f}'.format(value)
    return '{:.{}f}'.format(value, max(0, 2 - int(math.floor(math.log10(abs(value))))))


def _value(value: float, unit: str) -> str:
    return _number(value) + (' ' + unit if unit and _is_real(value) else '')


def _ticks(limit: float) -> List[float]:
    """Return about four round numbers from 0 up to at least `limit`."""
    step = 10.0 ** math.floor(math.log10(limit / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= limit / 4)
    return [step * i for i in range(int(math.ceil(limit / step - 1e-9)) + 1)]


def _thinned(values: Sequence[float], points: int) -> Iterable[Tuple[int, float]]:
    stretch = max(1, -(-2 * len(values) // points))
    for begin in range(0, len(values), stretch):
        part = [(v, begin + i) for i, v in enumerate(values[begin:begin + stretch]) if _is_real(v)]
        for i, v in sorted({(i, v) for v, i in (min(part), max(part))} if part else ()):
            yield i, v

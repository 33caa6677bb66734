import re
from html.parser import HTMLParser

import pytest

from trt_perception.bench import html

NASTY = '<b>&"\'</b>'


class Checker(HTMLParser):
    """Fails on tags that are not closed in order, and collects what the page would load or run."""

    VOID = {'meta', 'img', 'line', 'rect', 'polyline', 'br'}

    def __init__(self, page):
        super().__init__()
        self.open = []
        self.texts = []
        self.loads = []
        self.tags = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [value for name, value in attrs if name in ('src', 'href') and not value.startswith('data:')]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def whole_page():
    series = {NASTY: [1.0, 2.0, 9.0], 'b': [2.0, 3.0, float('nan')]}
    return html.page(NASTY, [
        html.heading(NASTY), html.paragraph(NASTY), html.table(['a', NASTY], [[NASTY, 1]], caption=NASTY),
        html.picture(b'\x89PNG', NASTY), html.bars([NASTY, 'c', 'd'], series, 'ms', NASTY),
        html.bars(['x'], {'s': [1.0]}, 'ms', whiskers={'s': [(0.5, 2.0)]}),
        html.bars(['x', 'y', 'z'], series, stacked=True), html.lines(series, 'ms', NASTY, x_label=NASTY),
        html.histograms(series, 'ms', NASTY)])


def test_a_page_is_well_formed_loads_nothing_and_runs_nothing():
    page = whole_page()
    checked = Checker(page)
    assert checked.loads == []
    assert 'script' not in checked.tags
    assert not re.search(r'url\(|@import|https?:', page)


def test_everything_is_escaped():
    page = whole_page()
    assert '<b>' not in page
    checked = Checker(page)
    assert checked.texts.count(NASTY) >= 8


def test_a_table_aligns_names_left_and_numbers_right_unless_told():
    assert '<td class="l">a</td><td class="r">1</td>' in html.table(['x', 'y'], [['a', 1]])
    assert '<td class="r">a</td><td class="c">1</td>' in html.table(['x', 'y'], [['a', 1]], '>^')
    assert '<th ' not in html.table(['', ''], [['a', 1]])


def test_a_picture_is_inside_the_page():
    assert 'src="data:image/png;base64,iVBORw=="' in html.picture(b'\x89PNG\x0d'[:4], 'x')


def widths(text):
    return [float(width) for width in re.findall(r'width="([\d.]+)%"[^>]* fill=', text)]


def test_bars_are_as_long_as_their_values():
    assert widths(html.bars(['a', 'b'], {'x': [2.0, 8.0]})) == [25.0, 100.0]
    assert widths(html.bars(['a', 'b'], {'x': [2.0, 8.0]}, whiskers={'x': [(1.0, 16.0), (7.0, 9.0)]})) == [12.5, 50.0]
    assert widths(html.bars(['a'], {'x': [1.0], 'y': [3.0]}, stacked=True)) == [25.0, 75.0]
    assert widths(html.bars(['a', 'b'], {'x': [float('nan'), 8.0]})) == [100.0]
    assert widths(html.bars(['a'], {'x': [0.0]})) == [0.0]


def test_a_line_keeps_every_peak_when_it_is_thinned():
    values = [1.0] * 10000
    values[4321] = 50.0
    values[77] = 0.5
    text = html.lines({'x': values}, points=100)
    points = [tuple(map(float, point.split(','))) for point in re.search(r'points="([^"]+)"', text).group(1).split()]
    assert len(points) <= 110
    heights = [round(100 - y, 2) for _, y in points]
    top = max(heights) / 50.0
    assert abs(min(heights) / top - 0.5) < 0.02
    assert points == sorted(points)


def test_a_histogram_counts_every_value():
    text = html.histograms({'x': [1.0, 1.0, 2.0, 3.0, 100.0]}, bins=4)
    assert sum(int(count) for count in re.findall(r'<title>(\d+) from', text)) == 5


def test_the_axis_goes_beyond_the_largest_value_in_round_steps():
    for limit in (0.003, 0.7, 1.0, 37.0, 900.0):
        ticks = html._ticks(limit)
        assert ticks[0] == 0
        assert ticks[-1] >= limit * (1 - 1e-9)
        assert 3 <= len(ticks) <= 6


@pytest.mark.parametrize(('value', 'text'), [(0, '0'), (0.01234, '0.0123'), (1.2345, '1.23'), (12.345, '12.3'),
                                             (123.45, '123'), (12345.0, '12,345'), (float('nan'), '-')])
def test_numbers_have_three_digits(value, text):
    assert html._number(value) == text


def test_empty_series_make_no_plot_fail():
    Checker(html.page('x', [html.bars([], {}), html.lines({'x': []}), html.histograms({'x': []})]))

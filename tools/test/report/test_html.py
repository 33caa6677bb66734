import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from trt_perception_tools.report import html, plots

NASTY = '<b>&"\'$x</b>'


class Checker(HTMLParser):
    """Fails on tags that are not closed in order, and collects what the page would load, show or run."""

    VOID = {'meta', 'img', 'br'}

    def __init__(self, page: str):
        super().__init__()
        self.open, self.texts, self.loads, self.images, self.tags = [], [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ('src', 'href'):
                (self.images if value.startswith('data:') else self.loads).append(value)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def whole_page() -> str:
    series = {NASTY: [1.0, 2.0, 9.0], 'b': [2.0, 3.0, float('nan')]}
    return html.page(NASTY, [
        html.heading(NASTY), html.paragraph(NASTY), html.table(['a', NASTY], [[NASTY, 1]], caption=NASTY),
        html.image(b'\x89PNG', NASTY), html.bars([NASTY, 'c', 'd'], series, 'ms', NASTY),
        html.bars(['x'], {'s': [1.0]}, 'ms', whiskers={'s': [(0.5, 2.0)]}),
        html.bars(['x', 'y', 'z'], series, stacked=True), html.lines(series, 'ms', NASTY, x_label=NASTY),
        html.histograms(series, 'ms', NASTY)])


def test_a_page_is_well_formed_loads_nothing_and_runs_nothing():
    page = whole_page()
    checked = Checker(page)
    assert checked.loads == []
    assert 'script' not in checked.tags
    assert not re.search(r'url\(|@import|https?:', page)
    assert [image.partition(';')[0] for image in checked.images] == ['data:image/png'] + 5 * ['data:image/svg+xml']
    for image in checked.images[1:]:
        root = ElementTree.fromstring(base64.b64decode(image.partition(',')[2]))
        assert root.tag.endswith('svg')


def test_everything_is_escaped():
    page = whole_page()
    assert '<b>' not in page
    assert Checker(page).texts.count(NASTY) >= 8


def test_a_table_aligns_names_left_and_numbers_right_unless_told():
    assert '<td class="l">a</td><td class="r">1</td>' in html.table(['x', 'y'], [['a', 1]])
    assert '<td class="r">a</td><td class="c">1</td>' in html.table(['x', 'y'], [['a', 1]], '>^')
    assert '<th ' not in html.table(['', ''], [['a', 1]])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch):
    """Return the figures that are drawn, as matplotlib has them."""
    figures = []
    real = plots._svg
    monkeypatch.setattr(plots, '_svg', lambda figure: figures.append(figure) or real(figure))
    return figures


def test_bars_are_as_long_as_their_values_and_have_them_written_beside(drawn):
    plots.bars(['x', 'y'], {'a': [1.0, 2.5], 'b': [150.0, float('nan')]}, 'ms', {}, False)
    [axes] = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [1.0, 2.5, 150.0, 0.0]
    assert [text.get_text() for text in axes.texts] == ['1.00', '2.50', '150', '']
    assert axes.get_xlabel() == 'ms'
    assert axes.get_xlim()[0] == 0


def test_percentages_are_on_an_axis_from_0_to_100(drawn):
    plots.bars(['x'], {'a': [1.0]}, '%', {}, False)
    plots.lines({'a': [1.0, 2.0]}, '%', '')
    assert drawn[0].axes[0].get_xlim() == (0, 100)
    assert drawn[1].axes[0].get_ylim() == (0, 100)


def test_stacked_bars_follow_each_other_and_tell_their_sum(drawn):
    plots.bars(['x', 'y'], {'a': [1.0, 2.0], 'b': [3.0, float('nan')]}, 'ms', {}, True)
    [axes] = drawn[0].axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 1.0), (0, 2.0), (1.0, 3.0), (2.0, 0.0)]
    assert [text.get_text().strip() for text in axes.texts] == ['4.00', '2.00']


def test_a_histogram_has_a_strip_per_series_and_keeps_what_lies_beyond_in_the_last_bin(drawn):
    plots.histograms({'a': [1.0] * 300 + [99.0], 'b': [2.0, float('nan')]}, 'ms', 10)
    first, second = drawn[0].axes
    assert (first.get_title('left'), second.get_title('left')) == ('a', 'b')
    assert [patch.get_height() for patch in first.patches] == [300.0] + 8 * [0.0] + [1.0]
    assert sum(patch.get_height() for patch in second.patches) == 1


def test_nothing_to_draw_is_an_empty_plot():
    assert b'<svg' in plots.histograms({}, 'ms')
    assert b'<svg' in plots.bars([], {}, 'ms', {}, False)


def test_a_reliability_diagram_leaves_empty_bins_out(drawn):
    plots.reliability({'a': [(0.25, 0.3, 0.2), (0.0, float('nan'), float('nan')), (0.75, 0.9, 0.95)]})
    diagram, amount = drawn[0].axes
    diagonal, curve = diagram.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert curve.get_xydata().tolist() == [[0.3, 0.2], [0.9, 0.95]]
    assert amount.lines[0].get_xydata().tolist() == [[0.3, 0.25], [0.9, 0.75]]

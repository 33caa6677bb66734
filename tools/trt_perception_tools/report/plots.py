"""Plots as SVG files, drawn with matplotlib. Values are >= 0; NaN = there is none."""
from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WIDTH_IN = 10.0
_STYLE: dict[Any, Any] = {
    'font.size': 10, 'font.family': 'sans-serif', 'axes.spines.top': False, 'axes.spines.right': False,
    'axes.grid': True, 'axes.grid.axis': 'x', 'grid.color': '#d9dee4', 'axes.axisbelow': True,
    'svg.hashsalt': 'trt_perception', 'text.parse_math': False,
    'axes.prop_cycle': "cycler('color', ['#2f6db5', '#d9822b', '#3c8d5a', '#a84f8f', '#7a6a58', '#3aa0a8', "
                       "'#b8433f', '#8c8c2e'])"}


def bars(labels: Sequence[str], series: Mapping[str, Sequence[float]], unit: str,
         whiskers: Mapping[str, Sequence[tuple[float, float]]], stacked: bool) -> bytes:
    """Draw horizontal bars from zero, with their values; percentages are on an axis from 0 to 100.

    Args:
        series: name -> a value per label. With one name, no key is drawn.
        whiskers: name of a series -> (low, high) per label.
        stacked: the series of a label follow each other in one bar; its value is their sum.
    """
    with rc_context(_STYLE):
        rows = len(labels) * (1 if stacked else max(len(series), 1))
        figure, axes = _figure(0.9 + 0.3 * rows + 0.1 * len(labels))
        places = np.arange(len(labels), dtype=float)
        thick = 0.8 / (1 if stacked else max(len(series), 1))
        start = np.zeros(len(labels))
        for number, (name, values) in enumerate(series.items()):
            array = np.nan_to_num(np.asarray(values, float))
            at = places if stacked else places - 0.4 + thick * (number + 0.5)
            drawn = axes.barh(at, array, thick * 0.9, left=start if stacked else None, label=name)
            if name in whiskers:
                pairs = np.asarray(whiskers[name], float).T
                axes.errorbar(array, at, xerr=np.abs(pairs - array), fmt='none', ecolor='#1b1f24', elinewidth=1,
                              capsize=3)
            if stacked:
                start = start + array
            else:
                texts = ['' if np.isnan(value) else _text(value) for value in np.asarray(values, float)]
                if name in whiskers:  # Not where the whisker is.
                    axes.bar_label(drawn, texts, label_type='center', color='white')
                else:
                    axes.bar_label(drawn, texts, padding=3)
        if stacked:
            for place, total in zip(places, start, strict=True):
                axes.text(total, place, ' ' + _text(total), va='center')
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.tick_params(axis='y', length=0)
        axes.set_xlabel(unit)
        axes.margins(x=0.12)
        axes.set_xlim(0, 100 if unit == '%' else None)
        if len(series) > 1:
            figure.legend(loc='outside upper left', ncols=min(len(series), 4), frameon=False)
        return _svg(figure)


def lines(series: Mapping[str, Sequence[float]], unit: str, x_label: str) -> bytes:
    """Draw values over their number in the sequence, from zero up, one line per series."""
    with rc_context({**_STYLE, 'axes.grid.axis': 'y'}):
        figure, axes = _figure(3.2)
        for name, values in series.items():
            axes.plot(np.arange(1, len(values) + 1), values, label=name, linewidth=1)
        axes.set_ylim(0, 100 if unit == '%' else None)
        axes.set_ylabel(unit)
        axes.set_xlabel(x_label)
        if len(series) > 1:
            figure.legend(loc='outside upper left', ncols=min(len(series), 4), frameon=False)
        return _svg(figure)


def histograms(series: Mapping[str, Sequence[float]], unit: str, bins: int = 60) -> bytes:
    """Draw how often each value occurs, a strip per series over one common axis.

    The axis ends at the 99.5th percentile of all values; what lies beyond is in the last bin.
    """
    arrays = {name: np.asarray(values, float)[np.isfinite(values)] for name, values in series.items()}
    everything = np.concatenate(list(arrays.values())) if arrays else np.zeros(0)
    low, high = (float(everything.min()), float(np.percentile(everything, 99.5))) if everything.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 0.7 + 0.8 * max(len(arrays), 1)), layout='constrained')
        strips = np.ravel(figure.subplots(max(len(arrays), 1), sharex=True, squeeze=False))
        for number, (name, values) in enumerate(arrays.items()):
            axes = strips[number]
            axes.hist(np.clip(values, edges[0], edges[-1]), edges, color=f'C{number}')
            axes.set_title(name, loc='left', fontsize=10)
            axes.set_yticks([])
        strips[-1].set_xlabel(unit)
        return _svg(figure)


def reliability(series: Mapping[str, Sequence[tuple[float, float, float]]]) -> bytes:
    """Draw the share of right answers over the confidence, and how much there is of each, all axes 0..1.

    Args:
        series: name -> share of all, confidence and share of right answers of each bin; empty bins are left out.
    """
    with rc_context({**_STYLE, 'axes.grid.axis': 'both'}):
        figure = Figure(figsize=(5.5, 6.5), layout='constrained')
        diagram, amount = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        diagram.plot((0, 1), (0, 1), color='0.6', linestyle='--', linewidth=1)
        for number, (name, bins) in enumerate(series.items()):
            share, confidence, right = zip(*(each for each in bins if each[0]), strict=True)
            diagram.plot(confidence, right, marker='o', markersize=4, color=f'C{number}', label=name)
            amount.plot(confidence, share, marker='o', markersize=4, color=f'C{number}')
        diagram.set(xlim=(0, 1), ylim=(0, 1), aspect='equal', ylabel='share of right answers')
        diagram.legend(loc='upper left', frameon=False)
        amount.set(xlabel='confidence', ylabel='share of all', ylim=(0, 1))
        return _svg(figure)


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout='constrained')
    return figure, figure.subplots()


def _text(value: float) -> str:
    """Return three significant digits, without an exponent for what people read."""
    return f'{value:,.0f}' if value == 0 or value >= 100 else f'{value:#.3g}'


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format='svg', metadata={'Date': None})
    return file.getvalue()

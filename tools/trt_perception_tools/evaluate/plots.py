"""Diagrams of the page as PNG files."""
from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from .reliability import BINS, Reliability


def reliability_diagram(contenders: Mapping[str, Reliability]) -> bytes:
    """Draw the share of right labels over the confidence, and how many pixels there are, both axes 0..1."""
    from matplotlib.figure import Figure  # Takes a second, which `--help` need not wait for.
    figure = Figure(figsize=(5.5, 6.5), layout='constrained')
    diagram, pixels = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    diagram.plot((0, 1), (0, 1), color='0.7', linestyle='--', linewidth=1)
    edges = np.linspace(0, 1, BINS + 1)
    for name, each in contenders.items():
        filled = [entry for entry in each.bins if entry.pixels]
        diagram.plot([entry.confidence for entry in filled], [entry.right for entry in filled], marker='o',
                     markersize=4, label=f'{name}: ECE {each.ece:.4f}')
        pixels.stairs([entry.pixels / each.pixels for entry in each.bins], edges)
    diagram.set(xlim=(0, 1), ylim=(0, 1), aspect='equal', ylabel='share of right labels')
    diagram.legend(loc='upper left', fontsize='small')
    pixels.set(xlabel='confidence', ylabel='share of pixels', ylim=(0, 1))
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    return file.getvalue()

"""Compares a graph with its original."""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Difference(NamedTuple):
    """The difference of two results for one image or pair."""

    measures: Mapping[str, float]
    """Largest differences by what they are of."""
    limits: Mapping[str, float]
    """That rounding explains, of each of them."""
    text: str
    """For people: 'flow differs by at most 1e-6 px'."""

    @property
    def is_rounding(self) -> bool:
        """Whether none is above its limit."""
        return all(value <= self.limits[name] for name, value in self.measures.items())

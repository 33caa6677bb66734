"""Statistics of a series: percentiles, and ratios between interleaved contenders."""
from typing import Dict, NamedTuple, Optional

import numpy as np

from .contender import TRANSFERS
from .measure import Series


class Distribution(NamedTuple):
    """Distribution of milliseconds."""

    samples: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Ratio(NamedTuple):
    """One contender relative to another: quartiles of the ratios of their medians, turn by turn."""

    median: float
    q1: float
    q3: float
    turns: int


class Summary(NamedTuple):
    """The reported statistics of one contender."""

    total: Distribution
    stages: Dict[str, Distribution]
    mean_without_transfers_ms: Optional[float]
    """None if the runtime has no transfers, or does not report them."""
    fps: float
    """Frames per second, one after another: 1000 / mean."""
    ratio: Ratio
    """Ratio to the first contender."""


def distribution(values: np.ndarray) -> Distribution:
    """Return the distribution of (N,) values, N >= 1."""
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, [50, 90, 95, 99]))
    return Distribution(values.size, float(values.mean()), p50, p90, p95, p99, float(values.max()))


def medians(values: np.ndarray, block: int) -> np.ndarray:
    """Return (turns,) medians of (frames,) values; an incomplete last turn counts only when it is the only one."""
    whole = values[:max(values.size // block, 1) * block]
    return np.median(whole.reshape(-1, min(block, whole.size)), axis=1)


def ratio(values: np.ndarray, reference: np.ndarray, block: int) -> Ratio:
    """Return the ratio of (frames,) values to those of the reference, (frames,), which took turns with them."""
    ratios = medians(values, block) / medians(reference, block)
    q1, median, q3 = (float(value) for value in np.percentile(ratios, [25, 50, 75]))
    return Ratio(median, q1, q3, ratios.size)


def overhead(values: np.ndarray, reference: np.ndarray, block: int) -> Ratio:
    """Return by which share (frames,) values exceed the reference's, turn by turn: 0.04 = 4 %."""
    quotient = ratio(values, reference, block)
    return Ratio(quotient.median - 1, quotient.q1 - 1, quotient.q3 - 1, quotient.turns)


def summarise(series: Series, reference: Series) -> Summary:
    """Return the reported statistics of a series."""
    total = distribution(series.total_ms)
    transfers = [series.stages_ms[stage] for stage in TRANSFERS if stage in series.stages_ms]
    without = float((series.total_ms - np.sum(transfers, axis=0)).mean()) if transfers else None
    return Summary(total, {stage: distribution(values) for stage, values in series.stages_ms.items()}, without,
                   1e3 / total.mean, ratio(series.total_ms, reference.total_ms, series.block))

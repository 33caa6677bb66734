"""Measures contenders interleaved, A B A B in blocks, so that other load on the machine affects all of them."""
import time
from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from ..core.errors import ConfigError
from .contender import STAGES, Contender
from .frames import EncodedImage
from .request import Plan, Progress, check_plan

_INTERVAL_NS = 33333333


class Series(NamedTuple):
    """Measurements of one contender."""

    contender: Contender
    total_ms: np.ndarray
    """(N,) float64, ms: from the image's bytes to its result."""
    stages_ms: Dict[str, np.ndarray]
    """Stage -> (N,) float64, in the order of STAGES."""
    block: int
    """Measured frames per turn."""


def measure(contenders: Sequence[Contender], images: Sequence[EncodedImage], plan: Plan, progress: Progress
            ) -> List[Series]:
    """Measure all contenders on the same images, interleaved.

    Raises:
        ConfigError: the contenders do not fit together, or the plan is empty.
        PerceptionError: one of them fails.
    """
    check_plan(plan)
    check_comparable(contenders)
    stamp_ns = 0
    samples: List[List[Dict[str, float]]] = [[] for _ in contenders]
    shown = [0 for _ in contenders]

    def run(number: int, frames: int, keep: bool) -> None:
        nonlocal stamp_ns
        for _ in range(frames):
            stamp_ns += _INTERVAL_NS
            image = images[shown[number] % len(images)]  # One camera after another, because flow is per camera.
            shown[number] += 1
            start = time.perf_counter()
            stages = contenders[number].process(image, stamp_ns)
            total = (time.perf_counter() - start) * 1e3
            if keep:
                samples[number].append(dict(stages, total=total))

    for number, contender in enumerate(contenders):
        progress(0.0, 'warming up ' + contender.name)
        run(number, max(plan.warm_up, 2), False)  # Two: the first frame gives no flow.
    start_s = time.monotonic()
    while len(samples[-1]) < plan.iterations:
        for number in range(len(contenders)):
            run(number, 1, False)
            run(number, min(plan.block, plan.iterations - len(samples[number])), True)
        spent_s = time.monotonic() - start_s
        progress(len(samples[-1]) / plan.iterations, '{} of {} frames each'.format(len(samples[-1]), plan.iterations))
        if plan.limit_s and spent_s > plan.limit_s:
            break
    return [Series(contender, np.array([sample['total'] for sample in each]),
                   {stage: np.array([sample[stage] for sample in each]) for stage in STAGES if stage in each[0]},
                   plan.block) for contender, each in zip(contenders, samples)]


def check_comparable(contenders: Sequence[Contender]) -> None:
    """Refuse contenders of different tasks, whose times cannot be compared.

    Raises:
        ConfigError: there are.
    """
    tasks = sorted({contender.task for contender in contenders})
    if len(tasks) > 1:
        raise ConfigError('models: got tasks {}: {}. Expected models of one task: compare them in separate runs.'
                          .format(' and '.join(tasks), ', '.join(contender.name for contender in contenders)))

"""How much a bench measures."""
from typing import Callable, NamedTuple

from ..core.errors import ConfigError


class Plan(NamedTuple):
    """How much is measured."""

    iterations: int = 900
    """Frames per contender."""
    warm_up: int = 20
    """Frames per contender before them, not measured."""
    block: int = 10
    """Frames after which it is the next one's turn. The first of a turn is not measured: caches are another's."""
    limit_s: float = 0.0
    """Stop after the round in which so much time has passed; 0 = no limit."""


Progress = Callable[[float, str], None]
"""Told the share that is done, 0..1, and a text."""


def check_plan(plan: Plan) -> None:
    """Refuse a plan by which nothing would be measured.

    Raises:
        ConfigError: it is one.
    """
    for option, value, least in (('--iterations', plan.iterations, 1), ('--block', plan.block, 1),
                                 ('--warm-up', plan.warm_up, 0)):
        if value < least:
            raise ConfigError('{}: got {}, expected at least {}.'.format(option, value, least))
    if not plan.limit_s >= 0:  # Nor NaN.
        raise ConfigError('--limit: got {:g}, expected seconds, or 0 for no limit.'.format(plan.limit_s))

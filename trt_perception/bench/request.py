"""The request of a bench: what to measure, and how much."""
from typing import Callable, Dict, NamedTuple, Tuple

from ..core.errors import ConfigError


class Plan(NamedTuple):
    """The amount to measure."""

    iterations: int = 900
    """Frames per contender."""
    warm_up: int = 20
    """Frames per contender before the measurement."""
    block: int = 10
    """Frames per turn. The first of a turn is not measured, because the caches are still those of the previous one."""
    limit_s: float = 0.0
    """Stop after the round that ends after this time; 0 = no limit."""


Progress = Callable[[float, str], None]
"""Called with the share that is done, 0..1, and a text."""


class Request(NamedTuple):
    """One bench."""

    models: Tuple[str, ...]
    """Names in config/models, or paths of YAMLs; all for one task."""
    command: str = 'trt_perception bench'
    """Command line of this bench, for the report."""
    engines: Tuple[str, ...] = ('auto',)
    """ENGINE or ENGINE:PRECISION; each model is measured on all of them."""
    threads: int = 0
    """CPU threads per engine; 0 = all cores."""
    confidence: bool = True
    """Whether the confidence is computed, by models that have one."""
    tutorial: str = ''
    """ONNX file of one more contender: see bench.tutorial."""
    cameras: Tuple[str, ...] = ()
    """WIDTHxHEIGHT of synthetic frames; () = 640x480, or the frames of a bag."""
    seed: int = 0
    """Seed of the synthetic frames."""
    frames: str = ''
    """A bag whose frames are used instead."""
    topic: str = ''
    """Image topic of the bag, if it has several."""
    plan: Plan = Plan()
    node: bool = False
    """Measure nodes over ROS instead of pipelines in this process."""
    bare: bool = False
    """Whether to measure a minimal node as well."""
    rate_hz: float = 30.0
    """Rate of the free-running camera."""
    outputs: Dict[str, str] = {}
    """Format of a report (see report.FORMS) -> its file."""


def check_request(request: Request) -> None:
    """Refuse a request that contradicts itself, before anything is opened.

    Raises:
        ConfigError: it does; the text names the command-line option.
    """
    check_plan(request.plan)
    if request.frames and request.cameras:
        raise ConfigError('--camera: got {} and --frames as well, expected one of them: the frames of a bag have '
                          'their size.'.format(' '.join(request.cameras)))
    if request.threads < 0:
        raise ConfigError('--threads: got {}, expected 0 (all cores) or more.'.format(request.threads))
    if not request.rate_hz > 0:  # Nor NaN.
        raise ConfigError('--rate: got {:g}, expected a number above 0.'.format(request.rate_hz))
    if request.bare and not request.node:
        raise ConfigError('--bare: got no --node, expected both: it is about the whole ROS path.')
    if request.node and len(request.models) * len(request.engines) != 1:
        raise ConfigError('--node: got {} models on {} engines, expected one on one: two at once would take each '
                          "other's cores. Measure them in separate runs.".format(
                              len(request.models), len(request.engines)))


def check_plan(plan: Plan) -> None:
    """Refuse a plan that would measure nothing.

    Raises:
        ConfigError: an amount is too small to measure anything.
    """
    for option, value, least in (('--iterations', plan.iterations, 1), ('--block', plan.block, 1),
                                 ('--warm-up', plan.warm_up, 0)):
        if value < least:
            raise ConfigError('{}: got {}, expected at least {}.'.format(option, value, least))
    if not plan.limit_s >= 0:  # Nor NaN.
        raise ConfigError('--limit: got {:g}, expected seconds, or 0 for no limit.'.format(plan.limit_s))

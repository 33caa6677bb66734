"""The request of a bench: what to measure, and how much of it."""
from typing import Callable, Dict, NamedTuple, Tuple

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


class Request(NamedTuple):
    """One bench."""

    models: Tuple[str, ...]
    """Names in config/models, or paths of YAMLs; all for one task."""
    command: str = 'trt_perception bench'
    """Repeats it on a command line, for the report."""
    engines: Tuple[str, ...] = ('auto',)
    """ENGINE or ENGINE:PRECISION; each model is measured on each of them."""
    threads: int = 0
    """CPU threads per engine; 0 = all cores."""
    confidence: bool = True
    """Whether the confidence is wanted of models that give one."""
    tutorial: str = ''
    """ONNX file of one more contender: see bench.tutorial."""
    cameras: Tuple[str, ...] = ()
    """WIDTHxHEIGHT of synthetic frames; () = 640x480, or the frames of a bag."""
    seed: int = 0
    """Of the synthetic frames."""
    frames: str = ''
    """A bag whose frames are taken instead."""
    topic: str = ''
    """Of the bag, where it has several with images."""
    plan: Plan = Plan()
    node: bool = False
    """Measure nodes over ROS instead of pipelines in this process."""
    bare: bool = False
    """Beside it, a node that does no more than ROS must."""
    rate_hz: float = 30.0
    """Of the camera whose frames are not waited for."""
    outputs: Dict[str, str] = {}
    """Form of a report (see report.FORMS) -> file that it is written to."""


def check_request(request: Request) -> None:
    """Refuse a request that contradicts itself, before anything is opened.

    Raises:
        ConfigError: it does; the text names the option of the command line.
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
    """Refuse a plan by which nothing would be measured.

    Raises:
        ConfigError: an amount is too small to measure anything.
    """
    for option, value, least in (('--iterations', plan.iterations, 1), ('--block', plan.block, 1),
                                 ('--warm-up', plan.warm_up, 0)):
        if value < least:
            raise ConfigError('{}: got {}, expected at least {}.'.format(option, value, least))
    if not plan.limit_s >= 0:  # Nor NaN.
        raise ConfigError('--limit: got {:g}, expected seconds, or 0 for no limit.'.format(plan.limit_s))

"""The fields of a training recipe, read from YAML and checked."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from trt_perception.core.errors import ConfigError

from ..tasks import tasks_with
from .config import checked


@dataclass(frozen=True)
class Optimiser:
    """The optimiser of torch.optim. Weight decay excludes parameters of one dimension: biases and normalisation."""

    name: Literal['AdamW', 'SGD'] = 'AdamW'
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    """Momentum of SGD (Nesterov), or beta 1 of AdamW."""
    slower: dict = field(default_factory=dict)
    """Module whose weights learn slower, e.g. a pretrained encoder -> factor on its learning rate; 0 = frozen."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f'learning_rate: got {self.learning_rate}, expected a number above 0.')


@dataclass(frozen=True)
class Schedule:
    """The learning rate over the steps: a linear warm-up, then `shape` down to `final` x the learning rate."""

    shape: Literal['cosine', 'poly', 'constant'] = 'cosine'
    warmup: float = 0.05
    """Warm-up as a share of all steps."""
    power: float = 0.9
    """Exponent of the shape poly, which ends at 0."""
    final: float = 0.0
    """Last value of the shape cosine."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f'warmup: got {self.warmup}, expected a share of all steps, 0 to below 1.')


@dataclass(frozen=True)
class Recipe:
    """The fields of CONFIG, without the section with the task's name."""

    task: str
    output: Path
    epochs: int
    seed: int = 0
    threads: int = 0
    """CPU threads; 0 = torch's choice."""
    autocast: Literal['none', 'bfloat16'] = 'none'
    """bfloat16 arithmetic on float32 weights: 1.9 times faster on a CPU with AVX512-BF16."""
    device: Literal['cpu', 'cuda'] = 'cpu'
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    clip: float = 0.0
    """Largest norm of all gradients; 0 = no limit."""
    ema: float = 0.0
    """Decay per step of the moving average of the weights, which is validated and kept; 0 = none."""
    validate_every: int = 1
    """Epochs between validations; the last epoch is always validated."""
    start: Path | None = None
    """Weights of the same network to begin with."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f'epochs: got {self.epochs}, expected at least 1.')
        if self.validate_every < 1:
            raise ValueError(f'validate_every: got {self.validate_every}, expected at least 1.')
        if not 0 <= self.ema < 1:
            raise ValueError(f'ema: got {self.ema}, expected a decay, 0 to below 1, e.g. 0.999.')


def read_recipe(path: Path, changes: Mapping[str, object] | None = None) -> tuple[Recipe, dict[str, object]]:
    """Return the recipe and the section of its task; `changes` replace fields of the file.

    Raises:
        ConfigError: there is no such file, or a field is unknown, missing or wrong.
    """
    if not path.is_file():
        raise ConfigError(f'{path}: no such file. Give a training recipe, e.g. one of tools/configs.')
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ConfigError(f'{path}: not YAML: {error}') from error
    if not isinstance(values, dict):
        raise ConfigError(f'{path}: got {values!r}, expected a mapping of fields.')
    values.update(changes or {})
    task = values.get('task')
    if task not in tasks_with('training'):
        raise ConfigError(f'{path}: task: got {task!r}, expected one of {", ".join(tasks_with("training"))}.')
    settings = values.pop(task, {})
    if not isinstance(settings, dict):
        raise ConfigError(f'{path}: {task}: got {settings!r}, expected a mapping of fields.')
    return checked(Recipe, values, str(path)), settings

"""Runs a training recipe: steps, moving average, validation, checkpoints, history. Independent of tasks."""
from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import random
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from trt_perception.core.errors import ConfigError, PerceptionError

from ..networks.state_dict import load_state
from ..networks.weights import read_weights
from ..tasks import training_class
from .recipe import Optimiser, Recipe, Schedule

_CHANGEABLE = {'epochs', 'threads', 'output', 'validate_every'}
"""Fields of a recipe that may change when a run is resumed."""
class Task(Protocol):
    """The task of a Trainer: network, data, loss and validation. The Trainer knows nothing else about it.

    It is made by `SomeTask(settings, where, seed)`: `settings` is the mapping below the task's name in the recipe,
    `where` the beginning of a ConfigError about it ('recipe.yaml: segmentation').
    """

    network: nn.Module
    """In training mode while `loss` is called, in evaluation mode in `validate`."""
    better: Literal['higher', 'lower']
    measure: str
    """Name of the score of `validate`, e.g. 'mIoU'."""
    steps_per_epoch: int

    def batches(self, epoch: int) -> Iterator[Any]:
        """Yield `steps_per_epoch` batches that depend on seed and epoch only."""

    def loss(self, batch: Any) -> Tensor | Mapping[str, Tensor]:
        """Return the loss, a scalar, or several: 'loss' is minimised, the others are only recorded."""

    def validate(self) -> float:
        """Score the network."""


def make_task(recipe: Recipe, settings: Mapping[str, object], where: str) -> Task:
    """Build the task of a recipe, its network's weights drawn from the seed.

    Raises:
        ConfigError: `settings` are not the task's, or its data are missing.
    """
    if recipe.device == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f'{where}: device: got cuda, but torch {torch.__version__} finds no GPU. Set device: cpu.')
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    random.seed(recipe.seed)
    np.random.seed(recipe.seed)
    task: Task = training_class(recipe.task)(settings, f'{where}: {recipe.task}', recipe.seed)
    return task


class Trainer:
    """Runs a recipe: steps, moving average, validation, checkpoints and history."""

    def __init__(self, task: Task, recipe: Recipe, settings: Mapping[str, object]) -> None:
        self.task = task
        self.recipe = recipe
        self.network = task.network.to(recipe.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.start:
            load_state(self.network, read_weights(recipe.start), str(recipe.start))
        self.steps = recipe.epochs * task.steps_per_epoch
        self.optimiser = _optimiser(self.network, recipe.optimiser)
        self.scheduler = _scheduler(self.optimiser, recipe.schedule, self.steps)
        self.average = AveragedModel(self.network, avg_fn=_moving_average(recipe.ema),
                                     use_buffers=True) if recipe.ema else None
        self.history: list[dict[str, float]] = []
        self._identity = json.dumps({**_plain(asdict(recipe)), 'settings': _plain(dict(settings))},
                                    sort_keys=True)

    @property
    def best(self) -> float | None:
        """The best score so far."""
        scores = [entry['score'] for entry in self.history if 'score' in entry]
        return (max if self.task.better == 'higher' else min)(scores) if scores else None

    def run(self) -> None:
        """Train to the last epoch, continuing an earlier run.

        Raises:
            ConfigError: last.pt is from another recipe.
            PerceptionError: the loss is no longer finite.
        """
        self.recipe.output.mkdir(parents=True, exist_ok=True)
        self._resume()
        for epoch in range(len(self.history), self.recipe.epochs):
            start = time.monotonic()
            learning_rate = float(self.scheduler.get_last_lr()[0])
            entry: dict[str, float] = {'epoch': epoch, 'learning_rate': learning_rate, **self._train(epoch)}
            last = epoch + 1 == self.recipe.epochs
            if last or (epoch + 1) % self.recipe.validate_every == 0:
                with self._validated_weights():
                    self.network.eval()
                    score = self.task.validate()
                    if self._improves(score):
                        _save({'state_dict': self.network.state_dict(), 'epoch': epoch, 'score': score},
                              self.recipe.output / 'best.pt')
                entry['score'] = score
            entry['seconds'] = time.monotonic() - start
            self.history.append(entry)
            self._write()
            tqdm.write('  '.join(f'{name} {value:.4g}' for name, value in entry.items()))

    def _train(self, epoch: int) -> dict[str, float]:
        """Return the mean of every recorded loss over an epoch."""
        self.network.train()
        sums: dict[str, float] = {}
        skipped = 0
        batches = tqdm(self.task.batches(epoch), f'epoch {epoch + 1}/{self.recipe.epochs}', unit='step',
                       total=self.task.steps_per_epoch, leave=False, disable=None)
        for step, batch in enumerate(batches):
            with torch.autocast(self.recipe.device, torch.bfloat16, enabled=self.recipe.autocast == 'bfloat16'):
                losses = self.task.loss(batch)
            if isinstance(losses, Tensor):
                losses = {'loss': losses}
            value = losses['loss'].item()
            if not math.isfinite(value):
                raise PerceptionError(f'epoch {epoch + 1}, step {step + 1}: the loss became {value}. Lower '
                                      'optimiser: learning_rate, or set clip.')
            self.optimiser.zero_grad(set_to_none=True)
            losses['loss'].backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip or math.inf)
            if norm.isfinite():  # A single batch that overflows must not end a run of hours.
                self.optimiser.step()
            else:
                skipped += 1
            self.scheduler.step()
            if self.average:
                self.average.update_parameters(self.network)
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.item()
        means = {name: total / self.task.steps_per_epoch for name, total in sums.items()}
        return {**means, 'skipped': skipped} if skipped else means

    @contextlib.contextmanager
    def _validated_weights(self) -> Iterator[None]:
        """Use the moving average as the network's weights within a `with`."""
        if self.average is None:
            yield
            return
        own = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.module.state_dict())
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    def _improves(self, score: float) -> bool:
        best = self.best
        return best is None or (score > best if self.task.better == 'higher' else score < best)

    def _write(self) -> None:
        output = self.recipe.output
        _save({'recipe': self._identity, 'history': self.history, 'network': self.network.state_dict(),
               'average': self.average.state_dict() if self.average else None,
               'optimiser': self.optimiser.state_dict(), 'scheduler': self.scheduler.state_dict(),
               'random': torch.get_rng_state()}, output / 'last.pt')
        (output / 'history.json').write_text(json.dumps(self.history, indent=1) + '\n', encoding='utf-8')
        draw_curves(self.history, self.task.measure, output / 'curves.png')

    def _resume(self) -> None:
        path = self.recipe.output / 'last.pt'
        if not path.is_file():
            return
        try:
            # Optimisers and schedulers have plain numbers and tensors, so no code of the file is run.
            state = torch.load(path, map_location=self.recipe.device, weights_only=True)
        except (EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            raise ConfigError(f'{path}: no checkpoint of this trainer: {error}. Delete it to start over.') from error
        mine, other = json.loads(self._identity), json.loads(state['recipe'])
        changed = [name for name in sorted({*mine, *other} - _CHANGEABLE) if mine.get(name) != other.get(name)]
        if changed:
            raise ConfigError(f'{path}: got a run with another {", ".join(changed)}, expected one of this recipe. '
                              'Delete the folder to start over, or set another output.')
        self.history = state['history']
        self.network.load_state_dict(state['network'])
        if self.average:
            self.average.load_state_dict(state['average'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.scheduler.load_state_dict(state['scheduler'])
        _end_at(self.scheduler, self.steps)
        torch.set_rng_state(state['random'].cpu())


def _plain(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {str(name): _plain(value) for name, value in values.items()}
    return str(values) if isinstance(values, Path) else values


def _optimiser(network: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        factor = _factor(name, settings.slower)
        parameter.requires_grad_(factor > 0)
        if factor > 0:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor * settings.learning_rate, decay), []).append(parameter)
    settled = [{'params': parameters, 'lr': rate, 'weight_decay': decay}
               for (rate, decay), parameters in groups.items()]
    if settings.name == 'SGD':
        return torch.optim.SGD(settled, settings.learning_rate, settings.momentum, nesterov=settings.momentum > 0)
    return torch.optim.AdamW(settled, settings.learning_rate, (settings.momentum, 0.999))


def _factor(name: str, slower: Mapping[str, float]) -> float:
    """Return the factor of the longest module's name that a parameter's begins with, 1 where there is none."""
    names = [module for module in slower if name == module or name.startswith(module + '.')]
    return float(slower[max(names, key=len)]) if names else 1.0


def _scheduler(optimiser: torch.optim.Optimizer, settings: Schedule, steps: int) -> lr_scheduler.LRScheduler:
    warmup = round(settings.warmup * steps)
    after = max(1, steps - warmup)
    main: lr_scheduler.LRScheduler
    if settings.shape == 'cosine':
        main = lr_scheduler.CosineAnnealingLR(optimiser, after, settings.final * optimiser.param_groups[0]['lr'])
    elif settings.shape == 'poly':
        main = lr_scheduler.PolynomialLR(optimiser, after, settings.power)
    else:
        main = lr_scheduler.ConstantLR(optimiser, 1.0, 0)
    if not warmup:
        return main
    ramp = lr_scheduler.LinearLR(optimiser, 1 / (warmup + 1), 1.0, warmup)
    return lr_scheduler.SequentialLR(optimiser, [ramp, main], [warmup])


def _end_at(scheduler: lr_scheduler.LRScheduler, steps: int) -> None:
    """Continue a schedule from its present value to its end at another number of steps."""
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        steps -= scheduler._milestones[-1]
        scheduler = scheduler._schedulers[-1]
    if isinstance(scheduler, lr_scheduler.CosineAnnealingLR):
        scheduler.T_max = steps
    elif isinstance(scheduler, lr_scheduler.PolynomialLR):
        scheduler.total_iters = steps


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return the update of AveragedModel, which forgets the beginning quickly while there are few steps."""
    def averaged(average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        if not value.is_floating_point():
            return value
        steps = int(count)
        return average.lerp(value, 1 - min(decay, (1 + steps) / (10 + steps)))
    return averaged


def _save(state: Mapping[str, object], path: Path) -> None:
    unfinished = path.with_suffix('.unfinished')
    torch.save(dict(state), unfinished)
    os.replace(unfinished, path)


def draw_curves(history: list[dict[str, float]], measure: str, path: Path) -> None:
    """Draw losses, score and learning rate over the epochs."""
    from matplotlib.figure import Figure  # Imported here, because it takes a second, which `--help` should not need.
    figure = Figure(figsize=(10, 4), layout='constrained')
    loss, score = figure.subplots(1, 2)
    epochs = [entry['epoch'] + 1 for entry in history]
    for name in history[0]:
        if name not in ('epoch', 'learning_rate', 'score', 'seconds'):
            loss.plot(epochs, [entry[name] for entry in history], label=name)
    loss.set(xlabel='epoch', ylabel='mean over the epoch')
    loss.legend()
    scored = [entry for entry in history if 'score' in entry]
    score.plot([entry['epoch'] + 1 for entry in scored], [entry['score'] for entry in scored], marker='.')
    score.set(xlabel='epoch', ylabel=measure)
    rate = score.twinx()
    rate.plot(epochs, [entry['learning_rate'] for entry in history], color='0.7', linestyle='--')
    rate.set(ylabel='learning rate (dashed)')
    figure.savefig(path, dpi=80)



"""Knowledge distillation: the loss of a student by a trained network. Knows no task's labels."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Distillation:
    """The section `distill` of a recipe."""

    network: dict
    """The teacher: `name`, and its arguments."""
    weights: Path
    color: Literal['rgb', 'bgr'] = 'rgb'
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The teacher gets (x - mean) / std, x = 0..255."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    temperature: float = 2.0
    """Above 1, classes that are unlikely for the teacher count more."""
    factor: float = 1.0
    """Factor of the soft labels in the loss."""
    hints: tuple[tuple[str, str], ...] = ()
    """Pairs of modules, [student's, teacher's], whose features should have the same attention."""
    hint_factor: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f'temperature: got {self.temperature}, expected a number above 0.')


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 x the divergence of softmax(student / T) from softmax(teacher / T), mean per pixel (Hinton, 2015).

    Args:
        student: (N, classes, H, W) float scores.
        teacher: like `student`.
        temperature: T.
    """
    wanted = (teacher.float() / temperature).log_softmax(1)
    given = (student.float() / temperature).log_softmax(1)
    return temperature ** 2 * (wanted.exp() * (wanted - given)).sum(1).mean()


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the difference in the spatial distribution of energy of two feature maps, 0..4.

    Attention transfer (Zagoruyko and Komodakis, ICLR 2017): it needs no layer that adapts channels, so that the
    student has no more weights than without a teacher.

    Args:
        student: (N, C, h, w) float.
        teacher: (N, D, h', w') float.
    """
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    energies = [each.float().square().mean(1, keepdim=True) for each in (student, teacher)]
    maps = [functional.normalize(functional.adaptive_avg_pool2d(each, size).flatten(1)) for each in energies]
    return (maps[0] - maps[1]).square().sum(1).mean()


@contextmanager
def recorded(network: nn.Module, names: list[str]) -> Iterator[list[Tensor]]:
    """Collect the outputs of modules, in the order of `names`, while the network runs once."""
    found: dict[str, Tensor] = {}
    outputs: list[Tensor] = []
    handles = [network.get_submodule(name).register_forward_hook(
        lambda _module, _inputs, output, name=name: found.__setitem__(name, output)) for name in names]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
        outputs.extend(found[name] for name in names if name in found)


class Teacher:
    """A trained network that runs on the student's images."""

    def __init__(self, network: nn.Module, settings: Distillation, classes: int) -> None:
        self.network = network.eval().requires_grad_(False)
        self.settings = settings
        self.classes = classes
        self._mean, self._std = (torch.tensor(each).view(1, 3, 1, 1) for each in (settings.mean, settings.std))

    def loss(self, student: nn.Module, images: Tensor, levels: Tensor,
             pixels: tuple[slice, slice] = (slice(None), slice(None))) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the student and return its scores, and parts of its loss with what to add, 'distillation', among them.

        Args:
            student: the network that learns.
            images: (N, 3, H, W) float32, normalised for the student.
            levels: (N, 3, H, W) float32, the same in RGB 0..255.
            pixels: the rows and columns whose soft labels are used.
        """
        with torch.no_grad(), recorded(self.network, [names[1] for names in self.settings.hints]) as wanted:
            if self.settings.color == 'bgr':
                levels = levels.flip(1)
            teacher = self.network((levels - self._mean.to(levels)) / self._std.to(levels))[:, :self.classes]
        with recorded(student, [names[0] for names in self.settings.hints]) as given:
            scores = student(images)
        chosen = (..., *pixels)
        parts = {'soft_labels': soft_label_loss(scores[chosen], teacher[chosen], self.settings.temperature)}
        parts['distillation'] = self.settings.factor * parts['soft_labels']
        if self.settings.hints:
            hints = [attention_loss(*each) for each in zip(given, wanted, strict=True)]
            parts['hints'] = torch.stack(hints).mean()
            parts['distillation'] = parts['distillation'] + self.settings.hint_factor * parts['hints']
        return scores, parts

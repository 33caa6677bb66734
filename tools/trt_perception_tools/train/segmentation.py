"""The training task `segmentation`: labelled images, augmentation, loss, validation by mean IoU."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from trt_perception.core.errors import ConfigError
from trt_perception.core.tasks import SEGMENTATION

from ..datasets.camvid import CAMVID_CLASSES, labelled_images, read_annotation
from ..datasets.cityscapes import CLASSES as CITYSCAPES_CLASSES
from ..datasets.cityscapes import cityscapes_images, read_cityscapes_annotation
from ..datasets.images import LabelledImage, read_image
from ..evaluate.metrics import confusion_matrix, mean_iou
from ..networks import NETWORKS
from ..networks.state_dict import load_state
from ..networks.weights import read_weights
from .augment import Augmentation, view
from .config import checked
from .distill import Distillation, Teacher
from .segmentation_loss import Loss, class_weights, segmentation_loss
from .video import Clips, Consistency, consistency_loss


@dataclass(frozen=True)
class Data:
    """The labelled images."""

    folder: Path
    layout: Literal['camvid', 'cityscapes'] = 'camvid'
    train: tuple[str, ...] = ('train',)
    """Splits to train on."""
    validate: str = 'val'
    held_out: str = ''
    """Prefix of names, e.g. a drive: these images of `train` are used for validation instead of `validate`."""
    size: tuple[int, int] = (360, 480)
    """(height, width) to which images are resized for validation, as the deployed model does, px."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The network gets RGB as (x - mean) / std, x = 0..255; the model's YAML must say the same."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    in_memory: bool = True
    """Whether to keep images in memory: CamVid's 468 images of 360x480 take 325 MB; reading them again is slower."""


@dataclass(frozen=True)
class Settings:
    """The section `segmentation` of a recipe."""

    data: Data
    batch: int
    augmentation: Augmentation
    network: dict
    """`name`, and its arguments."""
    loss: Loss = field(default_factory=Loss)
    distill: Distillation | None = None
    video: Consistency | None = None
    """Unlabelled video for stable labels."""


class Batch(NamedTuple):
    """The data of one step."""

    images: Tensor
    """(N + 2 P, 3, h, w) uint8, RGB: the labelled ones, then P earlier and P later frames of video."""
    labels: Tensor
    """(N, h, w) int64, VOID = none."""
    source: Tensor | None
    """(P, h, w) int64, see video.Pairs; None = no video."""


class _Layout(NamedTuple):
    """A dataset's folders and class ids."""

    images: Callable[[Path, str], list[LabelledImage]]
    annotation: Callable[[Path], np.ndarray]
    classes: int


LAYOUTS = {'camvid': _Layout(labelled_images, read_annotation, CAMVID_CLASSES),
           'cityscapes': _Layout(cityscapes_images, read_cityscapes_annotation, CITYSCAPES_CLASSES)}


class _Sample(NamedTuple):
    image: np.ndarray
    """(H, W, 3) uint8, RGB."""
    labels: np.ndarray
    """(H, W) uint8, VOID = none."""


class _Images:
    """Labelled images by number, in memory or read again each time."""

    def __init__(self, images: list[LabelledImage], layout: _Layout, in_memory: bool) -> None:
        self._images = images
        self._layout = layout
        self._samples = [self._read(each) for each in images] if in_memory else None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> _Sample:
        return self._samples[number] if self._samples else self._read(self._images[number])

    def _read(self, image: LabelledImage) -> _Sample:
        return _Sample(cv2.cvtColor(read_image(image.image), cv2.COLOR_BGR2RGB),
                       self._layout.annotation(image.annotation))


class SegmentationTask:
    """Trains a network of this package on labelled images (trainer.Task)."""

    better: Literal['higher', 'lower'] = 'higher'
    measure = 'mIoU'

    def __init__(self, settings: Mapping[str, object], where: str, seed: int) -> None:
        self.settings = checked(Settings, settings, where)
        self.seed = seed
        data = self.settings.data
        layout = LAYOUTS[data.layout]
        self.classes = layout.classes
        train = [image for split in data.train for image in layout.images(data.folder, split)]
        validate = [image for image in train if image.name.startswith(data.held_out)] if data.held_out else (
            layout.images(data.folder, data.validate))
        if not validate:
            raise ConfigError(f'{where}: data: held_out: no image of {", ".join(data.train)} has a name that begins '
                              f'with {data.held_out!r}. Name a drive, e.g. {train[0].name.split("_")[0]}.')
        self._train = _Images([image for image in train if image not in validate], layout, data.in_memory)
        self._validate = _Images(validate, layout, data.in_memory)
        self.steps_per_epoch = len(self._train) // self.settings.batch
        if not self.steps_per_epoch:
            raise ConfigError(f'{where}: batch: got {self.settings.batch}, expected at most the {len(self._train)} '
                              'images of the training splits.')
        self.network = build_network(self.settings.network, self.classes, where)
        self._clips = Clips(self.settings.video) if self.settings.video else None
        self.teacher = _teacher(self.settings.distill, self.classes, f'{where}: distill')
        self._weights = class_weights((self._train[number].labels for number in range(len(self._train))),
                                      self.classes, self.settings.loss.weight_power)
        # Images are levels 0..255; these are not in the network, of which only the weights are kept.
        self._mean, self._std = (torch.tensor(each).view(1, 3, 1, 1) for each in (data.mean, data.std))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the data of the steps of an epoch."""
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self._train))
        how = self.settings.augmentation
        for step in range(self.steps_per_epoch):
            chosen = order[step * self.settings.batch:(step + 1) * self.settings.batch]
            views = [view(*self._train[number], how, random, self._other(random)) for number in chosen]
            images, labels = (np.stack(each) for each in zip(*views, strict=True))
            source = None
            if self._clips and self.settings.video:
                pairs = self._clips.draw(self.settings.video.pairs, how, random)
                images, source = np.concatenate([images, pairs.before, pairs.now]), pairs.source
            yield Batch(_tensor(images), torch.from_numpy(labels).long(), source)

    def _other(self, random: np.random.Generator) -> _Sample | None:
        """Draw an image to mix with, or none."""
        if random.random() >= self.settings.augmentation.mix:
            return None
        return self._train[int(random.integers(len(self._train)))]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return scalars: 'loss' and its parts."""
        levels, labels = batch.images.to(self._device).float(), batch.labels.to(self._device)
        every = self.settings.loss.every
        top, left = torch.randint(every, (2,)).tolist() if every > 1 else (0, 0)
        pixels = slice(top, None, every), slice(left, None, every)
        parts: dict[str, Tensor] = {}
        if self.teacher:
            self.teacher.network.to(self._device)
            scores, parts = self.teacher.loss(self.network, self._normalised(levels), levels, pixels)
        else:
            scores = self.network(self._normalised(levels))
        losses = segmentation_loss(scores[(slice(len(labels)), ..., *pixels)], labels[(..., *pixels)],
                                   self.settings.loss, self._weights.to(self._device))
        if 'distillation' in parts:
            losses['loss'] = losses['loss'] + parts['distillation']
        if batch.source is not None and self.settings.video:
            before, now = scores[len(labels):].chunk(2)
            losses['flicker'] = consistency_loss(before, now, batch.source.to(self._device), self.settings.video.every)
            losses['loss'] = losses['loss'] + self.settings.video.factor * losses['flicker']
        return {**losses, **parts}

    def validate(self) -> float:
        """Return the mean IoU, 0..1, of labels at the images' own size."""
        confusion = np.zeros((self.classes, self.classes + 1), np.int64)
        for scores, truth in self.scored():
            given = scores.argmax(0).cpu().numpy().astype(np.uint8)
            labels = cv2.resize(given, truth.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            confusion += confusion_matrix(truth, labels, self.classes)
        return mean_iou(confusion)

    def scored(self) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Yield scores, (classes, h, w) float, and true labels, (H, W) uint8, of the images to validate with."""
        height, width = self.settings.data.size
        for number in range(len(self._validate)):
            image, truth = self._validate[number]
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            with torch.no_grad():
                yield self.network(self._normalised(_tensor(image[None]).to(self._device).float()))[0], truth

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _normalised(self, levels: Tensor) -> Tensor:
        return (levels - self._mean.to(levels)) / self._std.to(levels)


def build_network(arguments: Mapping[str, object], classes: int, where: str) -> nn.Module:
    """Build the network of a recipe: `name`, and further arguments of its class.

    Raises:
        ConfigError: there is no such network for segmentation, or an argument is unknown.
    """
    options = dict(arguments)
    name = options.pop('name', None)
    known = [each for each, network in NETWORKS.items() if network.task == SEGMENTATION]
    if name not in known:
        raise ConfigError(f'{where}: network: name: got {name!r}, expected one of {", ".join(known)}.')
    return NETWORKS[str(name)].build(classes=classes, **options)


def _teacher(settings: Distillation | None, classes: int, where: str) -> Teacher | None:
    if settings is None:
        return None
    arguments = dict(settings.network)
    network = build_network(arguments, int(arguments.pop('classes', classes)), where)
    load_state(network, read_weights(settings.weights), str(settings.weights))
    for _, name in settings.hints:
        if name not in dict(network.named_modules()):
            raise ConfigError(f'{where}: hints: got {name!r}, expected a module of the teacher, e.g. '
                              f'{next(iter(network.named_children()))[0]}.')
    return Teacher(network, settings, classes)


def _tensor(images: np.ndarray) -> Tensor:
    """Return (N, 3, H, W) uint8 from (N, H, W, 3) uint8; channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)

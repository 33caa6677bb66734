"""What is evaluated on: pictures or pairs of pictures, with the truth where the folder has it. Knows no model."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trt_perception.bench import frames as bench_frames
from trt_perception.core.data import Frame
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_picture
from trt_perception.core.model import OPTICAL_FLOW, SEGMENTATION, load_labels

from ..datasets.camvid import labelled_pictures, read_annotation
from ..datasets.cityscapes import NAMES, cityscapes_pictures, read_cityscapes_annotation
from ..datasets.flow import flow_pairs, read_flow
from ..datasets.images import LabelledPicture, read_picture

_INTERVAL_NS = 100_000_000
_PICTURES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.ppm')
_BAGS = ('.mcap', '.db3', '.bag')


class Sample(NamedTuple):
    """One picture, or a pair for optical flow."""

    frames: tuple[Frame, ...]
    truth: np.ndarray | None
    """Labels (H, W) uint8, or flow (H, W, 2) float32 in px on the first picture's grid; None = unknown."""


class Dataset(NamedTuple):
    """Samples by name, read when they are asked for."""

    title: str
    names: Sequence[str]
    read: Callable[[int], Sample]
    """By number."""
    has_truth: bool
    classes: tuple[str, ...] = ()
    """Names of the labels 0, 1, ... in the truth."""

    def some(self, count: int) -> Dataset:
        """Return `count` samples, evenly spread; all where there are no more."""
        if count >= len(self.names):
            return self
        chosen = np.linspace(0, len(self.names) - 1, count).round().astype(int).tolist()
        return self._replace(names=[self.names[number] for number in chosen],
                             read=lambda number: self.read(chosen[number]))


def open_dataset(path: Path, task: str, split: str, topic: str, most: int) -> Dataset:
    """Return what a folder or a bag holds for a task.

    A folder of CamVid or Cityscapes has labels, one of Middlebury, FlyingChairs, Sintel or KITTI has flow. A bag, or a
    folder with pictures in it, has no truth; for flow, each picture makes a pair with the one before it.

    Args:
        most: how many images of a bag to take.

    Raises:
        ConfigError: there is nothing for this task.
    """
    if not path.exists():
        raise ConfigError(f'{path}: no such folder or bag. Give the folder of the dataset, or a bag, with --data.')
    if path.suffix in _BAGS or (path / 'metadata.yaml').is_file():
        return _of_bag(path, task, topic, most)
    if not path.is_dir():
        raise ConfigError(f'{path}: got a file, expected a folder or a bag ({", ".join(_BAGS)}). Give one with --data.')
    has_labels = any(path.glob('*annot')) or (path / 'leftImg8bit').is_dir()
    pictures = sorted(each for each in path.iterdir() if each.suffix.lower() in _PICTURES)
    # A folder of FlyingChairs holds pictures side by side with their flow.
    has_flow = not has_labels and any(next(path.rglob(kind), None) for kind in ('*.flo', 'flow_occ/*_10.png'))
    if task == SEGMENTATION and has_flow:
        raise ConfigError(f'{path}: holds flow pairs, but the model does segmentation. Evaluate an optical-flow model, '
                          'or give a folder of labelled pictures.')
    if task == OPTICAL_FLOW and has_labels:
        raise ConfigError(f'{path}: holds labelled pictures, but the model does optical flow. Evaluate a segmentation '
                          'model, or give a folder of flow pairs.')
    if has_labels:
        return _labelled(path, split)
    if has_flow:
        return _flow(path)
    if not pictures:
        raise ConfigError(f'{path}: nothing to evaluate on, expected CamVid ({split}.txt, {split}annot), Cityscapes '
                          '(leftImg8bit), flow pairs, or pictures. Give such a folder, or a bag, with --data.')
    return _of_frames(f'{path.resolve().name}, {len(pictures)} pictures', [each.stem for each in pictures], task,
                      lambda number: frame_from_picture(read_picture(pictures[number]), number * _INTERVAL_NS))


def _labelled(path: Path, split: str) -> Dataset:
    read: Callable[[Path], np.ndarray]
    if (path / 'leftImg8bit').is_dir():
        title, pictures, read = 'Cityscapes', cityscapes_pictures(path, split), read_cityscapes_annotation
        classes = NAMES
    else:
        title, pictures, read = 'CamVid', labelled_pictures(path, split), read_annotation
        classes = tuple(each.name for each in load_labels('camvid').classes)

    def sample(number: int) -> Sample:
        picture: LabelledPicture = pictures[number]
        frame, truth = frame_from_picture(read_picture(picture.image)), read(picture.annotation)
        _check_size(picture.annotation, truth, frame)
        return Sample((frame,), truth)
    return Dataset(f'{title} {split}', [each.name for each in pictures], sample, True, classes)


def _flow(path: Path) -> Dataset:
    pairs = flow_pairs(path)

    def sample(number: int) -> Sample:
        pair = pairs[number]
        first, second = (frame_from_picture(read_picture(file), stamp) for file, stamp in (
            (pair.first, 0), (pair.second, _INTERVAL_NS)))
        if (first.height, first.width) != (second.height, second.width):
            raise ConfigError(f'{pair.second}: got another size than {pair.first}, expected a pair of one size. '
                              'Restore the files.')
        truth = read_flow(pair.flow)
        _check_size(pair.flow, truth, first)
        return Sample((first, second), truth)
    return Dataset(path.resolve().name, [pair.name for pair in pairs], sample, True)


def _of_bag(path: Path, task: str, topic: str, most: int) -> Dataset:
    pictures = bench_frames.read_pictures(str(path), topic, most)
    names = [f'image {number}' for number in range(len(pictures))]
    return _of_frames(f'{path.resolve().name}, {len(pictures)} images', names, task,
                      lambda number: bench_frames.read_picture(pictures[number], number * _INTERVAL_NS))


def _of_frames(title: str, names: Sequence[str], task: str, frame: Callable[[int], Frame]) -> Dataset:
    if task == SEGMENTATION:
        return Dataset(title, names, lambda number: Sample((frame(number),), None), False)
    if len(names) < 2:
        raise ConfigError(f'{title}: got one picture, expected at least two for optical flow. Give more.')
    return Dataset(title, names[1:], lambda number: Sample((frame(number), frame(number + 1)), None), False)


def _check_size(path: Path, truth: np.ndarray, frame: Frame) -> None:
    if truth.shape[:2] != (frame.height, frame.width):
        raise ConfigError(f'{path}: got {truth.shape[0]}x{truth.shape[1]}, expected the size of its picture, '
                          f'{frame.height}x{frame.width}. Restore the file.')

"""Evaluation data: images or image pairs, with ground truth if the folder has it; videos."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.bench import frames as bench_frames
from trt_perception.core.data import Frame
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.tasks import find_task

from ..datasets.images import read_image
from ..tasks import scorer_class, tasks_with
from .classes import Classes

INTERVAL_NS = 100_000_000
"""Interval of images without stamps."""
_IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.ppm')
MOST_OF_BAG = 256
"""Images of a bag that are read without --limit, since they are kept in memory."""
_BAGS = ('.mcap', '.db3', '.bag')


class Sample(NamedTuple):
    """One image, or a pair for optical flow."""

    frames: tuple[Frame, ...]
    truth: np.ndarray | None
    """Labels (H, W) uint8, or flow (H, W, 2) float32 in px on the first image's grid; None = unknown."""


class Dataset(NamedTuple):
    """Samples by name, read on demand."""

    title: str
    names: Sequence[str]
    read: Callable[[int], Sample]
    """Reads a sample by its number."""
    has_truth: bool
    classes: tuple[str, ...] = ()
    """Names of the labels 0, 1, ... in the truth."""
    mapping: Classes | None = None
    """Source of the meaning of the ids in the annotations."""

    def some(self, count: int) -> Dataset:
        """Return `count` samples, evenly spread; all if there are no more."""
        if count >= len(self.names):
            return self
        return self._chosen(np.linspace(0, len(self.names) - 1, count).round().astype(int).tolist())

    def named(self, prefix: str) -> Dataset:
        """Return the samples whose names begin with `prefix`.

        Raises:
            ConfigError: there are none.
        """
        chosen = [number for number, name in enumerate(self.names) if name.startswith(prefix)]
        if not chosen:
            raise ConfigError(f'{self.title}: no image has a name that begins with {prefix!r}, as {self.names[0]} does '
                              f'with {self.names[0].split("_")[0]!r}.')
        return self._chosen(chosen)

    def _chosen(self, numbers: Sequence[int]) -> Dataset:
        return self._replace(names=[self.names[number] for number in numbers],
                             read=lambda number: self.read(numbers[number]))


class Video(NamedTuple):
    """Successive frames."""

    title: str
    length: int
    """Number of frames; a video file may have fewer than it claims."""
    frames: Iterator[Frame]
    """The frames, to be iterated once."""


def open_dataset(path: Path, task: str, split: str, topic: str, most: int) -> Dataset:
    """Return the samples of a folder or a bag for a task.

    A folder may have a dataset with ground truth (Scorer.has_truth). A bag, or a folder with images, has none; for
    networks with two images, each image and the previous one are a pair.

    Args:
        most: how many images of a bag to take.

    Raises:
        ConfigError: there is nothing for this task.
    """
    if not path.exists():
        raise ConfigError(f'{path}: no such folder or bag. Give the folder of the dataset, or a bag, with --data.')
    if _is_bag(path):
        return _of_frames(*_bag(path, topic, most), task)
    if not path.is_dir():
        raise ConfigError(f'{path}: got a file, expected a folder or a bag ({", ".join(_BAGS)}). Give one with --data.')
    scorer = scorer_class(task)
    if scorer.has_truth(path):
        return scorer.open_truth(path, split)
    for other in tasks_with('scorer'):
        if scorer_class(other).has_truth(path):
            raise ConfigError(f'{path}: holds {scorer_class(other).truth}, but the model does {task}. Evaluate a model '
                              f'for {other}, or give a folder of {scorer.truth}.')
    if not _images(path):
        raise ConfigError(f'{path}: nothing to evaluate on, expected {scorer.layouts}, or images. Give such a '
                          'folder, or a bag, with --data.')
    return _of_frames(*_folder(path), task)


def open_video(path: Path, topic: str, most: int | None) -> Video:
    """Return the first frames of a bag, of a folder of images in the order of their names, or of a video file.

    Args:
        most: how many frames to take; None = all, of a bag the first MOST_OF_BAG.

    Raises:
        ConfigError: there are not at least two, or the file is unusable.
    """
    if not path.exists():
        raise ConfigError(f'{path}: no such file, folder or bag. Give a bag, a folder of images or a video file with '
                          '--video.')
    if path.is_file() and not _is_bag(path):
        return _video_file(path, most)
    title, names, frame = _bag(path, topic, most or MOST_OF_BAG) if _is_bag(path) else _folder(path)
    count = min(len(names), most or len(names))
    if count < 2:
        raise ConfigError(f'{path}: got {count} images, expected at least two. Give a bag, a folder of images or a '
                          'video file with --video.')
    return Video(title, count, map(frame, range(count)))


def _video_file(path: Path, most: int | None) -> Video:
    capture = cv2.VideoCapture(str(path))
    first, image = capture.read()
    if not first:
        raise ConfigError(f'{path}: no video that OpenCV can read. Give a bag, a folder of images or a video file, '
                          'e.g. .mp4, with --video.')
    whole = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    count = min(whole, most or whole)
    if count < 2:
        raise ConfigError(f'{path}: got {count} images, expected at least two. Give a longer video with --video.')

    def frames() -> Iterator[Frame]:
        there, now = True, image
        for number in range(count):
            if not there:
                return
            yield frame_from_array(now, number * INTERVAL_NS)
            there, now = capture.read()
    return Video(f'{path.name}, {count} images', count, frames())


_Source = tuple[str, Sequence[str], Callable[[int], Frame]]
"""Title, names of the images, and the frame of each number."""


def _is_bag(path: Path) -> bool:
    return path.suffix in _BAGS or (path / 'metadata.yaml').is_file()


def _bag(path: Path, topic: str, most: int) -> _Source:
    images = bench_frames.read_images(str(path), topic, most)
    return (f'{path.resolve().name}, {len(images)} images', [f'image {number}' for number in range(len(images))],
            lambda number: bench_frames.read_image(images[number], number * INTERVAL_NS))


def _images(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.suffix.lower() in _IMAGES)


def _folder(path: Path) -> _Source:
    images = _images(path)
    return (f'{path.resolve().name}, {len(images)} images', [each.stem for each in images],
            lambda number: frame_from_array(read_image(images[number]), number * INTERVAL_NS))


def _of_frames(title: str, names: Sequence[str], frame: Callable[[int], Frame], task: str) -> Dataset:
    if find_task(task).images == 1:
        return Dataset(title, names, lambda number: Sample((frame(number),), None), False)
    if len(names) < 2:
        raise ConfigError(f'{title}: got one image, expected at least two for {task}. Give more.')
    return Dataset(title, names[1:], lambda number: Sample((frame(number), frame(number + 1)), None), False)


def check_size(path: Path, truth: np.ndarray, frame: Frame) -> None:
    """Refuse ground truth, (H, W) or (H, W, 2), read from `path`, of another size than its frame."""
    if truth.shape[:2] != (frame.height, frame.width):
        raise ConfigError(f'{path}: got {truth.shape[0]}x{truth.shape[1]}, expected the size of its image, '
                          f'{frame.height}x{frame.width}. Restore the file.')

"""Show the result of a model for an image: labels over it, or the flow between two, with a legend of the colours.

    trt_perception_tools overlay street.png swiftnet_camvid --output labels.png
    trt_perception_tools overlay before.png after.png tinypwc --output flow.png
    trt_perception_tools overlay frames/ my_models/net.yaml --output images/

Uses the pipeline of the nodes. For a folder, every image is shown; for flow, with the previous one.
"""
from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from trt_perception.bench.contender import RESTING, engine_options
from trt_perception.core.colors import color_flow, label_palette, overlay_labels
from trt_perception.core.data import VOID, LabelMap
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import LabelSet, Model, load_model, model_names
from trt_perception.core.pipeline import Pipeline
from trt_perception.core.tasks import TASKS, pipeline_class
from trt_perception.engines.backends import AUTO, BACKENDS, open_engine

from ..datasets.images import read_image

_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.ppm')
_INTERVAL_NS = 100_000_000
_LINE_PX, _COLUMN_PX = 22, 150
_WHEEL_PX = 88


def find_images(inputs: Sequence[Path], count: int) -> list[tuple[Path, ...]]:
    """Return the input: each image alone, or with `count` 2 each with the previous one.

    Raises:
        ConfigError: a file is missing, or there are too few.
    """
    files: list[Path] = []
    for each in inputs:
        if each.is_dir():
            found = sorted(path for path in each.iterdir() if path.suffix.lower() in _SUFFIXES)
            if not found:
                raise ConfigError(f'{each}: got no image ({", ".join(_SUFFIXES)}) in it. Give a folder of images.')
            files += found
        elif each.is_file():
            files.append(each)
        else:
            raise ConfigError(f'{each}: no such file or folder. Give an image, or a folder of images.')
    if len(files) < count:
        raise ConfigError(f'{inputs[0]}: got {len(files)} image, expected {count} successive ones for optical flow. '
                          'Give the later one too.')
    return [tuple(files[number - count + 1:number + 1]) for number in range(count - 1, len(files))]


def draw(pipeline: Pipeline[Any], model: Model, images: Sequence[np.ndarray], alpha: float, longest_px: float
         ) -> tuple[np.ndarray, str]:
    """Run a model on an image or a pair.

    Args:
        images: (H, W, 3) uint8 BGR, the earlier one first.
        alpha: weight of the colours, 0..1.
        longest_px: length of flow that is fully saturated; 0 = the 99th percentile.

    Returns:
        The image with colours over it and a legend below, uint8 RGB; and a description of the result.

    Raises:
        ConfigError: two images have different sizes.
    """
    pipeline.reset()
    result: Any = None
    for number, image in enumerate(images):
        result = pipeline.process(frame_from_array(image, number * _INTERVAL_NS))
    if result is None:
        sizes = ' and '.join('{}x{}'.format(*image.shape[:2]) for image in images)
        raise ConfigError(f'{model.name}: got images of {sizes}, expected a pair of one size. Give successive frames '
                          'of one camera.')
    rgb = np.ascontiguousarray(images[-1][..., ::-1])
    if isinstance(result, LabelMap):
        assert model.labels is not None
        shares = label_shares(result.labels, model.labels)
        painted = overlay_labels(rgb, result.labels, label_palette(model.labels), alpha)
        meaning = label_legend(model.labels, shares, rgb.shape[1])
        words = ', '.join(f'{name} {share:.0%}' for name, share in sorted(shares.items(), key=lambda each: -each[1])
                          if share >= 0.005)
        if result.confidence is not None:
            words += f'; mean confidence {result.confidence.mean() / 255:.2f}'
        return np.concatenate([painted, meaning]), words
    flow = result.flow
    length = np.linalg.norm(flow, axis=2)
    valid = length[np.isfinite(length)]
    longest = longest_px or (max(1.0, float(np.percentile(valid, 99))) if valid.size else 1.0)
    painted = cv2.addWeighted(rgb, 1 - alpha, color_flow(flow, longest), alpha, 0)
    median = float(np.median(valid)) if valid.size else float('nan')
    return (np.concatenate([painted, flow_legend(longest, rgb.shape[1])]),
            f'median {median:.2f} px, longest {float(valid.max()) if valid.size else float("nan"):.2f} px')


def label_shares(labels: np.ndarray, label_set: LabelSet) -> dict[str, float]:
    """Return the share of pixels of each class that occurs in (H, W) labels, by name; others as their number."""
    names = {VOID: 'no class', **{each.id: each.name for each in label_set.classes}}
    counts = np.bincount(labels.ravel(), minlength=256)
    return {names.get(number, f'id {number}'): float(count / labels.size)
            for number, count in enumerate(counts.tolist()) if count}


def label_legend(label_set: LabelSet, shares: Mapping[str, float | None], width: int) -> np.ndarray:
    """Draw the colours of the classes that occur: (h, width, 3) uint8 RGB.

    Args:
        shares: share of the pixels by class; None = not written.
    """
    colors = {each.name: each.color for each in label_set.classes}
    columns = max(1, width // _COLUMN_PX)
    strip = np.full((_LINE_PX * -(-len(shares) // columns), width, 3), 255, np.uint8)
    for number, (name, share) in enumerate(shares.items()):
        x, y = number % columns * _COLUMN_PX, number // columns * _LINE_PX
        cv2.rectangle(strip, (x + 2, y + 3), (x + 16, y + 17), colors.get(name, (0, 0, 0)), -1)
        _write(strip, name if share is None else f'{name} {share:.0%}', x + 21, y + 15)
    return strip


def flow_legend(longest_px: float, width: int) -> np.ndarray:
    """Draw the colour of every direction, and the length at the rim: (h, width, 3) uint8 RGB."""
    rows, columns = np.mgrid[0:_WHEEL_PX, 0:_WHEEL_PX].astype(np.float32) - (_WHEEL_PX - 1) / 2
    directions = np.stack([columns, rows], 2) / (_WHEEL_PX / 2)
    wheel = color_flow(np.ascontiguousarray(directions * np.float32(longest_px)), longest_px)
    wheel[np.hypot(columns, rows) > _WHEEL_PX / 2] = 255
    strip = np.full((_WHEEL_PX, max(width, _WHEEL_PX), 3), 255, np.uint8)
    strip[:, :_WHEEL_PX] = wheel
    _write(strip, f'where a point moves; at the rim {longest_px:.1f} px', _WHEEL_PX + 8, _WHEEL_PX // 2)
    return strip[:, :width]


def _write(strip: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(strip, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE|FOLDER',
                        help='image, for optical flow two successive ones; or a folder of them')
    parser.add_argument('model', metavar='MODEL',
                        help=f'one of {", ".join(model_names())}, or the path of a model YAML')
    parser.add_argument('-o', '--output', type=Path, required=True, metavar='OUT',
                        help='image to write (.png, .jpg), or a folder')
    parser.add_argument('--engine', default=AUTO, metavar='ENGINE[:PRECISION]',
                        help=f'{AUTO} (default), {", ".join(BACKENDS)}')
    parser.add_argument('--alpha', type=float, default=0.6, metavar='X',
                        help='weight of the colours, 0..1 (default: %(default)s)')
    parser.add_argument('--longest', type=float, default=0.0, metavar='PX',
                        help='flow shown fully saturated (default: the 99th percentile)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads (default: all cores)')


def execute(args: argparse.Namespace) -> int:
    """Write the images, and print their contents."""
    if not 0 <= args.alpha <= 1:
        raise ConfigError(f'--alpha: got {args.alpha:g}, expected 0..1.')
    if not 0 <= args.longest < math.inf:  # Nor NaN.
        raise ConfigError(f'--longest: got {args.longest:g}, expected px, or 0 for the 99th percentile.')
    model = load_model(args.model)
    groups = find_images(args.images, TASKS[model.task].images)
    one = args.output.suffix.lower() in _SUFFIXES
    if one and len(groups) > 1:
        raise ConfigError(f'--output {args.output}: got {len(groups)} results, expected a folder for them. Give one.')
    folder = args.output.parent if one else args.output
    [(name, times)] = Counter(group[-1].stem for group in groups).most_common(1)
    if times > 1:
        raise ConfigError(f'{name}: got {times} images of this name, whose results would replace each other. Show them '
                          'one by one.')
    folder.mkdir(parents=True, exist_ok=True)
    engine = open_engine(model, engine_options(args.engine, args.threads))
    pipeline: Pipeline[Any] = pipeline_class(model.task)(engine, model, RESTING)
    for group in tqdm(groups, 'overlay', unit='image', leave=False, disable=None if len(groups) > 1 else True):
        image, words = draw(pipeline, model, [read_image(path) for path in group], args.alpha, args.longest)
        file = args.output if one else folder / f'{group[-1].stem}.png'
        if not cv2.imwrite(str(file), image[..., ::-1]):
            raise ConfigError(f'{file}: cannot be written. Give another --output.')
        print(f'{file}: {model.name} {engine.backend} {engine.precision}: {words}')
    engine.close()
    return 0

"""Score models on a dataset with ground truth, through the pipeline that the nodes run.

Segmentation: --data is a CamVid folder (test.txt, test/, testannot/). Optical flow: a folder of Middlebury,
FlyingChairs, Sintel or KITTI pairs. Exit status 1 when --fail-under or --fail-above is not met.
"""
from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from trt_perception.core.data import FlowField, LabelMap
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_picture
from trt_perception.core.model import OPTICAL_FLOW, PRECISIONS, SEGMENTATION, Model, load_model, model_names
from trt_perception.core.optical_flow import PREVIOUS, OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import AUTO, BACKENDS, EngineOptions, open_engine

from .datasets import (
    CAMVID_CLASSES,
    FlowPair,
    LabelledPicture,
    flow_pairs,
    labelled_pictures,
    read_annotation,
    read_flow,
    read_picture,
)
from .metrics import class_iou, confusion_matrix, flow_score, mean_iou, pixel_accuracy

_PAIR_INTERVAL_NS = 100_000_000
_DEFAULTS = EngineOptions()


class Score(NamedTuple):
    """How one model did."""

    model: str
    task: str
    engine: str
    precision: str
    input_size: tuple[int, int]
    """(height, width) of the network's picture, px."""
    parts: dict[str, float]
    """Segmentation: IoU per class, 0..1, NaN for a class that never occurs. Flow: EPE per pair, px."""
    total: float
    """Mean of the parts."""
    secondary: float
    """Segmentation: pixel accuracy, 0..1. Flow: mean Fl-all, 0..1."""
    milliseconds: float
    """Mean per picture or pair: decode, resize, network, result at the camera's size; without reading files."""


def evaluate_segmentation(model: Model, pictures: Sequence[LabelledPicture],
                          options: EngineOptions = _DEFAULTS) -> Score:
    """Score a segmentation model.

    Raises:
        ConfigError: the label set is not CamVid's, or a file is unusable.
        EngineError: the network cannot be opened or run.
    """
    assert model.labels is not None
    names = [each.name for each in model.labels.classes]
    if [each.id for each in model.labels.classes] != list(range(CAMVID_CLASSES)):
        raise ConfigError(f"{model.path}: labels: {model.labels.name} has {len(names)} classes, expected CamVid's "
                          f'{CAMVID_CLASSES}, ids 0..{CAMVID_CLASSES - 1}. Evaluate a model of label set camvid.')
    engine = open_engine(model, options)
    pipeline = SegmentationPipeline(engine, model)
    confusion = np.zeros((CAMVID_CLASSES, CAMVID_CLASSES + 1), np.int64)
    seconds = 0.0
    for picture in tqdm(pictures, model.name, unit='picture', leave=False, disable=None):
        frame = frame_from_picture(read_picture(picture.image))
        truth = read_annotation(picture.annotation)
        start = time.perf_counter()
        result: LabelMap = pipeline.process(frame)
        seconds += time.perf_counter() - start
        _check_size(picture.annotation, truth, result.labels)
        confusion += confusion_matrix(truth, result.labels, CAMVID_CLASSES)
    engine.close()
    return Score(model.name, model.task, engine.backend, engine.precision, engine.input_size,
                 dict(zip(names, class_iou(confusion).tolist(), strict=True)), mean_iou(confusion),
                 pixel_accuracy(confusion), seconds * 1e3 / len(pictures))


def evaluate_flow(model: Model, pairs: Sequence[FlowPair], options: EngineOptions = _DEFAULTS) -> Score:
    """Score an optical-flow model.

    Raises:
        ConfigError: a file is unusable.
        EngineError: the network cannot be opened or run.
    """
    engine = open_engine(model, options)
    # Ground truth lives on the first picture's grid.
    pipeline = OpticalFlowPipeline(engine, model, flow_grid=PREVIOUS)
    scores = {}
    seconds = 0.0
    for pair in tqdm(pairs, model.name, unit='pair', leave=False, disable=None):
        first, second = (frame_from_picture(read_picture(path), stamp_ns) for path, stamp_ns in (
            (pair.first, 0), (pair.second, _PAIR_INTERVAL_NS)))
        truth = read_flow(pair.flow)
        pipeline.reset()
        pipeline.process(first)
        start = time.perf_counter()
        result: FlowField | None = pipeline.process(second)
        seconds += time.perf_counter() - start
        if result is None:
            raise ConfigError(f'{pair.second}: got another size than {pair.first}, expected a pair of one size. '
                              'Restore the files.')
        _check_size(pair.flow, truth, result.flow)
        scores[pair.name] = flow_score(result.flow, truth)
    engine.close()
    return Score(model.name, model.task, engine.backend, engine.precision, engine.input_size,
                 {name: score.epe for name, score in scores.items()},
                 float(np.mean([score.epe for score in scores.values()])),
                 float(np.mean([score.fl_all for score in scores.values()])), seconds * 1e3 / len(pairs))


def _check_size(path: Path, truth: np.ndarray, result: np.ndarray) -> None:
    if truth.shape[:2] != result.shape[:2]:
        raise ConfigError(f'{path}: got {truth.shape[0]}x{truth.shape[1]}, expected the size of its picture, '
                          f'{result.shape[0]}x{result.shape[1]}. Restore the file.')


def table(scores: Sequence[Score]) -> str:
    """Lay out scores of one task as text, a column per model; shares are in %."""
    if scores[0].task == SEGMENTATION:
        factor, totals, unit = 100, ('mean IoU', 'pixel accuracy'), 'IoU, %'
    else:
        factor, totals, unit = 1, ('mean EPE', 'Fl-all, %'), 'EPE, px'
    rows = [[unit, *(score.model for score in scores)]]
    rows += [[part, *(f'{score.parts[part] * factor:.2f}' for score in scores)] for part in scores[0].parts]
    rows += [[totals[0], *(f'{score.total * factor:.2f}' for score in scores)],
             [totals[1], *(f'{score.secondary * 100:.2f}' for score in scores)],
             ['ms', *(f'{score.milliseconds:.1f}' for score in scores)],
             ['network input', *('{}x{}'.format(*score.input_size) for score in scores)],
             ['engine', *(f'{score.engine} {score.precision}' for score in scores)]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = '-' * len(lines[0])
    after = 1 + len(scores[0].parts)
    return '\n'.join([lines[0], rule, *lines[1:after], rule, *lines[after:]])


def as_json(scores: Sequence[Score]) -> str:
    """Return scores as JSON; a class that never occurs is null."""
    entries = [{**score._asdict(), 'parts': {part: None if np.isnan(value) else value
                                             for part, value in score.parts.items()}} for score in scores]
    return json.dumps(entries, indent=2) + '\n'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('models', nargs='+', metavar='MODEL',
                        help=f'one of {", ".join(model_names())}, or the path of a model YAML; several are compared')
    parser.add_argument('--data', type=Path, required=True, metavar='DIR', help='folder of the dataset')
    parser.add_argument('--split', default='test', help='of CamVid: train, val or test (default: test)')
    parser.add_argument('--engine', default=AUTO, help=f'{AUTO} (default), {", ".join(BACKENDS)}')
    parser.add_argument('--precision', default='', help=f'{", ".join(PRECISIONS)} (default: the engine\'s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads (default: all cores)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the scores there too')
    parser.add_argument('--fail-under', type=float, metavar='SHARE', help='lowest mean IoU to accept, 0..1')
    parser.add_argument('--fail-above', type=float, metavar='PX', help='highest mean EPE to accept')


def execute(args: argparse.Namespace) -> int:
    """Score the models, print the table, and return 1 when one misses the limit."""
    models = [load_model(name) for name in args.models]
    task = models[0].task
    for model in models:
        if model.task != task:
            raise ConfigError(f'{model.path}: task: got {model.task}, but {models[0].name} does {task}. Evaluate '
                              'models of one task at a time.')
    if (args.fail_above if task == SEGMENTATION else args.fail_under) is not None:
        raise ConfigError(f'{"--fail-above" if task == SEGMENTATION else "--fail-under"}: not a limit for {task}. Use '
                          '--fail-under for segmentation (mean IoU), --fail-above for optical flow (mean EPE).')
    options = EngineOptions(args.engine, args.precision, args.threads)
    scores = _scores(models, args.data, args.split, options)
    print(table(scores))
    if args.json:
        args.json.write_text(as_json(scores), encoding='utf-8')
    lowest = -np.inf if args.fail_under is None else args.fail_under
    highest = np.inf if args.fail_above is None else args.fail_above
    failed = [score for score in scores if not lowest <= score.total <= highest]
    for score in failed:
        print(f'{score.model}: {score.total:.4f} misses the limit {lowest if score.total < lowest else highest}')
    return 1 if failed else 0


def _scores(models: Sequence[Model], folder: Path, split: str, options: EngineOptions) -> list[Score]:
    if not folder.is_dir():
        raise ConfigError(f'{folder}: no such folder. Give the folder of the dataset with --data.')
    if models[0].task == OPTICAL_FLOW:
        if (folder / f'{split}.txt').is_file():
            raise ConfigError(f'{models[0].path}: does optical flow, but {folder} holds labelled pictures. Evaluate a '
                              'segmentation model, or give a folder of flow pairs.')
        pairs = flow_pairs(folder)
        return [evaluate_flow(model, pairs, options) for model in models]
    if not (folder / f'{split}.txt').is_file() and any(folder.rglob('*.flo')):
        raise ConfigError(f'{models[0].path}: does segmentation, but {folder} holds flow pairs. Evaluate an '
                          'optical-flow model, or give the folder of CamVid.')
    pictures = labelled_pictures(folder, split)
    return [evaluate_segmentation(model, pictures, options) for model in models]

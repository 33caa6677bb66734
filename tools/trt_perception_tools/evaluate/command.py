"""Score models through the pipeline of the nodes: accuracy, and agreement with FP32.

Every model is scored on every --engine, all on the same images, interleaved. --data is a folder of CamVid or Cityscapes
(segmentation), of Middlebury, FlyingChairs, Sintel or KITTI pairs (optical flow), or, without ground truth, a folder of
images or a bag; the others are then compared with the first FP32 contender. --corrupt also scores the dataset under
colour casts, exposure, blur, JPEG, noise, fog and rain. --video reports how many labels change from one frame to the
next although the scene does not, and with --propagate how far labels that are carried along the flow agree with the
model's own. The exit status is 1 if --fail-under or --fail-above is not met.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trt_perception.bench.contender import engine_options
from trt_perception.bench.run import check_writable
from trt_perception.core.errors import ConfigError
from trt_perception.core.model import PRECISIONS, Model, load_model, model_names
from trt_perception.engines import AUTO, BACKENDS

from ..datasets.corruptions import CORRUPTIONS, STRENGTHS
from ..tasks import scorer_class
from .classes import Classes, own_classes, read_classes
from .data import MOST_OF_BAG, open_dataset, open_video
from .page import html_page
from .report import as_json, table
from .scorer import Score
from .scoring import evaluate
from .segmentation import open_labelled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('models', nargs='+', metavar='MODEL',
                        help=f'one of {", ".join(model_names())}, or the path of a model YAML; several are compared')
    parser.add_argument('--data', type=Path, metavar='PATH', help='folder of the dataset or of images, or a bag')
    parser.add_argument('--split', default='test', help='of CamVid, Cityscapes: train, val or test (default: test)')
    parser.add_argument('--corrupt', nargs='*', choices=list(CORRUPTIONS), metavar='NAME',
                        help=f'score under corruptions too, at strengths {", ".join(map(str, STRENGTHS))}: '
                             f'{", ".join(CORRUPTIONS)} (default: all)')
    parser.add_argument('--video', type=Path, metavar='PATH',
                        help='a bag, a folder of successive images or a video file, to find labels that flicker')
    parser.add_argument('--propagate', nargs='+', type=int, default=[], metavar='N',
                        help='segment only every N-th image of the video as well, carry its labels along the optical '
                             "flow as the nodes' parameter does, and compare them with the model's own")
    parser.add_argument('--classes', metavar='LABELS|YAML',
                        help='meaning of the ids in the annotations: a label set, or a mapping of them and of the '
                             "models' classes: see evaluate/classes.py (default: the dataset's own)")
    parser.add_argument('--topic', default='', help='image topic of a bag (default: the only one)')
    parser.add_argument('--limit', type=int, default=0, metavar='N',
                        help='N images, evenly spread; the first N of a video (default: all; of a bag the first 256)')
    parser.add_argument('--engine', nargs='+', default=[AUTO], metavar='ENGINE[:PRECISION]',
                        help=f'{AUTO} (default), {", ".join(BACKENDS)}; several are compared')
    parser.add_argument('--precision', default='',
                        help=f'{", ".join(PRECISIONS)}, for engines without their own (default: the engine\'s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N', help='CPU threads (default: all cores)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the scores to this file')
    parser.add_argument('--html', type=Path, metavar='FILE',
                        help='write a page with scores, reliability, confusions and the worst results')
    parser.add_argument('--worst', type=int, default=3, metavar='N',
                        help='number of results per contender on the page (default: 3)')
    parser.add_argument('--fail-under', type=float, metavar='SHARE',
                        help='lowest accepted mean IoU, 0..1; without ground truth, share of labels as in FP32')
    parser.add_argument('--fail-above', type=float, metavar='PX',
                        help='highest accepted mean EPE; without ground truth, mean difference from FP32')


def execute(args: argparse.Namespace) -> int:
    """Score the models, print the table, and return 1 if one does not meet the limit."""
    models = [load_model(name) for name in args.models]
    task = models[0].task
    for model in models:
        if model.task != task:
            raise ConfigError(f'{model.path}: task: got {model.task}, but {models[0].name} does {task}. Evaluate '
                              'models of one task at a time.')
    if args.data is None and args.video is None:
        raise ConfigError('--data: missing, expected a dataset, a folder of images or a bag. Give one, or a video with '
                          '--video.')
    limit = _limit(args, task)
    for option, value in (('--limit', args.limit), ('--worst', args.worst), ('--threads', args.threads)):
        if value < 0:
            raise ConfigError(f'{option}: got {value}, expected 0 or more.')
    for file in (args.json, args.html):
        if file:
            check_writable(str(file))
    if args.propagate and not args.video:
        raise ConfigError(f'--propagate {args.propagate[0]}: no --video, whose labels could be carried. Give one.')
    if any(each < 2 for each in args.propagate):
        raise ConfigError(f'--propagate: got {min(args.propagate)}, expected 2 or more.')
    options = [engine_options(text, args.threads) for text in args.engine]
    if args.precision:
        options = [each if each.precision else each._replace(precision=args.precision) for each in options]
    classes = _classes(args, models[0])
    dataset = None
    if args.data:
        dataset = open_labelled(args.data, args.split, classes) if classes else \
            open_dataset(args.data, task, args.split, args.topic, args.limit or MOST_OF_BAG)
    if dataset and args.limit:
        dataset = dataset.some(args.limit)
    video = open_video(args.video, args.topic, args.limit or None) if args.video else None
    corruptions = [] if args.corrupt is None else args.corrupt or list(CORRUPTIONS)
    scores, worst = evaluate([(model, each) for model in models for each in options], dataset,
                             args.worst if args.html else 0, corruptions, video, args.propagate)
    print(table(scores))
    if args.json:
        args.json.write_text(as_json(scores), encoding='utf-8')
    if args.html:
        labels = classes.labels_of(models[0]) if classes else models[0].labels
        title = ', '.join(each.title for each in (dataset, video) if each)
        args.html.write_text(html_page(title, scores, worst, labels), encoding='utf-8')
    return 0 if limit is None else _gate(scores, limit)


def _classes(args: argparse.Namespace, model: Model) -> Classes | None:
    """Return the meaning of the ids in the annotations, if they are not the dataset's own."""
    if args.classes and not (args.data and model.labels):
        raise ConfigError(f'--classes {args.classes}: is for the labels of a dataset, given with --data. Leave it out.')
    if args.classes:
        return read_classes(args.classes)
    return own_classes(model, args.data, args.split) if args.data else None


def _limit(args: argparse.Namespace, task: str) -> float | None:
    """Return the worst accepted total; refuse the option for tasks of the other direction."""
    scorer = scorer_class(task)
    options = {'higher': ('--fail-under', args.fail_under), 'lower': ('--fail-above', args.fail_above)}
    option, value = options.pop(scorer.better)
    [(other, unfit)] = options.values()
    if unfit is not None:
        raise ConfigError(f'{other}: not a limit for {task}. Use {option} ({scorer.total.title}).')
    if value is not None and not 0 <= value <= (1 if scorer.better == 'higher' else np.inf):  # Nor NaN.
        raise ConfigError(f'{option}: got {value:g}, expected '
                          f'{"a share, 0..1" if scorer.better == "higher" else "a length in px, from 0 on"}.')
    return value


def _gate(scores: Sequence[Score], limit: float) -> int:
    """Print the scores that do not meet the limit, and return the exit status."""
    status = 0
    for score in scores:
        if not score.parts and not score.reference:
            continue  # The reference of the others.
        value = score.total if score.parts else score.agreement
        better = value >= limit if scorer_class(score.task).better == 'higher' else value <= limit
        if not better:
            print(f'{score.contender}: {value:.4f} misses the limit {limit}')
            status = 1
    return status

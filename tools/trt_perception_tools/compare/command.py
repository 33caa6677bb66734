"""Compare two runs over the same images, or a run with ground truth: agreement by class, flow, the worst moments.

    trt_perception_tools compare run/new run/old --output out/compare
    trt_perception_tools compare run/new truth/ --criteria criteria.yaml --images drive.mcap

A run is a bag that `trt_perception process` wrote or that was recorded from nodes. Ground truth is a bag, or a folder
with labels/STAMP.png, flow/STAMP.flo and classes.json. The second argument is the reference. OUTPUT gets index.html,
frames.jsonl with a line per image, and summary.json. The exit status is 1 if a criterion is not met.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.image import FrameDecoder

from ..datasets.images import read_image
from ..recorded import CAMERA_IMAGE, Recording, frame_of, with_cameras
from .comparison import Comparison
from .criteria import Criterion, judge, read_criteria
from .frame import AGREEMENT, EPE
from .page import comparison_page, number_rows, verdict_rows, write_page
from .run import Key, is_folder, open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('first', type=Path, metavar='RUN', help='bag, or folder with one bag, to be judged')
    parser.add_argument('second', type=Path, metavar='REFERENCE', help='the same, or ground truth as a folder of files')
    parser.add_argument('-o', '--output', type=Path, default=Path('out/compare'), metavar='DIR',
                        help='folder to write (default: %(default)s)')
    parser.add_argument('--criteria', type=Path, metavar='YAML', help='bounds that decide the exit status')
    parser.add_argument('--images', type=Path, metavar='BAG',
                        help='camera images to show under the labels (default: of the runs, where they have them)')
    parser.add_argument('--worst', type=int, default=6, metavar='N',
                        help='how many moments to show (default: %(default)s)')


def execute(args: argparse.Namespace) -> int:
    """Compare, and write the results."""
    criteria = read_criteria(args.criteria) if args.criteria else []
    if args.worst < 0:
        raise ConfigError(f'--worst: got {args.worst}, expected a number from 0.')
    first, second = open_run(args.first), open_run(args.second)
    comparison = Comparison(first, second, args.worst)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        with (args.output / 'frames.jsonl').open('w', encoding='utf-8') as lines:
            for frame in tqdm(comparison.run(), 'compare', len(comparison), unit=' images', leave=False, disable=None):
                lines.write(json.dumps(frame_line(frame.key, frame.numbers, criteria)) + '\n')
        numbers = comparison.numbers()
        verdicts = judge(criteria, numbers, (frame.numbers for frame in comparison.frames))
        write_summary(args.output / 'summary.json', args, comparison, numbers, verdict_rows(verdicts))
        wanted = {pair.frame.key for measure in (AGREEMENT, EPE) for pair in comparison.worst(measure)}
        images = find_images(wanted, [args.images] if args.images else [args.first, args.second])
        write_page(args.output / 'index.html', comparison_page(
            (str(args.first), str(args.second)), comparison, numbers, verdicts, images))
    except OSError as error:
        raise ConfigError(f'--output {args.output}: {error.strerror or error}. Give a folder that can be '
                          'written.') from error
    for row in number_rows(numbers):
        print(f'{row[0]:26}{row[1]:>10}   {row[2]}')
    for fault, count in [*first.faults.items(), *second.faults.items()]:
        print(f'not read: {fault} ({count} messages)')
    for row in verdict_rows(verdicts):
        print(f'{row[2]}: {row[0]}: got {row[1]}')
    print(f'{args.output / "index.html"}')
    return 0 if all(each.passed for each in verdicts) else 1


def frame_line(key: Key, numbers: Mapping[str, float], criteria: Iterable[Criterion]) -> dict[str, object]:
    """Return the entry of an image in frames.jsonl: its numbers, and the criteria that it does not meet."""
    failed = [str(each) for each in criteria if each.measure in numbers and not each.met(numbers[each.measure])]
    return {'camera': key[0], 'stamp_ns': key[1], **numbers, 'failed': failed}


def write_summary(path: Path, args: argparse.Namespace, comparison: Comparison, numbers: Mapping[str, float],
                  verdicts: Iterable[tuple[str, str, str]]) -> None:
    """Write the numbers of the run as JSON."""
    path.write_text(json.dumps({
        'run': str(args.first), 'reference': str(args.second), 'images': len(comparison.frames), **numbers,
        'criteria': [dict(zip(('criterion', 'got', 'verdict'), row, strict=True)) for row in verdicts],
        'missing': comparison.missing, 'extra': comparison.extra}, indent=2) + '\n', encoding='utf-8')


def find_images(keys: set[Key], places: Iterable[Path]) -> dict[Key, np.ndarray]:
    """Return the camera images with some stamps, (H, W, 3) uint8 RGB, from the first bag that has each."""
    found: dict[Key, np.ndarray] = {}
    decoder = FrameDecoder()
    cameras = {camera for camera, _ in keys}
    for place in places:
        if keys <= set(found):
            break
        if is_folder(place):
            found.update((key, cv2.cvtColor(read_image(path), cv2.COLOR_BGR2RGB)) for key in keys - set(found)
                         for path in (place / 'images').glob(f'{key[1]}.*'))
            continue
        recording = Recording(place)
        topics = with_cameras(recording.topics)
        for topic, stamp_ns, message in recording.messages(lambda topic: topic.role == CAMERA_IMAGE):
            camera = topics[topic.name].camera
            key = (camera if camera in cameras or len(cameras) > 1 else next(iter(cameras), ''), stamp_ns)
            if key in keys and key not in found:
                try:
                    frame = frame_of(topic, message)
                    found[key] = decoder.image(frame, 'rgb', (frame.height, frame.width)).copy()
                except FrameError:
                    continue
    return found

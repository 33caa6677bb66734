"""Write the results of a run as datasets: label maps as PNG, a COCO index, flow as in KITTI or Middlebury.

    trt_perception process drive.mcap --with-input --output processed
    trt_perception_tools export-dataset processed/drive dataset --format labels coco kitti --review
    trt_perception_tools evaluate swiftnet_camvid --data dataset

RUN is a bag of `trt_perception process`, or recorded from the nodes; if it has no camera images, use --images. The
dataset of a camera with a namespace is in a folder of that name. --review writes review.jpg, a contact sheet of the
images where the network is least certain and where labels flicker. Formats:

    labels       images/STAMP.png, labels/STAMP.png (class ids, 255 = none), colors/STAMP.png, classes.json
    coco         images/STAMP.png, annotations.json: an annotation per image and class, uncompressed RLE
    kitti        image_2/STAMP_10.png, image_2/STAMP_11.png, flow_occ/STAMP_10.png (16 bits)
    middlebury   STAMP/frame10.png, STAMP/frame11.png, STAMP/flow10.flo
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from trt_perception.core.errors import ConfigError

from .formats import FORMATS, Format
from .moments import RunMoments
from .review import write_review

_REVIEWED = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('run', type=Path, metavar='RUN', help='bag with results')
    parser.add_argument('output', type=Path, metavar='DIR', help='folder to write, new or empty')
    parser.add_argument('--images', type=Path, metavar='BAG', help="bag with the camera's images (default: RUN)")
    parser.add_argument('--format', nargs='+', choices=list(FORMATS), default=['labels'], metavar='FORMAT',
                        help=f'{", ".join(FORMATS)} (default: labels)')
    parser.add_argument('--every', type=int, default=1, metavar='N', help='every Nth image of labels (default: 1)')
    parser.add_argument('--image-format', choices=('png', 'jpg'), default='png', help='(default: png)')
    parser.add_argument('--review', nargs='?', type=int, const=_REVIEWED, default=0, metavar='N',
                        help=f'contact sheet, N images of each kind (default: {_REVIEWED})')


def execute(args: argparse.Namespace) -> int:
    """Write the datasets and print their contents; exit status 1 if messages could not be read."""
    for option, value, least in (('--every', args.every, 1), ('--review', args.review, 0)):
        if value < least:
            raise ConfigError(f'{option}: got {value}, expected at least {least}.')
    run = RunMoments(args.run, args.images)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        if any(args.output.iterdir()):
            raise ConfigError(f'{args.output}: it is not empty. Give another folder, or empty it.')
        formats = _write(run, args)
        if args.review:
            write_review(run, args.output, args.review)
    except OSError as error:
        raise ConfigError(f'{args.output}: {error.strerror}. Give a folder that can be written, with enough '
                          'space.') from error
    for (camera, name), each in formats.items():
        print(f'{args.output / camera}: {name}: {each.count} samples')
        if not each.count:
            raise ConfigError(f'--format {name}: got no {each.needs} in {args.run}{_for_pairs(each)}. Choose another '
                              'format, or give --images.')
    for text, count in run.faults.items():
        print(f'trt_perception_tools export-dataset: {text} ({count} times)', file=sys.stderr)
    return int(bool(run.faults))


def _write(run: RunMoments, args: argparse.Namespace) -> dict[tuple[str, str], Format]:
    """Iterate over the run once; return the datasets by camera and format."""
    formats: dict[tuple[str, str], Format] = {}
    for camera in run.cameras:
        folder = args.output / camera
        folder.mkdir(parents=True, exist_ok=True)
        for name in args.format:
            formats[camera, name] = FORMATS[name](folder, run.classes.get(camera), f'.{args.image_format}')
    numbers = dict.fromkeys(run.cameras, 0)
    for moment in tqdm(run, 'export-dataset', unit='image', leave=False, disable=None):
        if moment.camera not in numbers:
            continue
        is_chosen = numbers[moment.camera] % args.every == 0
        numbers[moment.camera] += 1
        for name in args.format:
            each = formats[moment.camera, name]
            if is_chosen or each.needs != 'labels':
                each.add(moment)
    for each in formats.values():
        each.close()
    return formats


def _for_pairs(each: Format) -> str:
    return ' with its time_reference and both its images' if each.needs == 'flow' else ''

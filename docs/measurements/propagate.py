"""Labels carried along the optical flow: how far they agree with the network's own, and what they cost.

    .venv/bin/python docs/measurements/propagate.py [--data ../shared/data] [--clips highway street CamVid] [--write]
    .venv/bin/python docs/measurements/propagate.py --times

Prints Markdown tables, or writes them into propagate.md, with propagate.jpg. Each network and each method of flow runs
once on every image of a clip; what is carried is then LabelCarrier's. Times are CPU times of one thread, of pipelines
that take turns.
"""
import argparse
import contextlib
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core import label_carrier
from trt_perception.core.carried_segmentation import CarriedSegmentation
from trt_perception.core.colors import label_palette, overlay_labels
from trt_perception.core.data import VOID, FlowField, Frame
from trt_perception.core.image import FrameDecoder, NearestResizer, frame_from_array
from trt_perception.core.label_carrier import GRID, LabelCarrier
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.pipeline import SharedFlow
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.engines.deployment import FLOW_MODEL
from trt_perception_tools.datasets.camvid import labelled_images, read_annotation
from trt_perception_tools.datasets.images import read_image
from trt_perception_tools.evaluate.data import open_video
from trt_perception_tools.evaluate.metrics import confusion_matrix, mean_iou
from trt_perception_tools.evaluate.reliability import confidence_counts, reliability

PAGE = Path(__file__).with_suffix('.md')
MODEL, CLASSES = 'swiftnet_camvid', 11
FLOWS = (FLOW_MODEL, 'dis_fast', 'dis_medium', 'tinypwc')
EVERY = (2, 3, 5, 10)
MOST = 150
"""Images of a clip."""
SIZES = ((360, 640), (480, 640), (720, 1280))
"""Of images whose times are taken, px."""


class Clip(NamedTuple):
    """Images, and what is said of each."""

    title: str
    images: list[np.ndarray]
    """(H, W, 3) uint8 BGR each."""
    interval_ns: int
    truth: list[np.ndarray]
    """(H, W) uint8 class ids each; empty = unknown."""


class Recorded(NamedTuple):
    """What network and flow gave for each image of a clip, on the images' size."""

    labels: list[np.ndarray]
    confidence: list[np.ndarray]
    flows: dict[str, list[FlowField | None]]
    """By model."""


def clips(data: Path) -> Iterator[Clip]:
    """Read the clips."""
    decoder = FrameDecoder()
    videos = ('highway', data / 'video_udacity/solidWhiteRight.mp4', 40, SIZES[0]), ('street', 'demo/street', 100, None)
    for title, path, interval_ms, size in videos:
        frames = open_video(Path(path), '', MOST).frames
        yield Clip(title, [decoder.image(frame, 'bgr', size or (frame.height, frame.width)).copy() for frame in frames],
                   interval_ms * 1_000_000, [])
    labelled = labelled_images(data / 'camvid', 'val')
    yield Clip('CamVid', [read_image(each.image) for each in labelled], 66_666_667,
               [read_annotation(each.annotation) for each in labelled])


def frames_of(clip: Clip) -> list[Frame]:
    """Return a clip's images with stamps."""
    return [frame_from_array(image, number * clip.interval_ns) for number, image in enumerate(clip.images)]


def record(clip: Clip, options: EngineOptions, methods: Iterable[str] = FLOWS) -> Recorded:
    """Run the network and methods of flow on a clip."""
    model = load_model(MODEL)
    segmentation = SegmentationPipeline(open_engine(model, options), model)
    flows = {name: OpticalFlowPipeline(open_engine(load_model(name), EngineOptions('auto', '', 1)), load_model(name),
                                       {'output_size': 'network'}) for name in methods}
    results = Recorded([], [], {name: [] for name in flows})
    for frame in frames_of(clip):
        result = segmentation.process(frame)
        results.labels.append(result.labels.copy())
        results.confidence.append(result.confidence.copy())
        for name, pipeline in flows.items():
            field = pipeline.process(frame)
            results.flows[name].append(field and field._replace(flow=field.flow.copy(),
                                                                confidence=field.confidence.copy()))
    return results


class Carried(NamedTuple):
    """The labels of one image that was not segmented."""

    number: int
    labels: np.ndarray
    confidence: np.ndarray
    least: np.ndarray
    """(H, W) uint8: the least confidence that the flow had on the way of each pixel."""


def carried(recorded: Recorded, flow: str, every: int) -> Iterator[Carried]:
    """Carry every n-th image's labels along a method's flow; 'held' = along none."""
    shape = recorded.labels[0].shape
    carrier, way = LabelCarrier(shape), LabelCarrier(shape)
    still = FlowField(np.zeros((*GRID, 2), np.float32), 0, '', 0)
    for number, labels in enumerate(recorded.labels):
        if number % every == 0:
            carrier.keep(labels, recorded.confidence[number])
            least = np.full(shape, 255, np.uint8)
            continue
        field = still if flow == 'held' else recorded.flows[flow][number]
        assert field is not None
        carrier.move(field.flow)
        result = Carried(number, *(np.empty(shape, np.uint8) for _ in range(3)))
        carrier.carry(result.labels, result.confidence)
        way.keep(least)
        way.move(field.flow)
        way.carry(least)
        if field.confidence is not None:
            NearestResizer(field.confidence.shape, shape).resize(field.confidence, result.least)
            np.minimum(least, result.least, out=least)
        np.copyto(result.least, least)
        yield result


def miou(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> str:
    """Return the mean IoU of pairs (what is right, labels), %."""
    return f'{100 * mean_iou(sum(confusion_matrix(right, labels, CLASSES) for right, labels in pairs)):.1f}'


def row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print('| ' + ' | '.join(map(str, cells)) + ' |', flush=True)


def report_agreement(clip: Clip, recorded: Recorded) -> None:
    """Print how far carried labels agree with the network's own, and with the truth where there is one."""
    own = recorded.labels
    print(f'\n### {clip.title}\n\n{len(own)} images of {"{}x{}".format(*own[0].shape)}; the network\'s own labels of '
          f'successive images agree to {miou(pairwise(own))} %. Carried labels and its own of the same image:\n')
    row('', *(f'every {every}.' for every in EVERY))
    row(*['---'] * (len(EVERY) + 1))
    for flow in ('held', *FLOWS):
        row(flow, *(miou((own[each.number], each.labels) for each in carried(recorded, flow, every))
                    for every in EVERY))
    if clip.truth:
        print('\nThe same images against the truth (this drive chose the epoch of the weights: the level is too high, '
              'not the differences):\n')
        row('', *(f'every {every}.' for every in EVERY))
        row(*['---'] * (len(EVERY) + 1))
        row('own', *(miou((truth, labels) for number, (truth, labels) in enumerate(zip(clip.truth, own, strict=True))
                          if number % every) for every in EVERY))
        for flow in ('held', *FLOWS):
            row(flow, *(miou((clip.truth[each.number], each.labels) for each in carried(recorded, flow, every))
                        for every in EVERY))


def report_validity(clip: Clip, recorded: Recorded, every: int = 3) -> None:
    """Print what becomes of the labels where the flow is unsure when they are made void instead."""
    right = clip.truth or recorded.labels
    print(f'\nWhere the flow is unsure on the way, every {every}., {FLOWS[0]}, against '
          f'{"the truth" if clip.truth else "its own labels"}:\n')
    row('void where the flow has a confidence below', 'share', 'of its labels right', 'of the others right', 'mean IoU')
    row(*['---'] * 5)
    for limit in (0, 64, 128):
        results = list(carried(recorded, FLOWS[0], every))
        void = np.stack([each.least < limit for each in results])
        known = np.stack([right[each.number] != VOID for each in results])
        hit = np.stack([right[each.number] == each.labels for each in results])
        low, high = (f'{hit[part].mean():.3f}' if part.any() else '-' for part in (void & known, ~void & known))
        row(limit or 'never', f'{void.mean():.3f}', low, high,
            miou((right[each.number], np.where(where, VOID, each.labels))
                 for each, where in zip(results, void, strict=True)))


def report_confidence(clip: Clip, recorded: Recorded) -> None:
    """Print how well the confidence of carried labels says which are right, by how it falls."""
    right = clip.truth or recorded.labels
    against = 'the truth' if clip.truth else 'its own labels'
    print(f'\nThe confidence of carried labels, {FLOWS[0]}, against {against}:\n')
    row('confidence', *(f'{what}, every {every}.' for every in EVERY[1:] for what in ('mean - right', 'ECE', 'AUROC')))
    row(*['---'] * (1 + 3 * len(EVERY[1:])))

    def scored(title: str, given: Callable[[Carried], tuple[np.ndarray, np.ndarray]]) -> None:
        cells = []
        for every in EVERY[1:]:
            score = reliability(sum(confidence_counts(right[each.number], *given(each), CLASSES)
                                    for each in carried(recorded, FLOWS[0], every)).sum(0))
            cells += [f'{100 * (score.confidence - score.right):+.1f}', f'{100 * score.ece:.2f}', f'{score.auroc:.3f}']
        row(title, *cells)

    if clip.truth:
        scored('of the network, every image',
               lambda each: (recorded.labels[each.number], recorded.confidence[each.number]))
    shipped = label_carrier.DOUBT_PER_IMAGE
    for doubt in (0, 1, 2):
        label_carrier.DOUBT_PER_IMAGE = doubt
        scored(f'carried, - {doubt}/255 per image' + (' **(shipped)**' if doubt == shipped else ''),
               lambda each: (each.labels, each.confidence))
    label_carrier.DOUBT_PER_IMAGE = shipped


def contenders(options: EngineOptions, size: tuple[int, int], is_wanted: bool) -> list[SegmentationPipeline]:
    """Return pipelines: one that segments all images, those that carry labels, and the last with flow that is there."""
    model, flow = load_model(MODEL), load_model(FLOW_MODEL)
    # Stands for a node's own flow, of the size of the image, which was computed anyway.
    given = FlowField(np.zeros((*size, 2), np.float32), 0, '', 1, np.full(size, 255, np.uint8))

    def carrying(every: int, shared_flow: SharedFlow) -> CarriedSegmentation:
        decoder = FrameDecoder()
        return CarriedSegmentation(
            open_engine(model, options, decoder), model, {'propagate': every}, wants=lambda role: is_wanted,
            flow_engine=open_engine(flow, EngineOptions('opencv', '', 1), decoder), shared_flow=shared_flow)

    return [SegmentationPipeline(open_engine(model, options), model, wants=lambda role: is_wanted),
            *(carrying(every, lambda: None) for every in EVERY), carrying(EVERY[-1], lambda: lambda: given)]


def report_times(options: EngineOptions, images: list[np.ndarray]) -> None:
    """Print the CPU time of segmenting some images over that of segmenting all."""
    print('\nCPU time of one thread over that of segmenting every image; the last two columns: of an image to which '
          'labels are carried, over that of one that is segmented.\n')
    row('image', 'confidence', *(f'every {every}.' for every in EVERY), 'one', 'with flow that is there')
    row(*['---'] * (len(EVERY) + 4))
    for size, is_wanted in product(SIZES, (False, True)):
        frames = [frame_from_array(cv2.resize(image, size[::-1]), number * 40_000_000)
                  for number, image in enumerate(images)]
        pipelines = contenders(options, size, is_wanted)
        times = np.zeros((len(frames), len(pipelines)))
        for number, frame in enumerate(frames):
            for contender, pipeline in enumerate(pipelines):
                start = time.thread_time()
                pipeline.process(frame)
                times[number, contender] = time.thread_time() - start
        total = times.sum(0) / times[:, 0].sum()
        is_carried = np.arange(len(frames)) % EVERY[-1] > 0
        one = np.median(times[is_carried][:, [-2, -1]], 0) / np.median(times[:, 0])
        row('{}x{}'.format(*size), 'yes' if is_wanted else 'no', *(f'{share:.3f}' for share in total[1:-1]),
            *(f'{share:.3f}' for share in one))


def draw(path: Path, clip: Clip, recorded: Recorded, every: int = 5, number: int = 29) -> None:
    """Save a part of an image with its own labels, those of an image before it, and these carried, side by side."""
    palette = label_palette(load_model(MODEL).labels)
    part = np.s_[180:330, 360:560]
    tiles = []
    for labels in (recorded.labels[number], recorded.labels[number - number % every],
                   next(each.labels for each in carried(recorded, FLOWS[0], every) if each.number == number)):
        image = overlay_labels(np.ascontiguousarray(clip.images[number][..., ::-1]), labels, palette, 0.5)
        tiles.append(cv2.resize(image[part], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    cv2.imwrite(str(path), np.hstack(tiles)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=Path('../shared/data'), metavar='DIR')
    parser.add_argument('--clips', nargs='+', default=['highway', 'street', 'CamVid'], metavar='NAME')
    parser.add_argument('--write', action='store_true', help='into propagate.md and propagate.jpg')
    parser.add_argument('--times', action='store_true', help='measure times instead')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    options = EngineOptions('onnxruntime', '', 1)
    if args.times:
        return report_times(options, next(clips(args.data)).images[:60])
    with contextlib.redirect_stdout(io.StringIO()) if args.write else contextlib.nullcontext() as output:
        for clip in clips(args.data):
            if clip.title not in args.clips:
                continue
            recorded = record(clip, options)
            report_agreement(clip, recorded)
            report_validity(clip, recorded)
            report_confidence(clip, recorded)
            if clip.title == 'street' and args.write:
                draw(PAGE.parents[1] / 'propagate.jpg', clip, recorded)
    if output is not None:
        PAGE.write_text(re.sub('### .*?(?=\n\n## )', lambda _: output.getvalue().strip(), PAGE.read_text(), count=1,
                               flags=re.DOTALL))


if __name__ == '__main__':
    main()

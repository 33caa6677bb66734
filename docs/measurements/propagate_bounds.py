"""What limits the agreement of carried labels with the network's own labels of the same image.

    .venv/bin/python docs/measurements/propagate_bounds.py [--data ../shared/data] [--clips highway street CamVid]

Prints the Markdown tables of propagate.md's "What limits the agreement": how stable the network's own labels are on a
slightly changed image, and how many carried labels would have to be corrected.
"""
import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from propagate import CLASSES, FLOWS, MODEL, Carried, Clip, carried, clips, frames_of, record, row

from trt_perception.core.model import load_model
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import EngineOptions, open_engine
from trt_perception_tools.evaluate.metrics import class_iou, confusion_matrix

EVERY = 3
COMMON = 0.001
"""Share of the pixels from which on a class counts as common."""
SHIFTED, CARRIED = 'own labels, shifted by 1 px and back', f'**carried, every {EVERY}.**'
Pairs = Iterable[tuple[np.ndarray, np.ndarray]]


def own_labels(clip: Clip, options: EngineOptions, change: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """Return the network's labels of the changed images."""
    model = load_model(MODEL)
    pipeline = SegmentationPipeline(open_engine(model, options), model)
    changed = clip._replace(images=[np.ascontiguousarray(change(image)) for image in clip.images])
    return [pipeline.process(frame).labels.copy() for frame in frames_of(changed)]


def with_noise(image: np.ndarray) -> np.ndarray:
    """Add Gaussian noise of 2 grey levels, the same to every image."""
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def as_jpeg(image: np.ndarray) -> np.ndarray:
    """Compress with quality 90."""
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR)


def shifted(image: np.ndarray) -> np.ndarray:
    """Move down and to the right by 1 px; the first row and column stay."""
    return np.pad(image, ((1, 0), (1, 0), (0, 0)), 'edge')[:-1, :-1]


def corrected(results: list[Carried], own: list[np.ndarray], share: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return pairs (own labels, carried ones of which the least sure share is replaced by the own)."""
    for each in results:
        right, labels = own[each.number], each.labels.copy()
        least = np.argsort(each.confidence, axis=None, kind='stable')[:round(share * labels.size)]
        labels.flat[least] = right.flat[least]
        yield right, labels


def measured(clip: Clip, options: EngineOptions) -> dict[str, np.ndarray]:
    """Return confusion matrices with the network's own labels of the same image, of the images to be carried to."""
    recorded = record(clip, options, FLOWS[:1])
    own = recorded.labels

    def compared(labels: list[np.ndarray]) -> Pairs:
        return ((own[number], labels[number]) for number in range(len(own)) if number % EVERY)

    moved = [np.pad(labels[1:, 1:], ((0, 1), (0, 1)), 'edge') for labels in own_labels(clip, options, shifted)]
    results = list(carried(recorded, FLOWS[0], EVERY))
    pairs = {'own labels of the previous image': compared([own[0], *own[:-1]]),
             'own labels of the same image as JPEG, quality 90': compared(own_labels(clip, options, as_jpeg)),
             'own labels with noise of 2 grey levels': compared(own_labels(clip, options, with_noise)),
             SHIFTED: compared(moved), CARRIED: corrected(results, own, 0)}
    for share in (0.01, 0.02, 0.05, 0.1):
        pairs[f'carried, lowest-confidence {share:.0%} replaced by own labels'] = corrected(results, own, share)
    return {title: sum(confusion_matrix(right, labels, CLASSES) for right, labels in each)
            for title, each in pairs.items()}


def report(found: dict[str, dict[str, np.ndarray]]) -> None:
    """Print the tables of all clips."""
    shares = {clip: matrices[CARRIED].sum(1) / matrices[CARRIED].sum() for clip, matrices in found.items()}
    row('', *found)
    row(*['---'] * (len(found) + 1))
    for title in next(iter(found.values())):
        iou = {clip: 100 * class_iou(matrices[title]) for clip, matrices in found.items()}
        row(title, *(f'{np.nanmean(each):.1f} ({np.nanmean(each[shares[clip] >= COMMON]):.1f})'
                     for clip, each in iou.items()))
    print()
    row('', '', *(each.name for each in load_model(MODEL).labels.classes))
    row(*['---'] * (CLASSES + 2))
    for clip, matrices in found.items():
        row(clip, 'share of the pixels, %', *(f'{100 * each:.2f}' for each in shares[clip]))
        for title in (SHIFTED, CARRIED):
            row('', title, *('-' if np.isnan(each) else f'{100 * each:.0f}' for each in class_iou(matrices[title])))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=Path('../shared/data'), metavar='DIR')
    parser.add_argument('--clips', nargs='+', default=['highway', 'street', 'CamVid'], metavar='NAME')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    options = EngineOptions('onnxruntime', '', 1)
    report({clip.title: measured(clip, options) for clip in clips(args.data) if clip.title in args.clips})


if __name__ == '__main__':
    main()

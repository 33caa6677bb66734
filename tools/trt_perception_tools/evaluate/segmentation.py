"""Scores label maps: mean IoU, and reliability of the confidence."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from trt_perception.core.colors import label_palette, overlay_labels
from trt_perception.core.data import VOID, LabelMap
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model, load_labels

from ..datasets.camvid import labelled_images, read_annotation
from ..datasets.cityscapes import NAMES, cityscapes_images, read_cityscapes_annotation
from ..datasets.images import read_ids, read_image
from ..datasets.label_folder import is_label_folder, label_folder_images, read_label_set
from ..report import html
from .classes import Classes, classes_of
from .data import Dataset, Sample, check_size
from .metrics import class_iou, confusion_matrix, label_agreement, mean_iou, pixel_accuracy
from .reliability import LEVELS, Reliability, confidence_counts, reliability
from .scorer import Measure, Score, Scorer, Totals

_CITYSCAPES = 'leftImg8bit'


class SegmentationScorer(Scorer):
    """Accumulates confusions, and right and wrong labels by confidence.

    Totals.details: `confusion`, pixels by true class (row) and given class (column), the last column no class;
    `reliability`, of a model with a confidence: given class -> Reliability.
    """

    part = Measure('IoU, %', 100)
    total = Measure('mean IoU, %', 100)
    measures = {'pixel_accuracy': Measure('pixel accuracy, %', 100), 'ece': Measure('ECE', digits=4),
                'worst_class_ece': Measure('ECE, worst class', digits=4),
                'auroc': Measure('AUROC, right or wrong', digits=3)}
    agreement = Measure('labels as in FP32, %', 100)
    better = 'higher'
    sample = 'image'
    error = '{:.1%} of the labels off {}'
    deviation = Measure('labels, %', 100, 4)
    differs = '{:.2%} of the labels differ'
    truth = 'labelled images'
    layouts = 'CamVid (test.txt, testannot), Cityscapes (leftImg8bit), export-dataset (classes.json)'

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._names = [each.name for each in model.labels.classes] if model.labels else []
        self._confusion = np.zeros((len(self._names), len(self._names) + 1), np.int64)
        self._confidence = np.zeros((len(self._names), LEVELS, 2), np.int64)

    def add(self, name: str, value: LabelMap, truth: np.ndarray) -> float:
        """Count the pixels of an image; see Scorer."""
        confusion = confusion_matrix(truth, value.labels, len(self._names))
        self._confusion += confusion
        if value.confidence is not None:
            self._confidence += confidence_counts(truth, value.labels, value.confidence, len(self._names))
        return 1 - pixel_accuracy(confusion)

    def totals(self) -> Totals:
        """Return IoU per class and the mean; see Scorer."""
        measures = {'pixel_accuracy': pixel_accuracy(self._confusion)}
        details: dict[str, object] = {'confusion': self._confusion.tolist()}
        if self._confidence.any():
            overall = reliability(self._confidence.sum(0))
            classes = {name: reliability(counts) for name, counts in zip(self._names, self._confidence, strict=True)}
            measures.update(ece=overall.ece, auroc=overall.auroc,
                            worst_class_ece=max(each.ece for each in classes.values() if each.pixels))
            details['reliability'] = {'all': overall, **classes}
        return Totals(dict(zip(self._names, class_iou(self._confusion).tolist(), strict=True)),
                      mean_iou(self._confusion), measures, details)

    @staticmethod
    def agree(result: np.ndarray, reference: np.ndarray) -> float:
        """Return the share of labels that are equal in two (H, W) maps, 0..1."""
        return label_agreement(result, reference)

    @staticmethod
    def deviate(result: np.ndarray, reference: np.ndarray) -> float:
        """Return the share of labels that differ in two (1, H, W) outputs, 0..1."""
        return 1 - label_agreement(result, reference)

    @staticmethod
    def has_truth(path: Path) -> bool:
        """Return whether a folder is one of CamVid, Cityscapes or export-dataset; see Scorer."""
        return any(path.glob('*annot')) or (path / _CITYSCAPES).is_dir() or is_label_folder(path)

    @staticmethod
    def open_truth(path: Path, split: str) -> Dataset:
        """Return a split of CamVid or Cityscapes; see Scorer."""
        return open_labelled(path, split)

    @staticmethod
    def tiles(image: np.ndarray, result: np.ndarray, expected: np.ndarray, model: Model) -> Sequence[np.ndarray]:
        """Draw the labels, and wrong ones red over grey, unlabelled pixels black; see Scorer."""
        assert model.labels is not None
        palette = label_palette(model.labels)
        wrong = np.repeat(image.mean(2, keepdims=True) * 0.6 + 60, 3, 2).astype(np.uint8)
        wrong[result != expected] = (220, 40, 40)
        wrong[expected == VOID] = 0
        return [*(overlay_labels(image, labels, palette, 0.7) for labels in (expected, result)), wrong]

    @staticmethod
    def text(scores: Sequence[Score]) -> str:
        """Return, for each model with a confidence, the confidence and the share of right labels of each class."""
        blocks = []
        for score in scores:
            rows = _reliability_rows(score)
            if rows:
                width = max(len(row[0]) for row in rows)
                lines = [[score.contender, 'confidence', 'right', 'ECE'], *rows]
                width = max(len(line[0]) for line in lines)
                blocks.append('\n'.join('  '.join([line[0].ljust(width), *(each.rjust(10) for each in line[1:])])
                                        for line in lines))
        return '\n\n'.join(blocks)

    @staticmethod
    def sections(scores: Sequence[Score]) -> Iterator[Markup]:
        """Yield reliability and confusions; see Scorer."""
        sure = {score.contender: score.details['reliability'] for score in scores if 'reliability' in score.details}
        if sure:
            yield html.heading('Reliability of the confidence')
            yield html.reliability(
                {f'{name}: ECE {classes["all"].ece:.4f}': [
                    (each.pixels / classes['all'].pixels, each.confidence, each.right) for each in classes['all'].bins]
                 for name, classes in sure.items()},
                'On the diagonal, the confidence is the share of right labels; below it, it says too much.')
            yield html.paragraph('Of the pixels that were given a class: mean confidence, share of right labels, '
                                 'expected calibration error (15 bins).')
            for score in scores:
                if score.contender in sure:
                    yield html.table([score.contender, 'confidence', 'right', 'ECE'], _reliability_rows(score))
        if scores[0].details.get('confusion'):
            yield html.heading('Confusions')
            yield html.paragraph('Of the pixels of the class in the row, % that were given the class in the column.')
            for score in scores:
                yield _confusions(score)


def open_labelled(path: Path, split: str, mapping: Classes | None = None) -> Dataset:
    """Return a split of CamVid or Cityscapes, or of other classes in their layout; or the output of export-dataset.

    Args:
        mapping: meaning of the ids in the annotations; None = the dataset's own.

    Raises:
        ConfigError: there is no such split, or it is incomplete.
    """
    read: Callable[[Path], np.ndarray]
    if (path / _CITYSCAPES).is_dir():
        title, images, read = 'Cityscapes', cityscapes_images(path, split), read_cityscapes_annotation
        classes = NAMES
    elif is_label_folder(path):
        title, split, images = path.resolve().name, '', label_folder_images(path)
        mapping = mapping or classes_of(read_label_set(path))
    else:
        title, images, read = 'CamVid', labelled_images(path, split), read_annotation
        classes = tuple(each.name for each in load_labels('camvid').classes)
    if mapping is not None:
        table, classes = mapping.truth_table(), mapping.names

        def read(annotation: Path) -> np.ndarray:
            return table[read_ids(annotation, 'class ids')]

    def sample(number: int) -> Sample:
        image = images[number]
        frame, truth = frame_from_array(read_image(image.image)), read(image.annotation)
        check_size(image.annotation, truth, frame)
        return Sample((frame,), truth)
    return Dataset(f'{title} {split}'.strip(), [each.name for each in images], sample, True, classes, mapping)


def _reliability_rows(score: Score) -> list[list[str]]:
    classes: dict[str, Reliability] = score.details.get('reliability', {})
    return [[name, *('-' if math.isnan(value) else f'{value:.3f}' for value in (each.confidence, each.right, each.ece))]
            for name, each in classes.items()]


def _confusions(score: Score) -> Markup:
    counts = np.array(score.details['confusion'], np.float64)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    columns = [*map(str, range(len(shares))), 'none']
    if not counts[:, -1].any():
        columns.pop()  # The label of every pixel is a class, as with our own graphs.
    rows = [[f'{number} {name}', *(f'{share:.1f}' if share >= 0.05 else '' for share in shares[number, :len(columns)])]
            for number, name in enumerate(score.parts)]
    return html.table([score.contender, *columns], rows)

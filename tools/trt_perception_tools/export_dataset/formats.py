"""Layouts of results on disk: one class per format, which takes Moments."""
from __future__ import annotations

import abc
import json
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from trt_perception.core.colors import color_labels, label_palette
from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception.core.model import LabelSet

from ..datasets.flow import write_flo, write_kitti_flow
from ..datasets.label_folder import CLASSES_FILE
from .moments import Moment

_IMAGES_KEPT = 32
"""Recent images, one of which is the other image of a flow field."""


class Format(abc.ABC):
    """A dataset to write.

    Args:
        folder: an existing folder.
        classes: the classes of the labels; None = there are none.
        image_ending: suffix of the images' files: .png or .jpg.

    Attributes:
        count: number of samples.
    """

    needs: ClassVar[str]
    """Field of Moment that a sample needs."""

    def __init__(self, folder: Path, classes: LabelSet | None, image_ending: str) -> None:
        self.count = 0
        self._folder = folder
        self._classes = classes.classes if classes else ()
        self._image_ending = image_ending

    @abc.abstractmethod
    def add(self, moment: Moment) -> None:
        """Write the sample of an image, if its results are complete."""

    def close(self) -> None:
        """Write the files that are known only at the end."""
        return

    def _write(self, place: str, pixels: np.ndarray) -> None:
        """Write (H, W) or (H, W, 3) BGR, uint8 or uint16."""
        write_image(self._folder / place, pixels)


class Labels(Format):
    """images/STAMP.png, labels/STAMP.png with class ids, colors/STAMP.png, and classes.json."""

    needs = 'labels'

    def __init__(self, folder: Path, classes: LabelSet | None, image_ending: str) -> None:
        super().__init__(folder, classes, image_ending)
        self._palette = label_palette(classes or LabelSet('', ()))
        (folder / CLASSES_FILE).write_text(json.dumps({'void': VOID, 'classes': [
            {'id': each.id, 'name': each.name, 'color': list(each.color)} for each in self._classes]},
            indent=1) + '\n', encoding='utf-8')

    def add(self, moment: Moment) -> None:
        """Write an image and its labels."""
        if moment.labels is None:
            return
        self.count += 1
        if moment.image is not None:
            self._write(f'images/{moment.stamp_ns}{self._image_ending}', resized(moment.image, moment.labels.shape))
        self._write(f'labels/{moment.stamp_ns}.png', moment.labels)
        self._write(f'colors/{moment.stamp_ns}.png', color_labels(moment.labels, self._palette)[..., ::-1])


class Coco(Format):
    """annotations.json as COCO's: an annotation per image and class, its pixels as uncompressed RLE; images/."""

    needs = 'labels'

    def __init__(self, folder: Path, classes: LabelSet | None, image_ending: str) -> None:
        super().__init__(folder, classes, image_ending)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, moment: Moment) -> None:
        """Write an image, and record its labels."""
        labels = moment.labels
        if labels is None:
            return
        self.count += 1
        name = f'{moment.stamp_ns}{self._image_ending}'
        if moment.image is not None and not (self._folder / 'images' / name).exists():
            self._write(f'images/{name}', resized(moment.image, labels.shape))
        number = len(self._images) + 1
        self._images.append({'id': number, 'file_name': name, 'height': labels.shape[0], 'width': labels.shape[1],
                             'stamp_ns': moment.stamp_ns})
        for class_id in np.unique(labels[labels != VOID]).tolist():
            mask = labels == class_id
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            self._annotations.append({
                'id': len(self._annotations) + 1, 'image_id': number, 'category_id': class_id, 'iscrowd': 1,
                'area': int(mask.sum()), 'bbox': [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1),
                                                  int(rows[-1] - rows[0] + 1)],
                'segmentation': {'size': list(mask.shape), 'counts': run_lengths(mask)}})

    def close(self) -> None:
        """Write the index."""
        categories = [{'id': each.id, 'name': each.name, 'supercategory': '', 'color': list(each.color), 'isthing': 0}
                      for each in self._classes]
        (self._folder / 'annotations.json').write_text(json.dumps({
            'info': {'description': 'written by trt_perception_tools export-dataset'}, 'images': self._images,
            'annotations': self._annotations, 'categories': categories}), encoding='utf-8')


class FlowPairs(Format):
    """Pairs of images, and the flow from the first to the second on the first one's grid.

    With flow_grid `current`, the first image is the later one, so that the field only changes its sign.
    """

    needs = 'flow'

    def __init__(self, folder: Path, classes: LabelSet | None, image_ending: str) -> None:
        super().__init__(folder, classes, image_ending)
        self._images: dict[int, np.ndarray] = {}
        self._fields: dict[int, Moment] = {}  # Fields that wait for their other image, by its stamp.

    def add(self, moment: Moment) -> None:
        """Write the pair whose later image this is."""
        if moment.image is not None:
            self._images[moment.stamp_ns] = moment.image
            if len(self._images) > _IMAGES_KEPT:
                del self._images[min(self._images)]
        for field in (moment, self._fields.pop(moment.stamp_ns, None)):
            if field is None or field.flow is None or field.other_ns is None:
                continue
            pair = [self._images.get(stamp) for stamp in (field.stamp_ns, field.other_ns)]
            if field.other_ns > field.stamp_ns and pair[1] is None:
                self._fields[field.other_ns] = field
            elif pair[0] is not None and pair[1] is not None:
                self.count += 1
                # With `current`, a point was at x - u before.
                flow = field.flow if field.other_ns > field.stamp_ns else -field.flow
                first, second = (resized(each, flow.shape) for each in (pair[0], pair[1]))
                self._write_pair(str(field.stamp_ns), first, second, flow)

    @abc.abstractmethod
    def _write_pair(self, name: str, first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> None:
        """Write both images, (H, W, 3) uint8 BGR, and the flow, (H, W, 2) float32, px."""


class Kitti(FlowPairs):
    """image_2/STAMP_10.png, image_2/STAMP_11.png and flow_occ/STAMP_10.png, 16 bits: steps of 1/64 px, up to 512 px."""

    def _write_pair(self, name: str, first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> None:
        self._write(f'image_2/{name}_10.png', first)
        self._write(f'image_2/{name}_11.png', second)
        write_kitti_flow(self._folder / f'flow_occ/{name}_10.png', flow)


class Middlebury(FlowPairs):
    """STAMP/frame10.png, STAMP/frame11.png and STAMP/flow10.flo."""

    def _write_pair(self, name: str, first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> None:
        self._write(f'{name}/frame10.png', first)
        self._write(f'{name}/frame11.png', second)
        write_flo(self._folder / f'{name}/flow10.flo', flow)


FORMATS: dict[str, type[Format]] = {'labels': Labels, 'coco': Coco, 'kitti': Kitti, 'middlebury': Middlebury}


def resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an image at the (height, width) of a result."""
    if image.shape[:2] == tuple(shape[:2]):
        return image
    return cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return an (H, W) bool as COCO's uncompressed RLE: column by column, beginning with the number of False."""
    flat = np.concatenate([[False], mask.ravel(order='F')])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an (H, W) or (H, W, 3) image, and create its folder.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(pixels))[1].tobytes())
    except OSError as error:
        raise ConfigError(f'{path}: {error.strerror}. Give a folder that can be written, with enough space.') from error

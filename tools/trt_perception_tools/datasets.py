"""Labelled pictures and flow pairs on disk: finds the files and reads them. Knows no metric and no model."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError

CAMVID_CLASSES = 11
"""Ids 0..10 in the annotations; 11 means void."""

_FLO_MAGIC = 202021.25
_UNKNOWN_FLOW = 1e9


class LabelledPicture(NamedTuple):
    """A picture with the class of every pixel."""

    name: str
    image: Path
    annotation: Path


class FlowPair(NamedTuple):
    """Two pictures with the true flow from the first to the second, on the first one's grid."""

    name: str
    first: Path
    second: Path
    flow: Path


def labelled_pictures(folder: Path, split: str) -> list[LabelledPicture]:
    """List a split of CamVid in SegNet's layout: `test.txt`, `test/NAME.*`, `testannot/NAME.png`.

    Raises:
        ConfigError: the list or a file that it names is missing.
    """
    listing = folder / f'{split}.txt'
    if not listing.is_file():
        raise ConfigError(f'{listing}: no such file, expected the names of the pictures of split {split!r}. Give the '
                          'folder of CamVid with --data.')
    found = {path.stem: path for path in sorted((folder / split).glob('*.*'))}
    pictures = []
    for line in listing.read_text(encoding='utf-8').splitlines():
        if line.strip():
            name = Path(line.split()[0]).stem  # SegNet's own lists hold paths.
            annotation = folder / f'{split}annot' / f'{name}.png'
            if name not in found or not annotation.is_file():
                raise ConfigError(f'{listing}: {name}: no {split}/{name}.* with a {annotation.parent.name}/'
                                  f'{annotation.name}. Complete the dataset.')
            pictures.append(LabelledPicture(name, found[name], annotation))
    if not pictures:
        raise ConfigError(f'{listing}: names no picture. Complete the dataset.')
    return pictures


def flow_pairs(folder: Path) -> list[FlowPair]:
    """List the pairs with ground truth below a folder, in the layout of Middlebury or of FlyingChairs.

    Middlebury: `NAME/frame10.*`, `NAME/frame11.*`, `NAME/flow10.flo`; FlyingChairs: `NAME-img0.*`, `NAME-img1.*`,
    `NAME-gt.flo`.

    Raises:
        ConfigError: there is none, or a picture is missing.
    """
    pairs = []
    for flow in sorted(folder.rglob('*.flo')):
        if flow.name == 'flow10.flo':
            name, stems = flow.parent.name, ('frame10', 'frame11')
        elif flow.stem.endswith('-gt'):
            name = flow.stem[:-len('-gt')]
            stems = (f'{name}-img0', f'{name}-img1')
        else:
            continue
        pictures = [next(iter(sorted(flow.parent.glob(f'{stem}.*'))), None) for stem in stems]
        if pictures[0] is None or pictures[1] is None:
            raise ConfigError(f'{flow}: no {stems[0]}.* with {stems[1]}.* beside it. Complete the dataset.')
        pairs.append(FlowPair(name, pictures[0], pictures[1], flow))
    if not pairs:
        raise ConfigError(f'{folder}: no flow pairs, expected NAME/flow10.flo (Middlebury) or NAME-gt.flo '
                          '(FlyingChairs). Give their folder with --data.')
    return pairs


def read_picture(path: Path) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8, BGR.

    Raises:
        ConfigError: it is none.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f'{path}: no picture that OpenCV can read. Restore the file.')
    return picture


def read_annotation(path: Path) -> np.ndarray:
    """Return a CamVid annotation as (H, W) uint8 class ids, VOID (255) where there is none.

    Raises:
        ConfigError: it is no picture of one channel, or holds ids that CamVid does not have.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
        raise ConfigError(f'{path}: expected an 8-bit picture of one channel, the class ids. Restore the file.')
    if labels.max() > CAMVID_CLASSES:
        raise ConfigError(f'{path}: got class id {labels.max()}, expected 0..{CAMVID_CLASSES - 1}, or '
                          f'{CAMVID_CLASSES} for void. Use annotations of the SegNet split.')
    labels[labels == CAMVID_CLASSES] = VOID
    return labels


def read_flo(path: Path) -> np.ndarray:
    """Return a .flo file (Baker et al., IJCV 2011) as (H, W, 2) float32, px, u right and v down; unknown = NaN.

    Raises:
        ConfigError: it is no .flo file, or cut short.
    """
    data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data, '<f4', 1)[0] != _FLO_MAGIC:
        raise ConfigError(f'{path}: does not begin like a .flo file (202021.25, width, height). Restore the file.')
    width, height = (int(side) for side in np.frombuffer(data, '<i4', 2, 4))
    if width < 1 or height < 1 or len(data) != 12 + 8 * width * height:
        raise ConfigError(f'{path}: got {len(data)} bytes, expected {12 + 8 * width * height} for {height}x{width} px. '
                          'Restore the file.')
    flow = np.frombuffer(data, '<f4', offset=12).reshape(height, width, 2).astype(np.float32)
    flow[(np.abs(flow) > _UNKNOWN_FLOW).any(axis=2)] = np.nan
    return flow

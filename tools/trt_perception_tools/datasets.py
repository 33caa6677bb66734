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
    """List the pairs with ground truth below a folder, in the layout of one of these datasets.

    Middlebury: `NAME/frame10.*`, `NAME/frame11.*`, `NAME/flow10.flo`; FlyingChairs: `NAME-img0.*` and `NAME-img1.*`, or
    `NAME_img1.*` and `NAME_img2.*`, with `NAME-gt.flo` or `NAME_flow.flo`; Sintel: `final/SCENE/frame_0001.*`,
    `flow/SCENE/frame_0001.flo`, and `clean` as a pass of its own; KITTI: `image_2` (or KITTI 2012's `colored_0`)
    `/NAME_10.png`, `NAME_11.png` and `flow_occ/NAME_10.png`.

    Raises:
        ConfigError: there is none, or a picture is missing.
    """
    pairs = []
    for flow in sorted([*folder.rglob('*.flo'), *folder.rglob('flow_occ/*_10.png')]):
        for name, first, second in _names_of_pair(flow):
            pictures = [next(iter(sorted(each.parent.glob(f'{each.name}.*'))), None) for each in (first, second)]
            if pictures[0] is None or pictures[1] is None:
                where = 'beside it' if first.parent == flow.parent else f'in {first.parent}'
                raise ConfigError(f'{flow}: no {first.name}.* with {second.name}.* {where}. Complete the dataset.')
            pairs.append(FlowPair(name, pictures[0], pictures[1], flow))
    if not pairs:
        raise ConfigError(f'{folder}: no flow pairs, expected NAME/flow10.flo (Middlebury), NAME-gt.flo or '
                          'NAME_flow.flo (FlyingChairs), flow/SCENE/frame_0001.flo (Sintel) or flow_occ/NAME_10.png '
                          '(KITTI). Give their folder with --data.')
    return pairs


def _names_of_pair(flow: Path) -> list[tuple[str, Path, Path]]:
    """Return (name, first, second), the pictures without suffix, for every pair that a file of flow belongs to."""
    above = flow.parent.parent
    if flow.suffix == '.png':
        passes = [each for each in ('image_2', 'colored_0', 'image_0') if (above / each).is_dir()] or ['image_2']
        name = flow.stem[:-len('_10')]
        return [(name, above / passes[0] / f'{name}_10', above / passes[0] / f'{name}_11')]
    if flow.name == 'flow10.flo':
        return [(flow.parent.name, flow.with_name('frame10'), flow.with_name('frame11'))]
    for end, first, second in (('-gt', '-img0', '-img1'), ('_flow', '_img1', '_img2')):
        if flow.stem.endswith(end):
            name = flow.stem[:-len(end)]
            return [(name, flow.with_name(name + first), flow.with_name(name + second))]
    number = flow.stem[len('frame_'):]
    if above.name == 'flow' and flow.stem.startswith('frame_') and number.isdecimal():
        following = f'frame_{int(number) + 1:0{len(number)}d}'
        scene = flow.parent.name
        passes = [each for each in ('clean', 'final') if (above.parent / each).is_dir()] or ['final']
        return [(f'{each}/{scene}/{flow.stem}', above.parent / each / scene / flow.stem,
                 above.parent / each / scene / following) for each in passes]
    return []


def read_picture(path: Path) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8, BGR.

    Raises:
        ConfigError: it is none.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f'{path}: no picture that OpenCV can read. Restore the file.')
    return picture


def read_ids(path: Path, kind: str) -> np.ndarray:
    """Return a picture of ids as (H, W) uint8.

    Raises:
        ConfigError: it is no picture of one channel.
    """
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if ids is None or ids.ndim != 2 or ids.dtype != np.uint8:
        raise ConfigError(f'{path}: expected an 8-bit picture of one channel, the {kind}. Restore the file.')
    return ids


def read_annotation(path: Path) -> np.ndarray:
    """Return a CamVid annotation as (H, W) uint8 class ids, VOID (255) where there is none.

    Raises:
        ConfigError: it is no picture of one channel, or holds ids that CamVid does not have.
    """
    labels = read_ids(path, 'class ids')
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


def read_kitti_flow(path: Path) -> np.ndarray:
    """Return a KITTI flow map (16-bit PNG; Geiger et al., CVPR 2012) as (H, W, 2) float32, px; unknown = NaN.

    Raises:
        ConfigError: it is no 16-bit picture of three channels.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] != 3:
        raise ConfigError(f'{path}: expected a 16-bit PNG of three channels: u, v, known. Restore the file.')
    # OpenCV turns the file's (u, v, known) round.
    flow = (stored[..., :0:-1].astype(np.float32) - 2 ** 15) / 64
    flow[stored[..., 0] == 0] = np.nan
    return flow


def read_flow(path: Path) -> np.ndarray:
    """Return a .flo file or a KITTI .png as (H, W, 2) float32, px, u right and v down; unknown = NaN.

    Raises:
        ConfigError: it is neither, or cut short.
    """
    return read_kitti_flow(path) if path.suffix == '.png' else read_flo(path)

"""Pairs of images with true flow on disk, in the layout of four datasets: finds the files and reads them."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trt_perception.core.errors import ConfigError

_FLO_MAGIC = 202021.25
_UNKNOWN_FLOW = 1e9


class FlowPair(NamedTuple):
    """Two images with the true flow from the first to the second, on the first one's grid."""

    name: str
    first: Path
    second: Path
    flow: Path


def flow_pairs(folder: Path) -> list[FlowPair]:
    """List the pairs with ground truth below a folder, in the layout of one of these datasets.

    Middlebury: `NAME/frame10.*`, `NAME/frame11.*`, `NAME/flow10.flo`; FlyingChairs: `NAME-img0.*` and `NAME-img1.*`, or
    `NAME_img1.*` and `NAME_img2.*`, with `NAME-gt.flo` or `NAME_flow.flo`; Sintel: `final/SCENE/frame_0001.*`,
    `flow/SCENE/frame_0001.flo`, and `clean` as a separate pass; KITTI: `image_2` (or KITTI 2012's `colored_0`)
    `/NAME_10.png`, `NAME_11.png` and `flow_occ/NAME_10.png`.

    Raises:
        ConfigError: there is none, or an image is missing.
    """
    pairs = []
    for flow in sorted([*folder.rglob('*.flo'), *folder.rglob('flow_occ/*_10.png')]):
        for name, first, second in _names_of_pair(flow):
            images = [next(iter(sorted(each.parent.glob(f'{each.name}.*'))), None) for each in (first, second)]
            if images[0] is None or images[1] is None:
                where = 'beside it' if first.parent == flow.parent else f'in {first.parent}'
                raise ConfigError(f'{flow}: no {first.name}.* with {second.name}.* {where}. Complete the dataset.')
            pairs.append(FlowPair(name, images[0], images[1], flow))
    if not pairs:
        raise ConfigError(f'{folder}: no flow pairs, expected NAME/flow10.flo (Middlebury), NAME-gt.flo or '
                          'NAME_flow.flo (FlyingChairs), flow/SCENE/frame_0001.flo (Sintel) or flow_occ/NAME_10.png '
                          '(KITTI). Give their folder with --data.')
    return pairs


def _names_of_pair(flow: Path) -> list[tuple[str, Path, Path]]:
    """Return (name, first, second), the images without suffix, for every pair with a flow file."""
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


def read_flo(path: Path) -> np.ndarray:
    """Return a .flo file (Baker et al., IJCV 2011) as (H, W, 2) float32, px, u right and v down; unknown = NaN.

    Raises:
        ConfigError: it is not a .flo file, or truncated.
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
        ConfigError: it is not a 16-bit image of three channels.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] != 3:
        raise ConfigError(f'{path}: expected a 16-bit PNG of three channels: u, v, known. Restore the file.')
    # OpenCV reverses the file's (u, v, known).
    flow = (stored[..., :0:-1].astype(np.float32) - 2 ** 15) / 64
    flow[stored[..., 0] == 0] = np.nan
    return flow


def read_flow(path: Path) -> np.ndarray:
    """Return a .flo file or a KITTI .png as (H, W, 2) float32, px, u right and v down; unknown = NaN.

    Raises:
        ConfigError: it is neither, or truncated.
    """
    return read_kitti_flow(path) if path.suffix == '.png' else read_flo(path)


def write_flo(path: Path, flow: np.ndarray) -> None:
    """Write (H, W, 2) float32, px, as a .flo file, and create its folder; NaN becomes unknown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.where(np.isfinite(flow).all(axis=2, keepdims=True), flow, 2 * _UNKNOWN_FLOW).astype('<f4')
    header = np.array([_FLO_MAGIC], '<f4').tobytes() + np.array([flow.shape[1], flow.shape[0]], '<i4').tobytes()
    path.write_bytes(header + values.tobytes())


def write_kitti_flow(path: Path, flow: np.ndarray) -> None:
    """Write (H, W, 2) float32, px, as KITTI's 16-bit PNG, and create its folder.

    Steps are 1/64 px. NaN, and flow beyond 512 px, becomes unknown.
    """
    stored = np.rint(np.nan_to_num(flow, nan=np.inf) * 64 + 2 ** 15)
    known = ((stored >= 1) & (stored < 2 ** 16)).all(axis=2)
    pixels = np.zeros((*flow.shape[:2], 3), np.uint16)
    pixels[known, 0] = 1
    pixels[known, 1:] = stored[known][:, ::-1]  # OpenCV reverses (u, v, known).
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())

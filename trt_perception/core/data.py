"""The values passed between layers: a camera frame in, a label map or a flow field out. No behaviour here."""
from typing import NamedTuple, Optional, Tuple

import numpy as np

Size = Tuple[int, int]
"""(height, width), px."""
VOID = 255
"""Class id of a pixel without a class (unlabelled, or outside the label set)."""


class Frame(NamedTuple):
    """One camera image: a view of the message's bytes, with stamp and frame."""

    data: np.ndarray
    """(rows, step) uint8 view of the message's bytes; step may be wider than the pixels of one row.

    rows = height, except nv12 / nv21 (height * 3 / 2) and nv24 (height * 3), whose chroma follows the luma.
    """
    height: int
    """Rows of the image, px."""
    width: int
    """Columns of the image, px."""
    encoding: str
    """Name as in sensor_msgs/Image, e.g. 'bgr8', 'mono16', 'nv12' (see image.ENCODINGS)."""
    stamp_ns: int
    """Capture time, ns, clock of the message header."""
    frame_id: str
    """Camera optical frame (REP 103: x right, y down, z forward)."""
    is_bigendian: bool = False
    """Byte order of encodings wider than 8 bits."""


class LabelMap(NamedTuple):
    """Class of every pixel of one frame."""

    labels: np.ndarray
    """(H, W) uint8 class id; VOID (255) = no class."""
    confidence: Optional[np.ndarray]
    """(H, W) uint8 probability of that class, 255 = certain; None when the network has no such output."""
    stamp_ns: int
    """Stamp of the image whose pixel grid the labels have, ns; they may have been carried there from an earlier one."""
    frame_id: str
    """Of the same image."""


class FlowField(NamedTuple):
    """Motion of every pixel between two frames."""

    flow: np.ndarray
    """(H, W, 2) float32, px of THIS grid per interval; [..., 0] = u right, [..., 1] = v down; NaN = invalid."""
    stamp_ns: int
    """Stamp of the image whose pixel grid the field has, ns."""
    frame_id: str
    """Of the same image."""
    interval_ns: int
    """Stamp of the current image minus stamp of the previous one, ns, > 0; velocity = flow / interval."""
    confidence: Optional[np.ndarray] = None
    """(H, W) uint8, 255 = certain: a ranking of the pixels, no probability; None when not wanted or not available."""
    unfiltered: Optional[np.ndarray] = None
    """(h, w, 2) float32: the flow on a coarser grid, in px of that, before `optical_flow.min_confidence` made parts
    of it invalid; None = no part is."""


class TensorSpec(NamedTuple):
    """One input or output of an engine. Shapes are static, batch 1."""

    name: str
    shape: Tuple[int, ...]
    dtype: np.dtype

"""Kernels of kernels.cu, with grid and parameters for a geometry. Does not use the GPU.

Every kernel takes (source pointer, destination pointer, parameters by value), all on the device.
"""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core.data import Frame, TensorSpec
from ...core.image import Size
from ...core.model import CHANNELS, ModelInput
from ...core.tensors import image_layout

SOURCE_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'kernels.cu')
"""The CUDA source of all kernels, in C++11 without headers."""

KERNELS = ('write_image_float32', 'write_image_float16', 'write_image_uint8', 'narrow_labels', 'scale_flow_float32',
           'scale_flow_float16')
"""Names of the kernels, without C++ mangling."""


class Launch(NamedTuple):
    """One launch: `kernel<<<grid, block>>>(source, destination, parameters)`. Depends only on the geometry."""

    kernel: str
    """One of KERNELS."""
    grid: Tuple[int, int]
    """Blocks along x, y."""
    block: Tuple[int, int, int]
    """Threads along x, y, z."""
    parameters: np.void
    """The kernel's struct, passed by value: pycuda copies the bytes of a np.void into the argument buffer."""


class Layout(NamedTuple):
    """Positions of a pixel's three samples in the message: R, G, B or, subsampled, Y, U, V."""

    offsets: Tuple[int, int, int]
    """Offsets of the first pixel's samples, from the first byte, or for chroma of nv12 and nv21 from its plane."""
    bytes: int
    """Offset from the first sample of a pixel to that of its right neighbour."""
    is_yuv: bool = False
    chroma_bytes: int = 0
    """Offset from one pair of U and V to the next; each covers two columns."""
    has_chroma_plane: bool = False
    """Whether U and V follow the luma in separate rows, one for two rows of the image."""


_GRAY = Layout((0, 0, 0), 1)
_BGR = Layout((2, 1, 0), 3)
_UYVY = Layout((1, 0, 2), 2, True, 4)
_YUYV = Layout((0, 1, 3), 2, True, 4)

# The encodings that write_image reads; core.image decodes the others on the host.
LAYOUTS: Dict[str, Layout] = {
    'rgb8': Layout((0, 1, 2), 3),
    'bgr8': _BGR,
    'rgba8': Layout((0, 1, 2), 4),
    'bgra8': Layout((2, 1, 0), 4),
    '8UC4': Layout((2, 1, 0), 4),
    'mono8': _GRAY,
    '8UC1': _GRAY,
    '8UC3': _BGR,
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': Layout((0, 0, 1), 1, True, 2, True),
    'nv21': Layout((0, 1, 0), 1, True, 2, True),
}

# The structs of kernels.cu, field by field. Only 4-byte fields, so that no compiler pads them.
_SIZES: List[Any] = [('rows', np.int32), ('columns', np.int32), ('height', np.int32), ('width', np.int32)]
_RESAMPLING = _SIZES + [('row_scale', np.float32, 2), ('column_scale', np.float32, 2)]
WRITE_IMAGE = np.dtype(_RESAMPLING + [
    ('step', np.int32), ('bytes', np.int32), ('chroma_bytes', np.int32), ('chroma_row_shift', np.int32),
    ('offsets', np.int32, 3), ('is_yuv', np.int32), ('color', np.int32), ('plane_stride', np.int32),
    ('pixel_stride', np.int32), ('mean', np.float32, 3), ('std', np.float32, 3)])
NARROW_LABELS = np.dtype(_SIZES)
SCALE_FLOW = np.dtype(_RESAMPLING + [('plane_stride', np.int32), ('pixel_stride', np.int32),
                                     ('factors', np.float32, 2)])
_COLORS = ('rgb', 'bgr', 'gray')

# A warp writes 32 neighbours of a row: whole memory sectors. Eight warps of at most 36 registers a thread (ptxas 12.9,
# sm_62 to sm_90) leave no SM short of threads.
_BLOCK = (32, 8, 1)


def write_image(frame: Frame, image: ModelInput, spec: TensorSpec) -> Optional[Launch]:
    """Return the launch from a frame's bytes to the network input `spec`, or None if the host must decode its encoding.

    Source: the (rows, step) bytes of `frame.data`. Destination: `spec`, which InputWriter accepts, or in float16.
    Only the frame's geometry and encoding are used.
    """
    layout = LAYOUTS.get(frame.encoding)
    if layout is None:
        return None
    channels = CHANNELS[image.color]
    size, strides = _layout(spec, channels)
    step = frame.data.shape[1]
    chroma = frame.height * step if layout.has_chroma_plane else 0
    values = _resampling((frame.height, frame.width), size)
    values.update(
        strides, step=step, bytes=layout.bytes, chroma_bytes=layout.chroma_bytes,
        chroma_row_shift=int(layout.has_chroma_plane), is_yuv=int(layout.is_yuv),
        offsets=(layout.offsets[0], layout.offsets[1] + chroma, layout.offsets[2] + chroma),
        color=_COLORS.index(image.color), mean=np.resize(image.mean, 3), std=np.resize(image.std, 3))
    return _launch('write_image_' + np.dtype(spec.dtype).name, size, WRITE_IMAGE, values)


def narrow_labels(source: Size, target: Size) -> Launch:
    """Return the launch from labels or confidence of the source size to bytes of the target size, nearest neighbour.

    Source: (h, w) int32, 0..255. Destination: (H, W) uint8.
    """
    return _launch('narrow_labels', target, NARROW_LABELS, _sizes(source, target))


def scale_flow(spec: TensorSpec, target: Size, factors: Tuple[float, float]) -> Launch:
    """Return the launch from the network output `spec` to a flow field of the target size, as core.image.resize_flow.

    Source: (1, h, w, 2) or (1, 2, h, w), float32 or float16. Destination: (H, W, 2) float32.

    Args:
        factors: for u and v: target pixels per unit of the output, with the sign.
    """
    source, strides = _layout(spec, 2)
    values = _resampling(source, target)
    values.update(strides, factors=factors)
    return _launch('scale_flow_' + np.dtype(spec.dtype).name, target, SCALE_FLOW, values)


def _layout(spec: TensorSpec, channels: int) -> Tuple[Size, Dict[str, int]]:
    """Return size and strides of an NHWC or NCHW tensor."""
    layout = image_layout(spec.shape, channels)
    assert layout is not None  # Its maker ensures that.
    plane_stride, pixel_stride = layout.strides
    return layout.size, {'plane_stride': plane_stride, 'pixel_stride': pixel_stride}


def _sizes(source: Size, target: Size) -> Dict[str, Any]:
    return {'rows': source[0], 'columns': source[1], 'height': target[0], 'width': target[1]}


def _resampling(source: Size, target: Size) -> Dict[str, Any]:
    values = _sizes(source, target)
    for name, old, new in zip(('row_scale', 'column_scale'), source, target):
        # As OpenCV: the inverse of the inverse. Two floats have the precision that matters of the double.
        scale = 1.0 / (new / old)
        high = np.float32(scale)
        values[name] = (high, np.float32(scale - float(high)))
    return values


def _launch(kernel: str, size: Size, struct: np.dtype, values: Dict[str, Any]) -> Launch:
    parameters: Any = np.zeros((), struct)
    for name, value in values.items():
        parameters[name] = value
    grid = (-(-size[1] // _BLOCK[0]), -(-size[0] // _BLOCK[1]))
    return Launch(kernel, grid, _BLOCK, parameters[()])

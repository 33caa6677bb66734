"""Camera encodings and image geometry. Few other files of core use OpenCV: see ARCHITECTURE.md.

Grey levels are uint8, 0..255. Sizes are (height, width). Resampling uses half-pixel centres.
"""
from typing import Dict, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from .data import Frame, Size
from .errors import FrameError
from .limits import MAX_IMAGE_PIXELS


class Encoding(NamedTuple):
    """Memory layout of one sensor_msgs encoding."""

    bytes_per_pixel: int
    """Bytes per pixel of the first plane."""
    planes: Tuple[int, int] = (1, 1)
    """Rows of the message per row of the image, as a fraction."""
    even: Tuple[bool, bool] = (False, False)
    """Height, width must be even (subsampled chroma, Bayer cells)."""
    order: str = 'RGB'
    """Channels after decoding, in OpenCV's names."""
    code: Optional[int] = None
    """OpenCV conversion that decodes it; None = the bytes are the pixels already."""


_GRAY = Encoding(1, order='GRAY')
_BGR = Encoding(3, order='BGR')
_UYVY = Encoding(2, even=(False, True), code=cv2.COLOR_YUV2RGB_UYVY)
_YUYV = Encoding(2, even=(False, True), code=cv2.COLOR_YUV2RGB_YUY2)


def _bayer(code: int) -> Encoding:
    return Encoding(1, even=(True, True), code=code)


# The strings of sensor_msgs/image_encodings; their C++ constants differ between distributions, the strings do not.
ENCODINGS: Dict[str, Encoding] = {
    'rgb8': Encoding(3),
    'bgr8': _BGR,
    'rgba8': Encoding(4, order='RGBA'),
    'bgra8': Encoding(4, order='BGRA'),
    'mono8': _GRAY,
    'mono16': Encoding(2, order='GRAY'),
    '8UC1': _GRAY,
    '8UC3': _BGR,
    '8UC4': Encoding(4, order='BGRA'),
    # OpenCV names a Bayer pattern after the second row's second and third pixel, ROS after the first four.
    'bayer_rggb8': _bayer(cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGB2RGB),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': Encoding(1, (3, 2), (True, True), code=cv2.COLOR_YUV2RGB_NV12),
    'nv21': Encoding(1, (3, 2), (True, True), code=cv2.COLOR_YUV2RGB_NV21),
    'nv24': Encoding(1, (3, 1)),
    # Luma, then U and V in separate planes, whose rows are half as long, padding included.
    'i420': Encoding(1, (3, 2), (True, True), code=cv2.COLOR_YUV2RGB_I420),
}

_ENCODING_OF = {'rgb': 'rgb8', 'bgr': 'bgr8', 'gray': 'mono8'}

# ITU-R BT.601, studio range, as in OpenCV's YUV 4:2:x conversions; rows R, G, B; columns Y, U, V, 1.
_YUV_TO_RGB = np.array([[1.164383, 0.0, 1.596027], [1.164383, -0.391762, -0.812968], [1.164383, 2.017232, 0.0]])
_YUV_TO_RGB = np.hstack([_YUV_TO_RGB, -_YUV_TO_RGB.dot([[16.0], [128.0], [128.0]])])


def make_frame(data: np.ndarray, height: int, width: int, step: int, encoding: str, stamp_ns: int,
               frame_id: str, is_bigendian: bool = False) -> Frame:
    """Check the fields of an image message and return a Frame that views its bytes.

    Args:
        data: (N,) uint8, the message's bytes; bytes after the last row are ignored. The last row may lack its padding:
            then the bytes are copied.
        step: bytes from one row to the next, including padding.

    Raises:
        FrameError: unknown encoding, empty, odd or enormous size, step too small, data too short, or, where planes
            follow each other, rows of padding between them.
    """
    layout = ENCODINGS.get(encoding)
    if layout is None:
        raise FrameError('image encoding: got {!r}, expected one of {}. Convert in the camera driver.'.format(
            encoding[:80], ', '.join(ENCODINGS)))
    if height <= 0 or width <= 0:
        raise FrameError('image size: got {}x{}, expected at least 1x1.'.format(height, width))
    if height * width > MAX_IMAGE_PIXELS:
        raise FrameError('image size: got {}x{}, expected at most {} px in all. Reduce the resolution.'.format(
            height, width, MAX_IMAGE_PIXELS))
    for name, value, even in zip(('height', 'width'), (height, width), layout.even):
        if even and value % 2:
            raise FrameError('image {}: got {}, expected an even number for encoding {}.'.format(
                name, value, encoding))
    if encoding == 'i420' and step % 2:
        raise FrameError('image step: got {}, expected an even number for encoding i420.'.format(step))
    if step < width * layout.bytes_per_pixel:
        raise FrameError('image step: got {}, expected at least {} ({} px of {}).'.format(
            step, width * layout.bytes_per_pixel, width, encoding))
    rows = height * layout.planes[0] // layout.planes[1]
    whole, least = rows * step, (rows - 1) * step + width * layout.bytes_per_pixel
    if data.size < least:
        raise FrameError('image data: got {} bytes, expected {} ({} rows of step {}).'.format(
            data.size, whole, rows, step))
    if layout.planes != (1, 1) and data.size >= whole + step:
        raise FrameError('image data: got {} bytes, expected {} ({} rows of step {}) for encoding {}. Turn off the '
                         'padding between luma and chroma in the camera driver.'.format(
                             data.size, whole, rows, step, encoding))
    if data.size < whole:
        data = np.concatenate([data, np.zeros(whole - data.size, np.uint8)])
    return Frame(data[:whole].reshape(rows, step), height, width, encoding, stamp_ns, frame_id, is_bigendian)


def narrow_mono16(frame: Frame, bits: int) -> Frame:
    """Return a mono16 frame whose pixels use only the lower `bits` as a mono8 frame; brighter pixels become white."""
    pixels = frame.data[:, :2 * frame.width].reshape(-1).view('>u2' if frame.is_bigendian else '<u2')
    levels = np.minimum(pixels >> (bits - 8), 255).astype(np.uint8).reshape(frame.height, frame.width)
    return Frame(levels, frame.height, frame.width, 'mono8', frame.stamp_ns, frame.frame_id)


def frame_from_array(image: np.ndarray, stamp_ns: int = 0, frame_id: str = '', color: str = 'bgr') -> Frame:
    """Wrap an image in a Frame.

    Args:
        image: (H, W, 3) uint8, or for gray (H, W) or (H, W, 1).
        color: its channel order: rgb, bgr (as OpenCV reads files) or gray.
    """
    height, width = image.shape[:2]
    return make_frame(image.reshape(-1), height, width, image.size // height, _ENCODING_OF[color], stamp_ns,
                      frame_id)


class FrameDecoder:
    """Converts frames to images with the colour order and size that networks require.

    Work is shared: pipelines that ask for the same frame get one decode, and one resize per size. Memory is
    allocated when a geometry is first seen and reused for every frame after that.
    """

    def __init__(self) -> None:
        self._frame: Optional[Frame] = None
        self._done: Dict[Tuple[str, Size], np.ndarray] = {}
        self._memory: Dict[Tuple[str, Tuple[int, ...]], np.ndarray] = {}

    def image(self, frame: Frame, color: str, size: Size) -> np.ndarray:
        """Return the frame as (h, w, 3) or, for gray, (h, w) uint8.

        THE RESULT IS REUSED: it is valid until another frame is passed in, and may be a view of the frame.

        Args:
            color: rgb, bgr or gray.
            size: height and width of the result, px; bilinear, stretched when the aspect differs.
        """
        if frame is not self._frame:
            self._done.clear()
            self._frame = frame
        order = ENCODINGS[frame.encoding].order
        wanted = color.upper()
        if (wanted, size) not in self._done:
            resized = self._resized(frame, order, size)
            self._done[wanted, size] = resized if wanted == order else cv2.cvtColor(
                resized, getattr(cv2, 'COLOR_{}2{}'.format(order, wanted)),
                dst=self._buffer(wanted, size + ((3,) if wanted != 'GRAY' else ())))
        return self._done[wanted, size]

    def _resized(self, frame: Frame, order: str, size: Size) -> np.ndarray:
        # Before the colour conversion, so that only the network's pixels are converted.
        own = (frame.height, frame.width)
        if (order, own) not in self._done:
            self._done[order, own] = self._decoded(frame)
        if (order, size) not in self._done:
            pixels = self._done[order, own]
            self._done[order, size] = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR,
                                                 dst=self._buffer(order, size + pixels.shape[2:]))
        return self._done[order, size]

    def _decoded(self, frame: Frame) -> np.ndarray:
        layout = ENCODINGS[frame.encoding]
        height, width = frame.height, frame.width
        step = frame.data.shape[1]
        if frame.encoding == 'mono16':
            pixels = self._buffer('GRAY', (height, width))
            # The high byte only: at most one grey level from rounding, and no arithmetic. White is 65535, as in
            # cv_bridge: a driver that sends 12 bits must shift them up.
            pixels[...] = frame.data[:, (0 if frame.is_bigendian else 1):2 * width:2]
            return pixels
        if frame.encoding == 'nv24':
            yuv = self._buffer('YUV', (height, width, 3))
            yuv[..., 0] = frame.data[:height, :width]
            yuv[..., 1:] = np.ndarray((height, width, 2), np.uint8, frame.data, height * step, (2 * step, 2, 1))
            return cv2.transform(yuv, _YUV_TO_RGB, dst=self._buffer('RGB', (height, width, 3)))
        if frame.encoding == 'i420' and step > width:
            pixels = self._buffer('I420', (height * 3 // 2, width))
            pixels[:height] = frame.data[:height, :width]
            halves = frame.data[height:].reshape(-1, step // 2)[:, :width // 2]
            pixels[height:] = halves.reshape(-1, width)
        elif layout.bytes_per_pixel == 1:
            pixels = frame.data[:, :width]
        else:
            pixels = np.ndarray((height, width, layout.bytes_per_pixel), np.uint8, frame.data,
                                strides=(step, layout.bytes_per_pixel, 1))
        if layout.code is None:
            return pixels
        return cv2.cvtColor(pixels, layout.code, dst=self._buffer('RGB', (height, width, 3)))

    def _buffer(self, role: str, shape: Tuple[int, ...]) -> np.ndarray:
        if (role, shape) not in self._memory:
            if len(self._memory) > 16:  # A source that keeps changing its size must not use up the memory.
                self._memory.clear()
            self._memory[role, shape] = np.empty(shape, np.uint8)
        return self._memory[role, shape]


class NearestResizer:
    """Resizes label maps to one size by nearest neighbour, pixel centres aligned.

    cv2.INTER_NEAREST is off by up to half a source pixel and INTER_NEAREST_EXACT is missing in the OpenCV 4.1 of
    JetPack, so two gathers do the same here. Both gather whole rows, with two transpositions: from 416x544 to 720x1280
    this takes 0.07 ms, a gather of columns 0.51, and INTER_NEAREST_EXACT 0.33.
    """

    def __init__(self, source: Size, target: Size) -> None:
        self._rows, self._columns = [
            np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)
            for old, new in zip(source, target)]
        self._transposed = np.empty(source[::-1], np.uint8)
        self._high = np.empty((target[1], source[0]), np.uint8)
        self._wide = np.empty((source[0], target[1]), np.uint8)

    def resize(self, labels: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write `labels`, (h, w) uint8 of the source size, into `out`, (H, W) uint8, and return `out`."""
        cv2.transpose(labels, dst=self._transposed)
        np.take(self._transposed, self._columns, axis=0, out=self._high, mode='clip')
        cv2.transpose(self._high, dst=self._wide)
        return np.take(self._wide, self._rows, axis=0, out=out, mode='clip')


def resize_flow(flow: np.ndarray, out: np.ndarray, scale: Tuple[float, float]) -> np.ndarray:
    """Resample (h, w, 2) float32 flow bilinearly into `out`, (H, W, 2), and multiply it.

    Args:
        scale: factors for u and v: target pixels per unit of `flow`, with the sign.
    """
    if flow.shape == out.shape:
        return scale_flow(flow, out, scale)
    cv2.resize(flow, out.shape[1::-1], interpolation=cv2.INTER_LINEAR, dst=out)
    return scale_flow(out, out, scale)


def scale_flow(flow: np.ndarray, out: np.ndarray, scale: Tuple[float, float]) -> np.ndarray:
    """Multiply u and v of (h, w, 2) float32 flow into `out`, which may be `flow`, and return it."""
    for axis in (0, 1):  # An array of two factors for both at once takes 7 times as long.
        np.multiply(flow[..., axis], np.float32(scale[axis]), out=out[..., axis])
    return out


def gather_flow(flow: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return (h, w, 2) float32 flow at the coordinates x, y `there`, (H, W, 2), bilinear; outside, and for NaN, NaN."""
    there = np.nan_to_num(there, nan=-9.0, posinf=-9.0, neginf=-9.0).astype(np.float32)
    return cv2.remap(flow, there, None, cv2.INTER_LINEAR,  # type: ignore[call-overload]  # OpenCV takes None.
                     borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,) * 4)


def flow_polar(flow: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return length (px) and angle (0..2 pi, clockwise from right, as v points down) of (H, W, 2) float32 flow."""
    u, v = cv2.split(flow)
    return cv2.cartToPolar(u, v)

"""Decodes JPEG and PNG files to frames, and encodes label maps as PNG files."""
import sys
from typing import Optional

import cv2
import numpy as np

from .data import Frame
from .errors import FrameError
from .image import frame_from_array, make_frame
from .image_file import JPEG, ImageFile, read_image_file

try:
    import simplejpeg  # Detects damaged JPEG files, which OpenCV does not, and is faster.
except ImportError:  # It has no wheels for Python 3.6.
    simplejpeg = None


def as_bayer(frame: Frame, encoding: str) -> Frame:
    """Return a decoded file that holds the mosaic of a Bayer sensor as a frame of 8 bits in that encoding.

    Raises:
        FrameError: the encoding is not known, or it is no mosaic: its channels differ.
    """
    if frame.encoding == 'mono16':
        levels = frame.data[:, (0 if frame.is_bigendian else 1)::2]
    else:
        blue, green, red = frame.data[:, 0::3], frame.data[:, 1::3], frame.data[:, 2::3]
        if not (np.array_equal(blue, green) and np.array_equal(green, red)):
            raise FrameError('image encoding: got {!r} for a colour image, expected a gray one. Correct the format in '
                             'the camera driver.'.format(encoding))
        levels = blue
    return make_frame(levels.reshape(-1), frame.height, frame.width, frame.width, encoding.replace('16', '8'),
                      frame.stamp_ns, frame.frame_id)


def decode_compressed(data: np.ndarray, stamp_ns: int, frame_id: str) -> Frame:
    """Decode a JPEG or PNG file, (N,) uint8, into a bgr8 frame; a gray PNG of 16 bits into a mono16 frame.

    Raises:
        FrameError: another format, a truncated or damaged image, or one larger than limits.MAX_IMAGE_PIXELS.
    """
    file = read_image_file(data.tobytes())
    if file.kind == JPEG:
        pixels = _decode_jpeg(file)
    else:
        deep = file.channels == 1 and file.bits == 16
        pixels = _decode(file.data, cv2.IMREAD_UNCHANGED if deep else cv2.IMREAD_COLOR)
        if deep and pixels is not None:
            return make_frame(pixels.reshape(-1).view(np.uint8), file.height, file.width, 2 * file.width, 'mono16',
                              stamp_ns, frame_id, sys.byteorder == 'big')
    if pixels is None or pixels.shape[:2] != (file.height, file.width):
        raise FrameError('{}: got {} bytes whose pixels are damaged or missing, expected {}x{} px. Check the camera '
                         'and the connection.'.format(file.kind, data.size, file.height, file.width))
    return frame_from_array(pixels, stamp_ns, frame_id)


def _decode(data: bytes, flags: int) -> Optional[np.ndarray]:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _decode_jpeg(file: ImageFile) -> Optional[np.ndarray]:
    """Return (H, W, 3) uint8 BGR; None when the scans have too few pixels, or data that no encoder writes."""
    if simplejpeg is not None:
        try:
            return simplejpeg.decode_jpeg(file.data, 'BGR', strict=True)
        except ValueError as error:
            if 'subsampling' not in str(error):  # Its table lacks unusual ones, which OpenCV reads.
                return None
    pixels = _decode(file.data, cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    # libjpeg fills missing parts with gray, or with the coarse image of earlier scans, without an error. More
    # bytes at the end of a scan change the pixels only if the scan is not complete without them.
    looks_filled = (np.abs(pixels[-1, -1].astype(int) - 128) <= 2).all()
    if looks_filled or file.is_progressive or not file.has_end_marker:
        parts, at = [], 0
        for end in file.scan_ends:
            parts += [file.data[at:end], b'\xa5' * 256]
            at = end
        longer = _decode(b''.join(parts + [file.data[at:]]), cv2.IMREAD_COLOR)
        if longer is None or not np.array_equal(pixels, longer):
            return None
    return pixels


def encode_png(image: np.ndarray) -> bytes:
    """Encode (H, W) uint8 losslessly as PNG, at the fastest compression level."""
    done, data = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise FrameError('PNG: OpenCV could not encode an image of shape {}.'.format(image.shape))
    return data.tobytes()

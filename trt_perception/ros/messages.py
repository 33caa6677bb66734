"""ROS messages to and from frames, label maps and flow fields. Bytes are read and written in place.

Knows the fields of the messages, not their classes: see sink.MessageTypes.
"""
import copy
import json
import re
from array import array
from typing import Any, Dict, Iterable, Tuple

import numpy as np

from ..core.compressed import as_bayer, decode_compressed
from ..core.data import VOID, FlowField, Frame
from ..core.errors import FrameError
from ..core.image import ENCODINGS, Size, frame_from_array, make_frame, narrow_mono16
from ..core.model import LabelSet
from . import cv_bridge
from .sink import MessageTypes

_OPENCV_TYPE = re.compile(r'(8|16|32|64)[USF]C\d+$')


def stamp_ns(stamp: Any) -> int:
    """Return a message stamp as ns.

    Raises:
        FrameError: its nanoseconds are a second or more, so that no result could have the same stamp.
    """
    if stamp.nanosec >= 10**9:
        raise FrameError('image stamp: got {} ns beside {} s, expected less than 1000000000. Correct the camera '
                         'driver.'.format(stamp.nanosec, stamp.sec))
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def header(types: MessageTypes, stamp: int, frame_id: str) -> Any:
    """Return the header with this stamp (ns): the same bits as the image's that it came from."""
    return types.Header(stamp=types.Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=frame_id)


def frame_from_image(message: Any, mono16_bits: int = 16) -> Frame:
    """View an Image message as a Frame; nothing is copied.

    Args:
        mono16_bits: number of low bits that the pixels of a mono16 image use; below 16 the Frame is mono8.

    Raises:
        FrameError: the message's fields do not fit together, or neither core.image nor cv_bridge knows its encoding.
    """
    stamp = stamp_ns(message.header.stamp)
    if message.encoding not in ENCODINGS and cv_bridge.bridge() is not None:
        return frame_from_array(cv_bridge.to_bgr8(message), stamp, message.header.frame_id)
    frame = make_frame(np.frombuffer(message.data, np.uint8), message.height, message.width, message.step,
                       message.encoding, stamp, message.header.frame_id, bool(message.is_bigendian))
    return _with_bits(frame, mono16_bits)


def frame_from_compressed(message: Any, mono16_bits: int = 16) -> Frame:
    """Decode a CompressedImage message (JPEG, PNG) into a bgr8 Frame, or a mono16 or Bayer one if it has those.

    Encodings that are refused as raw images, such as depth, are refused here, too.

    Raises:
        FrameError: the bytes are no complete image of a supported format, or not of colours or gray.
    """
    encoding, _, transport = (part.strip() for part in message.format.partition(';'))
    try:
        if 'compressedDepth' in transport or _OPENCV_TYPE.match(encoding) and encoding not in ENCODINGS:
            raise FrameError("got depth or raw values, expected colours or gray. Remap to a camera's colour topic.")
        frame = decode_compressed(np.frombuffer(message.data, np.uint8), stamp_ns(message.header.stamp),
                                  message.header.frame_id)
    except FrameError as error:
        raise FrameError('format {!r}: {}'.format(message.format[:80], error)) from error
    if encoding.startswith('bayer_') and transport.endswith('compressed'):  # Not converted to colours before.
        return as_bayer(frame, encoding)
    return _with_bits(frame, mono16_bits)


def _with_bits(frame: Frame, mono16_bits: int) -> Frame:
    return narrow_mono16(frame, mono16_bits) if frame.encoding == 'mono16' and mono16_bits < 16 else frame


class ImageWriter:
    """One Image message that is filled in place and published repeatedly.

    publish() serialises before it returns, so reuse is safe. Assigning new data costs a copy or two per frame, and if
    rclpy checks types (Foxy, Humble), it checks every byte: docs/measurements/message_path.md.
    """

    def __init__(self, types: MessageTypes, encoding: str) -> None:
        self.message = types.Image(encoding=encoding, is_bigendian=0)

    def array(self, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Return a writable view of the message's data as an array of this shape, (H, W) or (H, W, C).

        It resizes the message first.
        """
        height, width = shape[:2]
        pixel = int(np.prod(shape[2:])) * np.dtype(dtype).itemsize
        message = self.message
        if (message.height, message.width, message.step) != (height, width, width * pixel):
            message.height, message.width, message.step = height, width, width * pixel
            message.data = array('B', bytes(height * width * pixel))
        return np.frombuffer(message.data, dtype).reshape(shape)

    def stamped(self, stamp: Any) -> Any:
        """Return the message with this header."""
        self.message.header = stamp
        return self.message


def scaled_camera_info(info: Any, source: Size, target: Size, stamp: Any) -> Any:
    """Return the calibration of an image that was resized from `source` to `target`.

    K, P and ROI scale; distortion and rotation stay. Pixel centres are at integers, so the principal point moves as
    (c + 0.5) * scale - 0.5, as cv2.resize moves the image.

    Raises:
        FrameError: a number in it is not finite, or the calibration is for another size than the image's.
    """
    _check_calibrated_size(info, source)
    for name, values in (('k', info.k), ('p', info.p), ('d', info.d), ('r', info.r)):
        if not all(abs(value) < 1e300 for value in values):  # Nor NaN; so that scaling keeps them finite, too.
            raise FrameError('camera_info {}: got {}, expected finite numbers. Calibrate the camera, or unset the '
                             'matrix with zeros.'.format(name, [float(value) for value in values][:14]))
    scaled = copy.copy(info)
    scaled.header = stamp
    if source == target:
        return scaled
    y, x = target[0] / source[0], target[1] / source[1]
    _scale(scaled, info, (('height', y), ('width', x)))
    k, p = [float(v) for v in info.k], [float(v) for v in info.p]
    if any(k):  # All zeros means uncalibrated, and must stay so.
        k[0], k[1], k[2] = k[0] * x, k[1] * x, (k[2] + 0.5) * x - 0.5
        k[4], k[5] = k[4] * y, (k[5] + 0.5) * y - 0.5
    if any(p):
        p[0], p[1], p[2], p[3] = p[0] * x, p[1] * x, (p[2] + 0.5) * x - 0.5, p[3] * x
        p[5], p[6], p[7] = p[5] * y, (p[6] + 0.5) * y - 0.5, p[7] * y
    scaled.k, scaled.p = k, p
    scaled.roi = copy.copy(info.roi)
    _scale(scaled.roi, info.roi, (('x_offset', x), ('width', x), ('y_offset', y), ('height', y)))
    return scaled


def _scale(scaled: Any, original: Any, factors: Iterable[Tuple[str, float]]) -> None:
    """Set the sizes of a message to those of the original, multiplied."""
    for name, factor in factors:
        value = int(round(getattr(original, name) * factor))
        if value >= 2**32:
            raise FrameError('camera_info: {}: got {}, expected a size in px. Correct the camera driver.'.format(
                name, getattr(original, name)))
        setattr(scaled, name, value)


def _check_calibrated_size(info: Any, image: Size) -> None:
    """Check that an image has the size of its calibration: that of the sensor or of the ROI, binned or not."""
    sizes = {(info.height, info.width), (info.roi.height or info.height, info.roi.width or info.width)}
    binning = max(info.binning_y, 1), max(info.binning_x, 1)
    sizes |= {(height // binning[0], width // binning[1]) for height, width in sizes}
    if image not in sizes and any((info.height, info.width)):  # 0x0: the driver does not know.
        raise FrameError("camera_info: got a calibration of {}x{} px, expected one of the image's {}x{} px. Calibrate "
                         'at this resolution, or set binning and roi in the camera driver.'.format(
                             info.height, info.width, *image))


def label_info_json(model: str, labels: LabelSet) -> str:
    """Return the classes of a label map as JSON."""
    return json.dumps({'model': model, 'label_set': labels.name, 'void': VOID, 'classes': [
        {'id': each.id, 'name': each.name, 'color': list(each.color)} for each in labels.classes]})


def label_info(types: MessageTypes, labels: LabelSet, stamp: Any) -> Any:
    """Return the same as vision_msgs/LabelInfo; only where `types` has it."""
    classes = [types.VisionClass(class_id=each.id, class_name=each.name) for each in labels.classes]
    return types.LabelInfo(header=stamp, class_map=classes, threshold=0.0)


def flow_info_json(field: FlowField, flow_grid: str) -> str:
    """Return what a planner needs in addition to the pixels of a flow field, as JSON.

    Share and median are from every 8th pixel of every 8th row; from all pixels they would take longer than decoding.
    """
    sample = field.flow[::8, ::8].reshape(-1, 2)
    sample = sample[np.isfinite(sample).all(axis=1)]
    current_ns = field.stamp_ns + (field.interval_ns if flow_grid == 'previous' else 0)
    pixels = (field.flow.shape[0] + 7) // 8 * ((field.flow.shape[1] + 7) // 8)
    return json.dumps({
        'stamp': _time(current_ns), 'previous_stamp': _time(current_ns - field.interval_ns),
        'interval_s': field.interval_ns * 1e-9, 'units': 'px per interval', 'grid': flow_grid,
        'valid_share': len(sample) / pixels,
        'median_flow': [float(v) for v in np.median(sample, axis=0)] if len(sample) else None})


def time_reference(types: MessageTypes, field: FlowField, flow_grid: str) -> Any:
    """Return the interval of a flow field: stamped as the field; time_ref is the stamp of the other image."""
    other, source = ((field.stamp_ns + field.interval_ns, 'next image') if flow_grid == 'previous' else
                     (field.stamp_ns - field.interval_ns, 'previous image'))
    return types.TimeReference(header=header(types, field.stamp_ns, field.frame_id), source=source,
                               time_ref=header(types, other, '').stamp)


def _time(ns: int) -> Dict[str, int]:
    return {'sec': ns // 10**9, 'nanosec': ns % 10**9}

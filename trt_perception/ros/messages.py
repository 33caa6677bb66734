"""ROS messages to and from frames, label maps and flow fields. Bytes are viewed and written in place."""
import copy
import json
import math
from array import array
from typing import Any, Dict, Tuple

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ..core.data import VOID, FlowField, Frame
from ..core.errors import FrameError
from ..core.image import Size, decode_compressed, make_frame
from ..core.model import LabelSet

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # Not on PyPI, and not in every distribution: the JSON topic is always there.
    LabelInfo = None


def stamp_ns(stamp: Time) -> int:
    """Return a message stamp as ns."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def header(stamp: int, frame_id: str) -> Header:
    """Return the header with this stamp (ns): the same bits as the image's that it came from."""
    return Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=frame_id)


def frame_from_image(message: Image) -> Frame:
    """View an Image message as a Frame; nothing is copied.

    Raises:
        FrameError: the message's fields do not fit together.
    """
    return make_frame(np.frombuffer(message.data, np.uint8), message.height, message.width, message.step,
                      message.encoding, stamp_ns(message.header.stamp), message.header.frame_id,
                      bool(message.is_bigendian))


def frame_from_compressed(message: CompressedImage) -> Frame:
    """Decode a CompressedImage message (JPEG, PNG) into a bgr8 Frame.

    Raises:
        FrameError: the bytes are no picture.
    """
    return decode_compressed(np.frombuffer(message.data, np.uint8), stamp_ns(message.header.stamp),
                             message.header.frame_id)


class ImageWriter:
    """One Image message that is filled in place and published again and again.

    publish() serialises before it returns, so reuse is safe. Assigning fresh data costs a copy or two per frame, and
    where rclpy checks types (Foxy, Humble) it looks at every byte: docs/measurements/message_path.md.
    """

    def __init__(self, encoding: str) -> None:
        self.message = Image(encoding=encoding, is_bigendian=0)

    def array(self, shape: Tuple[int, ...], dtype: type) -> np.ndarray:
        """Return a writable view of the message's data as an array of this shape; sizes the message at first."""
        height, width = shape[:2]
        pixel = int(np.prod(shape[2:])) * np.dtype(dtype).itemsize
        message = self.message
        if (message.height, message.width, message.step) != (height, width, width * pixel):
            message.height, message.width, message.step = height, width, width * pixel
            message.data = array('B', bytes(height * width * pixel))
        return np.frombuffer(message.data, dtype).reshape(shape)

    def stamped(self, stamp: Header) -> Image:
        """Return the message with this header."""
        self.message.header = stamp
        return self.message


def scaled_camera_info(info: CameraInfo, source: Size, target: Size, stamp: Header) -> CameraInfo:
    """Return the calibration of an image that was resized from `source` to `target`.

    K, P and ROI scale; distortion and rotation stay. Pixel centres are at integers, so the principal point moves as
    (c + 0.5) * scale - 0.5, as cv2.resize moves the picture.

    Raises:
        FrameError: K or P is not finite.
    """
    for name, values in (('k', info.k), ('p', info.p)):
        if not all(math.isfinite(value) for value in values):
            raise FrameError('camera_info {}: got {}, expected finite numbers. Calibrate the camera, or unset the '
                             'matrix with zeros.'.format(name, [float(value) for value in values]))
    scaled = copy.copy(info)
    scaled.header = stamp
    if source == target:
        return scaled
    y, x = target[0] / source[0], target[1] / source[1]
    scaled.height, scaled.width = int(round(info.height * y)), int(round(info.width * x))
    k, p = [float(v) for v in info.k], [float(v) for v in info.p]
    if any(k):  # All zeros means uncalibrated, and must stay so.
        k[0], k[1], k[2] = k[0] * x, k[1] * x, (k[2] + 0.5) * x - 0.5
        k[4], k[5] = k[4] * y, (k[5] + 0.5) * y - 0.5
    if any(p):
        p[0], p[1], p[2], p[3] = p[0] * x, p[1] * x, (p[2] + 0.5) * x - 0.5, p[3] * x
        p[5], p[6], p[7] = p[5] * y, (p[6] + 0.5) * y - 0.5, p[7] * y
    scaled.k, scaled.p = k, p
    scaled.roi = copy.copy(info.roi)
    scaled.roi.x_offset, scaled.roi.width = int(round(info.roi.x_offset * x)), int(round(info.roi.width * x))
    scaled.roi.y_offset, scaled.roi.height = int(round(info.roi.y_offset * y)), int(round(info.roi.height * y))
    return scaled


def label_info_json(model: str, labels: LabelSet) -> str:
    """Return what the ids of a label map mean, as JSON."""
    return json.dumps({'model': model, 'label_set': labels.name, 'void': VOID, 'classes': [
        {'id': each.id, 'name': each.name, 'color': list(each.color)} for each in labels.classes]})


def label_info(labels: LabelSet, stamp: Header) -> Any:
    """Return the same as vision_msgs/LabelInfo; only where `LabelInfo` is not None."""
    classes = [VisionClass(class_id=each.id, class_name=each.name) for each in labels.classes]
    return LabelInfo(header=stamp, class_map=classes, threshold=0.0)


def flow_info_json(field: FlowField, flow_grid: str) -> str:
    """Return what a planner needs beside the pixels of a flow field, as JSON.

    Share and median come from every 8th pixel of every 8th row: of all pixels they would cost more than the decoding.
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


def _time(ns: int) -> Dict[str, int]:
    return {'sec': ns // 10**9, 'nanosec': ns % 10**9}

"""Messages of a camera, from the core's values: images and calibrations."""
from array import array

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ..core.camera_calibration import CameraCalibration
from ..core.data import Frame
from .messages import header
from .node_sink import ROS


class FrameWriter:
    """One Image message into which frames are copied, and which is published repeatedly."""

    def __init__(self) -> None:
        self._message = Image()

    def message(self, frame: Frame) -> Image:
        """Return the message with the bytes, stamp and frame_id of a frame."""
        message, (_, step) = self._message, frame.data.shape
        if len(message.data) != frame.data.size:
            message.data = array('B', bytes(frame.data.size))
        message.height, message.width, message.step = frame.height, frame.width, step
        message.encoding, message.is_bigendian = frame.encoding, int(frame.is_bigendian)
        np.frombuffer(message.data, np.uint8).reshape(frame.data.shape)[...] = frame.data
        message.header = header(ROS, frame.stamp_ns, frame.frame_id)
        return message


def camera_info(calibration: CameraCalibration, stamp: Header) -> CameraInfo:
    """Return a calibration as a message."""
    return CameraInfo(header=stamp, **calibration._asdict())

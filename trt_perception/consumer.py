"""Converts the nodes' messages to arrays: a function per kind, and `Join`, which matches those of the same image.

Needs only numpy, no ROS: takes message objects of rclpy, or of rosbags for messages of a bag.
"""
import json
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .core.camera_model import CameraModel
from .core.errors import ConfigError, FrameError, did_you_mean

LABEL_MAP = 'segmentation/label_map'
LABEL_CONFIDENCE = 'segmentation/confidence'
LABEL_CAMERA = 'segmentation/camera_info'
CLASSES = 'segmentation/label_info_json'
OVERLAY = 'segmentation/overlay'
FLOW = 'optical_flow/flow'
FLOW_CONFIDENCE = 'optical_flow/confidence'
FLOW_INTERVAL = 'optical_flow/time_reference'
FLOW_CAMERA = 'optical_flow/camera_info'


class Results(NamedTuple):
    """Results for one image. Arrays are views of the messages; results that were not requested are None."""

    stamp_ns: int
    """Stamp of the image, ns."""
    frame_id: str
    """Camera optical frame: x right, y down, z forward."""
    labels: Optional[np.ndarray] = None
    """(H, W) uint8 class id; 255 = unlabelled."""
    classes: Mapping[int, str] = {}
    """Names of the class ids."""
    label_confidence: Optional[np.ndarray] = None
    """(H, W) uint8, 255 = certain."""
    label_camera: Optional[CameraModel] = None
    """Calibration on the labels' pixel grid."""
    overlay: Optional[np.ndarray] = None
    """(H, W, 3) uint8 RGB: label colours over the image."""
    flow: Optional[np.ndarray] = None
    """(H, W, 2) float32, u right and v down, px per interval; NaN = invalid."""
    flow_confidence: Optional[np.ndarray] = None
    """(H, W) uint8, 255 = certain."""
    flow_camera: Optional[CameraModel] = None
    """Calibration on the flow's pixel grid."""
    other_stamp_ns: Optional[int] = None
    """Stamp of the other image of the flow, ns: the previous one, or with flow_grid: previous the next."""

    @property
    def interval_s(self) -> float:
        """Time between the two images of the flow, s, above 0."""
        assert self.other_stamp_ns is not None, 'FLOW_INTERVAL was not asked for'
        return abs(self.stamp_ns - self.other_stamp_ns) * 1e-9

    def velocity(self) -> np.ndarray:
        """Return the flow in px/s: (H, W, 2) float32; NaN = invalid."""
        assert self.flow is not None, 'FLOW was not asked for'
        return self.flow / np.float32(self.interval_s)

    def ids(self, names: Sequence[str]) -> List[int]:
        """Return the ids of the classes that have one of these names."""
        return [number for number, name in self.classes.items() if name in names]


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message's header, ns."""
    return _ns(message.header.stamp)


def labels_of(message: Any) -> np.ndarray:
    """Return the class ids, or the confidence, of an Image mono8: (H, W) uint8, a view.

    Raises:
        FrameError: another encoding, or fields that do not fit together.
    """
    return _pixels(message, 'mono8', np.uint8, 1)[..., 0]


def colors_of(message: Any) -> np.ndarray:
    """Return the pixels of an Image rgb8: (H, W, 3) uint8 RGB, a view.

    Raises:
        FrameError: another encoding, or fields that do not fit together.
    """
    return _pixels(message, 'rgb8', np.uint8, 3)


def flow_of(message: Any) -> np.ndarray:
    """Return the flow of an Image 32FC2: (H, W, 2) float32, u right and v down, px per interval; NaN = invalid.

    Raises:
        FrameError: another encoding, or fields that do not fit together.
    """
    return _pixels(message, '32FC2', np.float32, 2)


def other_stamp_ns(message: Any) -> int:
    """Return the stamp of the other image of a flow field from its TimeReference, ns.

    The header has the stamp of the image whose grid the flow has.

    Raises:
        FrameError: both stamps are the same.
    """
    other = _ns(message.time_ref)
    if other == stamp_ns(message):
        raise FrameError('time_reference: got the same time twice, expected the stamps of two images. Remap to the '
                         'topic of the flow.')
    return other


def classes_of(message: Any) -> Dict[int, str]:
    """Return id -> name of the classes from the String with label_info_json.

    Raises:
        FrameError: it is other JSON, or none.
    """
    try:
        classes = {int(each['id']): str(each['name']) for each in json.loads(message.data)['classes']}
        if not all(0 <= number < 256 for number in classes):
            raise ValueError('ids of one byte')
        return classes
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FrameError('label_info_json: got {!r}, expected JSON with the classes of a label map. Remap to the topic '
                         'of the label map.'.format(str(message.data)[:80])) from error


def camera_of(message: Any) -> CameraModel:
    """Return the calibration of a CameraInfo.

    Raises:
        FrameError: a matrix has another size.
    """
    try:
        matrix = np.array(message.k, np.float64).reshape(3, 3)
        projection = np.array(message.p, np.float64).reshape(3, 4)
    except ValueError as error:
        raise FrameError('camera_info: got {} and {} numbers, expected 9 in k and 12 in p. Correct the camera '
                         'driver.'.format(len(message.k), len(message.p))) from error
    return CameraModel((message.height, message.width), matrix, message.distortion_model,
                       np.array(message.d, np.float64), projection)


class Topic(NamedTuple):
    """A topic that `Join` knows."""

    kind: str
    """ROS type, PACKAGE/msg/NAME."""
    field: str
    """Field of `Results` for its content."""
    read: Callable[[Any], Any]
    """Returns the content of a message."""


TOPICS: Dict[str, Topic] = {
    LABEL_MAP: Topic('sensor_msgs/msg/Image', 'labels', labels_of),
    CLASSES: Topic('std_msgs/msg/String', 'classes', classes_of),
    LABEL_CONFIDENCE: Topic('sensor_msgs/msg/Image', 'label_confidence', labels_of),
    LABEL_CAMERA: Topic('sensor_msgs/msg/CameraInfo', 'label_camera', camera_of),
    OVERLAY: Topic('sensor_msgs/msg/Image', 'overlay', colors_of),
    FLOW: Topic('sensor_msgs/msg/Image', 'flow', flow_of),
    FLOW_CONFIDENCE: Topic('sensor_msgs/msg/Image', 'flow_confidence', labels_of),
    FLOW_CAMERA: Topic('sensor_msgs/msg/CameraInfo', 'flow_camera', camera_of),
    FLOW_INTERVAL: Topic('sensor_msgs/msg/TimeReference', 'other_stamp_ns', other_stamp_ns)}
"""Topics for `Join`: all have the header of their image, except CLASSES, which is published once (transient local)."""


class Join:
    """Matches the messages that describe the same image: their stamps are equal.

    Args:
        topics: keys of TOPICS; an image is complete when it has all of them.
        waiting: number of images that may wait for further messages; beyond that, the oldest one is dropped.

    Raises:
        ConfigError: an unknown topic, or none that has a stamp.
    """

    def __init__(self, topics: Sequence[str], waiting: int = 8) -> None:
        for topic in topics:
            if topic not in TOPICS:
                raise ConfigError('topic {!r}: unknown{}'.format(topic, did_you_mean(topic, TOPICS)))
        self.topics = tuple(topics)
        self._fields = {TOPICS[topic].field for topic in topics if topic != CLASSES}
        if not self._fields:
            raise ConfigError('topics: got {}, expected one with results of images, as {}.'.format(
                ', '.join(topics) or 'none', LABEL_MAP))
        self._classes: Optional[Dict[int, str]] = None if CLASSES in topics else {}
        self._waiting = waiting
        self._images: 'OrderedDict[Tuple[int, str], Dict[str, Any]]' = OrderedDict()

    def add(self, topic: str, message: Any) -> Optional[Results]:
        """Take a message, and return the results of an image that it completes; older images are then dropped.

        Raises:
            FrameError: the message cannot be read; other messages of its image are kept.
        """
        content = TOPICS[topic].read(message)
        if topic == CLASSES:
            self._classes = content
            complete = [key for key, image in self._images.items() if len(image) == len(self._fields)]
            return self._results(complete[-1]) if complete else None
        key = stamp_ns(message), str(message.header.frame_id)
        self._images.setdefault(key, {})[TOPICS[topic].field] = content
        if len(self._images) > self._waiting:
            self._images.popitem(last=False)
        if self._classes is None or len(self._images[key]) < len(self._fields):
            return None
        return self._results(key)

    def _results(self, key: Tuple[int, str]) -> Results:
        """Return a complete image, and drop it and earlier ones."""
        while True:
            found, image = self._images.popitem(last=False)
            if found == key:
                return Results(key[0], key[1], classes=self._classes or {}, **image)


def _ns(time: Any) -> int:
    return int(time.sec) * 10**9 + int(time.nanosec)


def _pixels(message: Any, encoding: str, dtype: type, channels: int) -> np.ndarray:
    """View the pixels of an Image: (H, W, channels)."""
    if message.encoding != encoding:
        raise FrameError('image encoding: got {!r}, expected {!r}. Remap to a topic of that encoding.'.format(
            message.encoding, encoding))
    height, width, step = message.height, message.width, message.step
    pixel = np.dtype(dtype).itemsize * channels
    data = np.frombuffer(message.data, np.uint8)
    if not height or not width or step < width * pixel or step % np.dtype(dtype).itemsize or data.size < height * step:
        raise FrameError('image of {}x{} px: got {} bytes in rows of {}, expected rows of {} or more. Correct what '
                         'publishes it.'.format(height, width, data.size, step, width * pixel))
    rows = data[:height * step].view(np.dtype(dtype).newbyteorder('>' if message.is_bigendian else '<'))
    return rows.reshape(height, -1)[:, :width * channels].reshape(height, width, channels)

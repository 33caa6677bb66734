"""Reads recordings of the nodes or of `process`: recognises topics, converts messages to arrays. Needs no ROS."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from trt_perception import consumer
from trt_perception.consumer import (
    CLASSES,
    FLOW,
    FLOW_CONFIDENCE,
    FLOW_INTERVAL,
    LABEL_CONFIDENCE,
    LABEL_MAP,
    OVERLAY,
)
from trt_perception.core.compressed import decode_compressed
from trt_perception.core.data import Frame
from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.image import make_frame
from trt_perception.core.model import LabelClass, LabelSet

IMAGE, COMPRESSED_IMAGE, STRING = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'std_msgs/msg/String'
LABEL_MAP_PNG = LABEL_MAP + '/compressed'
FLOW_INFO = 'optical_flow/flow_info'
DRAWN = ('segmentation/color', OVERLAY, 'optical_flow/color')
"""Visualisations, which can be made from the results again."""
RESULTS = (LABEL_MAP, LABEL_MAP_PNG, CLASSES, LABEL_CONFIDENCE, FLOW, FLOW_CONFIDENCE, FLOW_INTERVAL, FLOW_INFO)
CAMERA_IMAGE = 'image'
"""Role of every image topic that is not a result of this package."""


class Topic(NamedTuple):
    """A topic and its meaning."""

    name: str
    type: str
    """Type as in 'sensor_msgs/msg/Image'."""
    camera: str
    """Namespace of a camera's results, without slashes around it; '' = none. For an image topic, the expected one."""
    role: str
    """One of RESULTS or DRAWN, CAMERA_IMAGE, or '' = something else."""


class Recorded(NamedTuple):
    """One message of a recording."""

    topic: Topic
    stamp_ns: int
    """Stamp of the message's header; without a header, that of the messages recorded at the same time."""
    message: Any


def topic_of(name: str, kind: str) -> Topic:
    """Return the role of a topic, by its name and type."""
    bare = name.strip('/')
    for role in (*RESULTS, *DRAWN):
        if bare == role or bare.endswith('/' + role):
            return Topic(name, kind, bare[:-len(role)].strip('/'), role)
    if kind in (IMAGE, COMPRESSED_IMAGE):
        return Topic(name, kind, bare.rpartition('/')[0], CAMERA_IMAGE)
    return Topic(name, kind, bare.rpartition('/')[0], '')


def with_cameras(topics: Iterable[Topic], image: str = '') -> dict[str, Topic]:
    """Return the topics by name, each image topic and planner's output with the camera to whose results it belongs.

    With several cameras, it is the one whose namespace is the beginning of the topic's name. One of a camera's image
    topics is shown with its results; the others become separate cameras.

    Args:
        image: the image topic to show with the results; '' = the first, a raw one if there is.
    """
    topics = sorted(topics, key=lambda each: (each.name != image, each.type != IMAGE, each.name))
    cameras = sorted({each.camera for each in topics if each.role in RESULTS}, key=len)
    chosen: dict[str, Topic] = {}
    taken: set[str] = set()
    for each in topics:
        if each.role in ('', CAMERA_IMAGE) and cameras:
            inside = [camera for camera in cameras if not camera or f'{each.name.strip("/")}/'.startswith(f'{camera}/')]
            camera = cameras[0] if len(cameras) == 1 else inside[-1] if inside else each.camera
            each = each._replace(camera=camera)
        if each.role == CAMERA_IMAGE:
            if each.camera in taken:
                each = each._replace(camera=each.name.strip('/'))
            taken.add(each.camera)
        chosen[each.name] = each
    return chosen


def find_bag(path: Path) -> Path:
    """Return the bag of a run: the path itself, or the only folder in it with a bag.

    Raises:
        ConfigError: there is none, or there are several.
    """
    if not path.exists():
        raise ConfigError(f'{path}: no such file or folder. Give a bag, or a folder that `trt_perception '
                          'process` wrote.')
    if path.is_file() or _is_bag(path):
        return path
    found = sorted(each for each in path.iterdir() if each.is_dir() and _is_bag(each))
    if len(found) != 1:
        names = ', '.join(each.name for each in found[:8])
        raise ConfigError(f'{path}: got {len(found)} bags in it{": " if found else ""}{names}, expected one. '
                          'Give the folder of a bag, or a .mcap, .db3 or .bag file.')
    return found[0]


def _is_bag(folder: Path) -> bool:
    return (folder / 'metadata.yaml').is_file() or any(
        each.suffix in ('.mcap', '.db3') for each in folder.iterdir() if each.is_file())


class Recording:
    """The messages of a bag, of topics that are chosen by their roles.

    Args:
        path: a bag, or a folder with one bag in it.

    Attributes:
        path: path of the bag.
        topics: all readable topics.

    Raises:
        ConfigError: there is no readable bag.
    """

    def __init__(self, path: Path) -> None:
        self.path = find_bag(path)
        self._store = get_typestore(Stores.LATEST)
        try:
            self._reader = AnyReader([self.path], default_typestore=self._store)
            self._reader.open()
        except Exception as error:  # For a damaged bag, rosbags raises any error.
            raise self._error(error) from error
        self.topics = sorted({topic_of(c.topic, c.msgtype) for c in self._reader.connections})

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def messages(self, wanted: Callable[[Topic], bool]) -> Iterator[Recorded]:
        """Yield the messages of the wanted topics, in the order of their recording.

        Raises:
            ConfigError: the bag is damaged.
        """
        chosen = [c for c in self._reader.connections
                  if c.msgtype in self._store.types and wanted(topic_of(c.topic, c.msgtype))]
        delay_ns: int | None = None
        early: list[tuple[Topic, int, Any]] = []
        for topic, time_ns, message in self._deserialized(self._reader.messages(chosen) if chosen else iter(())):
            stamp_ns = stamp_of(message)
            if stamp_ns:
                delay_ns = time_ns - stamp_ns
                yield from (Recorded(each, before_ns - delay_ns, was) for each, before_ns, was in early)
                early.clear()
                yield Recorded(topic, stamp_ns, message)
            elif delay_ns is not None:
                yield Recorded(topic, time_ns - delay_ns, message)
            else:
                early.append((topic, time_ns, message))
        yield from (Recorded(*each) for each in early)

    def _deserialized(self, messages: Iterator[Any]) -> Iterator[tuple[Topic, int, Any]]:
        while True:
            try:
                connection, time_ns, data = next(messages)
                message = self._reader.deserialize(data, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:  # As above.
                raise self._error(error) from error
            yield topic_of(connection.topic, connection.msgtype), time_ns, message

    def _error(self, error: Exception) -> ConfigError:
        reason = ' '.join(str(error).split()).rstrip('.') or type(error).__name__
        return ConfigError(f'bag {self.path}: {reason}, expected a whole bag. Repair it with `ros2 bag reindex` or '
                           '`mcap recover`.')


def stamp_of(message: Any) -> int | None:
    """Return the stamp of a message's header, ns; None = it has none."""
    return consumer.stamp_ns(message) if hasattr(message, 'header') else None


def frame_of(topic: Topic, message: Any) -> Frame:
    """Return the frame of an image message, of either type.

    Raises:
        FrameError: it is not a supported image of colours or gray.
    """
    stamp, frame_id = stamp_of(message) or 0, message.header.frame_id
    data = np.frombuffer(message.data, np.uint8)
    if topic.type == COMPRESSED_IMAGE:
        return decode_compressed(data, stamp, frame_id)
    return make_frame(data, message.height, message.width, message.step, message.encoding, stamp, frame_id,
                      bool(message.is_bigendian))


def labels_of(topic: Topic, message: Any) -> np.ndarray:
    """Return a label map or a confidence, raw or as PNG, as (H, W) uint8.

    Raises:
        FrameError: the message is damaged, or of another encoding.
    """
    if topic.type == COMPRESSED_IMAGE:
        labels = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
            raise FrameError(f'{topic.name}: got a damaged PNG, or one of several channels, expected class ids of 8 '
                             'bits. Record it again.')
        return labels
    return consumer.labels_of(message)


def flow_info_of(message: Any) -> tuple[int, int]:
    """Return the stamp of the flow field of a flow_info, and the time between its images, both in ns.

    Raises:
        FrameError: it is damaged.
    """
    try:
        data = json.loads(message.data)
        stamp = data['stamp' if data['grid'] == 'current' else 'previous_stamp']
        return stamp['sec'] * 10**9 + stamp['nanosec'], round(data['interval_s'] * 1e9)
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError(f'{FLOW_INFO}: {type(error).__name__}: {error}, expected the JSON of a node. Record it '
                         'again.') from error


def label_set_of(message: Any) -> LabelSet:
    """Return the classes of a label_info_json.

    Raises:
        FrameError: it is damaged.
    """
    try:
        data = json.loads(message.data)
        return LabelSet(str(data['label_set']), tuple(
            LabelClass(int(each['id']), str(each['name']), tuple(each['color'])) for each in data['classes']))
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError(f'{CLASSES}: {type(error).__name__}: {error}, expected the JSON of a node. Record it '
                         'again.') from error

"""Reads the image topics of ROS bags with the `rosbags` package; needs no ROS installation."""
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional

from .core.errors import ConfigError

IMAGE, COMPRESSED_IMAGE, CAMERA_INFO = ('sensor_msgs/msg/' + n for n in ('Image', 'CompressedImage', 'CameraInfo'))


class Recorded(NamedTuple):
    """One message of a bag."""

    topic: str
    time_ns: int
    """When it was recorded."""
    data: bytes
    """CDR."""


class Bag:
    """The image and calibration topics of a bag.

    Args:
        path: folder of a ROS 2 bag, or a .mcap, .db3 or (ROS 1) .bag file.
        topics: only these; None = all.

    Attributes:
        types: message type by topic.

    Raises:
        ConfigError: no readable bag, no image in it, or rosbags is not installed.
    """

    def __init__(self, path: str, topics: Optional[List[str]] = None) -> None:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise ConfigError('bags are read with the Python package rosbags, which is not installed here (it needs '
                              'Python 3.8). Run: pip install rosbags') from error
        self._path = path
        if not Path(path).exists():
            raise self._error('no such file or folder')
        try:
            self._types = get_typestore(Stores.LATEST)
            self._reader = AnyReader([Path(path)], default_typestore=self._types)
            self._reader.open()
        except Exception as error:  # A damaged file makes rosbags raise anything, from its own errors to Unicode's.
            raise self._error(error) from error
        self._connections = [c for c in self._reader.connections
                             if c.msgtype in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO)
                             and (topics is None or c.topic in topics)]
        self.types = {c.topic: c.msgtype for c in self._connections}
        if all(kind == CAMERA_INFO for kind in self.types.values()):
            raise ConfigError('bag {}: no image topic{}; it has {}.'.format(
                path, ' among ' + ', '.join(topics) if topics else '',
                ', '.join('{} ({})'.format(c.topic, c.msgtype) for c in self._reader.connections) or 'no topics'))
        self.start_ns = self._reader.start_time
        self.duration_ns = self._reader.duration

    def messages(self) -> Iterator[Recorded]:
        """Yield the messages in the order of their recording.

        Raises:
            ConfigError: the bag is damaged.
        """
        try:
            for connection, time_ns, data in self._reader.messages(self._connections):
                # With the types of ROS 2: those in a ROS 1 bag have the header's `seq`.
                cdr = data if self._reader.is2 else self._types.ros1_to_cdr(data, connection.msgtype)
                yield Recorded(connection.topic, time_ns, bytes(cdr))
        except Exception as error:  # As above.
            raise self._error(error) from error

    def _error(self, text: object) -> ConfigError:
        return ConfigError('bag {}: {}. Give the folder of a ROS 2 bag, or a .mcap or .bag file.'.format(
            self._path, str(text).rstrip('.') or type(text).__name__))

"""Reads the image topics of ROS bags with the `rosbags` package; needs no ROS installation."""
import re
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional

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
        note: what is wrong with the bag although it can be read, human-readable; '' = nothing.

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
        self.note = ''
        self._types = get_typestore(Stores.LATEST)

        def opened(paths: List[Path]) -> AnyReader:
            reader = AnyReader(paths, default_typestore=self._types)
            reader.open()
            return reader

        files = _storage_files(Path(path))
        try:
            self._reader = opened([Path(path)])
        except Exception as error:  # A damaged file makes rosbags raise anything, from its own errors to Unicode's.
            if not files:
                raise self._error(error) from error
            # Without usable metadata.yaml its files are enough.
            try:
                self._reader = opened(files)
            except Exception as inner:
                raise self._error(inner) from inner
            self.note = 'bag {}: {}. Read {} without it; `ros2 bag reindex` would restore it.'.format(
                path, _line(error), ', '.join(file.name for file in files))
        self._connections = [c for c in self._reader.connections
                             if c.msgtype in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO)
                             and (topics is None or c.topic in topics)]
        self.types = {c.topic: c.msgtype for c in self._connections}
        if all(kind == CAMERA_INFO for kind in self.types.values()):
            raise ConfigError('bag {}: no image topic{}; it has {}.'.format(
                path, ' among ' + ', '.join(topics) if topics else '',
                ', '.join('{!r} ({})'.format(c.topic, c.msgtype) for c in self._reader.connections) or 'no topics'))
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

    def _error(self, reason: object) -> ConfigError:
        return ConfigError('bag {}: {}. {}'.format(self._path, _line(reason), _remedy(Path(self._path))))


def _storage_files(folder: Path) -> List[Path]:
    """Return the storage files in the folder of a ROS 2 bag: of one kind, in the order of their recording."""
    found = ([] if not folder.is_dir() else sorted(folder.glob('*' + ending), key=_natural)
             for ending in ('.mcap', '.db3'))
    return next(filter(None, found), [])


def _natural(path: Path) -> List[Any]:
    """Return what sorts bag_10 after bag_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]


def _line(reason: object) -> str:
    return ' '.join(str(reason).split()).rstrip('.') or type(reason).__name__


def _remedy(path: Path) -> str:
    if path.name.endswith('.bag.active') or path.suffix == '.bag' and path.is_file():
        return 'It was not closed: try `rosbag reindex`, or give another.'
    if path.suffix in ('.zstd', '.zst'):
        return 'Unpack it first: zstd -d {}.'.format(path.name)
    files = [path] if path.is_file() else _storage_files(path)
    if files and files[0].suffix == '.mcap':
        return 'It was cut or not closed: try `mcap recover {} -o whole.mcap`.'.format(files[0].name)
    if files and files[0].suffix == '.db3':
        return 'It is damaged: try `sqlite3 {} .recover | sqlite3 whole.db3`.'.format(files[0].name)
    return 'Give the folder of a ROS 2 bag, or a .mcap, .db3 or .bag file.'

"""The image topics of ROS bags; needs no ROS installation."""
import heapq
import re
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence

from .bag_source import BagSource, Recorded, open_unfinished, open_with_rosbags
from .core.errors import ConfigError

IMAGE, COMPRESSED_IMAGE, CAMERA_INFO = ('sensor_msgs/msg/' + n for n in ('Image', 'CompressedImage', 'CameraInfo'))


class Bag:
    """The image and calibration topics of a bag.

    Complete messages are also read from an MCAP file that is damaged or was not closed.

    Args:
        path: folder of a ROS 2 bag, or a .mcap, .db3 or (ROS 1) .bag file.
        topics: read only these; None = all.

    Attributes:
        types: message type by topic.
        counts: number of messages by topic.
        files: the files with the messages.
        note: faults of a bag that can be read, human-readable; '' = none. `messages` may add to it.

    Raises:
        ConfigError: no readable bag, no image in it, or rosbags is not installed.
    """

    def __init__(self, path: str, topics: Optional[List[str]] = None) -> None:
        self._path = path
        self.note = ''
        if not Path(path).exists():
            raise self._error('no such file or folder')
        self.files = _storage_files(Path(path)) or [Path(path)]
        for file in self.files + [Path(path, 'metadata.yaml')]:
            if file.exists() and not file.is_file() and not file.is_dir():  # Opening a pipe would block.
                raise ConfigError('bag {}: {} is not a regular file. Restore it.'.format(path, file.name))
        self._sources = self._opened()
        for file in self.files:
            log = Path(str(file) + '-wal')
            if log.is_file() and log.stat().st_size:  # rosbags can read the file by itself.
                self._complain("{} has messages that are not read: the recorder was killed, or is recording. To get "
                               "them into {}: sqlite3 {} 'PRAGMA wal_checkpoint'.".format(
                                   log.name, file.name, file.name))
        every = {topic: kind for source in self._sources for topic, kind in source.types.items()}
        self.types = {topic: kind for topic, kind in every.items()
                      if kind in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO) and (topics is None or topic in topics)}
        if all(kind == CAMERA_INFO for kind in self.types.values()):
            raise ConfigError('bag {}: no image topic{}; it has {}.'.format(
                path, ' among ' + ', '.join(topics) if topics else '',
                ', '.join('{!r} ({})'.format(*each) for each in every.items()) or 'no topics'))
        self.counts = {topic: sum(source.counts.get(topic, 0) for source in self._sources) for topic in self.types}
        self.start_ns = min(source.start_ns for source in self._sources)
        self.duration_ns = max(source.end_ns for source in self._sources) - self.start_ns

    def messages(self, start_ns: Optional[int] = None, end_ns: Optional[int] = None,
                 topics: Optional[Sequence[str]] = None) -> Iterator[Recorded]:
        """Yield the messages in the order of their recording.

        Args:
            start_ns, end_ns: only messages recorded at or after start_ns and before end_ns; None = no limit.
            topics: only these; None = all.

        Raises:
            ConfigError: the bag is damaged, and the rest cannot be read.
        """
        last_ns, given = start_ns, 0  # Number of messages of that time that were yielded.
        try:
            for each in self._merged(self._sources, start_ns, end_ns, topics):
                given = given + 1 if each.time_ns == last_ns else 1
                last_ns = each.time_ns
                yield each
        except Exception as error:  # As `open_with_rosbags`.
            rest = self._behind(last_ns, given, end_ns, topics)
            first = next(rest, None)
            if first is None:
                raise self._error(error) from error
            self._complain('{}. Read on behind the damage.'.format(_line(error)))
            yield first
            yield from rest

    def keep(self, topics: Sequence[str]) -> None:
        """Drop all topics except these."""
        self.types = {topic: kind for topic, kind in self.types.items() if topic in topics}
        self.counts = {topic: self.counts[topic] for topic in self.types}

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            source.close()

    def _opened(self) -> List[BagSource]:
        """Return the bag as one source; without usable metadata.yaml or index, each file as far as it is intact."""
        folder, files = Path(self._path), self.files
        try:
            return [open_with_rosbags([folder])]
        except ConfigError:
            raise
        except Exception as error:  # As `open_with_rosbags`.
            reason = error
        if files != [folder]:
            try:
                source = open_with_rosbags(files)
                self._complain('{}. Read {} without it; `ros2 bag reindex` would restore it.'.format(
                    _line(reason), ', '.join(file.name for file in files)))
                return [source]
            except Exception as error:
                reason = error
        sources = []
        for file in files:
            try:
                sources.append(self._opened_alone(file))
            except Exception as error:
                self._complain('{}: {}. It is left out.'.format(file.name, _line(error)))
        if not any(source.types for source in sources):
            raise self._error(reason)
        return sources

    def _opened_alone(self, file: Path) -> BagSource:
        """Return one file, without its index if it has none."""
        try:
            return open_with_rosbags([file])
        except Exception:
            if file.suffix != '.mcap':
                raise
            return self._salvaged(file)

    def _salvaged(self, file: Path) -> BagSource:
        source = open_unfinished(file)
        for fault in source.faults:
            self._complain('{}: {}. {}'.format(file.name, fault, _remedy(file)))
        return source

    def _behind(self, last_ns: Optional[int], given: int, end_ns: Optional[int],
                topics: Optional[Sequence[str]]) -> Iterator[Recorded]:
        """Yield the messages after a damage, which follows a number of messages of one time, if the files are MCAP."""
        if any(file.suffix != '.mcap' for file in self.files):
            return
        rest = self._merged([self._salvaged(file) for file in self.files], last_ns, end_ns, topics)
        yield from (each for number, each in enumerate(rest) if number >= given or each.time_ns != last_ns)

    def _merged(self, sources: List[BagSource], start_ns: Optional[int], end_ns: Optional[int],
                topics: Optional[Sequence[str]]) -> Iterator[Recorded]:
        chosen = [topic for topic in self.types if topics is None or topic in topics]
        parts = [source.messages(chosen, start_ns, end_ns) for source in sources]
        return heapq.merge(*parts, key=lambda each: each.time_ns)

    def _complain(self, text: str) -> None:
        self.note += '{}bag {}: {}'.format(' ' if self.note else '', self._path, text)

    def _error(self, reason: object) -> ConfigError:
        return ConfigError('bag {}: {}. {}'.format(self._path, _line(reason), _remedy(Path(self._path))))


def _storage_files(folder: Path) -> List[Path]:
    """Return the storage files in the folder of a ROS 2 bag: of one kind, in the order of their recording."""
    found = (sorted(folder.glob('*' + ending), key=_natural) for ending in ('.mcap', '.db3'))
    return next(filter(None, found), [])


def _natural(path: Path) -> List[Any]:
    """Return a sort key with bag_10 after bag_9."""
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

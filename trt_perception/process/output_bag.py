"""Writes a split bag file by file, so that a run that was killed resumes after the last whole file.

OUTPUT.partial, until it is renamed to OUTPUT, contains:
    lock        held by the run that writes
    job.json    the job's fingerprint
    writing/    the unfinished file, lost if the run is killed
    NAME_3.json NAME_3.mcap   a whole file; the JSON, written first, is the state of the run when it was closed
"""
import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from ..core.errors import ConfigError
from ..core.yaml_file import read_yaml, yaml_text
from .bag_types import BagTypes, qos

STORAGES = {'mcap': (StoragePlugin.MCAP, '.mcap'), 'sqlite3': (StoragePlugin.SQLITE3, '.db3')}
REPORT = 'process.json'
_FORMAT: Any = 8
"""Version of metadata.yaml that Foxy to Jazzy read."""


class OutputBag:
    """A bag that is being written. Use `open_output`.

    Attributes:
        journal: the last argument of `close_file`, also of an earlier run; None = no file is whole yet.
        is_muted: whether messages are dropped, because an earlier run wrote them.
        time_ns: the time that messages get.
    """

    def __init__(self, path: Path, storage: str, compress: bool, types: BagTypes) -> None:
        self.is_muted = False
        self.time_ns = 0
        self._path = path
        self._partial = Path(str(path) + '.partial')
        self._plugin, self._ending = STORAGES[storage]
        self._compress = compress
        self._types = types
        self._topics: List[Tuple[str, str, bool]] = []
        self._writer: Optional[Writer] = None
        self._connections: Dict[str, Any] = {}
        self._files: List[Dict[str, Any]] = []
        while self._part(len(self._files), self._ending).exists():
            self._files.append(read_json(self._part(len(self._files), '.json')))
        shutil.rmtree(str(self._partial / 'writing'), ignore_errors=True)
        self.journal: Optional[Dict[str, Any]] = self._files[-1]['journal'] if self._files else None

    def declare(self, topic: str, kind: str, latched: bool) -> None:
        """Declare a topic, which every file then has."""
        self._topics.append((topic, kind, latched))
        if self._writer is not None:
            self._connect(topic, kind, latched)

    def write(self, topic: str, data: bytes) -> None:
        """Write a serialised message of a declared topic."""
        if self.is_muted:
            return
        if self._writer is None:
            self._writer = Writer(self._partial / 'writing' / self._part(len(self._files), '').name, version=_FORMAT,
                                  storage_plugin=self._plugin)
            if self._compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
            for each in self._topics:
                self._connect(*each)
        self._writer.write(self._connections[topic], self.time_ns, data)

    def close_file(self, journal: Dict[str, Any]) -> None:
        """Finish the current file; later messages go to another.

        Args:
            journal: the state from which a later run can continue.
        """
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        self._connections = {}
        writer.close()
        info = read_yaml(str(writer.metapath))['rosbag2_bagfile_information']
        entry = {'journal': journal, 'info': info}
        number = len(self._files)
        write_whole(self._part(number, '.json'), json.dumps(entry, sort_keys=True))
        written = writer.path / info['relative_file_paths'][0]
        _sync(written)
        os.replace(str(written), str(self._part(number, self._ending)))
        _sync(self._partial)
        shutil.rmtree(str(self._partial / 'writing'))
        self._files.append(entry)
        self.journal = journal

    def finish(self, report: Dict[str, Any]) -> None:
        """Complete the bag, and rename it."""
        write_whole(self._partial / REPORT, json.dumps(report, indent=1, sort_keys=True) + '\n')
        write_whole(self._partial / 'metadata.yaml', yaml_text({
            'rosbag2_bagfile_information': _joined([each['info'] for each in self._files])}))
        _reveal(self._path)

    def abort(self) -> None:
        """Drop the unfinished file, and the folder if no file is whole."""
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.abort()
            self._writer = None
        shutil.rmtree(str(self._partial if not self._files else self._partial / 'writing'), ignore_errors=True)

    def message_counts(self) -> Dict[str, int]:
        """Return how many messages the whole files have, by topic."""
        counts = {topic: 0 for topic, _, _ in self._topics}
        for each in self._files:
            for topic in each['info']['topics_with_message_count']:
                counts[topic['topic_metadata']['name']] += topic['message_count']
        return counts

    def _part(self, number: int, ending: str) -> Path:
        return self._partial / '{}_{}{}'.format(self._path.name, number, ending)

    def _connect(self, topic: str, kind: str, latched: bool) -> None:
        assert self._writer is not None
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._types.store,
                                                               offered_qos_profiles=[qos(latched)])


@contextlib.contextmanager
def open_output(path: str, storage: str, compress: bool, types: BagTypes, fingerprint: str) -> Iterator[OutputBag]:
    """Open a bag for writing, a new one or that of an earlier run of the same job.

    Raises:
        ConfigError: there is another bag, or another run that writes it; or it cannot be written, also within the
            `with`: whole files stay for the next run.
    """
    output, partial = Path(path), Path(path + '.partial')
    with writing(path):
        partial.mkdir(parents=True, exist_ok=True)
        with _locked(partial / 'lock', path):
            begun = partial / 'job.json'
            if begun.exists() and read_json(begun).get('fingerprint') != fingerprint:
                raise ConfigError('{}: it was begun by another job: of another bag, version or model, or with other '
                                  'options. Repeat that one, remove the folder, or give another --output.'.format(
                                      partial))
            if not begun.exists():
                write_whole(begun, json.dumps({'fingerprint': fingerprint}))
            bag = OutputBag(output, storage, compress, types)
            try:
                yield bag
            except BaseException:
                bag.abort()
                raise


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn errors of the file system into a ConfigError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise ConfigError('--output {}: {}. Give a folder that can be written, with enough space. To go on where it '
                          'stopped, repeat the command.'.format(
                              path, getattr(error, 'strerror', None) or error)) from error


def _reveal(output: Path) -> None:
    """Rename a complete bag; metadata.yaml, written last, marks it as complete."""
    partial = Path(str(output) + '.partial')
    for path in sorted(partial.iterdir()):
        if path.name == 'lock' or path.suffix == '.json' and path.name != REPORT:
            path.unlink()
    os.rename(str(partial), str(output))
    _sync(output.parent)


def finished_report(path: str, fingerprint: str) -> Optional[Dict[str, Any]]:
    """Return the report of a finished output; None = there is none yet.

    Raises:
        ConfigError: there is something else, or another run is about to finish it.
    """
    output, partial = Path(path), Path(path + '.partial')
    if not os.path.lexists(path) and (partial / 'metadata.yaml').exists():  # A run was killed just before its end.
        with writing(path), _locked(partial / 'lock', path):
            _reveal(output)
    if not os.path.lexists(path):
        return None
    report = read_json(output / REPORT) if (output / REPORT).is_file() else {}
    if report.get('fingerprint') != fingerprint:
        raise ConfigError('--output {}: it exists, and is {}. Remove it, or give another.'.format(
            path, 'the result of another job' if report else 'no result of `trt_perception process`'))
    return report


def read_json(path: Path) -> Dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ConfigError: there is none in it.
    """
    try:
        value = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ConfigError('{}: {}. Remove the folder.'.format(path, error)) from error
    if not isinstance(value, dict):
        raise ConfigError('{}: got no object. Remove the folder.'.format(path))
    return value


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically."""
    other = path.parent / (path.name + '.new')
    other.write_text(text, encoding='utf-8')
    _sync(other)
    os.replace(str(other), str(path))


@contextlib.contextmanager
def _locked(path: Path, output: str) -> Iterator[None]:
    with path.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Since the file was opened, another run may have finished and renamed its folder.
            held = os.path.exists(str(path)) and os.path.samestat(os.fstat(file.fileno()), os.stat(str(path)))
        except BlockingIOError:
            held = False
        if not held:
            raise ConfigError('--output {}: another run writes it now. Wait for that, or give another.'.format(output))
        yield


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk, so that even after a power failure there is no incomplete file."""
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _joined(infos: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Return a bag's metadata.yaml, from those of its files."""
    files = [each for info in infos for each in info['files']]
    start_ns = min(each['starting_time']['nanoseconds_since_epoch'] for each in files)
    end_ns = max(each['starting_time']['nanoseconds_since_epoch'] + each['duration']['nanoseconds'] for each in files)
    counts: Dict[str, int] = {}
    for info in infos:
        for topic in info['topics_with_message_count']:
            name = topic['topic_metadata']['name']
            counts[name] = counts.get(name, 0) + topic['message_count']
    topics = [dict(each, message_count=counts[each['topic_metadata']['name']])
              for each in infos[-1]['topics_with_message_count']]
    return dict(infos[0], files=files, relative_file_paths=[each['path'] for each in files],
                message_count=sum(counts.values()), starting_time={'nanoseconds_since_epoch': start_ns},
                duration={'nanoseconds': end_ns - start_ns}, topics_with_message_count=topics)

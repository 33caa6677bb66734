"""Built engines on disk: named after what went into them, written whole or not at all, by one builder at a time.

Knows files; neither TensorRT nor a GPU.
"""
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import re
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Set

from ...core.errors import ConfigError, EngineError
from ..backends import BuiltEngine

# A key-value pair of a tensor's external_data, as protobuf writes it: key, then value with its length as a varint.
_LOCATION = re.compile(b'\n\x08location\x12([\x80-\xff]*[\x00-\x7f])')


class EngineKey(NamedTuple):
    """All that decides which engine comes out of a build; two equal keys give one file."""

    model: str
    precision: str
    network_sha256: str
    tensorrt: str
    """Version."""
    gpu: str
    """Name and compute capability."""
    workspace_bytes: int
    dla_core: int
    keep_fp32: str
    """Parts of names of the layers that stay in FP32, joined by commas."""
    builder: int
    """Version of the builder's own rules."""

    @property
    def stem(self) -> str:
        """Name of the engine's files, without extension."""
        text = json.dumps(self._asdict(), sort_keys=True)
        return '{}-{}-{}'.format(self.model, self.precision, hashlib.sha256(text.encode()).hexdigest()[:12])


def network_sha256(file: str) -> str:
    """Return the digest of an ONNX file and of the weights files that it names.

    Raises:
        ConfigError: a weights file is missing.
    """
    data = _read(file)
    digest = hashlib.sha256(data)
    for name in sorted(_external_files(data)):
        path = os.path.join(os.path.dirname(file), os.fsdecode(name))
        try:
            digest.update(name + _read(path))
        except OSError as error:
            raise ConfigError('{}: its weights are in {}: {}. Put that file beside it.'.format(
                file, path, error.strerror)) from error
    return digest.hexdigest()


class EngineCache:
    """One folder of engines. Reading needs no right to write: engines may be shipped.

    Args:
        folder: '' = trt_perception in the user's cache folder.
    """

    def __init__(self, folder: str = '') -> None:
        home = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
        self.folder = os.path.abspath(os.path.expanduser(folder or os.path.join(home, 'trt_perception')))

    def path(self, name: str) -> str:
        """Return the path of a file of this folder."""
        return os.path.join(self.folder, name)

    def find(self, key: EngineKey) -> Optional[BuiltEngine]:
        """Return the engine of a key; None when there is none, or its files are not what was once written."""
        facts = self.facts(key.stem)
        if facts is None or facts.get('key') != key._asdict():
            return None
        used = facts.get('replaced_by', key.stem)
        engine = self.facts(used)
        path = self.path(used + '.engine')
        try:
            if engine is None or hashlib.sha256(_read(path)).hexdigest() != engine['engine_sha256']:
                return None
            return BuiltEngine(path, engine['key']['precision'], engine['summary'], facts.get('warning', ''))
        except (OSError, KeyError, TypeError):
            return None

    def facts(self, stem: str) -> Optional[Dict[str, Any]]:
        """Return what the side-car file tells, or None."""
        try:
            with open(self.path(stem + '.json'), encoding='utf-8') as file:
                facts = json.load(file)
        except (OSError, ValueError):
            return None
        return facts if isinstance(facts, dict) else None

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Keep other builders out of this folder; call `waiting` once when another one is at work.

        One for all engines: two builds at once would disturb each other's timing of layers, and share the memory.

        Raises:
            ConfigError: the folder cannot be written.
        """
        try:
            os.makedirs(self.folder, exist_ok=True)
            # It stays: another builder may wait on it.
            lock = os.open(self.path('builder.lock'), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ConfigError('engine_cache_dir: {} cannot be written: {}. Set the parameter engine_cache_dir (or '
                              '--cache-dir) to a folder that can.'.format(self.folder, error.strerror)) from error
        try:  # The system lets go of the lock when its holder ends, however that comes.
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for leftover in glob.glob(self.path('*.part')):
                os.remove(leftover)
            yield
        finally:
            os.close(lock)

    def draft(self, key: EngineKey, data: bytes) -> str:
        """Write an engine under a name that nobody takes for one, and return its path. Only under the lock.

        Raises:
            EngineError: the disk is full, or fails.
        """
        path = self.path(key.stem + '.engine.part')
        self._write(path, data)
        return path

    def publish(self, key: EngineKey, draft: str, facts: Dict[str, Any]) -> None:
        """Give a draft its name, then write the side-car file, without which it is no engine. Only under the lock."""
        digest = hashlib.sha256(_read(draft)).hexdigest()
        os.replace(draft, self.path(key.stem + '.engine'))
        self._write_facts(key, dict(facts, engine_sha256=digest))

    def replace(self, key: EngineKey, other: EngineKey, facts: Dict[str, Any]) -> None:
        """Note that another engine, which is in the cache, is used in place of this key's. Only under the lock."""
        self._write_facts(key, dict(facts, replaced_by=other.stem))

    def save(self, name: str, data: bytes) -> None:
        """Write any other file of this folder, whole or not at all. Only under the lock."""
        part = self.path(name + '.part')
        self._write(part, data)
        os.replace(part, self.path(name))
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # Or the new names might be lost with the power.
        finally:
            os.close(folder)

    def _write_facts(self, key: EngineKey, facts: Dict[str, Any]) -> None:
        text = json.dumps(dict(facts, key=key._asdict()), indent=2, sort_keys=True)
        self.save(key.stem + '.json', text.encode())

    def _write(self, path: str, data: bytes) -> None:
        try:
            with open(path, 'wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EngineError('{}: {:.0f} MB could not be written: {}. Make room, or set the parameter '
                              'engine_cache_dir.'.format(path, len(data) / 2**20, error.strerror)) from error


def _read(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read()


def _external_files(onnx: bytes) -> Set[bytes]:
    names = set()
    for match in _LOCATION.finditer(onnx):
        length = sum((byte & 0x7f) << (7 * place) for place, byte in enumerate(match.group(1)))
        names.add(onnx[match.end():match.end() + length])
    return names

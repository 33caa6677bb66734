"""Built engines on disk: named by a digest of what decides them, written atomically, by one builder at a time.

Only files that this user or root wrote are used, because an engine is code. Needs neither TensorRT nor a GPU.
"""
import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import time
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from ...core.errors import ConfigError, EngineError
from ...core.limits import MAX_NETWORK_BYTES, MAX_SIDE_CAR_BYTES
from ...core.regular_file import read_regular
from ..backends import BuiltEngine

_POLL_S = 0.2
_STEM = re.compile(r'[\w.+-]+$')


class EngineKey(NamedTuple):
    """Everything that decides the engine of a build; equal keys have the same file."""

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
    """Parts of the names of layers that stay in FP32, joined by commas."""
    builder: int
    """Version of the builder's own rules."""

    @property
    def stem(self) -> str:
        """Name of the engine's files, without extension."""
        text = json.dumps(self._asdict(), sort_keys=True)
        return '{}-{}-{}'.format(self.model, self.precision, hashlib.sha256(text.encode()).hexdigest()[:12])


class EngineCache:
    """One folder of engines. Reading does not need write permission: engines may be shipped.

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
        """Return the engine of a key; None if there is none, or its files were not written by this user.

        Raises:
            ConfigError: others may write to the folder.
        """
        self._check_folder()
        facts = self.facts(key.stem)
        if facts is None or facts.get('key') != key._asdict():
            return None
        used = facts.get('replaced_by', key.stem)
        if not isinstance(used, str) or not _STEM.match(used):
            return None
        engine = self.facts(used)
        path = self.path(used + '.engine')
        try:
            if engine is None or hashlib.sha256(self._read(path)).hexdigest() != engine['engine_sha256']:
                return None
            built = BuiltEngine(path, engine['key']['precision'], engine['summary'], facts.get('warning', ''))
        except (OSError, KeyError, TypeError):
            return None
        return built if all(isinstance(text, str) for text in built) else None

    def facts(self, stem: str) -> Optional[Dict[str, Any]]:
        """Return the content of the side-car file, or None."""
        try:
            facts = json.loads(self._read(self.path(stem + '.json'), MAX_SIDE_CAR_BYTES).decode('utf-8'))
        except (OSError, ValueError, RecursionError):
            return None
        return facts if isinstance(facts, dict) else None

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Keep other builders out of this folder; call `waiting` repeatedly while another one is at work.

        There is one lock for all engines: two builds at once would disturb each other's timings, and share the memory.

        Raises:
            ConfigError: the folder cannot be written.
        """
        path = self.path('builder.lock')
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            self._check_folder()
            if os.path.lexists(path) and not os.path.isfile(path):
                raise ConfigError('engine_cache_dir: {} is no regular file. Remove it: no build holds it.'.format(path))
            # It stays: another builder may wait for it.
            lock = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError('engine_cache_dir: {} cannot be written: {}. Set the parameter engine_cache_dir (or '
                              '--cache-dir) to a folder that can.'.format(self.folder, error.strerror)) from error
        try:  # The system releases the lock when its holder ends, for whatever reason.
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waiting()
                    time.sleep(_POLL_S)
            for leftover in glob.glob(glob.escape(self.folder) + '/*.part'):
                _remove(leftover)
            yield
        finally:
            os.close(lock)

    def draft(self, key: EngineKey, data: bytes) -> str:
        """Write an engine under a temporary name, and return its path. Only under the lock.

        Raises:
            EngineError: the disk is full or fails.
        """
        path = self.path(key.stem + '.engine.part')
        self._write(path, data)
        return path

    def publish(self, key: EngineKey, draft: str, facts: Dict[str, Any]) -> None:
        """Rename a draft, then write the side-car file, without which it is no engine. Only under the lock."""
        digest = hashlib.sha256(self._read(draft)).hexdigest()
        self._rename(draft, self.path(key.stem + '.engine'))
        self._write_facts(key, dict(facts, engine_sha256=digest))

    def replace(self, key: EngineKey, other: EngineKey, facts: Dict[str, Any]) -> None:
        """Record that another engine of the cache is used instead of this key's. Only under the lock."""
        self._write_facts(key, dict(facts, replaced_by=other.stem))

    def save(self, name: str, data: bytes) -> None:
        """Write any other file of this folder, atomically. Only under the lock."""
        part = self.path(name + '.part')
        self._write(part, data)
        self._rename(part, self.path(name))
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # Otherwise a power failure might lose the new names.
        finally:
            os.close(folder)

    def read(self, name: str) -> bytes:
        """Return the content of any other file of this folder.

        Raises:
            OSError: it does not exist, or another user may have written it.
        """
        return self._read(self.path(name))

    def _check_folder(self) -> None:
        try:
            _check_trusted(os.stat(self.folder), self.folder)
        except PermissionError as error:
            raise ConfigError('engine_cache_dir: {}: {}. An engine is code, so that only your own are used. Run '
                              '`chmod go-w {}` if it is yours, or set engine_cache_dir to a folder of your own.'.format(
                                  self.folder, error.strerror, self.folder)) from error
        except (OSError, ValueError):
            pass  # It does not exist, or cannot be entered: then there is no engine.

    def _read(self, path: str, most_bytes: int = MAX_NETWORK_BYTES) -> bytes:
        _check_trusted(os.stat(path), path)
        return read_regular(path, most_bytes)

    def _rename(self, part: str, path: str) -> None:
        if os.path.isdir(path) and not os.path.islink(path):  # Whatever that was, it is no engine.
            shutil.rmtree(path)
        os.replace(part, path)

    def _write_facts(self, key: EngineKey, facts: Dict[str, Any]) -> None:
        text = json.dumps(dict(facts, key=key._asdict()), indent=2, sort_keys=True)
        self.save(key.stem + '.json', text.encode())

    def _write(self, path: str, data: bytes) -> None:
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), 'wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EngineError('{}: {:.0f} MB could not be written: {}. Make room, or set the parameter '
                              'engine_cache_dir.'.format(path, len(data) / 2**20, error.strerror)) from error


def _check_trusted(status: os.stat_result, path: str) -> None:
    """Check that only this user and root can have written something: an engine is code.

    A group of this user alone, which Debian creates for each user, counts as the user.

    Raises:
        PermissionError: another user owns it or may write to it.
    """
    user, group = os.geteuid(), os.getegid()
    if status.st_uid not in (user, 0):
        raise PermissionError(errno.EPERM, 'it belongs to user {}, not to {}'.format(status.st_uid, user), path)
    own_group = status.st_gid == group == user
    if status.st_mode & (stat.S_IWOTH | (0 if own_group else stat.S_IWGRP)):
        raise PermissionError(errno.EPERM, 'others may write to it (mode {:o})'.format(
            stat.S_IMODE(status.st_mode)), path)


def _remove(path: str) -> None:
    """Remove a path, whatever it is."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)

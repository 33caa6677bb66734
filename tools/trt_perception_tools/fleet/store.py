"""Where results are kept: pieces by their address, and which pieces a bag has. On this machine, or at a URL.

pieces/AB/ABCD.../    a bag with the results of one piece, and statistics.json, which is written last
bags/AB/ABCD....json  the pieces of a bag: of its content, with these networks and options
attempts/RUN/         attempts at pieces, while a run is in progress
report.json, index.html
"""
from __future__ import annotations

import json
import posixpath
import uuid
from typing import Any

import fsspec

from trt_perception.core.errors import ConfigError

STATISTICS = 'statistics.json'


class Store:
    """The folder of a fleet's results.

    Args:
        root: path or URL.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            self._system, self._path = fsspec.core.url_to_fs(root)
            self.is_local = isinstance(self._system, fsspec.get_filesystem_class('file'))
            self._system.makedirs(self._path, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(f'--output {root}: {error}. Give a folder that can be written.') from error

    def piece(self, address: str) -> str:
        """Return the folder of a piece, as its file system names it."""
        return self._at('pieces', address[:2], address)

    def statistics(self, address: str) -> dict[str, Any] | None:
        """Return the statistics of a finished piece; None = it is not finished."""
        return self._read(posixpath.join(self.piece(address), STATISTICS))

    def finish(self, address: str, folder: str, statistics: dict[str, Any]) -> None:
        """Store the results of a piece from a local folder, and mark them as complete."""
        target = self.piece(address)
        if not self.is_local:
            self._system.put(folder.rstrip('/') + '/', target + '/', recursive=True)
        self._write(posixpath.join(target, STATISTICS), statistics)

    def pieces_of(self, key: str) -> dict[str, Any] | None:
        """Return the record of a bag; None = there is none."""
        return self._read(self._at('bags', key[:2], f'{key}.json'))

    def remember(self, key: str, record: dict[str, Any]) -> None:
        """Keep the record of a bag."""
        self._write(self._at('bags', key[:2], f'{key}.json'), record)

    def begin(self, run: str, address: str) -> int:
        """Record an attempt at a piece, and return how many there were in this run, this one included.

        A worker that dies leaves no other trace.
        """
        folder = self._at('attempts', run)
        self._system.makedirs(folder, exist_ok=True)
        before = len(self._system.glob(posixpath.join(folder, f'{address}-*')))
        self._system.touch(posixpath.join(folder, f'{address}-{before}'))
        return before + 1

    def end(self, run: str) -> None:
        """Forget the attempts of a run."""
        folder = self._at('attempts', run)
        if self._system.exists(folder):
            self._system.rm(folder, recursive=True)

    def write_text(self, name: str, text: str) -> str:
        """Write a file of the report and return where it is."""
        with self._system.open(self._at(name), 'w', encoding='utf-8') as file:
            file.write(text)
        return posixpath.join(self.root, name)

    def _at(self, *parts: str) -> str:
        return posixpath.join(self._path, *parts)

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            value = json.loads(self._system.cat_file(path))
        except FileNotFoundError:
            return None
        except ValueError:  # Its writer was killed: some file systems write in place.
            return None
        return value if isinstance(value, dict) else None

    def _write(self, path: str, value: dict[str, Any]) -> None:
        # Under another name first: except in object stores, a half-written file can be seen. The name is unique:
        # workers with equal bags write the same file at the same time.
        self._system.makedirs(posixpath.dirname(path), exist_ok=True)
        partial = f'{path}.{uuid.uuid4().hex}.new' if self.is_local else path
        with self._system.open(partial, 'w', encoding='utf-8') as file:
            file.write(json.dumps(value, sort_keys=True))
        if partial != path:
            self._system.mv(partial, path)

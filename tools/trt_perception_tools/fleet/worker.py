"""Processes one piece after another, in a separate process. Faults of a piece are returned, not raised."""
from __future__ import annotations

import fcntl
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import fsspec

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.process import Engines, Job, process

from .pieces import Piece
from .source import SourceBag
from .statistics import piece_statistics
from .store import Store

DONE, FAILED = 'done', 'failed'
_WAIT_S = 60.0
"""How long to wait for another worker with the same piece: one whose driver was killed ends by itself."""


class Worker:
    """Called with a row per piece, by Ray or directly.

    Args:
        job: the request for every bag.
        root: of the store.
        run: name of the run, by which attempts are counted.
        attempts: how often a piece may be started before it counts as failed.
    """

    def __init__(self, job: Job, root: str, run: str, attempts: int = 3) -> None:
        self._job = job
        self._store = Store(root)
        self._run = run
        self._attempts = attempts
        self._engines = Engines()  # Open until the process ends: with short bags, opening takes a third of the time.

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        """Process the piece in `row['piece']`; return its result as JSON, too."""
        values = json.loads(row['piece'])
        piece = Piece(values[0], SourceBag(values[1][0], tuple(values[1][1])), *values[2:])
        return {'result': json.dumps({'address': piece.address, **self.process(piece)})}

    def process(self, piece: Piece) -> dict[str, Any]:
        """Process a piece and return 'state', and 'error' or its statistics."""
        try:
            attempt = self._store.begin(self._run, piece.address)
            if attempt > self._attempts:
                raise PerceptionError(f'bag {piece.bag.url}: {self._attempts} workers died while they processed it: '
                                      'out of memory, or a crash. Look at their logs, and process it alone with '
                                      '`trt_perception process`.')
            return {'state': DONE, 'attempts': attempt, **self._processed(piece)}
        except Exception as error:  # One bag must never stop the others.
            self.close()  # An engine may be what failed.
            return {'state': FAILED, 'error': f'{type(error).__name__}: {error}'}

    def close(self) -> None:
        """Close the engines."""
        self._engines.close()

    def _processed(self, piece: Piece) -> dict[str, Any]:
        began_s, cpu_s = time.monotonic(), time.process_time()
        with tempfile.TemporaryDirectory(prefix='trt_perception_fleet_') as scratch:
            bag = piece.bag.url if piece.bag.is_local else _fetch(piece.bag, Path(scratch) / 'bag')
            output = self._store.piece(piece.address) if self._store.is_local else str(Path(scratch) / piece.address)
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            summary = _process_when_free(
                self._job._replace(bag=bag, output=output, start_ns=piece.start_ns, end_ns=piece.end_ns),
                self._engines)
            statistics = {'bag': piece.bag.url, 'start_ns': piece.start_ns, 'end_ns': piece.end_ns,
                          'images': summary.images, 'bad': summary.bad, 'faults': summary.faults,
                          'results': summary.results, **piece_statistics(Path(output)),
                          'seconds': round(time.monotonic() - began_s, 3),
                          'cpu_seconds': round(time.process_time() - cpu_s, 3)}
            self._store.finish(piece.address, output, statistics)
        return statistics


def _fetch(bag: SourceBag, folder: Path) -> str:
    """Fetch a bag to this machine and return its path."""
    folder.mkdir()
    for url in bag.files:
        system, path = fsspec.core.url_to_fs(url)
        system.get_file(path, str(folder / path.rpartition('/')[2]))
    return str(folder) if len(bag.files) > 1 else str(folder / bag.files[0].rpartition('/')[2])


def _process_when_free(job: Job, engines: Engines) -> Any:
    end_s = time.monotonic() + _WAIT_S
    while True:
        try:
            return process(job, engines=engines)
        except ConfigError:
            if not _is_locked(f'{job.output}.partial/lock') or time.monotonic() > end_s:
                raise
        time.sleep(0.5)


def _is_locked(path: str) -> bool:
    """Return whether another process holds a file's lock."""
    try:
        with open(path, 'rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def as_row(piece: Piece) -> dict[str, str]:
    """Return a piece as the worker takes it."""
    return {'piece': json.dumps(list(piece))}

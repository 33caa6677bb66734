"""Cuts bags into pieces by time, and gives each an address: a digest of everything that decides its results."""
from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from trt_perception import __version__
from trt_perception.bag import Bag
from trt_perception.engines import deployed_model
from trt_perception.process import Job
from trt_perception.process.plan import describe_models as described_models
from trt_perception.process.plan import settings_of

from .source import SourceBag, content_digest
from .store import Store

_PLACES = ('engine_cache_dir',)
"""Settings of places, which do not change results."""


class Piece(NamedTuple):
    """A part of a bag, which one worker processes at a time."""

    address: str
    bag: SourceBag
    start_ns: int
    """Start, from the bag's first message, s."""
    end_ns: int | None
    """None = to the end."""


def describe_models(job: Job) -> dict[str, dict[str, str]]:
    """Return a job's models as resolved on this machine: model, engine, precision and digest, by task.

    Raises:
        ConfigError: a parameter is wrong, or an engine is unavailable.
    """
    settings = settings_of(job)
    return described_models({task: deployed_model(task, settings) for task in job.tasks}, settings)


def request_digest(job: Job, models: dict[str, dict[str, str]]) -> str:
    """Return a digest of what all bags share: networks, engines, precisions, options, version."""
    options = job._replace(bag='', output='', start_ns=0, end_ns=None)._asdict()
    options['settings'] = {name: value for name, value in job.settings.items() if name not in _PLACES}
    return _digest([__version__, models, options])


def plan(bag: SourceBag, job: Job, request: str, piece_s: float, store: Store) -> list[Piece]:
    """Return the pieces of a bag.

    A bag that was planned before is not opened again. A bag that is not on this machine is one piece, because otherwise
    every worker with a part of it would have to fetch it.

    Raises:
        ConfigError: the bag cannot be read.
        OSError: it cannot be reached.
    """
    content = content_digest(bag)
    key = _digest([content, request, piece_s, job.start_ns, job.end_ns])
    record = store.pieces_of(key)
    if record is None:
        ranges = _ranges(bag, job, int(piece_s * 1e9)) if bag.is_local else [[job.start_ns, job.end_ns]]
        record = {'bag': bag.url, 'pieces': [[_digest([content, request, *each]), *each] for each in ranges]}
        store.remember(key, record)
    return [Piece(address, bag, start_ns, end_ns) for address, start_ns, end_ns in record['pieces']]


def _ranges(bag: SourceBag, job: Job, length_ns: int) -> list[list[int | None]]:
    opened = Bag(bag.url)
    duration_ns = opened.duration_ns
    opened.close()
    end_ns = duration_ns if job.end_ns is None else min(duration_ns, job.end_ns)
    starts = list(range(job.start_ns, max(end_ns, job.start_ns + 1), length_ns))
    if len(starts) > 1 and end_ns - starts[-1] < length_ns // 4:  # Avoid a tiny piece at the end.
        starts.pop()
    return [[start, end] for start, end in zip(starts, [*starts[1:], job.end_ns], strict=True)]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

"""Runs the worker on pieces: here, one after another, or by Ray Data on many processes and machines."""
from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from trt_perception.core.errors import ConfigError
from trt_perception.process import Job

from .pieces import Piece, describe_models
from .worker import Worker, as_row

LOCAL = 'local'
_CONNECT_S = 5.0
_OBJECT_STORE_BYTES = 100 * 2**20
"""Object store of a Ray that is started here, where only rows of text are exchanged."""


class Resources(NamedTuple):
    """The resources of one worker."""

    threads: int
    gpus: float
    workers: int
    """Maximum number; 0 = as many as fit."""


def run_here(pieces: Sequence[Piece], worker: Worker) -> Iterator[dict[str, Any]]:
    """Yield the result of each piece when it is finished."""
    with contextlib.closing(worker):
        for piece in pieces:
            yield json.loads(worker(as_row(piece))['result'])


def run_on_ray(pieces: Sequence[Piece], constructor: Sequence[Any], resources: Resources) -> Iterator[dict[str, Any]]:
    """Yield the result of each piece when it is finished, in any order. Needs `connected`.

    Ray Data replaces workers that die, and gives their piece to the next one.

    Args:
        constructor: arguments of Worker.
    """
    import ray
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = ray.data.from_items([as_row(piece) for piece in pieces], override_num_blocks=len(pieces))
    count = min(len(pieces), resources.workers or _room(ray.cluster_resources(), resources))
    results = rows.map(cast(Any, Worker),  # Its annotations accept functions only.
                       fn_constructor_args=list(constructor), compute=ray.data.ActorPoolStrategy(size=count),
                       num_cpus=resources.threads, num_gpus=resources.gpus or None)
    for row in results.iter_rows():
        yield json.loads(row['result'])


def _room(cluster: dict[str, float], resources: Resources) -> int:
    """Return the number of workers that fit into a cluster.

    Raises:
        ConfigError: not a single one fits.
    """
    room = cluster.get('CPU', 0) // resources.threads
    if resources.gpus:
        room = min(room, cluster.get('GPU', 0) // resources.gpus)
    if room < 1:
        raise ConfigError(f'--ray: got {cluster.get("CPU", 0):g} CPUs and {cluster.get("GPU", 0):g} GPUs, expected '
                          f'{resources.threads} and {resources.gpus:g} for a worker. Give fewer --threads or --gpus, '
                          'or for a cluster that grows --workers.')
    return int(room)


def models_on_ray(job: Job, resources: Resources) -> dict[str, dict[str, str]]:
    """Resolve a job's models where the workers run, which may have other engines than this machine."""
    import ray
    task = ray.remote(num_cpus=1, num_gpus=resources.gpus)(describe_models)
    try:
        return ray.get(task.remote(job))
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, ConfigError) else error) from error


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a Ray cluster, or start one on this machine, within a `with`.

    Args:
        address: local, auto, HOST:PORT or ray://HOST:PORT.

    Raises:
        ConfigError: there is none.
    """
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    os.environ.setdefault('RAY_DATA_LOG_LEVEL', 'ERROR')
    import ray
    options: dict[str, Any] = {'address': address, 'logging_level': 'ERROR', 'log_to_driver': False}
    if address == LOCAL:
        options.update(include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES)
    elif address != 'auto':
        _check_reachable(address)
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(address, ' '.join(str(error).split())) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check the port first: Ray itself retries for minutes, then ends the process.

    Raises:
        ConfigError: there is no answer.
    """
    host, _, port = address.rpartition('://')[2].rstrip('/').rpartition(':')
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f'--ray {address}: expected HOST:PORT, ray://HOST:PORT, auto or nothing. Give one of them.')
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, reason: str) -> ConfigError:
    return ConfigError(f'--ray {address}: {reason[:200].rstrip(".")}, expected a running Ray cluster. Start one with '
                       '`ray start --head`, or leave the address out to use this machine alone.')

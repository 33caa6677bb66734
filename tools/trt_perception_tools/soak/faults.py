"""The faults that are injected: what happens to the camera, the node, its engine or the machine, and for how long."""
from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trt_perception.core.errors import ConfigError

SHARED_MEMORY = Path('/dev/shm')
_FULL_MARK = 'TRT_PERCEPTION_SOAK_SHM'
_SHM_MB = 128


class Fault(NamedTuple):
    """A fault and its effect on a run."""

    name: str
    what: str
    inject: Callable[[Any], contextlib.AbstractContextManager[None]]
    """Takes the run; the fault lasts while the context does."""
    lasts_s: float


@contextlib.contextmanager
def _camera_killed(run: Any) -> Iterator[None]:
    run.camera.kill()
    yield
    run.start_camera()


@contextlib.contextmanager
def _node_stopped(run: Any) -> Iterator[None]:
    os.kill(run.node.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(run.node.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def _engine_fault(run: Any) -> Iterator[None]:
    os.kill(run.node.process.pid, signal.SIGUSR1)
    yield


@contextlib.contextmanager
def _shared_memory_full(run: Any) -> Iterator[None]:
    path = SHARED_MEMORY / 'trt_perception_soak'
    try:
        with path.open('wb', buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(2**20))
        yield
    finally:
        path.unlink(missing_ok=True)


FAULTS = (
    Fault('camera killed', 'the camera is killed, and started again after 5 s', _camera_killed, 5.0),
    Fault('node stopped', 'the node is stopped for 5 s (SIGSTOP, SIGCONT), as a debugger or a swap storm does',
          _node_stopped, 5.0),
    Fault('engine fault', 'one inference fails; the node opens its engine again', _engine_fault, 0.0),
    Fault('shared memory full', '/dev/shm is full for 10 s', _shared_memory_full, 10.0),
)


def possible_faults() -> list[Fault]:
    """Return the faults that may be injected: shared memory is filled only where it is this run's own."""
    return [each for each in FAULTS if each.inject is not _shared_memory_full or os.environ.get(_FULL_MARK)]


def enter_own_shared_memory(command: list[str]) -> None:
    """Run this program again with a /dev/shm of its own, so that filling it affects no other program.

    Returns if that is not possible, or has been done already.
    """
    if os.environ.get(_FULL_MARK):
        return
    mount = f'mount -t tmpfs -o size={_SHM_MB}m tmpfs {SHARED_MEMORY} && exec "$0" "$@"'
    for options in (['--mount'], ['--user', '--map-root-user', '--mount']):
        if os.spawnvp(os.P_WAIT, 'unshare', ['unshare', *options, 'sh', '-c', mount, 'true']) == 0:
            os.environ[_FULL_MARK] = '1'
            os.execvp('unshare', ['unshare', *options, 'sh', '-c', mount, *command])


def burn(count: int) -> list[int]:
    """Start processes that load one CPU each; return their ids."""
    children = []
    for _ in range(count):
        child = os.fork()
        if not child:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            parent = os.getppid()
            while os.getppid() == parent:
                until_s = time.monotonic() + 0.2
                while time.monotonic() < until_s:
                    pass
            os._exit(0)
        children.append(child)
    return children


def check_load(count: int) -> int:
    """Return a number of such processes.

    Raises:
        ConfigError: it is below 0 or above 64.
    """
    if not 0 <= count <= 64:
        raise ConfigError(f'--load: got {count}, expected 0..64 processes.')
    return count

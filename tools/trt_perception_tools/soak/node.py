"""The processes of a run: the node, with its log, memory and CPU time; the camera, which replays a clip in a loop."""
from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from trt_perception.core.python_child import python_command

IMAGE = '/camera/image'
_END_S = 20.0


class Program:
    """A program of this package in a separate process; its output goes to a file.

    Attributes:
        started_s: when, on the clock of time.monotonic.
    """

    def __init__(self, module: str, arguments: list[str], log: Path) -> None:
        self._log = log
        with log.open('ab') as file:
            self.process = subprocess.Popen(python_command(module, *arguments), stdout=file, stderr=subprocess.STDOUT)
        self.started_s = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def log_lines(self) -> list[str]:
        """Return its output so far."""
        return self._log.read_text(errors='replace').splitlines()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """End it as Ctrl-C does; return its exit status, negative for a signal that it took to end it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class Node(Program):
    """The perception node; SIGUSR1 makes its next inference fail."""

    def __init__(self, parameters: list[str], log: Path) -> None:
        super().__init__('trt_perception_tools.soak.faulty_node', [
            'run', '--image', IMAGE, '--use-sim-time', *(each for one in parameters for each in ('-p', one))], log)
        self._usage = psutil.Process(self.process.pid)

    def memory_mb(self) -> float:
        """Return the resident memory."""
        return self._usage.memory_info().rss / 2**20

    def cpu_s(self) -> float:
        """Return the CPU time since the start, of children that have ended too."""
        times: Any = self._usage.cpu_times()
        return times.user + times.system + times.children_user + times.children_system


def camera(bag: Path, log: Path) -> Program:
    """Start a camera that shows a clip again and again."""
    return Program('trt_perception', ['replay', str(bag), '--decompress', '--loop'], log)

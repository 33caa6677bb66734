"""Progress of long work on stderr: one line that is updated on a terminal, and a line from time to time in a log."""
import sys
import time
from typing import Any

_WIDTH = 24
_TERMINAL_PERIOD_S = 0.2


class ProgressLine:
    """Shows texts: on a terminal each replaces the previous one, at most five per second, and the last.

    Args:
        log_period_s: time between lines if stderr is not a terminal.
        quiet_s: time before the first of these lines; shorter work writes none.
    """

    def __init__(self, log_period_s: float, quiet_s: float = 0.0, stream: Any = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._period_s = _TERMINAL_PERIOD_S if self._is_terminal else log_period_s
        self._next_s = time.monotonic() + (0.0 if self._is_terminal else quiet_s)
        self._width = 0
        self._waits = ''

    def show(self, text: str) -> None:
        """Show a text, if enough time has passed since the last one."""
        self._waits = text
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + self._period_s if self._is_terminal else self._next_s + self._period_s
            self._write()

    def end(self) -> None:
        """End the line."""
        if self._is_terminal and self._waits:
            self._write()
        if self._width:
            print(file=self._stream)

    def _write(self) -> None:
        if self._is_terminal:
            print('\r' + self._waits.ljust(self._width), end='', file=self._stream, flush=True)
            self._width = len(self._waits)
        else:
            print(self._waits, file=self._stream, flush=True)
        self._waits = ''


class ProgressBar:
    """Shows the progress of long work, its rate, and the remaining time.

    Args:
        name: name of the work.
    """

    def __init__(self, name: str, stream: Any = None) -> None:
        self._name = name
        self._line = ProgressLine(30.0, 30.0, stream)
        self._began_s = time.monotonic()

    def __enter__(self) -> 'ProgressBar':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._line.end()

    def show(self, progress: Any) -> None:
        """Show a process.Progress."""
        new = progress.done - progress.resumed
        rate_hz = new / max(1e-9, time.monotonic() - self._began_s)
        self._line.show('{}: {}'.format(self._name, _text(progress.done, progress.total, rate_hz)))


def _text(done: int, total: int, rate_hz: float) -> str:
    if total < done:  # Unknown, or a wrong estimate.
        return '{} images, {:.1f} per s'.format(done, rate_hz)
    filled = _WIDTH * done // total
    return '[{}{}] {}/{} images, {:.1f} per s, {} left'.format(
        '#' * filled, '.' * (_WIDTH - filled), done, total, rate_hz, _duration((total - done) / max(1e-9, rate_hz)))


def _duration(seconds: float) -> str:
    whole = int(round(min(seconds, 3.6e8)))
    return '{}:{:02d}:{:02d}'.format(whole // 3600, whole // 60 % 60, whole % 60)

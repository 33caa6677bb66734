"""A progress bar on stderr: one line that is written over on a terminal, and now and then a line in a log."""
import sys
import time
from typing import Any

_WIDTH = 24
_PERIODS_S = {True: 0.2, False: 30.0}
"""On a terminal, in a log."""


class ProgressBar:
    """Shows how far long work is, how fast it goes, and how long it will take.

    Args:
        name: of the work.
    """

    def __init__(self, name: str, stream: Any = None) -> None:
        self._name = name
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._began_s = self._shown_s = time.monotonic()
        self._is_shown = False

    def __enter__(self) -> 'ProgressBar':
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._is_shown and self._is_terminal:
            print(file=self._stream)

    def show(self, progress: Any) -> None:
        """Show a process.Progress, if the last was shown a while ago."""
        now_s = time.monotonic()
        is_last = self._is_terminal and progress.done == progress.total
        if now_s - self._shown_s < _PERIODS_S[self._is_terminal] and not is_last:
            return
        self._shown_s = now_s
        self._is_shown = True
        new = progress.done - progress.resumed
        rate_hz = new / max(1e-9, now_s - self._began_s)
        text = '{}: {}'.format(self._name, _text(progress.done, progress.total, rate_hz))
        print('\r{:79}'.format(text) if self._is_terminal else text, end='' if self._is_terminal else '\n',
              file=self._stream, flush=True)


def _text(done: int, total: int, rate_hz: float) -> str:
    if total < done:  # Unknown, or a wrong estimate.
        return '{} images, {:.1f} per s'.format(done, rate_hz)
    filled = _WIDTH * done // total
    return '[{}{}] {}/{} images, {:.1f} per s, {} left'.format(
        '#' * filled, '.' * (_WIDTH - filled), done, total, rate_hz, _duration((total - done) / max(1e-9, rate_hz)))


def _duration(seconds: float) -> str:
    whole = int(round(min(seconds, 3.6e8)))
    return '{}:{:02d}:{:02d}'.format(whole // 3600, whole // 60 % 60, whole % 60)

"""Ctrl-C while Python still imports: ends a program at once, instead of with the traceback of a KeyboardInterrupt."""
import contextlib
import os
import signal
from typing import Iterator


@contextlib.contextmanager
def exit_on_interrupt(status: int) -> Iterator[None]:
    """Within a `with`, let SIGINT end this process with a status, without any clean-up."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # Unless it is ignored, as in a shell's background.
        signal.signal(signal.SIGINT, lambda *_: os._exit(status))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

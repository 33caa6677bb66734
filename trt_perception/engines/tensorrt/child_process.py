"""Long work in a child process that reports its progress: the parent stays responsive, and may end it at any time.

The child runs a module whose main calls `serve`. The request goes to its stdin as one line of JSON; events
come back on its stdout, one per line. What else it prints is kept for the error message.
"""
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from typing import IO, Any, Callable, Dict, Iterator, Optional

from ...core.errors import ConfigError, EngineError, PerceptionError
from ...core.python_child import python_command
from ..backends import Progress

_TICK_S = 0.2
_LAST_LINES = 8
_ERRORS = {error.__name__: error for error in (ConfigError, EngineError)}

def run(module: str, request: Dict[str, Any], what: str, progress: Progress) -> None:
    """Let a child do the work, and wait for its end.

    Args:
        what: begins every line of progress and every error.

    Raises:
        ConfigError, EngineError: as the child raised them.
        EngineError: the child was killed, or failed otherwise; its last lines are in the text.
    """
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C is for the parent, which ends the child.
        child = subprocess.Popen(python_command(module), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=log, start_new_session=True)
        try:
            done = _follow(child, request, what, progress)
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                pipe.close()
        if done is None:
            raise EngineError('{}: {}'.format(what, _post_mortem(child.returncode, log)))
        if done:
            raise _ERRORS.get(done['error'], EngineError)(done['text'])


def serve(work: Callable[[Dict[str, Any], Progress], None]) -> None:
    """Do the work that the parent asks for, in this process. It ends with its parent."""
    events = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # What libraries print must not be taken for events.
    request = b''
    while not request.endswith(b'\n'):
        part = os.read(0, 65536)
        if not part:
            os._exit(1)
        request += part
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(**event: str) -> None:
        events.write(json.dumps(event) + '\n')
        events.flush()

    try:
        work(json.loads(request.decode()), lambda text: send(progress=text))
    except PerceptionError as error:
        send(error=type(error).__name__, text=str(error))
    else:
        send(done='')


def _follow(child: 'subprocess.Popen[bytes]', request: Dict[str, Any], what: str,
            progress: Progress) -> Optional[Dict[str, str]]:
    """Return {} when the work is done, the child's error, or None when it ended without a word."""
    assert child.stdin is not None
    began_s = time.monotonic()
    try:
        child.stdin.write(json.dumps(request).encode() + b'\n')
    except BrokenPipeError:
        return None
    text = 'starting'
    for event in _events(child):
        if 'done' in event:
            return {}
        if 'error' in event:
            return event
        text = event.get('progress', text)
        progress('{}: {:.0f} s, {}'.format(what, time.monotonic() - began_s, text))
    child.wait()
    return None


def _events(child: 'subprocess.Popen[bytes]') -> Iterator[Dict[str, str]]:
    """Give the child's events as they come, and an empty one whenever a tick has passed without any."""
    assert child.stdout is not None
    pipe, rest = child.stdout.fileno(), b''
    while True:
        if not select.select([pipe], [], [], _TICK_S)[0]:
            yield {}
            continue
        part = os.read(pipe, 65536)
        if not part:
            return
        *lines, rest = (rest + part).split(b'\n')
        for line in lines:
            yield json.loads(line.decode())


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _post_mortem(status: int, log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors='replace').splitlines() if line.strip()]
    if status == -signal.SIGKILL:
        text = 'the process was killed, most likely by the system for want of memory. Close other programs, add ' \
               'swap, or set max_workspace_size'
    elif status < 0:
        text = 'the process ended by signal {}'.format(-status)
    else:
        text = 'the process ended with status {}'.format(status)
    return text + ('. Its last lines: ' + ' | '.join(lines[-_LAST_LINES:]) if lines else '.')

"""Long work in a child process that reports its progress: the parent stays responsive, and may end it at any time.

The child runs a module whose main calls `serve`. The request goes to its stdin as one line of JSON; events
come back on its stdout, one per line. Its other output is kept for error messages.
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
from . import memory

_TICK_S = 0.2
_LAST_LINES = 8
_ERRORS = {error.__name__: error for error in (ConfigError, EngineError)}

# No layer of a network takes this long without any CPU time. A builder that runs out of memory may wait
# for a thread that it could not start: NVIDIA's for RTX 1.7.1 does.
_STALLED_S = 300.0

# Signals that end a library which does not expect a lack of memory.
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)


def run(module: str, request: Dict[str, Any], what: str, progress: Progress, memory_advice: str) -> None:
    """Let a child process do the work, and wait for its end.

    Args:
        what: the beginning of every line of progress and every error.
        memory_advice: remedy for a lack of memory, a sentence.

    Raises:
        ConfigError, EngineError: as the child raised them.
        EngineError: the child was killed, crashed, stalled, or failed otherwise; its last lines are in the text.
    """
    with tempfile.TemporaryFile() as log:
        # A separate session: Ctrl-C goes to the parent, which ends the child.
        child = subprocess.Popen(python_command(module), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=log, start_new_session=True)
        stalled = False
        try:
            done = _follow(child, request, what, progress)
        except _StalledError:
            done, stalled = None, True
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                pipe.close()
        if done is None:
            raise EngineError('{}: {}'.format(what, _post_mortem(child.returncode, stalled, log, memory_advice)))
        if done:
            raise _ERRORS.get(done['error'], EngineError)(done['text'])


def serve(work: Callable[[Dict[str, Any], Progress], None]) -> None:
    """Do the work that the parent requests, in this process, which ends with its parent."""
    events = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # Output of libraries must not be taken for events.
    request = b''
    while not request.endswith(b'\n'):
        part = os.read(0, 65536)
        if not part:
            os._exit(1)
        request += part
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_killed_first()

    def send(**event: str) -> None:
        events.write(json.dumps(event) + '\n')
        events.flush()

    try:
        work(json.loads(request.decode()), lambda text: send(progress=text))
    except PerceptionError as error:
        send(error=type(error).__name__, text=str(error))
    else:
        send(done='')


class _StalledError(Exception):
    """A child neither uses the CPU nor reports progress any more."""


def _follow(child: 'subprocess.Popen[bytes]', request: Dict[str, Any], what: str,
            progress: Progress) -> Optional[Dict[str, str]]:
    """Return {} when the work is done, the child's error, or None if it died without one.

    Raises:
        _StalledError: it has done nothing for _STALLED_S.
    """
    assert child.stdin is not None
    began_s = time.monotonic()
    try:
        child.stdin.write(json.dumps(request).encode() + b'\n')
    except BrokenPipeError:
        return None
    text, cpu_s, alive_s = 'starting', 0.0, began_s
    for event in _events(child):
        before_s, cpu_s = cpu_s, _cpu_s(child.pid)
        if event or cpu_s > before_s:
            alive_s = time.monotonic()
        elif time.monotonic() - alive_s > _STALLED_S:
            raise _StalledError
        if 'done' in event:
            return {}
        if 'error' in event:
            return event
        text = event.get('progress', text)
        progress('{}: {:.0f} s, {}'.format(what, time.monotonic() - began_s, text))
    child.wait()
    return None


def _events(child: 'subprocess.Popen[bytes]') -> Iterator[Dict[str, str]]:
    """Yield the child's events as they come, and an empty one after each tick without any."""
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


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process, including that of its children that have ended."""
    try:
        with open('/proc/{}/stat'.format(pid)) as file:
            fields = file.read().rsplit(')', 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf('SC_CLK_TCK')


def _be_killed_first() -> None:
    """Make the system kill this process first if it is out of memory: a build can be repeated, a flight cannot."""
    try:
        with open('/proc/self/oom_score_adj', 'w') as file:
            file.write('1000')
    except OSError:
        pass  # As in some containers.


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _post_mortem(status: int, stalled: bool, log: IO[bytes], memory_advice: str) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors='replace').splitlines() if line.strip()][-_LAST_LINES:]
    if stalled:
        text = 'the process did nothing for {:.0f} s, and was ended'.format(_STALLED_S)
    elif status < 0:
        names = {each.value: each.name for each in signal.Signals}
        text = 'the process was ended by {}'.format(names.get(-status, 'signal {}'.format(-status)))
    else:
        text = 'the process ended with status {}'.format(status)
    if memory.is_short(' '.join(lines)):
        text += ': it ran out of memory. ' + memory_advice
    elif status == -signal.SIGKILL and not stalled:
        text += ', most likely by the system for want of memory. ' + memory_advice
    elif stalled or -status in _CRASHES:
        text += ". NVIDIA's builder may end so where memory is short. " + memory_advice
    else:
        text += '.'
    return text + (' Its last lines: ' + ' | '.join(lines) if lines else '')

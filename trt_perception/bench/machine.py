"""Data that makes numbers repeatable: the machine, its state before and after, and versions of libraries."""
import os
import platform
import re
import subprocess
import sys
import time
from typing import Dict, List, NamedTuple, Optional

from .. import __version__
from ..core.board import Board, Clock, read_board
from ..core.share import share_directory
from ..engines import BACKENDS

_LIBRARIES = list(dict.fromkeys(
    ['numpy', 'cv2'] + [name for backend in BACKENDS.values() for each in backend.packages for name in each.split('|')]
    + ['torch', 'rclpy', 'rosbags']))


class Moment(NamedTuple):
    """The machine at one moment."""

    time: str
    """ISO 8601, UTC."""
    load: float
    """Mean number of programs that ran or wanted to, over the last minute."""
    board: Board


def now() -> Moment:
    """Return the state of this machine."""
    return Moment(time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), os.getloadavg()[0], read_board())


def describe_machine(board: Board) -> Dict[str, str]:
    """Return facts that do not change during a bench: hardware, system, versions of the loaded libraries."""
    facts = {
        'machine': board.model,
        'CPU': _cpu_model(),
        'cores': '{} of {}'.format(len(os.sched_getaffinity(0)), os.cpu_count()),
        'memory': '{:.1f} GB'.format(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9),
        'power mode': board.power_mode,
        'CPU clock': _clock(board.cpu),
        'GPU clock': _clock(board.gpu),
        'system': '{}, Linux {}, {}'.format(_system(), platform.release(), platform.machine()),
        'Python': platform.python_version(),
        'trt_perception': __version__ + _commit()}
    for name in _LIBRARIES:
        module = sys.modules.get(name)
        if module is not None:
            facts[name] = str(getattr(module, '__version__', 'loaded'))
    return {key: value for key, value in facts.items() if value}


def describe_change(before: Moment, after: Moment) -> Dict[str, str]:
    """Return facts that change during a bench, as 'before -> after'."""
    facts = {'time': '{} -> {}'.format(before.time, after.time), 'load': '{:.2f} -> {:.2f}'.format(
        before.load, after.load)}
    for name, old, new in (('CPU', before.board.cpu, after.board.cpu), ('GPU', before.board.gpu, after.board.gpu)):
        if old and new:
            facts[name + ' clock now'] = '{:.0f} -> {:.0f} MHz'.format(old.mhz, new.mhz)
    for zone, celsius in before.board.temperatures_c.items():
        facts['temperature ' + zone] = '{:.1f} -> {:.1f} C'.format(
            celsius, after.board.temperatures_c.get(zone, float('nan')))
    return facts


def remarks(before: Moment) -> List[str]:
    """Return what a reader of the numbers must know about the machine, as sentences."""
    cores = len(os.sched_getaffinity(0))
    sentences = []
    if before.load > 0.3 * cores:
        sentences.append('The machine was busy before the start (load {:.1f} on {} cores): trust the ratios, not the '
                         'times.'.format(before.load, cores))
    governor = before.board.cpu.governor if before.board.cpu else ''
    if governor not in ('', 'performance'):
        sentences.append('The CPU governor is {}: clocks follow the load, and times follow the clocks. `sudo '
                         'jetson_clocks` or `cpupower frequency-set -g performance` fixes them.'.format(governor))
    return sentences


def _clock(clock: Optional[Clock]) -> str:
    if clock is None:
        return ''
    return '{:.0f} MHz at most{}'.format(clock.limit_mhz, ', governor ' + clock.governor if clock.governor else '')


def _cpu_model() -> str:
    found = re.search(r'^(?:model name|Hardware|Processor)\s*:\s*(.+)$', _text('/proc/cpuinfo'), re.MULTILINE)
    return found.group(1) if found else platform.processor()


def _system() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text('/etc/os-release'), re.MULTILINE)
    return found.group(1) if found else platform.system()


def _commit() -> str:
    """Return ', commit ...' in a checkout, else ''."""
    folder = share_directory()
    if not os.path.exists(os.path.join(folder, '.git')):
        return ''
    try:
        commit, changed = [subprocess.check_output(['git', '-C', folder] + words, stderr=subprocess.DEVNULL,
                                                   universal_newlines=True).strip()
                           for words in (['rev-parse', '--short', 'HEAD'], ['status', '--porcelain', '-uno'])]
    except (OSError, subprocess.CalledProcessError):  # No git, or the checkout is another user's.
        return ''
    return ', commit {}{}'.format(commit, ' with changes' if changed else '')


def _text(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''

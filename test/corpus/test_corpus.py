"""Some damaged inputs of every kind; `make fuzz` tries many."""
import faulthandler
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpus.fuzz import fuzz, main
from corpus.surfaces import SURFACES, Surface

from trt_perception.core.errors import ConfigError

FUZZ = Path(__file__).resolve().parent / 'fuzz.py'

CASES = {'ONNX network': 150, 'bag': 300, 'golden frame': 500}
"""The slow ones; of the others 700."""


@pytest.mark.parametrize('surface', SURFACES)
def test_damaged_inputs_are_taken_or_refused(surface):
    # A process of its own: it forks, and here inference runtimes may have threads.
    cases = CASES.get(surface, 700)
    done = subprocess.run([sys.executable, str(FUZZ), '--cases', str(cases), '--seed', '1', '--only', surface],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    line = done.stdout.decode().splitlines()[-1]
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert line.startswith('tried {}, taken '.format(cases))
    assert ' crashed 0, hung 0, longest ' in line
    assert not line.startswith('tried {}, taken 0,'.format(cases))  # Or the examples are wrong.


def hang(data, folder):
    time.sleep(100)


def crash(data, folder):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(data, folder):
    raise ZeroDivisionError('a bug')


def refuse(data, folder):
    raise ConfigError('no')


@pytest.mark.parametrize(('feed', 'outcome', 'fault'), [
    (hang, 'hung', 'made 1: hung (status 9)'), (crash, 'crashed', 'made 1: crashed (status 11)'),
    (fail, 'crashed', 'made 1: ZeroDivisionError: a bug'), (refuse, 'ConfigError', None)])
def test_what_a_bug_does_is_counted(monkeypatch, feed, outcome, fault):
    monkeypatch.setattr('corpus.fuzz.MOST_SECONDS', 1.0)
    monkeypatch.setitem(SURFACES, 'made', Surface(lambda folder: [b'some bytes'], feed))
    figures = fuzz('made', 2)
    assert figures.outcomes == {outcome: 2}
    assert fault is None and figures.faults == [] or figures.faults[1] == fault


def test_the_last_line_has_the_figures(capsys):
    assert main(['--cases', '40', '--only', 'model YAML']) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith('tried 40, taken ')
    assert 'ConfigError ' in last
    assert ' crashed 0, hung 0, longest ' in last

"""Work in a child process, and every way in which it can end."""
import re

import pytest

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.engines.tensorrt import child_process

CHILD = """
import os, signal, sys, time
from trt_perception.core.errors import ConfigError
from trt_perception.engines.tensorrt import child_process
def work(request, progress):
    os.write(2, request['says'].encode())
    {}
child_process.serve(work)
"""
ADVICE = 'Close other programs.'
NO_MEMORY = "terminate called after throwing an instance of 'std::bad_alloc'\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Give a function that runs a child whose work is a line of Python, and returns what it told."""
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    def run(work, says=''):
        (tmp_path / 'a_child.py').write_text(CHILD.format(work))
        told = []
        child_process.run('a_child', {'says': says}, 'counting', told.append, ADVICE)
        return told
    return run


@pytest.mark.parametrize(('work', 'says', 'text'), [
    ('os.kill(os.getpid(), signal.SIGKILL)', '',
     'was ended by SIGKILL, most likely by the system for want of memory. ' + ADVICE),
    ('os.kill(os.getpid(), signal.SIGABRT)', NO_MEMORY,
     'was ended by SIGABRT: it ran out of memory. {} Its last lines: {}'.format(ADVICE, NO_MEMORY.strip())),
    ('os.kill(os.getpid(), signal.SIGSEGV)', '',
     "was ended by SIGSEGV. NVIDIA's builder may end so where memory is short. " + ADVICE),
    ('os.kill(os.getpid(), signal.SIGTERM)', '', 'was ended by SIGTERM.'),
    ('signal.pause()', '',
     "did nothing for 1 s, and was ended. NVIDIA's builder may end so where memory is short. " + ADVICE),
    ('signal.pause()', NO_MEMORY,
     'did nothing for 1 s, and was ended: it ran out of memory. {} Its last lines: {}'.format(
        ADVICE, NO_MEMORY.strip()))])
def test_a_child_that_dies_or_stalls_is_an_error_that_names_cause_and_remedy(run, monkeypatch, work, says,
                                                                             text):
    monkeypatch.setattr(child_process, '_STALLED_S', 1.0)
    with pytest.raises(EngineError) as caught:
        run(work, says)
    assert str(caught.value) == 'counting: the process ' + text


def test_a_child_that_fails_in_python_is_an_error_with_its_last_lines(run):
    with pytest.raises(EngineError) as caught:
        run("raise ZeroDivisionError('a bug')")
    assert str(caught.value).startswith('counting: the process ended with status 1. Its last lines: ')
    assert str(caught.value).endswith('ZeroDivisionError: a bug')


def test_an_error_of_ours_is_raised_as_the_child_raised_it(run):
    with pytest.raises(ConfigError, match='^wrong[.]$'):
        run("raise ConfigError('wrong.')")


def test_what_the_child_tells_is_told_with_what_it_does_and_since_when(run):
    assert re.match(r'counting: \d+ s, halfway$', run("progress('halfway')")[-1])


def test_a_child_that_works_without_a_word_does_not_count_as_stalled(run, monkeypatch):
    monkeypatch.setattr(child_process, '_STALLED_S', 1.0)
    assert {text.split(', ')[1] for text in run('while time.process_time() < 3: pass')} == {'starting'}

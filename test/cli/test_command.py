import importlib
import os
import re
import subprocess
import sys

import pytest
from rig import ROOT, trt_perception

from trt_perception import __version__, cli
from trt_perception.cli import doctor
from trt_perception.cli.run import nodes
from trt_perception.core.errors import ConfigError, EngineError

OPTIONS = {'run': ['--params-file YAML', '-p NAME:=VALUE', '--image TOPIC', '--namespace NS', '-r FROM:=TO',
                   '--use-sim-time', '{{{}}}'.format(','.join(nodes()))],
           'replay': ['--rate X', '--loop', '--topics TOPIC', '--remap FROM:=TO', '--decompress', '--no-clock',
                      '--wait S'],
           'process': ['--output DIR', '--every N'],
           'build-engine': ['--precision {fp32,fp16,bf16,int8}', '--cache-dir FOLDER', '--force',
                            '--max-workspace-size BYTES', '--dla-core N', '--gpu-id N', '--calibration FOLDER',
                            '--output FILE'],
           'calibrate-capture': ['--topic TOPIC', '--output DIR', '--count N', '--every S', '--wait S', '--add'],
           'doctor': [],
           'bench': ['--engine ENGINE[:PRECISION]', '--tutorial LOGITS.onnx', '--camera WxH', '--frames BAG', '--node',
                     '--iterations N', '--json FILE']}


def test_without_a_verb_the_help_is_printed(capsys):
    assert cli.main([]) == 2
    output = capsys.readouterr()
    assert output.err == ''
    for verb in OPTIONS:
        assert re.search(r'^    {}\s'.format(verb), output.out, re.M), verb


@pytest.mark.parametrize('verb', sorted(OPTIONS))
def test_every_verb_explains_itself(capsys, verb):
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, '--help'])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith('usage: trt_perception ' + verb)
    module = importlib.import_module('trt_perception.cli.' + verb.replace('-', '_'))
    first_line = module.__doc__.strip().splitlines()[0]
    assert first_line in text
    for option in OPTIONS[verb]:
        assert option in text
    assert set(OPTIONS) == set(cli.VERBS)


def test_an_unknown_verb_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(['rn'])
    assert caught.value.code == 2
    assert "invalid choice: 'rn'" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(['--version'])
    assert caught.value.code == 0
    assert capsys.readouterr().out == __version__ + '\n'


def test_python_m_runs_the_command():
    done = subprocess.run([sys.executable] + trt_perception('doctor', '--no-such-option'), cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert b'unrecognized arguments: --no-such-option' in done.stderr


@pytest.mark.parametrize('error', [ConfigError('parameter x: wrong.'), EngineError('no engine.')])
def test_an_expected_error_becomes_one_line_and_status_2(capsys, monkeypatch, error):
    def fail(args):
        raise error
    monkeypatch.setattr(doctor, 'execute', fail)
    assert cli.main(['doctor']) == 2
    output = capsys.readouterr()
    assert output.out == ''
    assert output.err == 'trt_perception doctor: {}: {}\n'.format(type(error).__name__, error)


def test_a_path_that_cannot_be_read_or_a_full_disk_becomes_one_line(capsys, monkeypatch):
    def fail(args):
        os.stat('/no/such/file')
    monkeypatch.setattr(doctor, 'execute', fail)
    assert cli.main(['doctor']) == 2
    assert capsys.readouterr().err == ('trt_perception doctor: ConfigError: /no/such/file: No such file or directory. '
                                       'Give a path that can be read, or written, with enough space.\n')


def test_a_reader_that_has_read_enough_ends_the_command_without_a_traceback():
    read, write = os.pipe()
    os.close(read)  # As `| head -1` does, only earlier.
    done = subprocess.run([sys.executable] + trt_perception('doctor'), cwd=ROOT, stdout=write, stderr=subprocess.PIPE,
                          env=dict(os.environ, PYTHONUNBUFFERED='1'))
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b''


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(args):
        raise ZeroDivisionError
    monkeypatch.setattr(doctor, 'execute', fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(['doctor'])


def test_ctrl_c_gives_the_status_that_shells_expect(monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt
    monkeypatch.setattr(doctor, 'execute', interrupted)
    assert cli.main(['doctor']) == 130


def test_without_docstrings_every_verb_still_works():
    done = subprocess.run([sys.executable, '-OO', '-m', 'trt_perception', '--help'], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b'')
    for verb in OPTIONS:
        assert verb in done.stdout.decode()

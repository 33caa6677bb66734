import signal
import subprocess
import sys

import pytest
from rig import PATIENCE_S, ROOT

from trt_perception.cli import doctor, programs, replay


def ended(code, *arguments, folder=None):
    """Run Python code and return its exit status and all that it printed."""
    path = [str(folder)] if folder else []
    done = subprocess.run(
        [sys.executable, '-c', 'import sys; sys.path[:0] = {!r}; {}'.format(path + [ROOT], code)] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=PATIENCE_S)
    return done.returncode, done.stdout.decode()


def test_help_of_a_node_lists_the_parameters_of_its_tasks(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['segmentation_node', '--help', '--ros-args', '-r', 'a:=b'])
    with pytest.raises(SystemExit) as caught:
        programs.node()
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert 'usage: segmentation_node [-h] [--ros-args ' in text
    assert '\n  max_frame_age:=0.2  ' in text
    assert '\n  segmentation.model:=swiftnet_camvid  ' in text
    assert 'optical_flow.model' not in text


def test_help_of_the_camera_node_lists_its_own_parameters(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['camera_node', '-h'])
    with pytest.raises(SystemExit):
        programs.node()
    text = capsys.readouterr().out
    assert '\n  source:=' in text
    assert 'max_frame_age' not in text


def test_a_node_refuses_words_that_are_not_for_ros(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['perception_node', '--ros-args', '-p', 'lazy:=true', '--', 'lazy:=false'])
    with pytest.raises(SystemExit) as caught:
        programs.node()
    assert caught.value.code == 2
    assert 'perception_node: error: unrecognized arguments: lazy:=false' in capsys.readouterr().err


@pytest.mark.parametrize(('verb', 'module', 'argv', 'expected'), [
    ('doctor', doctor, [], {}),
    ('doctor', doctor, ['--ros-args', '-r', '__node:=doctor'], {}),
    ('replay', replay, ['street', '--rate', '2', '--ros-args', '--params-file', 'x', '--', '--loop'],
     {'bag': 'street', 'rate': 2.0, 'loop': True}),
])
def test_a_verb_drops_what_launch_adds(monkeypatch, verb, module, argv, expected):
    calls = []
    monkeypatch.setattr(module, 'execute', lambda args: calls.append(vars(args)) or 0)
    monkeypatch.setattr(sys, 'argv', ['/ws/install/lib/trt_perception/' + verb] + argv)
    assert programs.verb() == 0
    [given] = calls
    assert {key: given[key] for key in expected} == expected


INTERRUPTS_AS_IT_IS_IMPORTED = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
"""


@pytest.mark.parametrize(('module', 'code', 'status'), [
    ('rclpy', 'from trt_perception.cli.programs import node; sys.argv[0] = "perception_node"; sys.exit(node())', 0),
    ('numpy', 'from trt_perception.cli.programs import node; sys.argv[0] = "perception_node"; sys.exit(node())', 0),
    ('numpy', 'from trt_perception.cli.programs import verb; sys.argv[0] = "build_engine"; sys.exit(verb())', 130),
    ('numpy', 'from trt_perception.cli import main; sys.exit(main())', 130)])
def test_ctrl_c_during_imports_ends_a_program_without_a_traceback(tmp_path, module, code, status):
    (tmp_path / (module + '.py')).write_text(INTERRUPTS_AS_IT_IS_IMPORTED)
    assert ended(code, folder=tmp_path) == (status, '')


def test_ctrl_c_stays_ignored_where_it_was(tmp_path):
    (tmp_path / 'numpy.py').write_text(INTERRUPTS_AS_IT_IS_IMPORTED.replace('5', '0') + "raise SystemExit('imported')")
    code = 'import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from trt_perception.cli import main; main()'
    assert ended(code, folder=tmp_path) == (1, 'imported\n')
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

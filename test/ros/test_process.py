import signal
import subprocess
import sys
import time

import networks
import pytest
from rig import PATIENCE_S, ROOT, Program, trt_perception

READY = 'tiny on onnxruntime, fp32'


def run(*arguments):
    """Run the command to its end and return its exit status and the lines of stderr."""
    done = subprocess.run([sys.executable] + trt_perception('run', *arguments), cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=PATIENCE_S)
    assert done.stdout == b''
    return done.returncode, done.stderr.decode().splitlines()


def tiny(folder, **changes):
    networks.segmentation_model(folder, **changes)
    return ['-p', 'segmentation.model:={}/tiny.yaml'.format(folder)]


def test_a_file_that_is_no_network_stops_the_node_with_one_line(domain, tmp_path):
    arguments = tiny(tmp_path)
    (tmp_path / 'tiny.onnx').write_bytes(b'this is no network')
    status, lines = run('segmentation', *arguments)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith('segmentation: EngineError: {}/tiny.onnx: ONNX Runtime '.format(tmp_path))
    assert ' cannot open it: ' in lines[0]


def test_a_network_that_is_not_the_one_of_the_yaml_stops_the_node_with_one_line(domain, tmp_path):
    status, lines = run('segmentation', *tiny(tmp_path, labels='float32'))
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith("segmentation: EngineError: {}/tiny.onnx: output 'labels': got float32 (1, 6, 8, 3), "
                               'expected uint8 (1, H, W). These look like logits'.format(tmp_path))


def test_a_missing_network_file_stops_the_node_with_one_line(domain, tmp_path):
    arguments = tiny(tmp_path)
    (tmp_path / 'tiny.onnx').unlink()
    status, lines = run('segmentation', *arguments)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith('segmentation: ConfigError: {}/tiny.yaml: files.onnxruntime.fp32: tiny.onnx is neither '
                               'beside the YAML nor in '.format(tmp_path))


@pytest.mark.parametrize(('arguments', 'text'), [
    (['-p', 'segmentation.model:=nanoflownet'],
     'config/models/nanoflownet.yaml is a model for optical_flow, expected one for segmentation.'),
    (['-p', 'segmentation.model:=/no/such.yaml'], '/no/such.yaml: no such file.'),
    (['-p', 'engine:=onnxruntim'],
     "engine: got 'onnxruntim', expected one of auto, "),
    (['-p', 'precision:=bf16'], 'files.onnx: no bf16 network, only fp32'),
    (['-p', 'image_transport:=theora'],
     "parameter image_transport: got 'theora', expected one of raw, compressed."),
    (['-p', 'num_threads:=-2'], 'Expected a number from 0 to 256.'),
])
def test_a_wrong_choice_stops_the_node_with_one_line(domain, arguments, text):
    status, lines = run('segmentation', *arguments)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith('segmentation: ConfigError: ')
    assert text in lines[0]


@pytest.mark.parametrize(('content', 'arguments', 'text'), [
    ('a: [b', [], "Couldn't parse params file: '--params-file "),
    ('max_frame_age: 3', [], 'Cannot have a value before ros__parameters'),
    (None, ['-p', 'max_frame_age'], "Couldn't parse parameter override rule: '-p max_frame_age'"),
    (None, ['--image', 'a topic'], "Couldn't parse remap rule: '-r image:=a topic'"),
    (None, ['--namespace', 'a namespace'], "Couldn't parse remap rule: '-r __ns:=/a namespace'"),
])
def test_what_ros_cannot_read_stops_the_node_without_a_traceback(domain, tmp_path, content, arguments, text):
    if content is not None:
        arguments = ['--params-file', networks.write_yaml(tmp_path / 'mine.yaml', content)]
    status, lines = run('segmentation', *arguments)
    assert status == 1
    assert lines[-1].startswith('segmentation: ')
    assert text in lines[-1]
    assert [line for line in lines[:-1] if '[rcl]' not in line] == []  # rcl itself logs a line or two.


@pytest.mark.parametrize('node', ['segmentation', 'planner', 'camera'])
@pytest.mark.parametrize('value', ['5', '"true"'])
def test_a_use_sim_time_that_is_no_bool_stops_every_node_with_one_line(domain, node, value):
    status, lines = run(node, '-p', 'use_sim_time:=' + value)
    assert status == 1
    [line] = lines
    assert line.startswith(node + ': ')
    assert "'use_sim_time'" in line
    assert 'BOOL' in line


def test_an_argument_that_the_locale_cannot_write_is_refused_with_the_remedy(domain, monkeypatch):
    for name, value in (('LC_ALL', 'C'), ('PYTHONUTF8', '0'), ('PYTHONCOERCECLOCALE', '0')):  # As of a systemd service.
        monkeypatch.setenv(name, value)
    status, lines = run('segmentation', '-p', b'segmentation.model:=mod\xc3\xa8le.yaml')
    assert status == 1
    [line] = lines
    assert line.startswith('segmentation: ConfigError: ROS arguments: ')
    assert line.endswith('Run it with LANG=C.UTF-8.')


@pytest.mark.parametrize(('names', 'pause_s'), [
    ('INT', 0.0), ('TERM', 0.0), ('INT INT', 0.0), ('INT INT', 0.02), ('INT INT INT', 0.0), ('INT TERM', 0.0),
    ('TERM INT', 0.0), ('INT TERM', 0.05)])
def test_signals_end_the_node_cleanly(domain, tmp_path, names, pause_s):
    with Program(trt_perception('run', 'segmentation', *tiny(tmp_path)), tmp_path / 'output') as program:
        program.until(READY)
        began_s = time.monotonic()
        for name in names.split():
            program.process.send_signal(signal.Signals['SIG' + name])
            time.sleep(pause_s)
        assert program.end(None) == 0
        assert time.monotonic() < began_s + 5  # What `ros2 launch` grants before it sends SIGTERM.
        [line] = program.output.splitlines()
        assert READY in line


RUN = """
import functools, os, signal, sys, time
import rclpy
from trt_perception.ros import node_task, perception_node
{}
sys.exit(perception_node.run('segmentation', ['--ros-args'] + sys.argv[1:]))
"""

INTERRUPTED = """
original = {module}.{function}
def interrupted(*args, **kwargs):
    time.sleep(0.2)  # In the worker: so that the main thread spins.
    {what}
    time.sleep(0.2)
    return original(*args, **kwargs)
{module}.{function} = interrupted
"""

SIGNAL_IN_CLEAN_UP = """
original = signal.signal
def late(number, handler):
    if handler == signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGINT)
    return original(number, handler)
signal.signal = late
"""

# rclpy of Foxy handles no SIGTERM.
ROS_WITHOUT_SIGNALS = """
from rclpy.signals import SignalHandlerOptions
rclpy.init = functools.partial(rclpy.init, signal_handler_options=SignalHandlerOptions.NO)
"""


@pytest.mark.parametrize('what', ['os.kill(os.getpid(), signal.SIGINT)', 'os.kill(os.getpid(), signal.SIGTERM)',
                                  'rclpy.shutdown()'])
@pytest.mark.parametrize(('module', 'function'), [
    ('perception_node', 'declare_settings'), ('perception_node', 'Worker'), ('perception_node', 'Diagnostics'),
    ('node_task', 'open_engine')])
def test_a_signal_while_the_node_starts_ends_it_cleanly(domain, tmp_path, module, function, what):
    code = RUN.format(INTERRUPTED.format(module=module, function=function, what=what))
    with Program(['-c', code] + tiny(tmp_path), tmp_path / 'output') as program:
        assert program.end(None) == 0, program.output
        assert 'Traceback' not in program.output
        assert 'Error' not in program.output


@pytest.mark.parametrize('change', [SIGNAL_IN_CLEAN_UP, ROS_WITHOUT_SIGNALS], ids=['in clean-up', 'as in Foxy'])
@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_a_signal_ends_the_node_cleanly_whatever_the_moment(domain, tmp_path, change, name):
    with Program(['-c', RUN.format(change)] + tiny(tmp_path), tmp_path / 'output') as program:
        program.until(READY)
        assert program.end(getattr(signal, name)) == 0, program.output
        assert 'Traceback' not in program.output


def test_a_bug_in_the_worker_ends_the_process_and_is_shown_whole(domain, tmp_path):
    code = "def open_engine(*args): raise ZeroDivisionError('a bug')\nnode_task.open_engine = open_engine"
    with Program(['-c', RUN.format(code)] + tiny(tmp_path), tmp_path / 'output') as program:
        assert program.end(None) == 1
        assert 'Traceback' in program.output
        assert program.output.splitlines()[-1] == 'ZeroDivisionError: a bug'


def test_each_node_of_the_command_line_has_the_topics_of_its_tasks(domain, rig, tmp_path):
    (tmp_path / 'flow').mkdir()
    networks.flow_model(tmp_path / 'flow')
    models = tiny(tmp_path) + ['-p', 'optical_flow.model:={}/flow/tiny.yaml'.format(tmp_path)]
    tasks = {'segmentation': {'segmentation'}, 'optical_flow': {'optical_flow'},
             'perception': {'segmentation', 'optical_flow'}}
    for node, expected in tasks.items():
        with Program(trt_perception('run', node, '--namespace', 'cam_' + node, *models), tmp_path / node) as program:
            def published(node=node):
                return {name.split('/')[2] for name, _ in rig.outside.get_topic_names_and_types()
                        if name.startswith('/cam_{}/'.format(node)) and name.count('/') == 3
                        and not name.endswith('/transition_event')}
            rig.until(lambda p=published, e=expected: p() == e, 'the topics of ' + node)
            rig.until(lambda n=node: (n, '/cam_' + n) in rig.outside.get_node_names_and_namespaces(), 'the name')
            assert program.end(signal.SIGINT) == 0, program.output

import importlib.util
import re
import shutil
from collections import namedtuple

import pytest

from trt_perception import transport
from trt_perception.cli import doctor, main
from trt_perception.core import share
from trt_perception.core.share import share_path
from trt_perception.core.tasks import TASKS
from trt_perception.engines import BACKENDS
from trt_perception.transport import PROFILE_VARIABLES, profile_variable

Usage = namedtuple('Usage', 'total used free')


@pytest.fixture(autouse=True)
def quiet_shell(monkeypatch):
    """No transport profile chosen, large buffers and room in /dev/shm, whatever machine this is."""
    for name in PROFILE_VARIABLES + ('RMW_IMPLEMENTATION',):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(2**30, 0, 2**30))
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: 2**25)


@pytest.fixture
def without(monkeypatch):
    """Return a function that hides packages."""
    real = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name in names else real(name))
    return hide


def findings(capsys):
    """Run the command and return its exit status and its findings: {subject: (level, text)}."""
    status = main(['doctor'])
    output = capsys.readouterr()
    assert output.err == ''
    lines = [re.match(r'^(ok|note|FAIL) +(.*?)  +(.*)$', line).groups() for line in output.out.splitlines()]
    return status, {subject: (level, text) for level, subject, text in lines}


def test_on_a_healthy_machine_nothing_fails(capsys):
    import cv2
    import numpy
    import onnxruntime
    status, found = findings(capsys)
    assert status == 0
    assert 'FAIL' not in [level for level, _ in found.values()]
    assert found['numpy'] == ('ok', numpy.__version__)
    assert found['cv2'] == ('ok', cv2.__version__)
    assert found['engine onnxruntime'] == ('ok', onnxruntime.__version__)
    assert found['rclpy'][0] == 'ok'
    assert 'rmw_fastrtps' in found['rclpy'][1]
    assert found['/dev/shm'] == ('ok', '1024 MB free')
    assert found['package files'][0] == 'ok'
    assert {'model swiftnet_camvid', 'model tinypwc'} <= set(found)


def test_without_any_runtime_it_fails_and_says_what_to_install(capsys, without):
    without(*[name for backend in BACKENDS.values() for package in backend.packages for name in package.split('|')])
    status, found = findings(capsys)
    assert status == 1
    for name, backend in BACKENDS.items():
        assert found['engine ' + name] == ('note', 'the Python package {} is not installed'.format(
            backend.packages[0].replace('|', ' or ')))
    assert found['engines'] == ('FAIL', 'none of the above runs networks: only optical '
                                          'flow can run. pip install onnxruntime')


def test_a_missing_library_fails(capsys, without):
    without('yaml')
    status, found = findings(capsys)
    assert status == 1
    assert found['yaml'][0] == 'FAIL'
    assert 'python3-yaml' in found['yaml'][1]


def test_without_ros_it_fails_and_says_what_to_install(capsys, without):
    without('rclpy')
    status, found = findings(capsys)
    assert status == 1
    assert found['rclpy'][0] == 'FAIL'
    assert 'ros-rclpy[fastrtps]' in found['rclpy'][1]
    assert 'transport' not in found


def test_a_missing_network_file_is_named(capsys, monkeypatch, tmp_path):
    shutil.copytree(share_path('config'), str(tmp_path / 'config'))
    (tmp_path / 'models').mkdir()
    for name in ('tinypwc.onnx', 'tinypwc.tensorrt.onnx'):
        shutil.copy(share_path('models', name), str(tmp_path / 'models'))
    monkeypatch.setattr(share, '_candidates', lambda: iter([str(tmp_path)]))
    status, found = findings(capsys)
    assert status == 0
    level, text = found['model swiftnet_camvid']
    assert level == 'note'
    assert 'swiftnet_camvid.tensorrt.onnx is neither beside the YAML nor in {}'.format(tmp_path / 'models') in text
    assert found['model tinypwc'] == (
        'ok', 'optical_flow: onnx fp32, tensorrt fp32')
    assert found['package files'] == ('ok', str(tmp_path))


def test_a_broken_model_file_is_a_finding_and_not_the_end(capsys, monkeypatch, tmp_path):
    shutil.copytree(share_path('config'), str(tmp_path / 'config'))
    (tmp_path / 'config' / 'models' / 'broken.yaml').write_text('task: dance')
    monkeypatch.setattr(share, '_candidates', lambda: iter([str(tmp_path)]))
    _, found = findings(capsys)
    level, text = found['model broken']
    assert level == 'note'
    assert "broken.yaml: task: got 'dance', expected one of {}.".format(', '.join(TASKS)) in text
    assert 'model tinypwc' in found


def test_without_a_transport_profile_the_nodes_choose_one(capsys):
    assert findings(capsys)[1]['transport'] == (
        'ok', 'nodes and launch files choose {}; a camera needs no profile'.format(transport.udp_profile()))


@pytest.mark.parametrize('variable', PROFILE_VARIABLES)
def test_the_transport_profile_of_the_shell_is_recognised(capsys, monkeypatch, variable):
    monkeypatch.setenv(variable, transport.udp_profile())
    assert findings(capsys)[1]['transport'][1].startswith('nodes and launch files choose ' + transport.udp_profile())
    monkeypatch.setenv(variable, transport.both_ways_profile())
    found = findings(capsys)[1]
    assert found['transport'][1].startswith('shared memory both ways: every camera on this machine must have the same ')
    assert 'net.core.rmem_max' not in found
    monkeypatch.setenv(variable, '/etc/mine.xml')
    level, text = findings(capsys)[1]['transport']
    assert level == 'note'
    assert text.startswith('your own profile /etc/mine.xml. ')


def test_isolation_from_other_machines_is_told_with_its_price(capsys, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    monkeypatch.setenv('ROS_LOCALHOST_ONLY', '1')
    level, text = findings(capsys)[1]['transport']
    assert level == 'note'
    assert text.startswith('ROS_LOCALHOST_ONLY: no profile is chosen, as it would reach other machines. ')


@pytest.mark.parametrize(('limit', 'level', 'text'), [
    (212992, 'note', '212992 bytes: images from a camera without a Fast DDS profile get lost. Run: {}. Or give the '
                     'camera shared memory: export {}={}'.format(
                         transport.RAISE_BUFFER, profile_variable(), transport.both_ways_profile())),
    (2**22, 'note',
     '4194304 bytes: a best-effort camera loses images larger than that. Run: ' + transport.RAISE_BUFFER),
    (2**25, 'ok', '33554432 bytes')])
def test_the_kernel_s_limit_of_buffers_is_judged_by_what_images_need(capsys, monkeypatch, limit, level, text):
    monkeypatch.setattr(doctor, 'receive_buffer_limit', lambda: limit)
    assert findings(capsys)[1]['net.core.rmem_max'] == (level, text)


def test_too_little_shared_memory_fails(capsys, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(2**26, 0, 100 * 2**20))
    status, found = findings(capsys)
    assert status == 1
    assert found['/dev/shm'][0] == 'FAIL'
    assert found['/dev/shm'][1].startswith('only 100 MB free; each node takes 64. ')


def test_no_shared_memory_fails(capsys, monkeypatch):
    def missing(path):
        raise FileNotFoundError(2, 'No such file or directory', path)
    monkeypatch.setattr(shutil, 'disk_usage', missing)
    status, found = findings(capsys)
    assert status == 1
    assert found['/dev/shm'][0] == 'FAIL'
    assert '--ipc=host' in found['/dev/shm'][1]


def test_another_middleware_is_noted(capsys, monkeypatch):
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    _, found = findings(capsys)
    assert found['rclpy'][1].endswith('on rmw_cyclonedds_cpp')
    assert found['transport'][0] == 'note'
    assert found['transport'][1].startswith('rmw_cyclonedds_cpp: ')


@pytest.mark.parametrize(('missing', 'level', 'text'), [
    ({}, 'ok', 'GStreamer'),
    ({'gstreamer': "No module named 'gi'"}, 'note', "no GStreamer (No module named 'gi'): CSI cameras and "
                                                    'pipelines cannot be read. apt install python3-gst-1.0')])
def test_what_camera_node_can_read_is_told(capsys, monkeypatch, missing, level, text):
    monkeypatch.setattr(doctor, 'unavailable', lambda: missing)
    found = findings(capsys)[1]['camera_node']
    assert found[0] == level
    assert found[1].startswith(text)

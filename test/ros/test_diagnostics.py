import re

import networks
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rig import DEEP, header, image, random_image, stamp_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from trt_perception.core import board
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.ros import diagnostics
from trt_perception.ros.feed import DROPS

STAGES = ['preprocess', 'infer', 'decode', 'publish', 'latency', 'age']


@pytest.fixture
def arguments(tmp_path):
    """Return the ROS arguments that choose tiny models."""
    for task, make in ((SEGMENTATION, networks.segmentation_model), (OPTICAL_FLOW, networks.flow_model)):
        (tmp_path / task).mkdir()
        make(tmp_path / task)
    return [a for task in TASKS for a in ('-p', '{}.model:={}/tiny.yaml'.format(task, tmp_path / task))]


def status_of(rig, interval_s=1.0):
    rig.node._timer.cancel()  # It would take what happened since the last status.
    array = rig.node._diagnostics.array(header(5, ''), interval_s)
    assert array.header == header(5, '')
    [status] = array.status
    return status


def values_of(status):
    values = {value.key: value.value for value in status.values}
    assert len(values) == len(status.values)
    return values


def show(rig, numbers, encoding='rgb8'):
    return [rig.show(image(random_image(number), 10**9 + number * 10**7, encoding)) for number in numbers]


def test_counts_and_rates_are_those_of_the_frames(rig, arguments):
    rig.watch(Image, 'segmentation/label_map')
    rig.start(TASKS, *arguments)
    rig.watched('segmentation/label_map')
    status_of(rig)
    show(rig, range(6))
    show(rig, [6], 'yuv999')
    rig.worker.enabled = False
    show(rig, [7, 8])
    rig.worker.enabled = True
    values = values_of(status_of(rig, 2.0))
    assert values['rate in (Hz)'] == '4.50'
    assert values['rate out (Hz)'] == '3.00'
    assert values['frames received'] == '9'
    assert values['frames processed'] == '6'
    dropped = {reason: int(values['frames dropped: ' + reason]) for reason in DROPS}
    assert dropped == {'replaced': 0, 'too_old': 0, 'bad': 1, 'idle': 0, 'paused': 2, 'engine_fault': 0}
    values = values_of(status_of(rig))
    assert (values['rate in (Hz)'], values['rate out (Hz)']) == ('0.00', '0.00')
    assert values['frames received'] == '9'
    assert values_of(status_of(rig, 0.0))['rate in (Hz)'] == '0.00'


def test_every_stage_has_its_percentiles(rig, arguments):
    rig.watch(Image, 'segmentation/label_map')
    rig.watch(Image, 'optical_flow/flow')
    rig.start(TASKS, *arguments)
    for topic in ('segmentation/label_map', 'optical_flow/flow'):
        rig.watched(topic)
    show(rig, range(5))
    values = values_of(status_of(rig))
    suffix = ' p50/p95/p99/max (ms)'
    stages = {key[:-len(suffix)]: value for key, value in values.items() if key.endswith(suffix)}
    assert set(stages) == {'{} {}'.format(task, stage) for task in TASKS for stage in STAGES}
    for stage, text in stages.items():
        assert re.match(r'^\d+\.\d\d( / \d+\.\d\d){3}$', text), (stage, text)
        numbers = [float(number) for number in text.split(' / ')]
        assert numbers == sorted(numbers)
        expected = {**rig.worker.timer.summary(), **rig.feed.timer.summary()}[stage]
        assert numbers == pytest.approx(expected[1:], abs=0.006)
        assert expected.samples == (4 if stage.startswith(OPTICAL_FLOW) and not stage.endswith('preprocess') else 5)
    latency = [float(number) for number in stages['segmentation latency'].split(' / ')]
    assert latency[0] >= float(stages['segmentation infer'].split(' / ')[0])
    assert float(stages['segmentation age'].split(' / ')[0]) > 1e9  # The stamps are of 1970.
    assert 20 < float(values['peak memory (MB)']) < 100_000


def test_model_and_engine_are_named(rig, arguments, tmp_path):
    rig.start(TASKS, *arguments)
    status = status_of(rig)
    assert status.name == 'perception: perception'
    assert status.hardware_id == '/image'
    values = values_of(status)
    for task in TASKS:
        assert values[task + ' model'] == 'tiny'
        assert values[task + ' engine'] == 'onnxruntime'
        assert values[task + ' precision asked'] == 'default'
        assert values[task + ' precision built'] == 'fp32'
        assert values[task + ' network'] == str(tmp_path / task / 'tiny.onnx')


def test_a_jetson_tells_of_itself(rig, arguments, monkeypatch):
    jetson = board.Board('NVIDIA Jetson TX2', 'MAXN (0)', board.Clock(1113.6, 2035.2, 'schedutil'),
                         board.Clock(114.75, 1300.5, 'nvhost_podgov'), {'GPU-therm': 39.0, 'BCPU-therm': 41.52})
    monkeypatch.setattr(diagnostics, 'read_board', lambda: jetson)
    rig.start([SEGMENTATION], *arguments)
    values = values_of(status_of(rig))
    assert values['board'] == 'NVIDIA Jetson TX2'
    assert values['power mode'] == 'MAXN (0)'
    assert values['CPU clock (MHz)'] == '1114 of 2035, schedutil'
    assert values['GPU clock (MHz)'] == '115 of 1300, nvhost_podgov'
    assert (values['temperature GPU-therm (C)'], values['temperature BCPU-therm (C)']) == ('39.0', '41.5')


def test_what_a_machine_does_not_tell_is_left_out(rig, arguments, monkeypatch):
    monkeypatch.setattr(diagnostics, 'read_board', lambda: board.Board('', '', None, None, {}))
    rig.start([SEGMENTATION], *arguments)
    assert not [key for key in values_of(status_of(rig)) if re.match('board|power|.* clock|temperature', key)]


def test_the_level_follows_the_state(rig, arguments):
    rig.watch(Image, 'segmentation/label_map')
    rig.start([SEGMENTATION], '-p', 'max_frame_age:=100', *arguments)
    rig.watched('segmentation/label_map')
    seen = []

    def look():
        status = status_of(rig)
        seen.append((status.level, status.message))
    look()
    now_ns = rig.node.get_clock().now().nanoseconds
    rig.show(image(random_image(0), now_ns))
    look()
    rig.show(image(random_image(0), now_ns, 'yuv999'))
    rig.show(image(random_image(0), now_ns - 200 * 10**9))
    rig.show(image(random_image(0), now_ns - 200 * 10**9))
    look()
    rig.show(image(random_image(0), now_ns - 200 * 10**9))
    look()
    look()
    rig.worker.enabled = False
    rig.show(image(random_image(0), now_ns, 'yuv999'))
    look()
    rig.worker.enabled = True
    look()
    ok, warn = DiagnosticStatus.OK, DiagnosticStatus.WARN
    assert seen[:2] == [(ok, 'running: 0.0 Hz in, 0.0 Hz out'), (ok, 'running: 1.0 Hz in, 1.0 Hz out')]
    assert seen[2][0] == warn
    assert seen[2][1].startswith("frames dropped: bad 1, too_old 2; last error: image encoding: got 'yuv999'") or \
        seen[2][1].startswith("frames dropped: too_old 2, bad 1; last error: image encoding: got 'yuv999'")
    assert seen[3][0] == warn
    assert seen[3][1].startswith('frames dropped: too_old 1. Stamps of another clock: ')
    assert seen[4:] == [(ok, 'running: 0.0 Hz in, 0.0 Hz out'), (ok, 'paused'), (ok, 'running: 0.0 Hz in, 0.0 Hz out')]


def test_diagnostics_come_every_second_on_the_clock_of_the_node(rig, arguments):
    clock = rig.outside.create_publisher(Clock, '/clock', DEEP)
    arrays = rig.watch(DiagnosticArray, '/diagnostics')
    rig.start(TASKS, '-p', 'use_sim_time:=true', *arguments)
    rig.until(clock.get_subscription_count, 'the node to subscribe to /clock')
    rig.until(lambda: rig.outside.count_publishers('/diagnostics'), '/diagnostics')

    def tick(seconds):
        clock.publish(Clock(clock=header(int(seconds * 1e9)).stamp))
        rig.until(lambda: rig.node.get_clock().now().nanoseconds == int(seconds * 1e9), 'the time')
        rig.work(0.02)
    for tenths in range(1000, 1045, 2):
        tick(tenths / 10)
    del arrays[:]  # The jump from 0 to 100 s may have fired the timer.
    before = tenths / 10
    for tenths in range(1046, 1100, 2):
        tick(tenths / 10)
    rig.until(lambda: len(arrays) >= 5, 'the diagnostics')
    stamps = [stamp_of(array) * 1e-9 for array in arrays]
    assert before < stamps[0] <= before + 1.2
    assert [round(b - a, 1) for a, b in zip(stamps, stamps[1:])] == (len(stamps) - 1) * [1.0]
    assert len(stamps) in (5, 6)
    assert arrays[0].status[0].name == 'perception: perception'


def test_a_camera_too_slow_for_flow_is_named(rig, arguments):
    rig.watch(Image, 'optical_flow/flow')
    rig.start(TASKS, *arguments)
    rig.watched('optical_flow/flow')
    assert status_of(rig).level == DiagnosticStatus.OK
    for number in range(3):
        rig.show(image(random_image(number), (1 + number) * 10**9))
    status = status_of(rig)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN, 'no optical_flow: 1.000 s between two images, more than max_pair_gap, 0.5 s')


def test_nodes_of_two_cameras_have_different_names(rig, arguments):
    rig.start([SEGMENTATION], *arguments, namespace='front', camera='/front/image')
    assert status_of(rig).name == 'front/perception: perception'

import re
import time

import networks
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rig import DEEP, PATIENCE_S, header, image, random_image, stamp_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from std_srvs.srv import SetBool

from trt_perception.core import board, health
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.ros import camera, diagnostics
from trt_perception.ros.feed import DROPS

STAGES = ['preprocess', 'infer', 'decode', 'publish', 'latency', 'age']


@pytest.fixture
def arguments(tmp_path):
    """Return the ROS arguments that choose tiny models."""
    return networks.ros_arguments(tmp_path)


def status_of(rig, interval_s=1.0):
    [status] = rig.diagnostics(interval_s)
    return status


def values_of(status):
    values = {value.key: value.value for value in status.values}
    assert len(values) == len(status.values)
    return values


def show(rig, numbers, encoding='rgb8'):
    return [rig.show(image(random_image(number), 10**9 + number * 10**7, encoding)) for number in numbers]


def test_counts_and_rates_are_those_of_the_frames(rig, arguments):
    rig.watch(Image, 'segmentation/label_map')
    rig.start(networks.TASKS, *arguments)
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
    rig.start(networks.TASKS, *arguments)
    for topic in ('segmentation/label_map', 'optical_flow/flow'):
        rig.watched(topic)
    show(rig, range(5))
    values = values_of(status_of(rig))
    suffix = ' p50/p95/p99/max (ms)'
    stages = {key[:-len(suffix)]: value for key, value in values.items() if key.endswith(suffix)}
    assert set(stages) == {'{} {}'.format(task, stage) for task in networks.TASKS for stage in STAGES}
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
    rig.start(networks.TASKS, *arguments)
    status = status_of(rig)
    assert status.name == 'perception: perception'
    assert status.hardware_id == '/image'
    values = values_of(status)
    for task in networks.TASKS:
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
    pause(rig, True)
    rig.show(image(random_image(0), now_ns, 'yuv999'))
    look()
    pause(rig, False)
    look()
    ok, warn = DiagnosticStatus.OK, DiagnosticStatus.WARN
    assert seen[:2] == [(ok, 'running: 0.0 Hz in, 0.0 Hz out'), (ok, 'running: 1.0 Hz in, 1.0 Hz out')]
    assert seen[2][0] == warn
    assert seen[2][1].startswith("frames dropped: bad 1, too_old 2; last error: image encoding: got 'yuv999'") or \
        seen[2][1].startswith("frames dropped: too_old 2, bad 1; last error: image encoding: got 'yuv999'")
    assert seen[3][0] == warn
    assert seen[3][1].startswith('frames dropped: too_old 1. Stamps of another clock: ')
    assert seen[4:] == [(ok, 'running: 0.0 Hz in, 0.0 Hz out'), (ok, 'paused'), (ok, 'running: 0.0 Hz in, 0.0 Hz out')]


def test_diagnostics_come_every_second_whatever_the_clock_of_the_node_does(rig, arguments):
    clock = rig.outside.create_publisher(Clock, '/clock', DEEP)
    arrays = rig.watch(DiagnosticArray, '/diagnostics')
    rig.start(networks.TASKS, '-p', 'use_sim_time:=true', *arguments)
    rig.until(lambda: len(arrays) >= 2, 'the diagnostics of a node without a time')
    began_s, seen = time.monotonic(), len(arrays)
    assert {stamp_of(array) for array in arrays} == {0}
    rig.until(clock.get_subscription_count, 'the node to subscribe to /clock')
    clock.publish(Clock(clock=header(7 * 10**9).stamp))
    rig.until(lambda: rig.node.get_clock().now().nanoseconds == 7 * 10**9, 'the time')
    rig.until(lambda: stamp_of(arrays[-1]), 'the diagnostics of a node that has a time')
    before = len(arrays) - 1
    rig.until(lambda: len(arrays) >= before + 3, 'those of a node whose time stands still')
    assert len(arrays) - seen <= 2 + time.monotonic() - began_s  # One may have been late, another on its way.
    assert {stamp_of(array) for array in arrays[before:]} == {7 * 10**9}  # But of the node's clock.
    assert arrays[0].status[0].name == 'perception: perception'


def pause(rig, is_paused):
    rig.node._set_enabled(SetBool.Request(data=not is_paused), SetBool.Response())


def test_a_camera_too_slow_for_flow_is_named(rig, arguments):
    rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, *arguments)
    rig.watched('optical_flow/flow')
    assert status_of(rig).level == DiagnosticStatus.OK
    for number in range(3):
        rig.show(image(random_image(number), (1 + number) * 10**9))
    status = status_of(rig)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN, 'no optical_flow: gap: 1.000 s between two images, more than max_pair_gap, 0.5 s')


def test_nodes_of_two_cameras_have_different_names(rig, arguments):
    rig.start([SEGMENTATION], *arguments, namespace='front', camera='/front/image')
    assert status_of(rig).name == 'front/perception: perception'


@pytest.mark.parametrize(('shown', 'word'), [([], 'waiting'), (['rgb8'], 'receiving'), (['yuv999'] * 6, 'rejected')])
def test_the_state_of_the_input_is_told_in_one_word(rig, arguments, shown, word):
    rig.start([SEGMENTATION], '-p', 'lazy:=false', *arguments)
    for number, encoding in enumerate(shown):
        rig.show(image(random_image(number), 10**9 + number, encoding))
    status = status_of(rig)
    assert values_of(status)['input state'] == word
    assert status.level == (DiagnosticStatus.ERROR if word == 'rejected' else DiagnosticStatus.OK)


def test_a_camera_that_falls_silent_is_an_error_and_stalled(rig, arguments, monkeypatch):
    monkeypatch.setattr(camera, '_SILENCE_S', 0.3)
    monkeypatch.setattr(health, 'SILENCE_S', 0.3)
    rig.start([SEGMENTATION], '-p', 'lazy:=false', *arguments)
    rig.show(image(random_image(0), 10**9))
    rig.until(lambda: rig.node._cameras[0].complaint, 'the complaint')
    status = status_of(rig)
    assert (status.level, values_of(status)['input state']) == (DiagnosticStatus.ERROR, 'stalled')
    assert status.message.startswith('No image on /image for ')


def test_a_missing_camera_is_a_warning_and_waited_for(rig, arguments, monkeypatch):
    monkeypatch.setattr(camera, '_SILENCE_S', 0.3)
    monkeypatch.setattr(health, 'SILENCE_S', 0.3)
    rig.start([SEGMENTATION], *arguments, kind=None)
    rig.until(lambda: rig.node._cameras[0].complaint, 'the complaint')
    status = status_of(rig)
    assert (status.level, values_of(status)['input state']) == (DiagnosticStatus.WARN, 'waiting')
    assert status.message.startswith('No publisher on /image.')


def test_fewer_results_than_min_rate_are_a_warning(rig, arguments):
    rig.start([SEGMENTATION], '-p', 'lazy:=false', '-p', 'min_rate:=3.0', *arguments)
    status_of(rig)
    show(rig, range(2))
    status = status_of(rig)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, '2.0 results/s, expected at least min_rate, 3')
    show(rig, range(2, 5))
    assert status_of(rig).level == DiagnosticStatus.OK


def test_stamps_tell_that_most_images_of_a_camera_are_lost(rig, arguments):
    rig.start([SEGMENTATION], *arguments)
    for number in range(30):
        rig.show(image(random_image(0), 10**9 + number * 10**7))
    status = status_of(rig, interval_s=3.0)
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith('received 10.0 images/s of a camera that takes 100, by their stamps')


def test_the_reason_why_flow_is_missing_has_a_name(rig, arguments):
    rig.start([OPTICAL_FLOW], '-p', 'lazy:=false', *arguments)
    rig.show(image(random_image(0), 10**9))
    status = status_of(rig)
    assert (status.level, values_of(status)['optical_flow missing']) == (DiagnosticStatus.OK, 'first image')
    rig.show(image(random_image(1), 10**9))
    status = status_of(rig)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN, 'no optical_flow: repeated stamp: two images have the same. Let the camera driver stamp '
        'them')
    rig.show(image(random_image(2), 10**9 + 10**7))
    assert 'optical_flow missing' not in values_of(status_of(rig))


def test_times_of_frames_are_published_while_somebody_watches(rig, arguments):
    rig.start([SEGMENTATION], '-p', 'lazy:=false', *arguments)
    show(rig, range(3))
    assert not rig.feed.debug.is_watched
    topics = {name: rig.watch(Float64, '/perception/debug/' + name)
              for name in ('processing_time_ms', 'pipeline_latency_ms', 'cyclic_time_ms')}
    rig.until(lambda: rig.feed.debug.is_watched, 'the node to notice')
    for number in range(3):
        rig.show(image(random_image(number), rig.node.get_clock().now().nanoseconds - 10**9))
        rig.work(0.05)
    rig.until(lambda: len(topics['cyclic_time_ms']) == 2, 'the times')
    assert [len(values) for values in topics.values()] == [3, 3, 2]
    latencies = [message.data for message in topics['pipeline_latency_ms']]
    assert all(1000 < latency < 1000 + PATIENCE_S * 1e3 for latency in latencies)
    assert all(0 < message.data < latency for message, latency in zip(topics['processing_time_ms'], latencies))
    assert all(message.data > 50 for message in topics['cyclic_time_ms'])

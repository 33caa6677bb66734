import re

import networks
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rig import DEEP, header, image, picture, stamp_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from trt_perception.core import board
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.ros import diagnostics, perception_node
from trt_perception.ros.qos import BEST_EFFORT
from trt_perception.ros.worker import DROPS

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
    return [rig.show(image(picture(number), 10**9 + number * 10**7, encoding)) for number in numbers]


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
        expected = rig.worker.timer.summary()[stage]
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
    rig.show(image(picture(0), now_ns))
    look()
    rig.show(image(picture(0), now_ns, 'yuv999'))
    rig.show(image(picture(0), now_ns - 200 * 10**9))
    rig.show(image(picture(0), now_ns - 200 * 10**9))
    look()
    rig.show(image(picture(0), now_ns - 200 * 10**9))
    look()
    look()
    rig.worker.enabled = False
    rig.show(image(picture(0), now_ns, 'yuv999'))
    look()
    rig.worker.enabled = True
    look()
    ok, warn = DiagnosticStatus.OK, DiagnosticStatus.WARN
    assert seen[:2] == [(ok, 'running: 0.0 Hz in, 0.0 Hz out'), (ok, 'running: 1.0 Hz in, 1.0 Hz out')]
    assert seen[2][0] == warn
    assert seen[2][1].startswith("frames dropped: bad 1, too_old 2; last error: image encoding: got 'yuv999'") or \
        seen[2][1].startswith("frames dropped: too_old 2, bad 1; last error: image encoding: got 'yuv999'")
    assert seen[3:] == [(warn, 'frames dropped: too_old 1'), (ok, 'running: 0.0 Hz in, 0.0 Hz out'), (ok, 'paused'),
                        (ok, 'running: 0.0 Hz in, 0.0 Hz out')]


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


@pytest.fixture
def stranger(domain):
    """Give the test a node with a context of its own: within one context a topic can have but one type."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    node = rclpy.create_node('stranger', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(perception_node, '_SILENCE_S', 0.1)


def warnings_of(rig):
    return [entry.msg for entry in rig.log if entry.name == 'perception' and entry.level == entry.WARN]


def tick(rig):
    """Let the diagnostics timer fire, without waiting for its second."""
    rig.work(0.15)
    rig.node._publish_diagnostics()
    rig.work(0.1)


def test_without_a_publisher_the_silence_is_explained(rig, arguments, impatient):
    rig.start([SEGMENTATION], '-r', 'image:=/front/image_raw', *arguments, kind=None)
    tick(rig)
    rig.until(lambda: warnings_of(rig), 'the warning')
    assert warnings_of(rig) == ["Nobody publishes /front/image_raw. Remap `image` to the camera's topic."]


@pytest.mark.parametrize(('transport', 'topic', 'asked', 'kind', 'offered'), [
    ('raw', '/image', 'sensor_msgs/msg/Image', Image, 'sensor_msgs/msg/Image'),
    ('raw', '/image', 'sensor_msgs/msg/Image', String, 'std_msgs/msg/String'),
    ('compressed', '/image/compressed', 'sensor_msgs/msg/CompressedImage', CompressedImage,
     'sensor_msgs/msg/CompressedImage')])
def test_a_publisher_that_does_not_reach_the_node_is_named_with_both_profiles(
        rig, stranger, arguments, impatient, transport, topic, asked, kind, offered):
    publisher = stranger.create_publisher(kind, topic, DEEP)
    rig.start([SEGMENTATION], '-p', 'image_transport:=' + transport, *arguments, kind=None)
    rig.until(lambda: rig.node.get_publishers_info_by_topic(topic), 'the node to see the publisher')
    if kind is String:
        publisher.publish(String(data='no image'))
    tick(rig)
    rig.until(lambda: warnings_of(rig), 'the warning')
    [text] = warnings_of(rig)
    assert text.startswith('No image on {} for 0 s although there is a publisher. Asked for: {}, BEST_EFFORT, '
                           'VOLATILE. /stranger offers {}, RELIABLE, VOLATILE. '.format(topic, asked, offered))
    assert rig.worker.counts['received'] == 0


def test_profiles_that_do_not_fit_are_both_named(rig, arguments, impatient):
    publisher = rig.outside.create_publisher(Image, '/image', BEST_EFFORT)
    rig.start([SEGMENTATION], '-p', 'qos_overrides./image.subscription.reliability:=reliable', *arguments, kind=None)
    publisher.publish(image(picture(0), 1))
    tick(rig)
    rig.until(lambda: any('No image on' in text for text in warnings_of(rig)), 'the warning')
    [text] = [text for text in warnings_of(rig) if 'No image on' in text]
    assert 'Asked for: sensor_msgs/msg/Image, RELIABLE, VOLATILE. ' in text
    assert '/outside offers sensor_msgs/msg/Image, BEST_EFFORT, VOLATILE. ' in text
    assert rig.worker.counts['received'] == 0


def test_the_silence_begins_with_the_last_image(rig, arguments):
    rig.start([SEGMENTATION], *arguments)
    rig.node._timer.cancel()
    rig.node._silent_since_s -= 1000
    show(rig, [0])
    for _ in range(3):
        rig.node._publish_diagnostics()
    rig.work(0.2)
    assert warnings_of(rig) == []
    rig.node._silent_since_s -= 1000
    rig.node._publish_diagnostics()
    rig.until(lambda: warnings_of(rig), 'the warning')


def test_a_publisher_that_has_just_come_is_not_late(rig, arguments):
    rig.start([SEGMENTATION], *arguments, kind=None)
    rig.node._timer.cancel()
    rig.node._publish_diagnostics()
    rig.node._silent_since_s -= 1000
    publisher = rig.outside.create_publisher(Image, '/image', DEEP)
    rig.until(lambda: rig.node.get_publishers_info_by_topic('/image'), 'the node to see the publisher')
    rig.node._publish_diagnostics()
    rig.work(0.2)
    assert warnings_of(rig) == []
    rig.outside.destroy_publisher(publisher)


def test_while_images_come_there_is_no_such_warning(rig, arguments, impatient):
    rig.start([SEGMENTATION], *arguments)
    for number in range(3):
        show(rig, [number])
        tick(rig)
    assert warnings_of(rig) == []
    tick(rig)
    rig.until(lambda: warnings_of(rig), 'the warning')

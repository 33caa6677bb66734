"""Several cameras in one node: each has its topics, its counts and its pairs; the engines are shared."""
import threading
import weakref

import networks
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rig import DEEP, PATIENCE_S, camera_info, header, image, pixels_of, random_image, stamp_of
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import FrameDecoder, frame_from_array
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.engines import open_engine
from trt_perception.ros import node_task
from trt_perception.ros.qos import LATCHED

NAMES = ('front', 'rear', 'left')
LABELS, FLOW = 'segmentation/label_map', 'optical_flow/flow'


@pytest.fixture
def arguments(tmp_path):
    """Return the ROS arguments that choose tiny models and name the cameras."""
    for task, make in ((SEGMENTATION, networks.segmentation_model), (OPTICAL_FLOW, networks.flow_model)):
        (tmp_path / task).mkdir()
        make(tmp_path / task)
    return [a for task in networks.TASKS for a in ('-p', '{}.model:={}/tiny.yaml'.format(task, tmp_path / task))] + [
        '-p', 'cameras:=[{}]'.format(', '.join(NAMES))]


@pytest.fixture
def opened(monkeypatch):
    """Give the list of the engines that the node opens; while the gate of one is cleared, it does not run."""
    engines = []

    def noted(model, options, *rest):
        engine = open_engine(model, options, *rest)
        engine.gate = threading.Event()
        engine.gate.set()
        infer = engine._infer

        def run(wanted):
            assert engine.gate.wait(PATIENCE_S)
            return infer(wanted)
        engine._infer = run
        engines.append(engine)
        return engine
    monkeypatch.setattr(node_task, 'open_engine', noted)
    return engines


class Cameras:
    """Cameras that publish, and what the node makes of their images.

    Attributes:
        received: (camera, topic) -> messages.
    """

    def __init__(self, rig, arguments, tasks=networks.TASKS, topics=(LABELS, FLOW), names=NAMES):
        self._rig = rig
        self.received = {(name, topic): rig.watch(Image, '/{}/{}'.format(name, topic))
                         for name in names for topic in topics if topic.split('/')[0] in tasks}
        rig.start(tasks, *arguments, kind=None)
        self.publishers = {name: rig.outside.create_publisher(Image, '/{}/image'.format(name), DEEP) for name in names}
        self.feeds = {feed.camera.name: feed for feed in rig.worker.feeds}
        for name, topic in self.received:
            self.turn_to(name)
            rig.until(rig.camera.get_subscription_count, 'the node to subscribe to the camera')
            rig.watched(topic)

    def turn_to(self, name):
        self._rig.camera, self._rig.feed = self.publishers[name], self.feeds[name]

    def show(self, name, message):
        self.turn_to(name)
        return self._rig.show(message)

    def publish(self, name, message):
        """Publish without waiting for the result, only until the node has it."""
        received = self.feeds[name].counts['received']
        self.publishers[name].publish(message)
        self._rig.until(lambda: self.feeds[name].counts['received'] == received + 1, 'the image to arrive')


def flow_of(*images):
    """Return (6, 8, 2): what the tiny network makes of the current and the previous (48, 64, 3) RGB image."""
    grays = [FrameDecoder().image(frame_from_array(rgb, color='rgb'), 'gray', (6, 8)) for rgb in images]
    return -np.dstack(grays).astype(np.float32)


def test_each_camera_has_topics_of_its_own_and_all_share_one_engine(rig, arguments, opened):
    cameras = Cameras(rig, arguments)
    assert len(opened) == len(networks.TASKS)
    images = {name: random_image(number) for number, name in enumerate(NAMES)}
    for number, name in enumerate(NAMES):
        assert cameras.show(name, image(images[name], 10**9 + number, frame_id=name)) == 'processed'
    rig.until(lambda: all(cameras.received[name, LABELS] for name in NAMES), 'the label maps')
    for number, name in enumerate(NAMES):
        [labels] = cameras.received[name, LABELS]
        np.testing.assert_array_equal(pixels_of(labels), images[name].argmax(axis=2))
        assert labels.header == header(10**9 + number, name)
        assert dict(cameras.feeds[name].counts) == {'received': 1, 'processed': 1}


def test_no_image_is_kept_but_the_one_that_was_decoded_last(rig, arguments):
    cameras = Cameras(rig, arguments)
    frames = []
    for feed in rig.worker.feeds:
        def noted(message, frame_of=feed._frame_of):
            frame = frame_of(message)
            frames.append(weakref.ref(frame.data))
            return frame
        feed._frame_of = noted
    for number in range(2):
        for name in NAMES:
            assert cameras.show(name, image(random_image(number), 10**9 + number * 10**7)) == 'processed'
    rig.until(lambda: [frame() is None for frame in frames] == 5 * [True] + [False], 'the images to be let go')


def test_without_names_there_are_no_topics_but_those_of_one_camera(rig, arguments):
    rig.start(networks.TASKS, *arguments[:-2])
    rig.named(rig.node.get_publisher_names_and_types_by_node,
              ['/segmentation/label_map', '/optical_flow/flow', '/diagnostics'])
    assert [camera.image.topic_name for camera in rig.node._cameras] == ['/image']


def test_flow_never_pairs_images_of_two_cameras(rig, arguments):
    cameras = Cameras(rig, arguments + ['-p', 'output_size:=network'], [OPTICAL_FLOW])
    order = np.random.RandomState(0).randint(0, len(NAMES), 40)
    last, expected = {}, {name: [] for name in NAMES}
    for step, number in enumerate(order):
        name = NAMES[number]
        rgb = random_image(step)
        # All have one frame_id, size and encoding: nothing but the node keeps them apart.
        assert cameras.show(name, image(rgb, 10**9 + step * 10**7)) == 'processed'
        if name in last:
            expected[name].append(flow_of(rgb, last[name]))
        last[name] = rgb
    for name in NAMES:
        received = cameras.received[name, FLOW]
        rig.until(lambda r=received, e=expected[name]: len(r) == len(e), 'the flow')
        for message, flow in zip(received, expected[name]):
            np.testing.assert_array_equal(pixels_of(message), flow)
        assert len(received) > 5


def test_cameras_of_different_sizes_and_encodings_take_turns(rig, arguments):
    cameras = Cameras(rig, arguments, [SEGMENTATION])
    sizes = {'front': (48, 64), 'rear': (12, 16), 'left': (31, 53)}
    for step in range(3):
        for name, encoding in (('front', 'rgb8'), ('rear', 'bgr8'), ('left', 'rgb8')):
            rgb = random_image(step, sizes[name])
            assert cameras.show(name, image(rgb if encoding == 'rgb8' else rgb[..., ::-1], 10**9 + step, encoding)) \
                == 'processed'
    for name in NAMES:
        received = cameras.received[name, LABELS]
        rig.until(lambda r=received: len(r) == 3, 'the label maps')
        assert [pixels_of(each).shape for each in received] == [sizes[name]] * 3
    np.testing.assert_array_equal(pixels_of(cameras.received['front', LABELS][2]), random_image(2).argmax(axis=2))


def test_while_the_engine_is_busy_the_cameras_wait_in_turns_and_each_keeps_its_newest_image(rig, arguments, opened):
    cameras = Cameras(rig, arguments, [SEGMENTATION])
    opened[0].gate.clear()
    cameras.publish('front', image(random_image(0), 10**9))
    rig.until(lambda: rig.worker.busy_s > 0, 'the worker to take the first image')
    for step, name in enumerate(('left', 'front', 'rear', 'front', 'left', 'front'), 1):
        cameras.publish(name, image(random_image(step), 10**9 + step))
    order = []
    for name, feed in cameras.feeds.items():
        feed.process = noting(feed.process, order, name)
    opened[0].gate.set()
    rig.until(lambda: sum(len(received) for received in cameras.received.values()) == 4, 'the label maps')
    assert order == ['left', 'rear', 'front']
    stamps = {name: [stamp_of(each) - 10**9 for each in cameras.received[name, LABELS]] for name in NAMES}
    assert stamps == {'front': [0, 6], 'left': [5], 'rear': [3]}
    assert {name: feed.counts['replaced'] for name, feed in cameras.feeds.items()} == {'front': 2, 'left': 1, 'rear': 0}


def test_a_camera_of_higher_priority_is_served_first(rig, arguments, opened):
    cameras = Cameras(rig, arguments + ['-p', 'camera_priorities:=[0, 0, 7]'], [SEGMENTATION])
    opened[0].gate.clear()
    cameras.publish('front', image(random_image(0), 10**9))
    rig.until(lambda: rig.worker.busy_s > 0, 'the worker to take the first image')
    for name in ('rear', 'front', 'left'):
        cameras.publish(name, image(random_image(1), 10**9 + 1))
    order = []
    for name, feed in cameras.feeds.items():
        feed.process = noting(feed.process, order, name)
    opened[0].gate.set()
    rig.until(lambda: len(order) == 3, 'the turns')
    assert order == ['left', 'rear', 'front']


def noting(process, order, name):
    def noted(*args):
        order.append(name)
        return process(*args)
    return noted


def test_a_camera_that_nobody_watches_costs_no_inference(rig, arguments):
    cameras = Cameras(rig, arguments, [SEGMENTATION], names=('front', 'rear'))
    rig.unwatch()  # Of the rear camera.
    cameras.turn_to('rear')
    rig.watched(LABELS, 0)
    assert cameras.show('rear', image(random_image(0), 10**9)) == 'idle'
    assert cameras.show('front', image(random_image(0), 10**9)) == 'processed'


def test_each_camera_has_its_own_calibration(rig, arguments):
    infos = {name: rig.watch(CameraInfo, '/{}/segmentation/camera_info'.format(name)) for name in ('front', 'rear')}
    cameras = Cameras(rig, arguments, [SEGMENTATION], names=('front', 'rear'))
    sizes = {'front': (48, 64), 'rear': (24, 32)}
    for name, size in sizes.items():
        publisher = rig.outside.create_publisher(CameraInfo, '/{}/camera_info'.format(name), DEEP)
        rig.until(publisher.get_subscription_count, 'the node to subscribe to the calibration')
        publisher.publish(camera_info(*size, 17))
        rig.until(lambda n=name: cameras.feeds[n].camera_info is not None, 'the camera_info')
    for name, size in sizes.items():
        cameras.turn_to(name)
        rig.watched('segmentation/camera_info')
        cameras.show(name, image(random_image(0, size), 10**9))
    rig.until(lambda: all(infos.values()), 'the calibrations')
    assert {name: (each[0].height, each[0].width) for name, each in infos.items()} == sizes


def test_what_labels_mean_is_told_in_the_namespace_of_each_camera(rig, arguments):
    told = [rig.watch(String, '/{}/segmentation/label_info_json'.format(name), LATCHED) for name in NAMES]
    rig.start([SEGMENTATION], *arguments, kind=None)
    rig.until(lambda: all(told), 'the meaning of the labels')


def test_topics_of_cameras_may_be_remapped_and_their_calibration_moves_along(rig, arguments):
    rig.start([SEGMENTATION], *(arguments + ['-r', 'front/image:=/sensors/cam0/image_raw',
                                             '-r', 'rear/camera_info:=/calibration/rear']), kind=None)
    assert [(camera.image.topic_name, camera.info.topic_name) for camera in rig.node._cameras] == [
        ('/sensors/cam0/image_raw', '/sensors/cam0/camera_info'), ('/rear/image', '/calibration/rear'),
        ('/left/image', '/left/camera_info')]


def test_each_camera_has_a_status_and_the_node_one_for_all(rig, arguments):
    cameras = Cameras(rig, arguments, [SEGMENTATION])
    rig.diagnostics()
    for name, count in (('front', 3), ('rear', 1)):
        for step in range(count):
            cameras.show(name, image(random_image(step), 10**9 + step))
    cameras.show('left', image(random_image(0), 10**9, 'yuv999'))
    statuses = {each.name: each for each in rig.diagnostics(2.0)}
    assert list(statuses) == ['perception: ' + name for name in NAMES] + ['perception: perception']
    values = {name: {value.key: value.value for value in status.values} for name, status in statuses.items()}
    assert {name: each['frames received'] for name, each in values.items()} == {
        'perception: front': '3', 'perception: rear': '1', 'perception: left': '1', 'perception: perception': '5'}
    assert values['perception: front']['rate out (Hz)'] == '1.50'
    assert values['perception: perception']['rate out (Hz)'] == '2.00'
    assert statuses['perception: front'].hardware_id == '/front/image'
    assert (statuses['perception: front'].level, statuses['perception: front'].message) == (
        DiagnosticStatus.OK, 'running: 1.5 Hz in, 1.5 Hz out')
    assert statuses['perception: left'].level == DiagnosticStatus.WARN
    assert statuses['perception: left'].message.startswith('frames dropped: bad 1; last error: ')
    assert statuses['perception: perception'].level == DiagnosticStatus.OK
    age, engine = 'segmentation age p50/p95/p99/max (ms)', 'segmentation engine'
    assert age in values['perception: front']
    assert engine not in values['perception: front']
    assert age not in values['perception: perception']
    assert values['perception: perception'][engine] == 'onnxruntime'


def test_an_engine_fault_is_one_of_every_camera_and_all_go_on_after_it(rig, arguments, opened):
    cameras = Cameras(rig, arguments, [OPTICAL_FLOW], names=('front', 'rear'))
    for step in range(2):
        for name in ('front', 'rear'):
            assert cameras.show(name, image(random_image(step), 10**9 + step * 10**7)) == 'processed'
    rig.worker.engines.fail('planted')
    rig.worker.engines._retry_at_s = 0.0
    for step in range(2, 4):
        for name in ('front', 'rear'):
            assert cameras.show(name, image(random_image(step), 10**9 + step * 10**7)) == 'processed'
    for name in ('front', 'rear'):
        received = cameras.received[name, FLOW]
        rig.until(lambda r=received: len(r) == 2, 'the flow')  # Image 2 starts a pair with the new engine.
        assert [stamp_of(each) for each in received] == [10**9 + step * 10**7 for step in (1, 3)]


@pytest.mark.parametrize(('argument', 'text'), [
    ('cameras:=[front, front]', "parameter cameras: 'front' is there twice"),
    ('cameras:=front', "parameter cameras: got 'front', expected a list, each item a string."),
    ('cameras:=[1, 2]', 'parameter cameras: got .*, expected a list, each item a string.'),
    ('camera_priorities:=[1, 2]', 'parameter camera_priorities: got 2 numbers for 3 cameras.')])
def test_wrong_cameras_are_refused(rig, arguments, argument, text):
    with pytest.raises(ConfigError, match=text):
        rig.start([SEGMENTATION], *(arguments + ['-p', argument]), kind=None)

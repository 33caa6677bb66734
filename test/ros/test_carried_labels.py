"""Labels carried along the flow, through the node: on which images they live, what is counted, which flow is used."""
import networks
import numpy as np
import pytest
from moving_scene import SIZE, agreement, scene, truth
from rig import DEEP, image, pixels_of, stamp_of
from sensor_msgs.msg import Image

from trt_perception.core.image import FrameDecoder
from trt_perception.core.tasks import SEGMENTATION
from trt_perception.engines import open_engine
from trt_perception.ros import node_task, worker

LABELS, CONFIDENCE, FLOW = 'segmentation/label_map', 'segmentation/confidence', 'optical_flow/flow'
PERIOD_NS = 40_000_000


@pytest.fixture
def arguments(tmp_path):
    """Return the ROS arguments that choose a tiny network for labels and DIS for flow, and carry labels."""
    (tmp_path / SEGMENTATION).mkdir()
    networks.segmentation_model(tmp_path / SEGMENTATION, SIZE)
    return ['-p', 'segmentation.model:={}/segmentation/tiny.yaml'.format(tmp_path), '-p',
            'optical_flow.model:=dis_fast', '-p', 'propagate:=3']


@pytest.fixture
def runs(monkeypatch):
    """Count the runs of the node's engines by model."""
    counts = {}

    def counted(model, options, *rest):
        engine = open_engine(model, options, *rest)
        infer = engine._infer
        counts[model.name] = 0

        def run(wanted):
            counts[model.name] += 1
            return infer(wanted)
        engine._infer = run
        return engine
    monkeypatch.setattr(node_task, 'open_engine', counted)
    return counts


def shown(number, direction=1, frame_id='camera'):
    return image(scene(number, direction), 10**9 + number * PERIOD_NS, frame_id=frame_id)


def show(rig, numbers, labels):
    """Show images of the scene one by one, and wait for the label map of each."""
    for number in numbers:
        before = len(labels)
        assert rig.show(shown(number)) == 'processed'
        rig.until(lambda n=before: len(labels) > n, 'the label map')


def diagnosed(rig):
    """Return what the diagnostics say of segmented and carried frames, by status."""
    values = [{value.key: value.value for value in status.values} for status in rig.diagnostics(1.0)]
    return [(each['frames processed'], each['frames segmented'], each['frames carried']) for each in values]


def test_every_image_has_its_label_map_and_only_every_third_is_segmented(rig, arguments, runs):
    labels, confidences = rig.watch(Image, LABELS), rig.watch(Image, CONFIDENCE)
    rig.start([SEGMENTATION], *arguments)
    rig.watched(LABELS)
    rig.watched(CONFIDENCE)
    show(rig, range(8), labels)
    rig.until(lambda: len(confidences) == 8, 'the confidence')
    for number, (message, confidence) in enumerate(zip(labels, confidences)):
        assert stamp_of(message) == stamp_of(confidence) == 10**9 + number * PERIOD_NS
        assert message.header.frame_id == 'camera'
        if number % 3:
            assert agreement(pixels_of(message), number) > 0.95
            assert pixels_of(confidence).max() < pixels_of(confidences[number - number % 3]).max()
        else:
            np.testing.assert_array_equal(pixels_of(message), truth(number))
    held = pixels_of(labels[3])
    assert agreement(pixels_of(labels[5]), 5) > agreement(held, 5) + 0.05
    assert runs == {'tiny': 3, 'dis_ultrafast': 5}
    assert diagnosed(rig) == [('8', '3', '5')]


def test_by_default_every_image_is_segmented(rig, arguments, runs):
    labels = rig.watch(Image, LABELS)
    rig.start([SEGMENTATION], *arguments[:2])
    rig.watched(LABELS)
    show(rig, range(4), labels)
    assert runs == {'tiny': 4}
    [status] = rig.diagnostics(1.0)
    assert not any('carried' in value.key for value in status.values)


def test_labels_go_along_the_flow_that_the_node_computes_anyway(rig, arguments, runs):
    labels, flow = rig.watch(Image, LABELS), rig.watch(Image, FLOW)
    rig.start(networks.TASKS, *arguments)
    rig.watched(LABELS)
    rig.watched(FLOW)
    show(rig, range(6), labels)
    rig.until(lambda: len(flow) == 5, 'the flow')
    assert [stamp_of(message) for message in flow] == [10**9 + number * PERIOD_NS for number in range(1, 6)]
    assert runs == {'tiny': 2, 'dis_fast': 5, 'dis_ultrafast': 0}
    for number in range(6):
        assert agreement(pixels_of(labels[number]), number) > 0.95


@pytest.mark.parametrize('tasks', [[SEGMENTATION], networks.TASKS], ids=['labels', 'labels and flow'])
def test_an_image_is_decoded_once(rig, arguments, monkeypatch, tasks):
    decoded = []
    decode = FrameDecoder._decoded

    def noted(self, frame):
        decoded.append(frame.stamp_ns)
        return decode(self, frame)
    monkeypatch.setattr(FrameDecoder, '_decoded', noted)
    labels = rig.watch(Image, LABELS)
    rig.watch(Image, FLOW)
    rig.start(tasks, *arguments)
    rig.watched(LABELS)
    if tasks == networks.TASKS:
        rig.watched(FLOW)
    show(rig, range(4), labels)
    assert decoded == [10**9 + number * PERIOD_NS for number in range(4)]


def test_flow_on_the_previous_grid_is_not_what_labels_need(rig, arguments, runs):
    labels, flow = rig.watch(Image, LABELS), rig.watch(Image, FLOW)
    rig.start(networks.TASKS, '-p', 'flow_grid:=previous', *arguments)
    rig.watched(LABELS)
    rig.watched(FLOW)
    show(rig, range(6), labels)
    rig.until(lambda: len(flow) == 5, 'the flow')
    assert runs == {'tiny': 2, 'dis_fast': 5, 'dis_ultrafast': 4}
    assert agreement(pixels_of(labels[5]), 5) > 0.95


def test_flow_that_nobody_watches_any_more_is_replaced(rig, arguments, runs):
    labels, flow = rig.watch(Image, LABELS), rig.watch(Image, FLOW)
    rig.start(networks.TASKS, *arguments)
    rig.watched(LABELS)
    rig.watched(FLOW)
    show(rig, range(2), labels)
    rig.until(lambda: len(flow) == 1, 'the flow')
    rig.unwatch()
    rig.watched(FLOW, 0)
    show(rig, range(2, 6), labels)
    # The flow of labels alone begins with the first image that it sees: that one is segmented, and the third after it.
    assert runs == {'tiny': 3, 'dis_fast': 1, 'dis_ultrafast': 2}
    for number in range(6):
        assert agreement(pixels_of(labels[number]), number) > 0.95


def test_labels_are_not_carried_over_images_that_the_task_did_not_see(rig, arguments):
    labels = rig.watch(Image, LABELS)
    rig.start([SEGMENTATION], *arguments)
    rig.watched(LABELS)
    show(rig, range(2), labels)
    rig.worker.enabled = False
    assert rig.show(shown(2)) == 'paused'
    rig.worker.enabled = True
    show(rig, [3, 4], labels)
    np.testing.assert_array_equal(pixels_of(labels[2]), truth(3))
    assert diagnosed(rig) == [('4', '2', '2')]


def test_at_0_images_are_segmented_as_far_as_engine_time_grants_it(rig, arguments, runs, monkeypatch):
    told = []

    class Scripted:
        """Stands for EngineTime: grants every second of those that ask."""

        def __init__(self, cameras):
            told.append(cameras)

        def arrived(self, camera):
            told.append(('arrived', camera))

        def begin(self, camera):
            told.append(('begin', camera))

        def grants(self, camera):
            told.append(('grants', camera))
            return told.count(('grants', camera)) % 2 == 0

        def end(self):
            told.append('end')

    monkeypatch.setattr(worker, 'EngineTime', Scripted)
    names = 'left', 'right'
    labels = {name: rig.watch(Image, '{}/{}'.format(name, LABELS)) for name in names}
    rig.start([SEGMENTATION], *arguments, '-p', 'propagate:=0', '-p', 'cameras:=[left, right]', kind=None)
    camera = rig.outside.create_publisher(Image, '/right/image', DEEP)
    rig.until(lambda: camera.get_subscription_count() and rig.worker.feeds[1].tasks[0].publishers.watched(),
              'both ends')
    for number in range(5):
        camera.publish(shown(number))
        rig.until(lambda n=number: len(labels['right']) > n and told[-1] == 'end', 'the label map')
    first = [('arrived', 1), ('begin', 1), 'end']
    assert told == [2] + first + 4 * (first[:2] + [('grants', 1), 'end'])
    assert runs == {'tiny': 3, 'dis_ultrafast': 2}
    for number in (0, 2, 4):
        np.testing.assert_array_equal(pixels_of(labels['right'][number]), truth(number))
    for number in (1, 3):
        assert agreement(pixels_of(labels['right'][number]), number) > 0.95


def test_each_camera_carries_labels_of_its_own(rig, arguments, runs):
    names = {'left': 1, 'right': -1}
    labels = {name: rig.watch(Image, '{}/{}'.format(name, LABELS)) for name in names}
    rig.start([SEGMENTATION], *arguments, '-p', 'cameras:=[left, right]', kind=None)
    cameras = {name: rig.outside.create_publisher(Image, '/{}/image'.format(name), DEEP) for name in names}
    rig.until(lambda: all(camera.get_subscription_count() for camera in cameras.values())
              and all(feed.tasks[0].publishers.watched() for feed in rig.worker.feeds), 'cameras and watchers')
    for number in range(6):
        for name, direction in names.items():
            cameras[name].publish(shown(number, direction, name))
            rig.until(lambda n=number, name=name: len(labels[name]) == n + 1, 'the label map')
            message = labels[name][-1]
            assert message.header.frame_id == name
            assert agreement(pixels_of(message), number, direction) > 0.95
    assert runs == {'tiny': 4, 'dis_ultrafast': 8}
    assert diagnosed(rig) == [('6', '2', '4'), ('6', '2', '4'), ('12', '4', '8')]


def test_counts_outlive_an_engine(rig, arguments, runs):
    labels = rig.watch(Image, LABELS)
    rig.start([SEGMENTATION], *arguments)
    rig.watched(LABELS)
    show(rig, range(3), labels)
    rig.worker.engines.fail('planted')
    rig.worker.engines._retry_at_s = 0.0
    show(rig, range(3, 5), labels)
    assert diagnosed(rig) == [('5', '2', '3')]
    np.testing.assert_array_equal(pixels_of(labels[3]), truth(3))

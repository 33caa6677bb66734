import importlib
import json
import threading
import time

import cv2
import networks
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rig import DEEP, PATIENCE_S, camera_info, header, image, pixels_of, random_image, stamp_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, TimeReference
from std_msgs.msg import String
from std_srvs.srv import SetBool

from trt_perception import consumer
from trt_perception.core.colors import color_flow
from trt_perception.core.errors import ConfigError
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.engines import open_engine
from trt_perception.ros import messages, node_task, optical_flow_publishers, segmentation_publishers
from trt_perception.ros.managed_node import HAS_LIFECYCLE
from trt_perception.ros.node_sink import ROS
from trt_perception.ros.qos import LATCHED

START_NS = 1_600_000_000 * 10**9 + 123_456_789
PERIOD_NS = 33_333_333
COLORS = np.array([each['color'] for each in networks.CLASSES], np.uint8)
OUTPUTS = {'segmentation/label_map': Image, 'segmentation/confidence': Image, 'segmentation/color': Image,
           'segmentation/overlay': Image, 'segmentation/label_map/compressed': CompressedImage,
           'segmentation/camera_info': CameraInfo, 'optical_flow/flow': Image, 'optical_flow/confidence': Image,
           'optical_flow/color': Image, 'optical_flow/camera_info': CameraInfo,
           'optical_flow/time_reference': TimeReference, 'optical_flow/flow_info': String}


def stamp(number):
    return START_NS + number * PERIOD_NS


def message_class(kind):
    package, _, name = kind.split('/')
    return getattr(importlib.import_module(package + '.msg'), name)


class Models:
    """A tiny model for each task, and the results of its pipeline when it is run without a node."""

    def __init__(self, folder):
        folders = {task: folder / task for task in networks.TASKS}
        for each in folders.values():
            each.mkdir()
        self.arguments = [word for task, path in folders.items()
                          for word in ('-p', '{}.model:={}/tiny.yaml'.format(task, path))]
        self.segmentation = networks.segmentation_model(folders[SEGMENTATION])
        self.flow = networks.flow_model(folders[OPTICAL_FLOW], confidence='uint8')

    def label_maps(self, images, size='camera'):
        pipeline = SegmentationPipeline(open_engine(self.segmentation), self.segmentation, {'output_size': size})
        results = []
        for each in images:
            result = pipeline.process(messages.frame_from_image(each))
            results.append((result.labels.copy(), result.confidence.copy()))
        return results

    def flow_fields(self, images, grid='current', size='camera'):
        pipeline = OpticalFlowPipeline(open_engine(self.flow), self.flow,
                                       {'flow_grid': grid, 'max_pair_gap': 0.0, 'output_size': size})
        results = []
        for each in images:
            result = pipeline.process(messages.frame_from_image(each))
            results.append(None if result is None else (result.flow.copy(), result.confidence.copy()))
        return results


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path)


@pytest.fixture
def runs(monkeypatch):
    """Count the runs of the node's engines by task; while its `gate` is cleared they do not end."""
    class Runs(dict):
        gate = threading.Event()

    counts = Runs(dict.fromkeys(networks.TASKS, 0))
    counts.gate.set()

    def counted(model, options, *rest):
        engine = open_engine(model, options, *rest)
        infer = engine._infer

        def run(wanted):
            counts[model.task] += 1
            assert counts.gate.wait(PATIENCE_S)
            return infer(wanted)
        engine._infer = run
        return engine
    monkeypatch.setattr(node_task, 'open_engine', counted)
    return counts


def watch_all(rig, prefix=''):
    """Subscribe to every output and return the lists that the messages go to."""
    return {topic: rig.watch(kind, prefix + topic) for topic, kind in OUTPUTS.items()}


def wait_for_watchers(rig, topics=OUTPUTS):
    for topic in topics:
        rig.watched(topic)


# Contents

def test_labels_are_what_the_pipeline_makes_of_the_same_images(rig, models):
    sizes = [(48, 64), (48, 64), (31, 53)]
    images = [image(random_image(number, size), stamp(number)) for number, size in enumerate(sizes)]
    labels, confidences = (rig.watch(Image, 'segmentation/' + topic) for topic in ('label_map', 'confidence'))
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/confidence'])
    for number, (each, (expected, confidence)) in enumerate(zip(images, models.label_maps(images))):
        assert rig.show(each) == 'processed'
        rig.until(lambda n=number + 1: len(labels) == len(confidences) == n, 'the label map')
        for message, content in ((labels[-1], expected), (confidences[-1], confidence)):
            assert message.encoding == 'mono8'
            assert message.step == message.width
            np.testing.assert_array_equal(pixels_of(message), content)
        assert len(np.unique(expected)) == 3


def test_a_red_left_and_a_green_right_half_are_labelled_as_such(rig, models):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :32, 0], pixels[:, 32:, 1] = 200, 90
    labels, confidences = (rig.watch(Image, 'segmentation/' + topic) for topic in ('label_map', 'confidence'))
    rig.start([SEGMENTATION], *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/confidence'])
    rig.show(image(pixels[..., ::-1], stamp(0), 'bgr8', padding=5))
    rig.until(lambda: labels and confidences, 'the label map')
    expected = np.repeat(np.uint8([[0] * 32 + [1] * 32]), 48, axis=0)
    np.testing.assert_array_equal(pixels_of(labels[0]), expected)
    np.testing.assert_array_equal(pixels_of(confidences[0]), np.where(expected == 0, 200, 90))


@pytest.mark.parametrize('grid', ['current', 'previous'])
def test_flow_is_what_the_pipeline_makes_of_the_same_images(rig, models, grid):
    images = [image(random_image(number), stamp(number)) for number in range(4)]
    fields, infos = rig.watch(Image, 'optical_flow/flow'), rig.watch(String, 'optical_flow/flow_info')
    confidences = rig.watch(Image, 'optical_flow/confidence')
    rig.start(networks.TASKS, '-p', 'flow_grid:=' + grid, *models.arguments)
    wait_for_watchers(rig, ['optical_flow/flow', 'optical_flow/flow_info', 'optical_flow/confidence'])
    expected = models.flow_fields(images, grid)
    assert expected[0] is None
    rig.show(images[0])
    for number in (1, 2, 3):
        rig.show(images[number])
        rig.until(lambda n=number: len(fields) == len(infos) == len(confidences) == n, 'the flow')
        flow, confidence = expected[number]
        assert fields[-1].encoding == '32FC2'
        assert fields[-1].step == 64 * 8
        np.testing.assert_array_equal(pixels_of(fields[-1]), flow)
        assert confidences[-1].encoding == 'mono8'
        np.testing.assert_array_equal(pixels_of(confidences[-1]), confidence)
        assert stamp_of(fields[-1]) == stamp_of(confidences[-1]) == stamp(number - (grid == 'previous'))
        info = json.loads(infos[-1].data)
        assert info['grid'] == grid
        assert info['stamp'] == {'sec': stamp(number) // 10**9, 'nanosec': stamp(number) % 10**9}
        assert info['previous_stamp'] == {'sec': stamp(number - 1) // 10**9, 'nanosec': stamp(number - 1) % 10**9}
        assert info['interval_s'] == pytest.approx(PERIOD_NS * 1e-9)
        assert info['median_flow'] == np.median(flow[::8, ::8].reshape(-1, 2), axis=0).tolist()


@pytest.mark.parametrize('grid', ['current', 'previous'])
def test_the_interval_of_a_flow_field_comes_before_it_and_under_its_header(rig, models, grid):
    arrived = []
    for kind, topic in ((TimeReference, 'optical_flow/time_reference'), (Image, 'optical_flow/flow')):
        rig.outside.create_subscription(kind, topic, arrived.append, DEEP)
    rig.start(networks.TASKS, '-p', 'flow_grid:=' + grid, *models.arguments)
    wait_for_watchers(rig, ['optical_flow/flow', 'optical_flow/time_reference'])
    published = []
    for topic, publisher in rig.worker.tasks[1].cameras[0].publishers._publishers.items():
        publisher.publish = lambda message, p=publisher.publish, t=topic: (published.append(t), p(message))
    for number in range(3):
        rig.show(image(random_image(number), stamp(number)))
    rig.until(lambda: len(arrived) == 4, 'two fields and two intervals')
    assert published == 2 * ['time_reference', 'flow']
    for number in (1, 2):
        interval, field = sorted((m for m in arrived if m.header == header(stamp(number - (grid == 'previous')))),
                                 key=lambda m: isinstance(m, Image))
        assert stamp_of(field) == stamp_of(interval)
        assert interval.time_ref == header(stamp(number - (grid == 'current'))).stamp


def test_the_consumer_joins_what_the_nodes_publish_for_one_image(rig, models):
    join = consumer.Join(list(consumer.TOPICS))
    found = []
    for topic, (kind, _, _) in consumer.TOPICS.items():
        qos = LATCHED if topic == consumer.CLASSES else DEEP
        rig.outside.create_subscription(message_class(kind), topic, lambda message, t=topic: found.extend(
            filter(None, [join.add(t, message)])), qos)
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, consumer.TOPICS)
    rig.feed.camera_info = camera_info(48, 64, 17)
    images = [image(random_image(number), stamp(number)) for number in range(3)]
    for each in images:
        rig.show(each)
    rig.until(lambda: len(found) == 2, 'the results of two images')
    label_maps, fields = models.label_maps(images), models.flow_fields(images)
    for number, results in zip((1, 2), found):
        assert (results.stamp_ns, results.frame_id) == (stamp(number), 'camera')
        assert results.classes == {0: 'reddish', 1: 'greenish', 2: 'bluish'}
        np.testing.assert_array_equal(results.labels, label_maps[number][0])
        np.testing.assert_array_equal(results.label_confidence, label_maps[number][1])
        np.testing.assert_array_equal(results.flow, fields[number][0])
        np.testing.assert_array_equal(results.flow_confidence, fields[number][1])
        np.testing.assert_allclose(results.velocity(), fields[number][0] * 1e9 / PERIOD_NS, rtol=1e-6)
        assert results.overlay.shape == (48, 64, 3)
        for camera in (results.label_camera, results.flow_camera):
            assert camera.size == (48, 64)
            assert camera.matrix.tolist() == [[50, 0.5, 31], [0, 60, 23], [0, 0, 1]]
            assert camera.distortion.tolist() == [0.1, -0.2, 0.003, 0.004, 0.05]
            assert camera.projection[0, 3] == -4


def test_colours_and_overlay_show_the_labels(rig, models):
    labels, colors, overlays = (rig.watch(Image, 'segmentation/' + t) for t in ('label_map', 'color', 'overlay'))
    rig.start([SEGMENTATION], '-p', 'segmentation.overlay_alpha:=0.25', *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/color', 'segmentation/overlay'])
    for number, alpha in enumerate((0.25, 1.0)):
        if number:
            from rclpy.parameter import Parameter
            [result] = rig.node.set_parameters([Parameter('segmentation.overlay_alpha', value=alpha)])
            assert result.successful
        pixels = random_image(number)
        rig.show(image(pixels[..., ::-1], stamp(number), 'bgr8'))
        rig.until(lambda n=number + 1: len(labels) == len(colors) == len(overlays) == n, 'the images')
        painted = COLORS[pixels_of(labels[-1])]
        assert colors[-1].encoding == overlays[-1].encoding == 'rgb8'
        np.testing.assert_array_equal(pixels_of(colors[-1]), painted)
        np.testing.assert_allclose(pixels_of(overlays[-1]), (1 - alpha) * pixels + alpha * painted, atol=2)


def test_flow_colours_show_the_flow(rig, models):
    fields, colors = rig.watch(Image, 'optical_flow/flow'), rig.watch(Image, 'optical_flow/color')
    rig.start([OPTICAL_FLOW], '-p', 'optical_flow.color_max:=150', *models.arguments)
    wait_for_watchers(rig, ['optical_flow/flow', 'optical_flow/color'])
    for number in range(2):
        rig.show(image(random_image(number), stamp(number)))
    rig.until(lambda: fields and colors, 'the flow')
    assert colors[0].encoding == 'rgb8'
    np.testing.assert_array_equal(pixels_of(colors[0]), color_flow(pixels_of(fields[0]), 150))
    assert len(np.unique(pixels_of(colors[0]).reshape(-1, 3), axis=0)) > 10


def test_the_compressed_label_map_is_lossless(rig, models):
    labels = rig.watch(Image, 'segmentation/label_map')
    compressed = rig.watch(CompressedImage, 'segmentation/label_map/compressed')
    rig.start([SEGMENTATION], *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/label_map/compressed'])
    rig.show(image(random_image(1), stamp(1)))
    rig.until(lambda: labels and compressed, 'the label map')
    assert compressed[0].format == 'mono8; png compressed'
    assert compressed[0].header == labels[0].header
    decoded = cv2.imdecode(np.frombuffer(compressed[0].data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels_of(labels[0]))


def test_at_network_size_nothing_is_resized(rig, models):
    images = [image(random_image(number), stamp(number)) for number in range(2)]
    labels, fields = rig.watch(Image, 'segmentation/label_map'), rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, '-p', 'output_size:=network', *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'optical_flow/flow'])
    for number, each in enumerate(images):
        rig.show(each)
        rig.until(lambda n=number + 1: len(labels) == n, 'the label map')
    rig.until(lambda: fields, 'the flow')
    assert pixels_of(labels[1]).shape == (6, 8)
    np.testing.assert_array_equal(pixels_of(labels[1]), models.label_maps(images, 'network')[1][0])
    np.testing.assert_array_equal(pixels_of(fields[0]), models.flow_fields(images, size='network')[1][0])


# Headers and camera_info

def test_every_output_has_the_stamp_and_frame_id_of_its_image(rig, models):
    received = watch_all(rig)
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig)
    infos = rig.outside.create_publisher(CameraInfo, '/camera_info', 1)
    rig.until(infos.get_subscription_count, 'the node to subscribe to /camera_info')
    infos.publish(camera_info(48, 64, 17, 'of the camera_info'))
    rig.until(lambda: rig.feed.camera_info is not None, 'the camera_info')
    sent = [(5 * 10**9 + 1, 'left'), (5 * 10**9 + 400_000_017, 'left'), (2**31 * 10**9 - 1, 'right'), (1, ''), (2, '')]
    expected = {SEGMENTATION: [], OPTICAL_FLOW: []}
    for number, (stamp_ns, frame_id) in enumerate(sent):
        assert rig.show(image(random_image(number), stamp_ns, frame_id=frame_id)) == 'processed'
        expected[SEGMENTATION].append(header(stamp_ns, frame_id))
        if number in (1, 4):  # The others start a pair: the first one, another frame_id, a stamp that goes back.
            expected[OPTICAL_FLOW].append(header(stamp_ns, frame_id))
        for topic, arrived in received.items():
            count = len(expected[topic.split('/')[0]])
            rig.until(lambda a=arrived, n=count: len(a) >= n, topic)
    infos_of_flow = [json.loads(message.data)['stamp'] for message in received.pop('optical_flow/flow_info')]
    assert infos_of_flow == [{'sec': h.stamp.sec, 'nanosec': h.stamp.nanosec} for h in expected[OPTICAL_FLOW]]
    assert {topic: [m.header for m in arrived] for topic, arrived in received.items()} == {
        topic: expected[topic.split('/')[0]] for topic in received}


def test_with_the_flow_on_the_previous_grid_its_headers_are_those_of_the_previous_image(rig, models):
    topics = ['optical_flow/flow', 'optical_flow/color', 'optical_flow/camera_info', 'segmentation/label_map']
    received = {topic: rig.watch(OUTPUTS[topic], topic) for topic in topics}
    rig.start(networks.TASKS, '-p', 'flow_grid:=previous', *models.arguments)
    wait_for_watchers(rig, topics)
    rig.feed.camera_info = camera_info(48, 64, 17)
    for number in range(2):
        rig.show(image(random_image(number), stamp(number)))
        rig.until(lambda n=number + 1: len(received['segmentation/label_map']) == n, 'the label map')
    rig.until(lambda: all(received.values()), 'the flow')
    assert [m.header for topic in topics[:3] for m in received[topic]] == 3 * [header(stamp(0))]
    assert [m.header for m in received['segmentation/label_map']] == [header(stamp(0)), header(stamp(1))]


@pytest.mark.parametrize(('size', 'shape'), [('camera', (48, 64)), ('network', (6, 8))])
def test_camera_info_fits_the_outputs(rig, models, size, shape):
    labels = rig.watch(Image, 'segmentation/label_map')
    received = {task: rig.watch(CameraInfo, task + '/camera_info') for task in networks.TASKS}
    fields = rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, '-p', 'output_size:=' + size, *models.arguments)
    wait_for_watchers(rig, ['segmentation/camera_info', 'optical_flow/camera_info', 'segmentation/label_map',
                            'optical_flow/flow'])
    infos = rig.outside.create_publisher(CameraInfo, '/camera_info', 1)
    rig.until(infos.get_subscription_count, 'the node to subscribe to /camera_info')
    infos.publish(camera_info(48, 64, 17))
    rig.until(lambda: rig.feed.camera_info is not None, 'the camera_info')
    for number in range(2):
        rig.show(image(random_image(number), stamp(number)))
        rig.until(lambda n=number + 1: len(received[SEGMENTATION]) == n, 'the camera_info')
    rig.until(lambda: received[OPTICAL_FLOW] and fields, 'the camera_info')
    expected = messages.scaled_camera_info(camera_info(48, 64, 17), (48, 64), shape, header(stamp(1)))
    assert received[SEGMENTATION][1] == received[OPTICAL_FLOW][0] == expected
    assert (expected.height, expected.width) == shape == (labels[1].height, labels[1].width)
    assert (fields[0].height, fields[0].width) == shape
    assert expected.k[0] == 50.0 * shape[1] / 64


def test_without_camera_info_there_is_none_in_the_output(rig, models):
    labels, infos = rig.watch(Image, 'segmentation/label_map'), rig.watch(CameraInfo, 'segmentation/camera_info')
    rig.start([SEGMENTATION], *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/camera_info'])
    rig.show(image(random_image(0), stamp(0)))
    rig.until(lambda: labels, 'the label map')
    rig.feed.camera_info = camera_info(48, 64, 17)
    rig.show(image(random_image(1), stamp(1)))
    rig.until(lambda: infos, 'the camera_info')
    assert [stamp_of(info) for info in infos] == [stamp(1)]


def test_a_calibration_that_is_not_finite_costs_only_the_camera_info(rig, models):
    labels, infos = rig.watch(Image, 'segmentation/label_map'), rig.watch(CameraInfo, 'segmentation/camera_info')
    rig.start([SEGMENTATION], *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/camera_info'])
    bad = camera_info(48, 64, 17)
    bad.k[0] = float('nan')
    for number, info in enumerate((bad, camera_info(48, 64, 18))):
        rig.feed.camera_info = info
        assert rig.show(image(random_image(number), stamp(number))) == 'processed'
        rig.until(lambda n=number + 1: len(labels) == n, 'the label map')
    rig.until(lambda: infos, 'the camera_info')
    assert [stamp_of(info) for info in infos] == [stamp(1)]
    rig.until(lambda: rig.logged('camera_info k: got [nan, '), 'the warning')


# Topics

def test_topics_have_the_types_and_qos_of_the_interface(rig, models):
    rig.start(networks.TASKS, *models.arguments)
    latched = {'segmentation/label_info_json'}
    kinds = dict(OUTPUTS, **{'segmentation/label_info_json': String})
    published = {p.topic_name: p for p in rig.node.publishers}
    for topic, kind in kinds.items():
        info = rig.found(rig.outside.get_publishers_info_by_topic, '/' + topic)
        assert info.topic_type == '{}/msg/{}'.format(kind.__module__.split('.')[0], kind.__name__)
        for qos in (info.qos_profile, published['/' + topic].qos_profile):
            assert qos.reliability == ReliabilityPolicy.RELIABLE
            assert qos.durability == (
                DurabilityPolicy.TRANSIENT_LOCAL if topic in latched else DurabilityPolicy.VOLATILE)
        qos = published['/' + topic].qos_profile
        assert (qos.history, qos.depth) == (HistoryPolicy.KEEP_LAST, 1)
    rig.until(lambda: {'/image', '/camera_info'} <= {s.topic_name for s in rig.node.subscriptions}, 'both topics')
    subscribed = {s.topic_name: s for s in rig.node.subscriptions}
    for topic, kind in {'/image': Image, '/camera_info': CameraInfo}.items():
        info = rig.found(rig.outside.get_subscriptions_info_by_topic, topic)
        assert info.topic_type == 'sensor_msgs/msg/' + kind.__name__
        for qos in (info.qos_profile, subscribed[topic].qos_profile):
            assert qos.reliability == ReliabilityPolicy.RELIABLE
            assert qos.durability == DurabilityPolicy.VOLATILE
        qos = subscribed[topic].qos_profile
        assert (qos.history, qos.depth) == (HistoryPolicy.KEEP_LAST, 1)
    of_the_node = {'/diagnostics', '/rosout', '/parameter_events'} | {'/perception/debug/' + name for name in (
        'processing_time_ms', 'pipeline_latency_ms', 'cyclic_time_ms')}
    if HAS_LIFECYCLE:
        of_the_node.add('/perception/transition_event')
    if ROS.LabelInfo is not None:
        of_the_node.add('/segmentation/label_info')
    expected = {'/' + topic for topic in kinds} | of_the_node
    assert set(rig.named(rig.node.get_publisher_names_and_types_by_node, expected)) == expected


def test_the_quality_of_service_may_be_overridden(rig, models):
    rig.start([SEGMENTATION], '-p', 'qos_overrides./image.subscription.reliability:=reliable',
              '-p', 'qos_overrides./image.subscription.depth:=3',
              '-p', 'qos_overrides./segmentation/label_map.publisher.reliability:=best_effort', *models.arguments)
    image_info = rig.found(rig.outside.get_subscriptions_info_by_topic, '/image')
    assert image_info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert {s.topic_name: s.qos_profile.depth for s in rig.node.subscriptions}['/image'] == 3
    label_info = rig.found(rig.outside.get_publishers_info_by_topic, '/segmentation/label_map')
    assert label_info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    color_info = rig.found(rig.outside.get_publishers_info_by_topic, '/segmentation/color')
    assert color_info.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_who_joins_late_still_gets_the_label_info(rig, models):
    rig.start([SEGMENTATION], *models.arguments)
    rig.work(0.2)
    infos = rig.watch(String, 'segmentation/label_info_json', LATCHED)
    rig.until(lambda: infos, 'the label info')
    assert json.loads(infos[0].data) == {
        'model': 'tiny', 'label_set': 'tiny_labels', 'void': 255, 'classes': networks.CLASSES}
    rig.work(0.2)
    assert len(infos) == 1


@pytest.mark.parametrize(('arguments', 'namespace', 'image_topic', 'info_topic', 'prefix'), [
    ([], None, '/image', '/camera_info', '/'),
    (['-r', 'image:=/front/image_raw'], None, '/front/image_raw', '/front/camera_info', '/'),
    ([], 'front', '/front/image', '/front/camera_info', '/front/'),
    (['-r', 'image:=color/image_raw'], 'robot/front', '/robot/front/color/image_raw', '/robot/front/color/camera_info',
     '/robot/front/')])
@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_remapping_or_a_namespace_moves_the_siblings_of_image_too(
        rig, models, transport, arguments, namespace, image_topic, info_topic, prefix):
    labels = rig.watch(Image, prefix + 'segmentation/label_map')
    calibrations = rig.watch(CameraInfo, prefix + 'segmentation/camera_info')
    if transport == 'compressed':
        image_topic += '/compressed'
    rig.start([SEGMENTATION], '-p', 'image_transport:=' + transport, *(arguments + models.arguments),
              namespace=namespace, camera=image_topic, kind=Image if transport == 'raw' else CompressedImage)
    wait_for_watchers(rig, ['segmentation/label_map', 'segmentation/camera_info'])
    infos = rig.outside.create_publisher(CameraInfo, info_topic, 1)
    rig.until(infos.get_subscription_count, 'the node to subscribe to ' + info_topic)
    infos.publish(camera_info(48, 64, 17))
    rig.until(lambda: rig.feed.camera_info is not None, 'the camera_info')
    pixels = random_image(5)
    raw = image(pixels, stamp(0))
    png = cv2.imencode('.png', pixels[..., ::-1])[1].tobytes()
    rig.show(raw if transport == 'raw' else CompressedImage(header=raw.header, format='png', data=png))
    rig.until(lambda: labels and calibrations, 'the label map')
    np.testing.assert_array_equal(pixels_of(labels[0]), models.label_maps([raw])[0][0])
    assert labels[0].header == calibrations[0].header == raw.header
    images = {'/image', '/camera_info', image_topic, info_topic}
    ours = set(rig.named(rig.outside.get_subscriber_names_and_types_by_node, [image_topic, info_topic],
                         namespace='/' + (namespace or '')))
    assert ours & (images | {image_topic.replace('/compressed', '')}) == {image_topic, info_topic}


# When the engines run

def test_without_subscribers_no_engine_runs(rig, models, runs):
    rig.start(networks.TASKS, *models.arguments)
    assert [rig.show(image(random_image(number), stamp(number))) for number in range(3)] == 3 * ['idle']
    assert runs == {SEGMENTATION: 0, OPTICAL_FLOW: 0}
    rig.watch(CameraInfo, 'segmentation/camera_info')
    rig.watched('segmentation/camera_info')
    assert rig.show(image(random_image(3), stamp(3))) == 'idle'
    assert runs == {SEGMENTATION: 0, OPTICAL_FLOW: 0}


@pytest.mark.parametrize('topic', [t for t in OUTPUTS if not t.endswith('camera_info')])
def test_only_the_task_that_somebody_watches_runs(rig, models, runs, topic):
    rig.start(networks.TASKS, *models.arguments)
    received = rig.watch(OUTPUTS[topic], topic)
    rig.watched(topic)
    assert [rig.show(image(random_image(number), stamp(number))) for number in range(3)] == 3 * ['processed']
    rig.until(lambda: received, topic)
    assert runs == ({SEGMENTATION: 3, OPTICAL_FLOW: 0} if topic.startswith('segm') else
                    {SEGMENTATION: 0, OPTICAL_FLOW: 2})
    rig.unwatch()
    rig.watched(topic, 0)
    before = dict(runs)
    assert rig.show(image(random_image(3), stamp(3))) == 'idle'
    assert runs == before


def test_an_eager_node_runs_without_subscribers(rig, models, runs):
    rig.start(networks.TASKS, '-p', 'lazy:=false', *models.arguments)
    assert [rig.show(image(random_image(number), stamp(number))) for number in range(3)] == 3 * ['processed']
    assert runs == {SEGMENTATION: 3, OPTICAL_FLOW: 2}


def test_nothing_is_sent_to_topics_that_nobody_watches(rig, models):
    labels = rig.watch(Image, 'segmentation/label_map')
    flows = rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'optical_flow/flow'])
    sent = []

    def count(task, topic, publisher):
        publish = publisher.publish

        def counted(message):
            sent.append(task + '/' + topic)
            publish(message)
        publisher.publish = counted
    for task in rig.feed.tasks:
        for topic, publisher in task.publishers._publishers.items():
            count(task.name, topic, publisher)
    rig.feed.camera_info = camera_info(48, 64, 17)
    for number in range(2):
        rig.show(image(random_image(number), stamp(number)))
        rig.until(lambda n=number + 1: len(labels) == n, 'the label map')
    rig.until(lambda: flows, 'the flow')
    assert sorted(sent) == ['optical_flow/flow', 'segmentation/label_map', 'segmentation/label_map']


def test_images_for_people_are_painted_only_while_watched(rig, models, monkeypatch):
    painted = []

    def count(module, name):
        paint = getattr(module, name)

        def counted(*args):
            painted.append(name)
            return paint(*args)
        monkeypatch.setattr(module, name, counted)
    for name in ('color_labels', 'overlay_labels', 'encode_png'):
        count(segmentation_publishers, name)
    count(optical_flow_publishers, 'color_flow')
    labels, flows = rig.watch(Image, 'segmentation/label_map'), rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'optical_flow/flow'])
    for number in range(2):
        rig.show(image(random_image(number), stamp(number)))
        rig.until(lambda n=number + 1: len(labels) == n, 'the label map')
    rig.until(lambda: flows, 'the flow')
    assert painted == []
    topics = {'segmentation/color': 'color_labels', 'segmentation/overlay': 'overlay_labels',
              'optical_flow/color': 'color_flow', 'segmentation/label_map/compressed': 'encode_png'}
    for number, (topic, name) in enumerate(topics.items(), start=2):
        rig.watch(OUTPUTS[topic], topic)
        rig.watched(topic)
        rig.show(image(random_image(number), stamp(number)))
        rig.until(lambda n=name: n in painted, topic)
        assert painted == [name]
        rig.unwatch()
        rig.watched(topic, 0)
        del painted[:]


def test_the_service_pauses_and_resumes(rig, models, runs):
    labels = rig.watch(Image, 'segmentation/label_map')
    rig.start([SEGMENTATION], *models.arguments)
    rig.watched('segmentation/label_map')
    client = rig.outside.create_client(SetBool, '/perception/enable')
    rig.until(client.service_is_ready, 'the service')

    def enable(value):
        answer = client.call_async(SetBool.Request(data=value))
        rig.until(answer.done, 'the service')
        return answer.result().success, answer.result().message
    outcomes = [rig.show(image(random_image(0), stamp(0)))]
    assert enable(False) == (True, 'paused')
    outcomes += [rig.show(image(random_image(number), stamp(number))) for number in (1, 2)]
    assert runs[SEGMENTATION] == 1
    assert enable(True) == (True, 'running')
    outcomes += [rig.show(image(random_image(3), stamp(3)))]
    assert outcomes == ['processed', 'paused', 'paused', 'processed']
    rig.until(lambda: len(labels) == 2, 'the label maps')
    assert [stamp_of(m) for m in labels] == [stamp(0), stamp(3)]


def test_hundreds_of_pauses_and_changes_of_parameters_lose_no_count(rig, models):
    labels = rig.watch(Image, 'segmentation/label_map', QoSProfile(depth=400))
    rig.start([SEGMENTATION], *models.arguments)
    rig.watched('segmentation/label_map')
    client = rig.outside.create_client(SetBool, '/perception/enable')
    rig.until(client.service_is_ready, 'the service')
    expected = []
    for number in range(300):
        answer = client.call_async(SetBool.Request(data=number % 3 != 0))
        alpha = number % 10 / 10
        result = rig.node.set_parameters_atomically([Parameter('segmentation.overlay_alpha', value=alpha),
                                                     Parameter('max_frame_age', value=3600.0 * (number % 2))])
        assert result.successful
        rig.until(answer.done, 'the service')
        assert answer.result().success
        message = image(random_image(number % 7), time.time_ns())  # Of today: there is an age limit.
        outcome = rig.show(message)
        assert outcome == ('paused' if number % 3 == 0 else 'processed')
        if outcome == 'processed':
            expected.append(stamp_of(message))
    rig.until(lambda: len(labels) == len(expected), 'the label maps')
    assert [stamp_of(each) for each in labels] == expected
    assert +rig.feed.counts == {'received': 300, 'processed': 200, 'paused': 100}
    assert rig.node.get_parameter('segmentation.overlay_alpha').value == 0.9


def test_no_flow_reaches_over_images_that_the_task_did_not_see(rig, models):
    rig.watch(Image, 'segmentation/label_map')
    rig.start(networks.TASKS, *models.arguments)
    rig.watched('segmentation/label_map')
    flows = []

    def show(*numbers):
        assert [rig.show(image(random_image(number), stamp(number))) for number in numbers] == len(numbers) * [
            'processed' if rig.worker.enabled else 'paused']
    for first in (0, 10):
        flows.append(rig.watch(Image, 'optical_flow/flow'))
        rig.watched('optical_flow/flow')
        show(first, first + 1)
        rig.worker.enabled = False
        show(first + 2)
        rig.worker.enabled = True
        show(first + 3, first + 4)
        rig.until(lambda: len(flows[-1]) == 2, 'the flow')
        rig.unwatch()
        rig.watched('optical_flow/flow', 0)
        show(first + 5)
    # With one image between them that only segmentation saw, images 4 and 6 would be a pair.
    assert [[stamp_of(m) for m in each] for each in flows] == [
        [stamp(1), stamp(4)], [stamp(11), stamp(14)]]


# Frames that are not as they should be

def changed(message, **fields):
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(('fields', 'text'), [
    ({'encoding': 'yuv999'}, "image encoding: got 'yuv999'"), ({'step': 100}, 'image step: got 100'),
    ({'data': b'123'}, 'image data: got 3 bytes'), ({'height': 0}, 'image size: got 0x64'),
    ({'data': b'', 'height': 0, 'width': 0, 'step': 0}, 'image size: got 0x0')])
def test_a_bad_image_is_skipped_and_counted_and_the_node_lives(rig, models, fields, text):
    labels, flows = rig.watch(Image, 'segmentation/label_map'), rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'optical_flow/flow'])
    images = [image(random_image(number), stamp(number)) for number in range(4)]
    assert [rig.show(images[0]), rig.show(changed(image(random_image(1), stamp(1)), **fields)), rig.show(images[2]),
            rig.show(images[3])] == ['processed', 'bad', 'processed', 'processed']
    rig.until(lambda: len(labels) == 3 and len(flows) == 2, 'the label maps')
    rig.until(lambda: rig.logged('Frame skipped: ' + text), 'the warning')
    assert rig.feed.last_error.startswith(text)
    assert [stamp_of(m) for m in labels] == [stamp(0), stamp(2), stamp(3)]
    np.testing.assert_array_equal(pixels_of(labels[1]), models.label_maps([images[2]])[0][0])
    # The pair outlives the bad image: flow from image 0 to image 2.
    np.testing.assert_array_equal(pixels_of(flows[0]), models.flow_fields([images[0], images[2]])[1][0])
    assert [stamp_of(m) for m in flows] == [stamp(2), stamp(3)]


def test_a_compressed_image_that_is_no_image_is_skipped_and_counted(rig, models):
    labels = rig.watch(Image, 'segmentation/label_map')
    rig.start([SEGMENTATION], '-p', 'image_transport:=compressed', *models.arguments, camera='/image/compressed',
              kind=CompressedImage)
    rig.watched('segmentation/label_map')
    png = cv2.imencode('.png', random_image(1)[..., ::-1])[1].tobytes()
    sent = [png, b'', b'junk', png[:len(png) // 2], png]
    assert [rig.show(CompressedImage(header=header(stamp(number)), format='png', data=data))
            for number, data in enumerate(sent)] == ['processed', 'bad', 'bad', 'bad', 'processed']
    rig.until(lambda: len(labels) == 2, 'the label maps')
    expected = models.label_maps([image(random_image(1), 1)])[0][0]
    for message, number in zip(labels, (0, 4)):
        assert stamp_of(message) == stamp(number)
        np.testing.assert_array_equal(pixels_of(message), expected)


def test_the_size_may_change_from_image_to_image(rig, models):
    sizes = [(48, 64), (48, 64), (24, 40), (24, 40), (480, 640), (1, 1), (48, 64), (48, 64)]
    images = [image(random_image(number, size), stamp(number)) for number, size in enumerate(sizes)]
    labels, flows = rig.watch(Image, 'segmentation/label_map'), rig.watch(Image, 'optical_flow/flow')
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'optical_flow/flow'])
    for number, each in enumerate(images):
        assert rig.show(each) == 'processed'
        rig.until(lambda n=number + 1: len(labels) == n, 'the label map')
    rig.until(lambda: len(flows) >= 3, 'the flow')
    for message, (expected, _) in zip(labels, models.label_maps(images)):
        np.testing.assert_array_equal(pixels_of(message), expected)
    assert [stamp_of(m) for m in flows] == [stamp(1), stamp(3), stamp(7)]
    for message, number in zip(flows, (1, 3, 7)):
        np.testing.assert_array_equal(pixels_of(message), models.flow_fields(images[number - 1:number + 1])[1][0])


def test_repeated_and_backward_stamps_give_labels_but_no_flow(rig, models):
    stamps = [stamp(10), stamp(11), stamp(11), stamp(9), stamp(10)]
    labels, flows = rig.watch(Image, 'segmentation/label_map'), rig.watch(Image, 'optical_flow/flow')
    infos = rig.watch(String, 'optical_flow/flow_info')
    rig.start(networks.TASKS, *models.arguments)
    wait_for_watchers(rig, ['segmentation/label_map', 'optical_flow/flow', 'optical_flow/flow_info'])
    for number, each in enumerate(stamps):
        assert rig.show(image(random_image(number), each)) == 'processed'
        rig.until(lambda n=number + 1: len(labels) == n, 'the label map')
    rig.until(lambda: len(infos) >= 2 and len(flows) >= 2, 'the flow')
    assert [stamp_of(m) for m in labels] == stamps
    assert [stamp_of(m) for m in flows] == [stamp(11), stamp(10)]
    assert [json.loads(m.data)['interval_s'] for m in infos] == 2 * [pytest.approx(PERIOD_NS * 1e-9)]


# Age

@pytest.mark.parametrize(('stamp_ns', 'hint'), [
    (None, 'The camera, the network or this machine is slower than that.'),
    (10**9, 'Stamps of another clock: for a bag set use_sim_time and play it with --clock'),
    (0, 'for a driver that leaves the stamp empty set max_frame_age to 0.')])
def test_an_old_frame_is_dropped_and_counted_with_a_hint(rig, models, runs, stamp_ns, hint):
    labels = rig.watch(Image, 'segmentation/label_map')
    rig.start([SEGMENTATION], '-p', 'max_frame_age:=20.0', *models.arguments)
    rig.watched('segmentation/label_map')
    if stamp_ns is None:
        stamp_ns = time.time_ns() - 21 * 10**9
    fresh_ns = time.time_ns() - 10**9
    assert [rig.show(image(random_image(0), stamp_ns)), rig.show(image(random_image(1), fresh_ns)),
            rig.show(image(random_image(2), time.time_ns() + 100 * 10**9))] == ['too_old', 'processed', 'processed']
    assert runs[SEGMENTATION] == 2
    rig.until(lambda: len(labels) == 2, 'the label maps')
    assert stamp_of(labels[0]) == fresh_ns
    rig.until(lambda: rig.logged(hint), 'the hint')
    assert rig.logged('max_frame_age is 20 s')


def test_age_is_measured_on_the_clock_of_the_bag(rig, models):
    clock = rig.outside.create_publisher(Clock, '/clock', 1)
    rig.watch(Image, 'segmentation/label_map')
    rig.start([SEGMENTATION], '-p', 'max_frame_age:=0.2', '-p', 'use_sim_time:=true', *models.arguments)
    rig.watched('segmentation/label_map')
    rig.until(clock.get_subscription_count, 'the node to subscribe to /clock')
    now_ns = 1000 * 10**9
    clock.publish(Clock(clock=header(now_ns).stamp))
    rig.until(lambda: rig.node.get_clock().now().nanoseconds == now_ns, 'the time')
    ages_s = [0.0, 0.19, 0.21, 0.2, 500.0, -3.0]
    assert [rig.show(image(random_image(0), now_ns - int(age * 1e9))) for age in ages_s] == [
        'processed', 'processed', 'too_old', 'processed', 'too_old', 'processed']
    age_ms = rig.feed.timer.summary()['segmentation age']
    assert (age_ms.samples, age_ms.max) == (4, pytest.approx(200))


def test_the_newest_frame_wins_and_the_counts_add_up(rig, models, runs):
    labels = rig.watch(Image, 'segmentation/label_map')
    rig.start([SEGMENTATION], *models.arguments)
    rig.watched('segmentation/label_map')

    def send(numbers):
        for number in numbers:
            rig.camera.publish(image(random_image(number), stamp(number), 'x' if number == 30 else 'rgb8'))
            rig.until(lambda n=number + 1: rig.feed.counts['received'] == n, 'the image')

    def done():
        return sum(rig.feed.counts.values()) == 2 * rig.feed.counts['received']
    runs.gate.clear()
    send([0])
    rig.until(lambda: runs[SEGMENTATION] == 1, 'the engine to run')
    send(range(1, 20))
    runs.gate.set()
    rig.until(lambda: len(labels) == 2 and done(), 'the newest frame')
    send([20])
    rig.until(lambda: len(labels) == 3 and done(), 'the next frame')
    runs.gate.clear()
    send([21])
    rig.until(lambda: runs[SEGMENTATION] == 4, 'the engine to run')
    send(range(22, 31))  # The last one is bad.
    runs.gate.set()
    rig.until(done, 'the last frame')
    rig.until(lambda: len(labels) >= 4, 'the frame before it')
    assert [stamp_of(m) for m in labels] == [stamp(0), stamp(19), stamp(20), stamp(21)]
    assert +rig.feed.counts == {'received': 31, 'processed': 4, 'replaced': 18 + 8, 'bad': 1}
    np.testing.assert_array_equal(pixels_of(labels[1]), models.label_maps([image(random_image(19), 1)])[0][0])


# At start

@pytest.mark.parametrize(('arguments', 'text'), [
    (['-p', 'segmentation.model:=nanoflownet'], 'nanoflownet.yaml is a model for optical_flow, expected one for segm'),
    (['-p', 'segmentation.model:=espnet'], "no 'espnet'. Did you mean 'espnet_camvid'?"),
    (['-p', 'output_size:=half'], "parameter output_size: got 'half', expected one of camera, network."),
])
def test_a_node_with_a_wrong_parameter_is_not_made(rig, arguments, text):
    with pytest.raises(ConfigError) as caught:
        rig.start([SEGMENTATION], *arguments)
    assert text in str(caught.value)


def test_the_name_of_the_node_is_free(rig, models):
    node = rig.start([SEGMENTATION], *models.arguments, name='eyes')
    assert node.get_fully_qualified_name() == '/eyes'
    assert '/eyes/enable' in dict(rig.outside.get_service_names_and_types())

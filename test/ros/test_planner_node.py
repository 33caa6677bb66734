"""planner_node over DDS, on rendered scenes: what it publishes is what the scene is made of."""
import json
import math
import re
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from rendered_scene import BUILDING, CAR, CLASSES, PEDESTRIAN, Box, Scene, render, textured
from rig import PATIENCE_S, Program, header, image, stamp_of, trt_perception
from sensor_msgs.msg import CameraInfo, Image, Imu, LaserScan, TimeReference
from std_msgs.msg import String
from visualization_msgs.msg import Marker, MarkerArray

from trt_perception.core.errors import ConfigError
from trt_perception.core.planner import Planner
from trt_perception.ros.planner_node import PlannerNode
from trt_perception.ros.qos import LATCHED

SCENE = Scene((Box(CAR, 12.1, 0, (4.2, 1.8, 1.5)), Box(PEDESTRIAN, 9, 3, (0.5, 0.5, 1.75), (0.0, -1.5)),
               Box(CAR, 20, -4, (4.2, 1.8, 1.5), (-6.0, 0.0)), Box(BUILDING, 14, 8, (8, 4, 5))),
              speed=5.0, yaw_rate=0.1, mounting=(0.4, 0.1, 1.4, 0.01, 0.06, 0.0))
INTERVAL_S = 0.1
ARGUMENTS = [argument for name, value in zip(('x', 'y', 'height', 'roll', 'pitch', 'yaw'), SCENE.mounting)
             for argument in ('-p', 'camera.{}:={}'.format(name, value))]


@pytest.fixture(scope='module')
def view():
    return render(SCENE, 0.0, INTERVAL_S)


class Perception:
    """Plays the perception nodes: publishes what they make of an image."""

    def __init__(self, rig):
        self.rig = rig
        self.topics = {topic: rig.outside.create_publisher(kind, topic, 1) for topic, kind in (
            ('segmentation/label_map', Image), ('segmentation/camera_info', CameraInfo),
            ('segmentation/overlay', Image), ('optical_flow/flow', Image), ('optical_flow/camera_info', CameraInfo),
            ('optical_flow/time_reference', TimeReference))}
        classes = rig.outside.create_publisher(String, 'segmentation/label_info_json', LATCHED)
        classes.publish(String(data=json.dumps({'classes': [{'id': i, 'name': n} for i, n in CLASSES.items()]})))
        self.classes = classes

    def subscribed(self):
        return {topic for topic, publisher in self.topics.items() if publisher.get_subscription_count()}

    def wait(self, *topics):
        self.rig.until(lambda: self.subscribed() == set(topics) and (
            not topics or self.classes.get_subscription_count()), 'the planner to subscribe to {}'.format(topics))

    def show(self, view, stamp_ns, flow=True, other_ns=None):
        """Publish what belongs to one image, in the order in which the nodes do."""
        height, width = view.labels.shape
        info = CameraInfo(header=header(stamp_ns), height=height, width=width,
                          k=SCENE.camera.matrix.ravel().tolist(), p=[0.0] * 12)
        self.topics['segmentation/label_map'].publish(image(view.labels, stamp_ns, 'mono8'))
        self.topics['segmentation/camera_info'].publish(info)
        self.topics['segmentation/overlay'].publish(
            image(np.repeat(textured(view, SCENE)[..., np.newaxis], 3, axis=2), stamp_ns))
        if flow:
            other = header(stamp_ns - int(INTERVAL_S * 1e9) if other_ns is None else other_ns).stamp
            self.topics['optical_flow/time_reference'].publish(TimeReference(header=header(stamp_ns), time_ref=other))
            height, width = view.flow.shape[:2]
            self.topics['optical_flow/flow'].publish(Image(
                header=header(stamp_ns), height=height, width=width, encoding='32FC2', step=width * 8,
                data=view.flow.tobytes()))
            self.topics['optical_flow/camera_info'].publish(info)


@pytest.fixture
def perception(rig):
    return Perception(rig)


@pytest.fixture
def start(rig):
    """Start a planner with ROS arguments."""
    nodes = []

    def started(*arguments):
        node = PlannerNode(context=rig.context, use_global_arguments=False,
                           cli_args=['--ros-args'] + ARGUMENTS + list(arguments))
        rig.executor.add_node(node)
        nodes.append(node)
        return node
    yield started
    for node in nodes:
        rig.executor.remove_node(node)
        node.destroy_node()


def range_at(scan, x, y):
    """Return the range of the beam that goes through a point."""
    return scan.ranges[int(round((math.atan2(y, x) - scan.angle_min) / scan.angle_increment))]


def cost_at(grid, x, y):
    """Return the cost of the cell with a point."""
    column = int((x - grid.info.origin.position.x) / grid.info.resolution)
    row = int((y - grid.info.origin.position.y) / grid.info.resolution)
    return grid.data[row * grid.info.width + column]


def test_the_scan_ends_at_the_faces_of_the_boxes(rig, perception, start, view):
    scans = rig.watch(LaserScan, 'planner/scan')
    start('-p', 'base_frame:=base_footprint')
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    perception.show(view, 10**9, flow=False)
    rig.until(lambda: scans, 'the scan')
    assert scans[0].header == header(10**9, 'base_footprint')
    assert range_at(scans[0], 10, 0) == pytest.approx(10, abs=0.1)  # The car's rear.
    assert range_at(scans[0], 8.75, 3) == pytest.approx(math.hypot(8.75, 3), abs=0.1)
    assert range_at(scans[0], 17.9, -4) == pytest.approx(math.hypot(17.9, 4), abs=0.3)
    assert range_at(scans[0], 10, -4) == math.inf
    assert len(scans[0].ranges) == 160
    assert scans[0].angle_max > 0.4
    assert scans[0].range_max == 30


def test_the_grid_is_free_before_boxes_lethal_at_their_faces_and_unknown_behind(rig, perception, start, view):
    grids = rig.watch(OccupancyGrid, 'planner/grid')
    start('-p', 'grid.length:=25.0')
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    perception.show(view, 10**9, flow=False)
    rig.until(lambda: grids, 'the grid')
    grid = grids[0]
    assert grid.header == header(10**9, 'base_link')
    assert (grid.info.height, grid.info.width) == (200, 250)
    assert [cost_at(grid, x, 0) for x in (5, 9.5)] == [0, 0]
    assert 100 in [cost_at(grid, x, 0) for x in (9.95, 10.05, 10.15)]
    assert [cost_at(grid, x, 0) for x in (11, 13, 20)] == [-1, -1, -1]
    assert cost_at(grid, 1, 9) == -1  # Beside the image.
    assert cost_at(grid, 15, -3.0) == 0


def test_obstacles_have_place_speed_and_time_to_contact(rig, perception, start, view):
    found = rig.watch(String, 'planner/obstacles_json')
    start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                    'optical_flow/time_reference')
    perception.show(view, 10**9)
    rig.until(lambda: found, 'the obstacles')
    message = json.loads(found[0].data)
    assert message['stamp'] == {'sec': 1, 'nanosec': 0}
    assert message['frame_id'] == 'base_link'
    assert message['own_motion']['rotation_from'] == 'flow'
    assert message['own_motion']['velocity'][0] == pytest.approx(5, abs=0.1)
    assert message['own_motion']['yaw_rate'] == pytest.approx(0.1, abs=0.005)
    cars = [each for each in message['obstacles'] if each['class'] == 'car']
    [pedestrian] = [each for each in message['obstacles'] if each['class'] == 'pedestrian']
    still, driving = sorted(cars, key=lambda each: each['distance'])[:2]
    assert still['position'] == pytest.approx([10, 0], abs=0.15)
    assert still['size'] == pytest.approx([1.8, 1.5], abs=0.15)
    assert not still['is_moving']
    assert still['time_to_contact'] == pytest.approx((10 - 0.4) / 5, rel=0.05)
    assert driving['is_moving']
    assert driving['velocity'] == pytest.approx([-6, 0], abs=0.4)
    assert driving['time_to_contact'] == pytest.approx((17.9 - 0.4) / 11, rel=0.05)
    assert pedestrian['is_moving']
    assert pedestrian['velocity'] == pytest.approx([0, -1.5], abs=0.2)
    assert all(each['confidence'] > 0.9 for each in (still, driving, pedestrian))


@pytest.fixture
def with_gyro(rig, perception, start):
    """Return a function that starts the planner, and returns it and a publisher of a gyro, all connected."""
    def started():
        imu = rig.outside.create_publisher(Imu, 'imu', 100)
        node = start()
        rig.until(imu.get_subscription_count, 'the planner to subscribe to imu')
        perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                        'optical_flow/time_reference')
        return node, imu
    return started


def turns(before_ns, rate_hz=100, seconds=0.16):
    """Return what a gyro that turns with the scene sends before a time."""
    messages = []
    for stamp_ns in range(before_ns - int(seconds * 1e9), before_ns + 10**9 // rate_hz, 10**9 // rate_hz):
        message = Imu(header=header(stamp_ns))
        message.angular_velocity.z = 0.1
        messages.append(message)
    return messages


def test_the_rotation_is_the_gyros_where_there_is_one(rig, perception, with_gyro, view):
    found = rig.watch(String, 'planner/obstacles_json')
    node, imu = with_gyro()
    for message in turns(10**9):
        imu.publish(message)
    rig.until(lambda: len(node._gyro._samples) == 17, 'the turns to arrive')
    perception.show(view, 10**9)
    rig.until(lambda: found, 'the obstacles')
    own = json.loads(found[0].data)['own_motion']
    assert own['rotation_from'] == 'gyro'
    assert own['yaw_rate'] == pytest.approx(0.1, abs=1e-4)
    assert own['velocity'][0] == pytest.approx(5, abs=0.05)


def warned(rig, node, text):
    """Wait until a node has logged a text."""
    rig.node = node
    rig.until(lambda: rig.logged(text), text)
    rig.node = None


@pytest.mark.parametrize(('rate', 'covariance'), [
    (0.0, -1.0), (math.nan, 0.0), (math.inf, 0.0), (1e308, 0.0), (-101.0, 0.0)])
def test_a_gyro_that_does_not_measure_is_told_and_the_rotation_is_that_of_the_flow(
        rig, perception, with_gyro, view, rate, covariance):
    found = rig.watch(String, 'planner/obstacles_json')
    node, imu = with_gyro()
    for message in turns(10**9):
        message.angular_velocity.z = rate
        message.angular_velocity_covariance[0] = covariance
        imu.publish(message)
    warned(rig, node, 'imu: got angular velocities [0.0, 0.0, {}] with the covariance {:g} '.format(rate, covariance))
    perception.show(view, 10**9)
    rig.until(lambda: found, 'the obstacles')
    own = json.loads(found[0].data)['own_motion']
    assert own['rotation_from'] == 'flow'
    assert own['velocity'] == pytest.approx([5, 0, 0], abs=0.1)


@pytest.mark.parametrize(('shift_ns', 'rate_hz'), [(10**18, 100), (-10**10, 100), (0, 5)])
def test_a_gyro_whose_samples_do_not_cover_the_images_is_told(rig, perception, with_gyro, view, shift_ns, rate_hz):
    rig.watch(String, 'planner/obstacles_json')
    statuses = rig.watch(DiagnosticArray, '/diagnostics')
    node, imu = with_gyro()
    for message in turns(10**11 + shift_ns, rate_hz, 0.5):
        imu.publish(message)
    rig.until(lambda: len(node._gyro._samples) > 2, 'the turns to arrive')
    perception.show(view, 10**11)
    warned(rig, node, 'The gyro is not used: ')
    rig.until(lambda: any('The gyro is not used' in each.status[0].message for each in statuses), 'the status')
    assert node._gyro.counts == {'covered': 0, 'missed': 1}


def test_images_that_are_all_skipped_are_an_error_in_the_status(rig, perception, start, view):
    rig.watch(LaserScan, 'planner/scan')
    statuses = rig.watch(DiagnosticArray, '/diagnostics')
    start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    perception.topics['segmentation/label_map'].publish(image(view.labels, 10**9, 'mono8'))
    perception.topics['segmentation/camera_info'].publish(CameraInfo(header=header(10**9), height=480, width=640))
    rig.until(lambda: any(each.status[0].level == DiagnosticStatus.ERROR for each in statuses), 'the status')
    [text] = {each.status[0].message for each in statuses if each.status[0].level == DiagnosticStatus.ERROR}
    assert text == ('images skipped: camera_info: k: got focal lengths 0 and 0, expected two above 0. Calibrate the '
                    'camera.')


@pytest.mark.parametrize('size', [(0, 0), (2**32 - 1, 2**32 - 1), (480, 641)])
def test_a_calibration_of_another_size_is_refused_before_anything_is_made_of_it(rig, perception, start, view, size):
    rig.watch(LaserScan, 'planner/scan')
    node = start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    perception.topics['segmentation/label_map'].publish(image(view.labels, 10**9, 'mono8'))
    perception.topics['segmentation/camera_info'].publish(CameraInfo(
        header=header(10**9), height=size[0], width=size[1], k=SCENE.camera.matrix.ravel().tolist()))
    warned(rig, node, 'Image skipped: label map: got 480x640 px, expected {}x{} px'.format(*size))


def test_markers_name_the_obstacles_and_the_overlay_shows_them(rig, perception, start, view):
    markers, overlays = rig.watch(MarkerArray, 'planner/markers'), rig.watch(Image, 'planner/overlay')
    start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                    'optical_flow/time_reference', 'segmentation/overlay')
    perception.show(view, 10**9)
    rig.until(lambda: markers and overlays, 'markers and overlay')
    first, line = markers[0].markers[:2]
    assert first.action == Marker.DELETEALL
    assert line.ns == 'free_space'
    assert min(point.x for point in line.points) < 10 < max(point.x for point in line.points)
    texts = [marker.text for marker in markers[0].markers if marker.ns == 'texts']
    assert any(text.startswith('car 9.6 m, 1.9 s') for text in texts)
    assert any(text.startswith('pedestrian ') and text.endswith('1.5 m/s') for text in texts)
    assert overlays[0].header == header(10**9)
    pixels = np.frombuffer(overlays[0].data, np.uint8).reshape(480, 640, 3)
    gray = (pixels[..., 0] == pixels[..., 1]) & (pixels[..., 1] == pixels[..., 2])
    assert 1000 < (~gray).sum() < 30000


def test_without_subscribers_it_subscribes_to_nothing(rig, perception, start, view):
    start()
    rig.work(0.8)
    assert perception.subscribed() == set()
    rig.watch(LaserScan, 'planner/scan')
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    rig.unwatch()
    perception.wait()


def test_free_space_does_not_wait_for_the_flow(rig, perception, start, view):
    scans, found = rig.watch(LaserScan, 'planner/scan'), rig.watch(String, 'planner/obstacles_json')
    start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                    'optical_flow/time_reference')
    perception.show(view, 10**9, flow=False)
    rig.until(lambda: scans, 'the scan')
    perception.show(view, 2 * 10**9)
    rig.until(lambda: found and len(scans) == 2, 'the obstacles')
    assert [stamp_of(scan) for scan in scans] == [10**9, 2 * 10**9]


@pytest.mark.parametrize(('arguments', 'images'), [((), 3), (('-p', 'obstacles.interval:=0.0'), 1)])
def test_at_thirty_hertz_the_flow_of_three_images_is_followed(rig, perception, start, arguments, images):
    found = rig.watch(String, 'planner/obstacles_json')
    start(*arguments)
    perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                    'optical_flow/time_reference')
    moving = render(SCENE, 0.0, 1 / 30)
    stands = moving._replace(flow=np.zeros_like(moving.flow))
    for number, shown in enumerate((stands, stands, moving), 1):
        perception.show(shown, 10**9 + number * 33333333, other_ns=10**9 + (number - 1) * 33333333)
        rig.until(lambda number=number: len(found) == number, 'the obstacles')
    velocities = [json.loads(each.data)['own_motion']['velocity'][0] for each in found]
    assert velocities == pytest.approx([0, 0, 5 / images], abs=0.1)


def test_an_own_motion_that_the_flow_does_not_tell_is_told(rig, perception, start, view):
    statuses, found = rig.watch(DiagnosticArray, '/diagnostics'), rig.watch(String, 'planner/obstacles_json')
    rig.watch(MarkerArray, 'planner/markers')
    rig.watch(LaserScan, 'planner/scan')
    node = start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                    'optical_flow/time_reference')
    useless = view._replace(flow=np.random.RandomState(0).uniform(-60, 60, view.flow.shape).astype(np.float32))

    def status_of(shown):
        """Return level, text and values after some images of that flow, and nothing else."""
        del statuses[:]
        for _ in range(3):
            seen = len(found)
            perception.show(shown, (seen + 1) * 10**9)
            rig.until(lambda seen=seen: len(found) > seen, 'the obstacles')
        rig.until(lambda: any(each.status[0].values[1].value for each in statuses), 'a status')
        [latest] = [each.status[0] for each in statuses if each.status[0].values[1].value][-1:]
        return latest.level, latest.message, {each.key: each.value for each in latest.values}

    level, text, values = status_of(view)
    assert (level, values['own motion known, %']) == (b'\x00', '100')
    rate = float(re.fullmatch(r'running: (\d\.\d) images per second', text).group(1))
    assert abs(rate - float(values['images per second'])) < 0.06  # Both are rounded.
    assert 0 < rate < 4  # Of three images; each became three messages.
    assert json.loads(found[-1].data)['own_motion']['velocity'] is not None
    rig.until(lambda: statuses and not statuses[-1].status[0].values[1].value, 'a second without images')
    level, text, values = status_of(useless)
    assert (level, values['own motion known, %']) == (b'\x01', '0')
    assert text.startswith('The own motion is unknown in most images: ')
    rig.node = node
    assert rig.logged('The own motion is unknown in most images')
    rig.node = None


def test_what_does_not_come_is_named(rig, perception, start, view):
    statuses = rig.watch(DiagnosticArray, '/diagnostics')
    rig.watch(LaserScan, 'planner/scan')
    node = start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    end = time.monotonic() + PATIENCE_S
    named = []
    while not named and time.monotonic() < end:
        perception.topics['segmentation/label_map'].publish(image(view.labels, 10**9, 'mono8'))
        rig.work(0.2)
        named = [each.status[0] for each in statuses if 'camera_info' in each.status[0].message]
    assert named[0].message.startswith('Nothing comes on /segmentation/camera_info. ')
    assert named[0].name == 'planner: planner'
    rig.node = node
    rig.until(lambda: rig.logged('Nothing comes on /segmentation/camera_info'), 'the warning')
    rig.node = None


def test_the_command_runs_it_with_its_parameter_file_until_it_is_told_to_stop(rig, tmp_path):
    with Program(trt_perception('run', 'planner', '--namespace', 'front'), tmp_path / 'output') as program:
        rig.until(lambda: ('planner', '/front') in rig.outside.get_node_names_and_namespaces(), 'the node')
        rig.until(lambda: rig.outside.count_publishers('/front/planner/scan'), 'its topics')
        assert program.end(signal.SIGINT) == 0, program.output
        assert program.output == ''


def test_a_wrong_parameter_ends_the_command_with_one_line(domain, tmp_path):
    with Program(trt_perception('run', 'planner', '-p', 'scan.beams:=1'), tmp_path / 'output') as program:
        assert program.end(None) == 1
        assert program.output.startswith('planner: ConfigError: parameter scan.beams: ')


def test_images_of_one_stamp_are_told_apart(rig, perception, start, view):
    scans = rig.watch(LaserScan, 'planner/scan')
    start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    for number, each in enumerate((view, render(SCENE._replace(boxes=()))), 1):
        perception.show(each, 0, flow=False)
        rig.until(lambda n=number: len(scans) == n, 'the scan')
    assert [range_at(scan, 10, 0) < 11 for scan in scans] == [True, False]


@pytest.mark.parametrize(('size', 'other_ns', 'text'), [
    (480, 11 * 10**8, 'Set flow_grid: current'), (240, 9 * 10**8, 'Set output_size: camera')])
def test_results_that_do_not_fit_are_skipped_with_the_remedy(rig, perception, start, view, size, other_ns, text):
    rig.watch(String, 'planner/obstacles_json')
    node = start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info', 'optical_flow/flow',
                    'optical_flow/time_reference')
    perception.show(view._replace(flow=view.flow[:size]), 10**9, other_ns=other_ns)
    rig.node = node
    rig.until(lambda: rig.logged(text), 'the warning')
    rig.node = None


def test_a_bug_costs_its_image_or_its_status_and_not_the_node(rig, perception, start, view, monkeypatch):
    scans, statuses = rig.watch(LaserScan, 'planner/scan'), rig.watch(DiagnosticArray, '/diagnostics')
    node = rig.node = start()
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    with monkeypatch.context() as patch:
        patch.setattr(Planner, 'free_space', lambda self, labels: 1 // 0)
        patch.setattr(node._results, 'silent', lambda: [][0])
        perception.show(view, 10**9, flow=False)
        rig.until(lambda: rig.logged('Image skipped: Traceback'), 'the report of the image')
        rig.until(lambda: rig.logged('No diagnostics: Traceback'), 'the report of the status')
    del statuses[:]
    perception.show(view, 2 * 10**9, flow=False)
    rig.until(lambda: scans and statuses, 'the next scan, and a status')
    rig.node = None
    assert [stamp_of(scan) for scan in scans] == [2 * 10**9]


def test_classes_that_nobody_named_are_told(rig, perception, start, view, tmp_path):
    (tmp_path / 'costs.yaml').write_text('ground: {road: 0}\nobstacles: {car: 80}\nunseen: [sky]\n')
    grids = rig.watch(OccupancyGrid, 'planner/grid')
    node = start('-p', 'class_costs:={}/costs.yaml'.format(tmp_path))
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    perception.show(view, 10**9, flow=False)
    rig.until(lambda: grids, 'the grid')
    assert {80, 100, 0, -1} == set(grids[0].data)
    rig.node = node
    rig.until(lambda: rig.logged('class_costs: building, pavement, pedestrian are not named'), 'the warning')
    rig.node = None


@pytest.mark.parametrize(('arguments', 'text'), [
    (['-p', 'camera.height:=-1.0'], 'parameter camera.height: .*a number from 0.01 to 1000'),
    (['-p', 'mounting:=tf'], 'parameter mounting: got tf, but tf2_ros cannot be imported'),
    (['-p', 'class_costs:=/no/such.yaml'], '/no/such.yaml: ')])
def test_wrong_parameters_stop_the_node(start, arguments, text):
    if 'tf' in arguments[1] and 'tf2_ros' in sys.modules:
        pytest.skip('tf2_ros is installed here')
    with pytest.raises(ConfigError, match=text):
        start(*arguments)


def test_with_tf_the_mounting_is_looked_up_once(rig, perception, start, view, monkeypatch):
    asked = []

    class Buffer:
        def lookup_transform(self, target, source, when):
            asked.append((target, source))
            if len(asked) == 1:
                raise LookupError('not yet')
            vector = SimpleNamespace(x=0.4, y=0.1, z=1.4)
            half = 0.5  # Of a camera that looks straight ahead: x right, y down, z forward.
            return SimpleNamespace(transform=SimpleNamespace(
                translation=vector, rotation=SimpleNamespace(x=-half, y=half, z=-half, w=half)))

    monkeypatch.setitem(sys.modules, 'tf2_ros', SimpleNamespace(
        Buffer=Buffer, TransformListener=lambda buffer, node: None))
    level = SCENE._replace(mounting=(0.4, 0.1, 1.4, 0.0, 0.0, 0.0))
    scans = rig.watch(LaserScan, 'planner/scan')
    node = start('-p', 'mounting:=tf')
    perception.wait('segmentation/label_map', 'segmentation/camera_info')
    perception.show(view, 10**9, flow=False)
    rig.node = node
    rig.until(lambda: rig.logged("tf has no transform from 'camera' to 'base_link' yet: not yet"), 'the warning')
    rig.node = None
    for stamp_ns in (2 * 10**9, 3 * 10**9):
        perception.show(render(level), stamp_ns, flow=False)
        rig.until(lambda n=stamp_ns: scans and stamp_of(scans[-1]) == n, 'the scan')
    assert asked == 2 * [('base_link', 'camera')]
    assert range_at(scans[-1], 10, 0) == pytest.approx(10, abs=0.1)

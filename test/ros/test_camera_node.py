"""camera_node over real DDS; what it shows is the test pattern, or a video."""
import os

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rig import Program, image, pixels_of, stamp_of
from sensor_msgs.msg import CameraInfo, Image

from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.image import frame_from_array
from trt_perception.core.image_source import ImageSource
from trt_perception.ros import camera_node
from trt_perception.ros.camera_messages import FrameWriter
from trt_perception.ros.camera_node import CameraNode, path_of
from trt_perception.ros.messages import frame_from_image
from trt_perception.sources import pattern_source
from trt_perception.sources.pattern_source import STEP_PX

SMALL = ('-p', 'source:=test', '-p', 'image_height:=48', '-p', 'image_width:=64', '-p', 'framerate:=100.0')


@pytest.fixture
def calibration(tmp_path):
    """Write a calibration of 48x64 px and return its path."""
    content = {'image_width': 64, 'image_height': 48, 'distortion_model': 'plumb_bob',
               'camera_matrix': {'data': [50.0, 0.5, 31.0, 0.0, 60.0, 23.0, 0.0, 0.0, 1.0]},
               'distortion_coefficients': {'data': [0.1, -0.2, 0.003, 0.004, 0.05]},
               'rectification_matrix': {'data': [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]},
               'projection_matrix': {'data': [51.0, 0.25, 30.0, -4.0, 0.0, 61.0, 22.0, 3.0, 0.0, 0.0, 1.0, 0.5]}}
    path = tmp_path / 'camera.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def camera(rig):
    """Give a function that starts the node inside the rig; it is closed at the end of the test."""
    nodes = []

    def start(*arguments, **kwargs):
        nodes.append(CameraNode(context=rig.context, use_global_arguments=False,
                                cli_args=['--ros-args'] + list(arguments), **kwargs))
        rig.executor.add_node(nodes[-1])
        return nodes[-1]
    yield start
    for node in nodes:
        rig.executor.remove_node(node)
        node.destroy_node()


class FakeSource(ImageSource):
    """A camera that does what a script says: frames, None, or exceptions."""

    def __init__(self, options, now_ns, script):
        super().__init__(options, now_ns)
        self._script = script

    def __str__(self):
        return 'a fake'

    def read(self, timeout_s):
        step = next(self._script, None)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self):
        pass


def test_the_pattern_arrives_with_its_calibration_under_the_same_header(rig, camera, calibration):
    images, infos = rig.watch(Image, 'image'), rig.watch(CameraInfo, 'camera_info')
    camera(*SMALL, '-p', 'frame_id:=front', '-p', 'camera_info_url:=file://' + calibration)
    rig.until(lambda: len(images) > 5 and len(infos) > 5, 'images')
    info_of = {stamp_of(info): info for info in infos}
    pairs = [(message, info_of[stamp_of(message)]) for message in images if stamp_of(message) in info_of]
    assert len(pairs) > 3
    for message, info in pairs:
        assert (message.header.frame_id, message.encoding, message.height, message.width) == ('front', 'rgb8', 48, 64)
        assert info.header == message.header
        assert (info.height, info.width, info.distortion_model) == (48, 64, 'plumb_bob')
        assert list(info.d) == [0.1, -0.2, 0.003, 0.004, 0.05]
        assert list(info.k[:6]) == [50.0, 0.5, 31.0, 0.0, 60.0, 23.0]
        assert list(info.r[:3]) == [0.0, 1.0, 0.0]
        assert list(info.p) == [51.0, 0.25, 30.0, -4.0, 0.0, 61.0, 22.0, 3.0, 0.0, 0.0, 1.0, 0.5]
    before, after = (pixels_of(message).astype(int) for message in images[-2:])
    np.testing.assert_array_equal(after[STEP_PX[1]:, STEP_PX[0]:], before[:-STEP_PX[1], :-STEP_PX[0]])
    now_ns = rig.outside.get_clock().now().nanoseconds
    assert 0 <= now_ns - stamp_of(images[-1]) < 5e9
    assert (np.diff([stamp_of(message) for message in images]) > 0).all()


def test_without_a_calibration_there_is_no_camera_info(rig, camera):
    images = rig.watch(Image, 'image')
    camera(*SMALL)
    rig.until(lambda: images, 'images')
    assert not rig.outside.get_publishers_info_by_topic('/camera_info')


def test_camera_info_follows_a_remapped_image(rig, camera, calibration):
    infos = rig.watch(CameraInfo, '/front/camera_info')
    camera(*SMALL, '-p', 'camera_info_url:=' + calibration, '-r', 'image:=/front/image_raw')
    rig.until(lambda: infos, 'camera_info')
    assert rig.outside.count_publishers('/front/image_raw') == 1


def test_a_calibration_for_another_size_ends_the_node(rig, camera, calibration):
    node = camera('-p', 'source:=test', '-p', 'camera_info_url:=' + calibration)
    rig.until(node.stopped.done, 'the end')
    with pytest.raises(ConfigError, match='camera.yaml: got a calibration of 48x64 px, expected one of the 480x640 px'):
        node.stopped.result()


def test_a_source_that_cannot_be_opened_at_start_ends_the_node(rig, camera):
    node = camera('-p', 'source:=/dev/video99')
    rig.until(node.stopped.done, 'the end')
    with pytest.raises(ConfigError, match='source: /dev/video99 is not there'):
        node.stopped.result()


@pytest.mark.parametrize(('parameter', 'text'), [
    ('reader:=v4l', "parameter reader: got 'v4l', expected one of auto, gstreamer, opencv"),
    ('timeout:=0.0', 'parameter timeout: .* Expected a number from 0.1 to 3600'),
    ('camera_info_url:=http://a/b', "camera_info_url: got 'http://a/b', expected a path, file:///PATH or package://"),
    ('camera_info_url:=/no/such.yaml', '/no/such.yaml: No such file or directory')])
def test_wrong_parameters_are_refused(camera, parameter, text):
    with pytest.raises(ConfigError, match=text):
        camera('-p', 'source:=test', '-p', parameter)


def test_a_camera_that_is_lost_is_opened_again(rig, camera, monkeypatch):
    # What a cable that is pulled and put back looks like: no image; then the device is gone; then it is there again.
    frame = frame_from_array(np.full((4, 6, 3), 9, np.uint8), 5 * 10**9, 'front')
    scripts = [iter([frame, FrameError('a fake: no image.')]), ConfigError('source: a fake is not there.'),
               iter([frame._replace(stamp_ns=6 * 10**9)])]

    def open_source(options, now_ns, reader):
        script = scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        return FakeSource(options, now_ns, script)
    monkeypatch.setattr(camera_node, 'open_source', open_source)
    images = rig.watch(Image, 'image')
    rig.until(lambda: rig.outside.count_subscribers('/image'), 'the subscription')
    node = camera('-p', 'source:=x')
    rig.until(lambda: [stamp_of(message) // 10**9 for message in images][-1:] == [6], 'the camera to come back')
    assert node.reopened == 1
    rig.node = node  # For `logged`.
    rig.until(lambda: rig.logged('a fake: no image. Opening it again in 1 s.') and
              rig.logged('source: a fake is not there. Opening it again in 2 s.'), 'the log')
    rig.node = None


def test_a_camera_that_stays_silent_is_opened_again(rig, camera, monkeypatch):
    opened = []

    def open_source(options, now_ns, reader):
        opened.append(options)
        return FakeSource(options, now_ns, iter(()))
    monkeypatch.setattr(camera_node, 'open_source', open_source)
    node = camera('-p', 'source:=x', '-p', 'timeout:=0.5')
    rig.until(lambda: node.reopened, 'the camera to be opened again')
    assert len(opened) > 1


def test_the_status_tells_the_rate_and_what_was_lost(rig, camera, monkeypatch):
    statuses = rig.watch(DiagnosticArray, '/diagnostics')

    def until(condition, what):
        rig.until(lambda: statuses and condition(statuses[-1].status[0]), what)
        return statuses[-1].status[0]
    node = camera(*SMALL, namespace='front')
    status = until(lambda status: status.message.endswith(' images/s') and status.message != '0.0 images/s', 'a rate')
    assert (status.name, status.hardware_id, status.level) == ('front/camera: camera', 'test', DiagnosticStatus.OK)
    monkeypatch.setattr(node, '_open', lambda: (_ for _ in ()).throw(ConfigError('it is gone.')))
    node._settings['timeout'] = -1.0
    monkeypatch.setattr(pattern_source.PatternSource, 'read', lambda self, timeout_s: None)
    status = until(lambda status: status.message == 'it is gone.', 'the loss')
    assert status.level == DiagnosticStatus.ERROR


def video(path):
    import cv2
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 50.0, (64, 48))
    for gray in (60, 120, 180):
        writer.write(np.full((48, 64, 3), gray, np.uint8))
    writer.release()
    return str(path)


def grays_of(images):
    """Return the gray levels of images, to the ten that JPEG leaves of them."""
    return {round(int(pixels_of(message)[0, 0, 0]), -1) for message in images}


def test_the_node_ends_with_its_video(rig, camera, tmp_path):
    images = rig.watch(Image, 'image')
    rig.until(lambda: rig.outside.count_subscribers('/image'), 'the subscription')
    node = camera('-p', 'source:=' + video(tmp_path / 'a.avi'), '-p', 'reader:=opencv')
    rig.until(node.stopped.done, 'the end of the video')
    assert node.stopped.result() is None
    rig.until(lambda: grays_of(images[-1:]) == {180}, 'the last image')
    assert grays_of(images) <= {60, 120, 180}


def test_a_video_in_a_loop_goes_on(rig, camera, tmp_path):
    images = rig.watch(Image, 'image')
    node = camera('-p', 'source:=' + video(tmp_path / 'a.avi'), '-p', 'reader:=opencv', '-p', 'loop:=true')
    rig.until(lambda: len(images) > 7 and grays_of(images) >= {60, 120, 180}, 'the second time around')
    assert not node.stopped.done()
    assert grays_of(images) == {60, 120, 180}


def test_nv12_of_a_gstreamer_pipeline_arrives_as_it_is(rig, camera):
    try:
        from trt_perception.sources import gstreamer_source  # noqa: F401
    except (ImportError, ValueError) as error:
        pytest.skip("GStreamer's Python bindings cannot be imported: {}".format(error))
    images = rig.watch(Image, 'image')
    camera('-p', 'pipeline:=videotestsrc is-live=true pattern=red ! video/x-raw,format=NV12,width=64,height=48')
    rig.until(lambda: len(images) > 3, 'images')
    for message in images:
        assert (message.encoding, message.height, message.width, message.step) == ('nv12', 48, 64, 64)
        data = np.frombuffer(message.data, np.uint8)
        assert len(data) == 72 * 64
        # Red in BT.601, studio range.
        np.testing.assert_allclose([data[:48 * 64].mean(), data[48 * 64::2].mean(), data[48 * 64 + 1::2].mean()],
                                   [81, 90, 240], atol=1)
    assert (np.diff([stamp_of(message) for message in images]) > 0).all()


def test_frames_become_messages_bit_for_bit():
    writer = FrameWriter()
    original = image(np.arange(72 * 64, dtype=np.uint8).reshape(72, 64), 10**9 + 7, 'mono8')
    original.height, original.encoding = 48, 'nv12'
    for _ in range(2):
        message = writer.message(frame_from_image(original))
        assert message == original
    smaller = image(np.full((5, 7, 3), 3, np.uint8), 3, 'rgb8', padding=2)
    assert writer.message(frame_from_image(smaller)) == smaller


def test_package_urls_are_resolved_and_unknown_packages_named(monkeypatch, tmp_path):
    index = tmp_path / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'rover').write_text('')
    (tmp_path / 'share/rover').mkdir()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    assert path_of('package://rover/config/front.yaml') == os.path.join(str(tmp_path), 'share/rover/config/front.yaml')
    with pytest.raises(ConfigError, match="camera_info_url: package://none/a.yaml: there is no package 'none' here"):
        path_of('package://none/a.yaml')


def test_the_program_publishes_and_ends_without_an_error(domain, tmp_path):
    program = Program(['-m', 'trt_perception', 'run', 'camera', '-p', 'source:=test'], tmp_path / 'out')
    with program:
        program.until('Opened a test pattern of 480x640 px')
        assert program.end() == 0
    assert 'Traceback' not in program.output


@pytest.mark.parametrize(('argument', 'text'), [
    ('source:=/dev/none', 'source: /dev/none is not there.'),
    ('camera_info_url:=http://here', "camera_info_url: got 'http://here', expected a path"),
    ('camera_info_url:=/', '/: not a regular file. Give a YAML file.'),
    ('qos_overrides./image.publisher.reliability:=good', 'topic image: ')])
def test_the_program_says_in_one_line_why_it_cannot_start(domain, tmp_path, argument, text):
    with Program(['-m', 'trt_perception', 'run', 'camera', '-p', argument], tmp_path / 'out') as program:
        assert program.end(None) == 1
    assert program.output.strip().startswith('camera: ConfigError: ' + text)
    assert len(program.output.strip().splitlines()) == 1

import time
from types import SimpleNamespace

import cv2
import networks
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rig import DEEP, Program, camera_info, image, random_image, trt_perception
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from trt_perception import transport
from trt_perception.core.errors import ConfigError
from trt_perception.core.tasks import SEGMENTATION
from trt_perception.ros import camera
from trt_perception.ros.camera_subscription import offered

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
KEPT, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE


@pytest.fixture
def arguments(tmp_path):
    """Return the ROS arguments that choose a tiny model."""
    networks.segmentation_model(tmp_path)
    return ['-p', 'segmentation.model:={}/tiny.yaml'.format(tmp_path)]


def profile(reliability, durability=VOLATILE):
    return QoSProfile(depth=5, reliability=reliability, durability=durability)


def publish(rig, topic='/image', reliability=BEST_EFFORT, kind=Image, durability=VOLATILE):
    publisher = rig.outside.create_publisher(kind, topic, profile(reliability, durability))
    rig.until(publisher.get_subscription_count, 'the node to subscribe to ' + topic)
    return publisher


def asked(rig):
    return rig.node._cameras[0].image.qos_profile.reliability


@pytest.mark.parametrize(('profiles', 'latched', 'expected'), [
    ([], True, (RELIABLE, VOLATILE)),
    ([(RELIABLE, VOLATILE)], True, (RELIABLE, VOLATILE)),
    ([(BEST_EFFORT, VOLATILE)], True, (BEST_EFFORT, VOLATILE)),
    ([(RELIABLE, VOLATILE), (BEST_EFFORT, VOLATILE)], True, (BEST_EFFORT, VOLATILE)),
    ([(RELIABLE, KEPT)], True, (RELIABLE, KEPT)),
    ([(RELIABLE, KEPT)], False, (RELIABLE, VOLATILE)),
    ([(RELIABLE, KEPT), (RELIABLE, VOLATILE)], True, (RELIABLE, VOLATILE))])
def test_what_is_asked_for_is_what_every_publisher_offers(profiles, latched, expected):
    publishers = [SimpleNamespace(qos_profile=profile(*each)) for each in profiles]
    found = offered(publishers, latched)
    assert (found.reliability, found.durability) == expected
    assert found.depth == 1


@pytest.mark.parametrize('reliability', [RELIABLE, BEST_EFFORT])
def test_a_camera_is_heard_whatever_it_offers(rig, arguments, reliability):
    rig.start([SEGMENTATION], *arguments, kind=None)
    rig.camera = publish(rig, reliability=reliability)
    rig.until(lambda: asked(rig) == reliability, 'the QoS of the camera')
    rig.until(rig.camera.get_subscription_count, 'the subscription')
    rig.until(lambda: (rig.camera.publish(image(random_image(1), 5)), rig.feed.counts['received'])[1], 'an image')


def test_the_subscription_follows_a_camera_that_is_replaced(rig, arguments):
    rig.start([SEGMENTATION], *arguments)
    rig.until(lambda: asked(rig) == RELIABLE, 'the QoS of the first camera')
    other = rig.outside.create_publisher(Image, '/image', profile(BEST_EFFORT))
    rig.until(lambda: asked(rig) == BEST_EFFORT, 'the QoS that both offer')
    rig.outside.destroy_publisher(other)
    rig.until(lambda: asked(rig) == RELIABLE, 'the QoS of the one that is left')
    rig.outside.destroy_publisher(rig.camera)
    rig.camera = publish(rig, reliability=BEST_EFFORT)
    rig.until(lambda: asked(rig) == BEST_EFFORT, 'the QoS of the new one')
    rig.until(rig.camera.get_subscription_count, 'the subscription')
    rig.until(lambda: (rig.camera.publish(image(random_image(1), 5)), rig.feed.counts['received'])[1], 'an image')


def test_a_reliability_that_the_user_chose_stands(rig, arguments):
    rig.start([SEGMENTATION], '-p', 'qos_overrides./image.subscription.reliability:=best_effort', *arguments)
    rig.work(0.6)
    assert asked(rig) == BEST_EFFORT


def test_a_reliability_that_does_not_exist_stops_the_node(rig, arguments):
    with pytest.raises(ConfigError) as caught:
        rig.start([SEGMENTATION], '-p', 'qos_overrides./image.subscription.reliability:=relyable', *arguments)
    assert str(caught.value) == ("parameter qos_overrides./image.subscription.reliability: got 'relyable', expected "
                                 'one of automatic, reliable, best_effort.')


@pytest.mark.parametrize(('override', 'topic'), [
    ('/segmentation/label_map.publisher.reliability:=maybe', 'segmentation/label_map'),
    ('/segmentation/label_map.publisher.depth:=many', 'segmentation/label_map'),
    ('/segmentation/label_map.publisher.depth:=-1', 'segmentation/label_map')])
def test_other_overrides_that_are_wrong_stop_the_node_too(rig, arguments, override, topic):
    with pytest.raises(ConfigError, match='^topic {}: .* Correct its qos_overrides, if it has any[.]$'.format(topic)):
        rig.start([SEGMENTATION], '-p', 'qos_overrides.' + override, *arguments)


@pytest.mark.parametrize('value', ['depth:=-1', 'depth:=many', 'history:=keep_nothing'])
def test_a_wrong_override_of_the_image_ends_the_program_with_one_line(domain, tmp_path, arguments, value):
    command = trt_perception('run', 'segmentation', '-p', 'qos_overrides./image.subscription.' + value, *arguments)
    with Program(command, tmp_path / 'output') as program:
        assert program.end(None) == 1
        assert 'Traceback' not in program.output
        assert program.output.splitlines()[-1].startswith('segmentation: ConfigError: topic /image: ')


def test_a_calibration_that_was_published_once_before_the_node_is_taken(rig, arguments):
    infos = rig.outside.create_publisher(CameraInfo, '/camera_info', profile(RELIABLE, KEPT))
    infos.publish(camera_info(48, 64, 17))
    rig.start([SEGMENTATION], *arguments)
    rig.until(lambda: rig.feed.camera_info is not None, 'the camera_info')
    assert rig.feed.camera_info == camera_info(48, 64, 17)


def test_camera_info_may_be_remapped_itself(rig, arguments):
    rig.start([SEGMENTATION], '-r', 'image:=/front/image_raw', '-r', 'camera_info:=/calibration/front', *arguments,
              camera='/front/image_raw')
    publish(rig, '/calibration/front', RELIABLE, CameraInfo).publish(camera_info(48, 64, 17))
    rig.until(lambda: rig.feed.camera_info is not None, 'the camera_info')


def test_the_whole_name_of_a_compressed_topic_is_understood(rig, arguments):
    rig.start([SEGMENTATION], '-p', 'image_transport:=compressed', '-r', 'image:=/front/image_raw/compressed',
              *arguments, camera='/front/image_raw/compressed', kind=CompressedImage)
    assert rig.node._cameras[0].image.topic_name == '/front/image_raw/compressed'
    assert rig.node._cameras[0].info.topic_name == '/front/camera_info'
    png = cv2.imencode('.png', random_image(1))[1].tobytes()
    assert rig.show(CompressedImage(format='png', data=png)) == 'idle'


def test_two_cameras_on_one_topic_are_named(rig, arguments):
    rig.start([SEGMENTATION], *arguments)
    rig.work(0.6)
    assert not rig.node._cameras[0].is_mixed
    second = rig.outside.create_publisher(Image, '/image', profile(RELIABLE))
    rig.until(lambda: rig.node._cameras[0].is_mixed, 'the node to notice')
    rig.until(lambda: rig.logged('2 publishers on /image: /outside, /outside. Their images cannot be'), 'it')
    rig.outside.destroy_publisher(second)
    rig.until(lambda: not rig.node._cameras[0].is_mixed, 'the node to notice')


def show(rig, numbers):
    return [rig.show(image(random_image(number), 10**9 + number * 10**7)) for number in numbers]


def watch_diagnostics(rig):
    statuses = rig.watch(DiagnosticArray, '/diagnostics')

    def until(text):
        def said():
            return any(text in array.status[0].message and array.status[0].level == DiagnosticStatus.WARN
                       for array in statuses)
        rig.until(lambda: said() and rig.logged(text), text)
    return until


def test_the_log_says_that_simulated_time_does_not_come(rig, arguments, monkeypatch):
    monkeypatch.setattr(camera, '_SILENCE_S', 0.5)
    rig.start([SEGMENTATION], '-p', 'use_sim_time:=true', *arguments)
    rig.until(lambda: rig.logged('use_sim_time is on, but no time comes on /clock. Play the bag with --clock'), 'it')


@pytest.mark.parametrize(('lost', 'limit', 'text'), [
    (9, 2**18, 'The kernel buffers 262144 bytes per socket, less than the packets of one image need. Run: sudo sysctl'),
    (9, 2**26, 'Let the camera publish reliable, or start it from a shell with: export ')])
def test_log_and_diagnostics_say_that_images_get_lost(rig, arguments, monkeypatch, lost, limit, text):
    monkeypatch.setattr(transport, 'receive_buffer_limit', lambda: limit)
    until = watch_diagnostics(rig)
    rig.start([SEGMENTATION], *arguments)
    rig.show(image(random_image(1), time.time_ns()))
    rig.node._cameras[0].image._count_lost(SimpleNamespace(total_count=9, total_count_change=lost))
    until(' images on /image were lost on the way. ' + text)


def test_a_camera_whose_images_are_all_lost_is_not_called_silent(rig, arguments, monkeypatch):
    monkeypatch.setattr(camera, '_SILENCE_S', 0.2)
    rig.start([SEGMENTATION], *arguments)
    watcher = rig.node._cameras[0]
    rig.node._watch_timer.cancel()
    watcher._since_s -= 10
    watcher._counted_s -= 10
    watcher.image._count_lost(SimpleNamespace(total_count=30, total_count_change=30))
    watcher.watch()
    assert watcher.complaint.startswith('30 of 30 images on /image were lost on the way. ')
    watcher._counted_s -= 10
    watcher.watch()
    assert watcher.complaint.startswith('No image on /image for 1')


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
    monkeypatch.setattr(camera, '_SILENCE_S', 0.1)


def warnings_of(rig):
    return [entry.msg for entry in rig.log if entry.name == 'perception' and entry.level == entry.WARN]


def tick(rig):
    """Let the node look at its camera, without waiting for its timer."""
    rig.work(0.15)
    rig.node._cameras[0].watch()
    rig.work(0.1)


def test_without_a_publisher_the_silence_is_explained(rig, arguments, impatient):
    rig.start([SEGMENTATION], '-r', 'image:=/front/image_raw', *arguments, kind=None)
    tick(rig)
    rig.until(lambda: warnings_of(rig), 'the warning')
    assert warnings_of(rig) == ["No publisher on /front/image_raw. Remap `image` to the camera's topic."]


@pytest.mark.parametrize(('transport', 'topic', 'asked', 'kind', 'found'), [
    ('raw', '/image', 'sensor_msgs/msg/Image', Image, 'sensor_msgs/msg/Image'),
    ('raw', '/image', 'sensor_msgs/msg/Image', String, 'std_msgs/msg/String'),
    ('compressed', '/image/compressed', 'sensor_msgs/msg/CompressedImage', CompressedImage,
     'sensor_msgs/msg/CompressedImage')])
def test_a_publisher_that_does_not_reach_the_node_is_named_with_both_profiles(
        rig, stranger, arguments, monkeypatch, transport, topic, asked, kind, found):
    publisher = stranger.create_publisher(kind, topic, DEEP)
    rig.start([SEGMENTATION], '-p', 'image_transport:=' + transport, *arguments, kind=None)
    rig.until(lambda: 'stranger' in [each.node_name for each in rig.node.get_publishers_info_by_topic(topic)],
              'the node to see the publisher, and then its name')
    monkeypatch.setattr(camera, '_SILENCE_S', 0.1)  # Not before: the node would find nobody.
    if kind is String:
        publisher.publish(String(data='no image'))
    tick(rig)
    rig.until(lambda: warnings_of(rig), 'the warning')
    [text] = warnings_of(rig)
    assert text.startswith('No image on {} for 0 s although there is a publisher. Asked for: {}, RELIABLE, '
                           'VOLATILE. /stranger offers {}, RELIABLE, VOLATILE. '.format(topic, asked, found))
    assert rig.feed.counts['received'] == 0


def test_profiles_that_do_not_fit_are_both_named(rig, arguments, impatient):
    publisher = rig.outside.create_publisher(Image, '/image', profile(BEST_EFFORT))
    rig.start([SEGMENTATION], '-p', 'qos_overrides./image.subscription.reliability:=reliable', *arguments, kind=None)
    publisher.publish(image(random_image(0), 1))
    tick(rig)
    rig.until(lambda: any('No image on' in text for text in warnings_of(rig)), 'the warning')
    [text] = [text for text in warnings_of(rig) if 'No image on' in text]
    assert 'Asked for: sensor_msgs/msg/Image, RELIABLE, VOLATILE. ' in text
    assert '/outside offers sensor_msgs/msg/Image, BEST_EFFORT, VOLATILE. ' in text
    assert rig.feed.counts['received'] == 0


def test_the_silence_begins_with_the_last_image(rig, arguments):
    rig.start([SEGMENTATION], *arguments)
    rig.node._watch_timer.cancel()
    rig.node._cameras[0]._since_s -= 1000
    show(rig, [0])
    for _ in range(3):
        rig.node._cameras[0].watch()
    rig.work(0.2)
    assert warnings_of(rig) == []
    rig.node._cameras[0]._since_s -= 1000
    rig.node._cameras[0].watch()
    rig.until(lambda: warnings_of(rig), 'the warning')


def test_a_publisher_that_has_just_come_is_not_late(rig, arguments):
    rig.start([SEGMENTATION], *arguments, kind=None)
    rig.node._watch_timer.cancel()
    rig.node._cameras[0].watch()
    rig.node._cameras[0]._since_s -= 1000
    publisher = rig.outside.create_publisher(Image, '/image', DEEP)
    rig.until(lambda: rig.node.get_publishers_info_by_topic('/image'), 'the node to see the publisher')
    rig.node._cameras[0].watch()
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

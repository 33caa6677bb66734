"""What `process` writes for recorded images is what the node publishes for them, over real DDS."""
import networks
import pytest
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rig import camera_info, image, random_image
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, TimeReference
from std_msgs.msg import String

from trt_perception.ros.qos import LATCHED

TOPICS = {
    'segmentation/label_map': Image, 'segmentation/confidence': Image, 'segmentation/color': Image,
    'segmentation/overlay': Image, 'segmentation/label_map/compressed': CompressedImage,
    'segmentation/camera_info': CameraInfo, 'segmentation/label_info_json': String, 'optical_flow/flow': Image,
    'optical_flow/confidence': Image, 'optical_flow/color': Image, 'optical_flow/camera_info': CameraInfo,
    'optical_flow/flow_info': String, 'optical_flow/time_reference': TimeReference}
PERIOD_NS = 50 * 10**6


def sent():
    """Return images of which one cannot be used, two have a gap between them, and one is of another size."""
    stamps = [10**9 + number * PERIOD_NS for number in range(4)] + [3 * 10**9, 3 * 10**9 + PERIOD_NS, 4 * 10**9 + 1]
    messages = [image(random_image(number, (48, 64)), stamp_ns, padding=3) for number, stamp_ns in enumerate(stamps)]
    messages[2].encoding = 'rgb16'
    messages[-1] = image(random_image(9, (24, 32)), stamps[-1])
    return messages


@pytest.mark.parametrize('arguments', [
    {}, {'output_size': 'network', 'flow_grid': 'previous', 'segmentation.min_confidence': 0.9,
         'optical_flow.color_max': 5.0}, {'propagate': 3}],
    ids=['defaults', 'other parameters', 'carried labels'])
def test_offline_is_what_the_node_publishes(rig, tmp_path, arguments):
    rosbag2 = pytest.importorskip('rosbags.rosbag2')
    from bags import TYPES

    from trt_perception.process import Job, process
    folders = [tmp_path / name for name in ('segmentation', 'flow')]
    for folder in folders:
        folder.mkdir()
    settings = dict(arguments, **{'num_threads': 1, 'engine': 'onnxruntime',
        'segmentation.model': networks.segmentation_model(folders[0], (24, 32)).path,
        'optical_flow.model': networks.flow_model(folders[1], (24, 32), confidence='uint8').path})
    words = [word for name, value in settings.items() for word in ('-p', '{}:={}'.format(name, value))]
    rig.start(tuple(networks.TASKS), *words, camera='/front/image', namespace='/front')
    info = rig.outside.create_publisher(CameraInfo, '/front/camera_info', 10)
    online = {topic: rig.watch(kind, '/front/' + topic, LATCHED if 'json' in topic else QoSProfile(depth=50))
              for topic, kind in TOPICS.items()}
    for topic in TOPICS:
        rig.watched(topic)
    calibration = camera_info(48, 64, 10**9)
    rig.until(info.get_subscription_count, 'the node to subscribe to camera_info')
    info.publish(calibration)
    rig.until(lambda: rig.feed.camera_info is not None, 'the calibration')
    outcomes = [rig.show(message) for message in sent()]
    assert outcomes == ['processed', 'processed', 'bad', 'processed', 'processed', 'processed', 'processed']

    with rosbag2.Writer(tmp_path / 'bag', version=8, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        for number, message in enumerate([calibration] + sent()):
            kind = 'sensor_msgs/msg/' + type(message).__name__
            if number < 2:
                connection = writer.add_connection('/front/' + ('image' if number else 'camera_info'), kind,
                                                   typestore=TYPES.store)
            writer.write(connection, number + 1, bytes(serialize_message(message)))
    process(Job(str(tmp_path / 'bag'), str(tmp_path / 'out'), (('/front/image', 'front'),), settings=settings,
                outputs=('*',)))
    offline = {topic: [] for topic in TOPICS}
    for topic, data in raw_messages(tmp_path / 'out'):
        if topic in TOPICS:
            offline[topic].append(deserialize_message(data, TOPICS[topic]))
    for topic in TOPICS:
        rig.until(lambda topic=topic: len(online[topic]) >= len(offline[topic]), 'all of ' + topic)
    rig.work(0.2)  # No more than that.
    for topic in TOPICS:
        assert offline[topic], topic
        assert offline[topic] == online[topic], topic
    assert [len(offline[topic]) for topic in ('segmentation/label_map', 'optical_flow/flow')] == [6, 3]


def raw_messages(path):
    """Yield topic, without its namespace, and CDR of each message of a bag."""
    from rosbags.highlevel import AnyReader
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            yield connection.topic[len('/front/'):], bytes(data)

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rerun')

import json
import time
from pathlib import Path

import rclpy
import rerun as rr
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rig import free_domain, image
from sensor_msgs.msg import Image
from std_msgs.msg import String

from trt_perception_tools.view.live import LiveView
from trt_perception_tools.view.timeline import Timeline

from .test_command import LABELS, columns

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def done(shown: list[str]) -> bool:
    """Return whether all came, and labels after their classes."""
    known = shown[shown.index('/segmentation/label_info_json'):] if '/segmentation/label_info_json' in shown else []
    return '/segmentation/label_map' in known and '/camera/image' in shown


def test_live_topics_are_shown_as_they_are_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    with free_domain() as domain:
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain)
        node = rclpy.create_node('perception', context=context)
        # Of the two cameras, only the one that the node listens to is worth a subscription.
        node.create_subscription(Image, '/camera/image', lambda message: None, BEST_EFFORT)
        cameras = [node.create_publisher(Image, f'/{name}/image', BEST_EFFORT) for name in ('camera', 'other')]
        labels = node.create_publisher(Image, 'segmentation/label_map', QoSProfile(depth=1))
        classes = node.create_publisher(String, 'segmentation/label_info_json', LATCHED)
        classes.publish(String(data=json.dumps({'label_set': 'x', 'classes': [
            {'id': 1, 'name': 'car', 'color': [1, 2, 3]}]})))
        stream = rr.RecordingStream('test')
        stream.save(tmp_path / 'live.rrd')
        rclpy.init(domain_id=domain)
        view = LiveView(stream, Timeline(stream))
        executors = [SingleThreadedExecutor(context=context), SingleThreadedExecutor()]
        for executor, each in zip(executors, (node, view), strict=True):
            executor.add_node(each)
        shown: list[str] = []
        original = view._timeline.add
        monkeypatch.setattr(view._timeline, 'add',
                            lambda topic, *rest: (shown.append(topic.name), original(topic, *rest)))
        end = time.monotonic() + 60
        stamp = 10**18
        while time.monotonic() < end and not done(shown):
            stamp += 10**8
            for camera in cameras:
                camera.publish(image(np.zeros((48, 64, 3), np.uint8), stamp))
            labels.publish(image(LABELS, stamp, 'mono8'))
            for executor in executors:
                executor.spin_once(timeout_sec=0.05)
        for executor in executors:
            executor.shutdown()
        view.destroy_node()
        node.destroy_node()
        rclpy.shutdown()
        context.shutdown()
        stream.disconnect()
    assert set(shown) == {'/camera/image', '/segmentation/label_map', '/segmentation/label_info_json'}
    found = columns(tmp_path / 'live.rrd')
    stamp_ns, values = found['/image/labels'][0]
    assert stamp_ns % 10**8 == 0
    assert np.array_equal(np.array(values['buffer'][0], np.uint8).reshape(48, 64), LABELS)
    assert '/image' in found
    # Rows of static data are among them, in an order of their own.
    assert [25.0] in [values.get('scalars') for _, values in found['/statistics/classes/car']]

"""Live topics in the viewer: finds the topics of nodes, and subscribes with the offered QoS."""
from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import Any

import rerun as rr
from rclpy.node import Node

from trt_perception import consumer
from trt_perception.ros.camera_subscription import CameraSubscription
from trt_perception.ros.session import session

from .. import recorded
from ..recorded import CAMERA_IMAGE, COMPRESSED_IMAGE, IMAGE, RESULTS, STRING, Topic, topic_of, with_cameras
from . import planner
from .layout import blueprint
from .timeline import DIAGNOSTICS, Timeline

_LOOK_EVERY_S = 1.0
_IMAGES = (IMAGE, COMPRESSED_IMAGE)


class LiveView(Node):
    """Subscribes to results, to the images that they are made from, to planner outputs and diagnostics.

    Args:
        image: the image topic to show under the labels; '' = that which the nodes subscribe to.
    """

    def __init__(self, stream: rr.RecordingStream, timeline: Timeline, image: str = '') -> None:
        super().__init__('trt_perception_view')
        self.subscribed: dict[str, CameraSubscription] = {}
        self._stream = stream
        self._timeline = timeline
        self._image = image
        self._topics: dict[str, Topic] = {}
        self.create_timer(_LOOK_EVERY_S, self.look)

    def look(self) -> None:
        """Find new topics, and follow the QoS of the known ones."""
        found = [topic_of(name, kinds[0]) for name, kinds in self.get_topic_names_and_types() if len(kinds) == 1]
        topics = with_cameras(self._shown(found), self._image)
        if topics != self._topics:
            self._topics = topics
            self._stream.send_blueprint(blueprint(topics.values()))
        for topic in topics.values():
            if topic.name not in self.subscribed:
                kind = _message_class(topic.type)
                if kind is None:
                    continue
                print(f'showing {topic.name}', flush=True)
                self.subscribed[topic.name] = CameraSubscription(
                    self, kind, topic.name, functools.partial(self._take, topic.name),
                    latched=topic.role == consumer.CLASSES)
            self.subscribed[topic.name].update()

    def _shown(self, topics: Iterable[Topic]) -> list[Topic]:
        """Return the topics to subscribe to: of the images only those that results are computed from."""
        results = [each for each in topics if each.role in RESULTS and each.role not in (
            recorded.LABEL_MAP_PNG, recorded.FLOW_INFO, consumer.FLOW_INTERVAL)]
        inputs = {self._image} if self._image else self._inputs(results)
        return results + [each for each in topics if each.name in inputs and each.role == CAMERA_IMAGE
                          or each.type == DIAGNOSTICS or each.type in planner.TYPES
                          or each.type == STRING and not each.role and not each.name.endswith('_description')]

    def _inputs(self, results: list[Topic]) -> set[str]:
        nodes = {(info.node_name, info.node_namespace) for each in results
                 for info in self.get_publishers_info_by_topic(each.name)}
        found: set[str] = set()
        for name, namespace in nodes:
            try:
                found |= {topic for topic, kinds in self.get_subscriber_names_and_types_by_node(name, namespace)
                          if set(kinds) & set(_IMAGES)}
            except RuntimeError:  # It has just gone.
                continue
        return found

    def _take(self, name: str, message: Any) -> None:
        topic = self._topics.get(name)
        if topic is not None:
            stamp_ns = recorded.stamp_of(message)
            self._timeline.add(topic, self.get_clock().now().nanoseconds if stamp_ns is None else stamp_ns, message)


def show_live(stream: rr.RecordingStream, timeline: Timeline, image: str) -> None:
    """Show live topics until Ctrl-C."""
    with session([]) as executor:
        node = LiveView(stream, timeline, image)
        executor.add_node(node)
        executor.spin()


def _message_class(name: str) -> Any:
    """Return the class of a message type, e.g. 'sensor_msgs/msg/Image'; None = its package is not installed."""
    package, _, kind = name.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), kind, None)
    except ImportError:
        return None

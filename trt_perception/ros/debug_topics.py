"""Times of each frame as topics, in Autoware's names, for plots."""
from typing import Any, Dict, Optional

from rclpy.node import Node
from std_msgs.msg import Float64

from .node_sink import optional_types
from .qos import NO_PUBLISHER_EVENTS, RELIABLE


class DebugTopics:
    """Publishes ~/debug/processing_time_ms, pipeline_latency_ms and cyclic_time_ms of one camera, while watched.

    Args:
        camera: its name; '' = the only one.

    Attributes:
        is_watched: whether there are subscribers, as of the last `update`: asking for each frame takes too long.
    """

    def __init__(self, node: Node, camera: str) -> None:
        self.is_watched = False
        # Whichever is installed; None = neither.
        self._stamped = next(filter(None, (getattr(optional_types(package), 'Float64Stamped', None) for package in (
            'autoware_internal_debug_msgs', 'tier4_debug_msgs'))), None)
        prefix = '~/debug/{}/'.format(camera) if camera else '~/debug/'
        self._publishers: Dict[str, Any] = {
            name: node.create_publisher(self._stamped or Float64, prefix + name, RELIABLE,
                                        event_callbacks=NO_PUBLISHER_EVENTS)
            for name in ('processing_time_ms', 'pipeline_latency_ms', 'cyclic_time_ms')}
        self._clock = node.get_clock()
        self._last_s: Optional[float] = None

    def update(self) -> None:
        """Check whether there are subscribers."""
        self.is_watched = any(publisher.get_subscription_count() for publisher in self._publishers.values())
        if not self.is_watched:
            self._last_s = None

    def publish(self, now_s: float, processing_s: float, latency_s: float) -> None:
        """Publish the times of a frame that is done.

        Args:
            now_s: on the monotonic clock: the cyclic time is the difference from the frame before.
            processing_s: from when the worker took it.
            latency_s: from its stamp.
        """
        values = {'processing_time_ms': processing_s * 1e3, 'pipeline_latency_ms': latency_s * 1e3}
        if self._last_s is not None:
            values['cyclic_time_ms'] = (now_s - self._last_s) * 1e3
        self._last_s = now_s
        for name, value in values.items():
            message: Any = (self._stamped or Float64)(data=value)
            if self._stamped is not None:
                message.stamp = self._clock.now().to_msg()
            self._publishers[name].publish(message)

"""A node's status on /diagnostics, once a second, whatever happens to the rest of the node."""
import time
import traceback
from typing import Callable, Iterable, Sequence, Tuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ..core.health import Level
from .messages import header
from .node_sink import ROS
from .qos import NO_PUBLISHER_EVENTS, RELIABLE

_PERIOD_S = 1.0


def steady_clock() -> Clock:
    """Return a clock for timers that monitor a node: its own may stand still, which they must report."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def status_of(name: str, level: Level, text: str, values: Iterable[Tuple[str, str]], hardware: str = ''
              ) -> DiagnosticStatus:
    """Return one status.

    Args:
        name: NODE: PART
        values: names and values, in order.
        hardware: the subject, e.g. a topic.
    """
    return DiagnosticStatus(name=name, hardware_id=hardware, level=bytes([level]), message=text,
                            values=[KeyValue(key=key, value=value) for key, value in values])


class StatusPublisher:
    """Publishes the statuses of a node.

    Args:
        statuses: returns the statuses; called with the seconds since its last call.
    """

    def __init__(self, node: Node, statuses: Callable[[float], Sequence[DiagnosticStatus]]) -> None:
        self._node = node
        self._statuses = statuses
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE,
                                                event_callbacks=NO_PUBLISHER_EVENTS)
        self._last_s = time.monotonic()
        self.timer = node.create_timer(_PERIOD_S, self._publish, clock=steady_clock())

    def keep_up(self) -> None:
        """Publish if it is time; for code that keeps the executor busy."""
        if time.monotonic() - self._last_s > _PERIOD_S:
            self._publish()

    def _publish(self) -> None:
        now_s = time.monotonic()
        stamped = header(ROS, self._node.get_clock().now().nanoseconds, '')
        try:
            self._publisher.publish(DiagnosticArray(header=stamped, status=self._statuses(now_s - self._last_s)))
        except Exception:  # A fault of the status must not end the node.
            if not self._node.context.ok():
                raise
            self._node.get_logger().error('No diagnostics: {}'.format(traceback.format_exc()),
                                          throttle_duration_sec=30.0)
        self._last_s = now_s

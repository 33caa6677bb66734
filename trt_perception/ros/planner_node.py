"""The planner's node: label maps and flow in; free space, an occupancy grid and obstacles with time to contact out."""
import sys
import time
import traceback
from typing import Any, List, Optional

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ..core.class_costs import load_class_costs
from ..core.errors import PerceptionError
from ..core.planner_settings import PLANNER_SETTINGS
from ..core.share import share_path
from . import messages
from .camera_mounting import CameraMounting
from .gyro import Gyro
from .node_sink import ROS, NodeSink
from .parameters import declare_settings
from .planner_outputs import PlannerOutputs
from .result_subscriptions import ResultSubscriptions
from .session import session

_PERIOD_S = 0.25


class PlannerNode(Node):
    """Subscribes to label maps, flow and a gyro, and publishes what a planner needs, if somebody subscribes to it.

    Raises:
        ConfigError: a parameter or the file of class costs is wrong.
    """

    def __init__(self, name: str = 'planner', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        settings = declare_settings(self, PLANNER_SETTINGS)
        costs = load_class_costs(settings['class_costs'] or share_path('config', 'class_costs', 'default.yaml'))
        mounting = CameraMounting(self, settings)
        self._gyro = Gyro(self, mounting)
        sink = NodeSink(self)
        self._outputs = PlannerOutputs(sink, mounting, self._gyro, costs, settings)
        self._results = ResultSubscriptions(self, self._outputs.users)
        self._status = sink.create_publisher('/diagnostics', DiagnosticArray, False)
        self._counted = (0, time.monotonic())
        # Of the steady clock: with use_sim_time the node's own may stand still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._follow = self.create_timer(_PERIOD_S, self._follow_subscribers, clock=steady)
        self._tell = self.create_timer(1.0, self._look_after, clock=steady)

    def _follow_subscribers(self) -> None:
        watched = self._outputs.watched()
        self._gyro.listen(bool(set(watched) - {'scan', 'grid'}))
        self._results.serve(watched)

    def _look_after(self) -> None:
        try:
            self._publish_status()
        except Exception:  # Telling how the node is must not be what ends it.
            if not self.context.ok():
                raise
            self.get_logger().error('No diagnostics: {}'.format(traceback.format_exc()), throttle_duration_sec=30.0)

    def _publish_status(self) -> None:
        now_s, (before, before_s) = time.monotonic(), self._counted
        rate = (self._results.joined - before) / (now_s - before_s)
        self._counted = self._results.joined, now_s
        level, text = DiagnosticStatus.OK, 'running: {:.1f} results per second'.format(rate)
        silent = self._results.silent()
        if silent:
            level, text = DiagnosticStatus.WARN, 'Nothing comes on {}. Start the perception nodes; calibrations come ' \
                'from the camera_info of the camera.'.format(', '.join(silent))
            self.get_logger().warning(text, throttle_duration_sec=30.0)
        elif not self._outputs.watched():
            text = 'resting: nobody subscribes'
        status = DiagnosticStatus(name=self.get_fully_qualified_name().lstrip('/') + ': planner', level=level,
                                  message=text)
        status.values = [KeyValue(key='results per second', value='{:.2f}'.format(rate))]
        header = messages.header(ROS, self.get_clock().now().nanoseconds, '')
        self._status.publish(DiagnosticArray(header=header, status=[status]))


def run(args: Optional[List[str]] = None) -> int:
    """Run the node until it is told to stop and return the exit status: 1 when it could not do its work."""
    try:
        with session(args) as running:
            running.add(PlannerNode())
            running.executor.spin()
    except PerceptionError as error:
        print('planner: {}: {}'.format(type(error).__name__, error), file=sys.stderr)
        return 1
    return 0

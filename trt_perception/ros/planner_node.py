"""The planner's node: label maps and flow in; free space, an occupancy grid and obstacles with time to contact out."""
from typing import Any, Dict, List, Optional

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.task import Future

from ..core.class_costs import load_class_costs
from ..core.health import Level
from ..core.planner_settings import PLANNER_SETTINGS
from ..core.share import share_path
from .camera_mounting import CameraMounting
from .gyro import Gyro
from .node_sink import NodeSink
from .parameters import declare_settings
from .planner_outputs import PlannerOutputs
from .result_subscriptions import ResultSubscriptions
from .session import run_node
from .status import StatusPublisher, status_of, steady_clock

_PERIOD_S = 0.25
_UNKNOWN_MOTION = 'The own motion is unknown in most images: the flow of the ground does not tell it, so that ' \
    'obstacles have no velocity. Set optical_flow.min_confidence: 0.25 on the perception node where tinypwc runs.'
_UNUSED_GYRO = 'The gyro is not used: its samples do not cover the time between two images. Synchronise its clock ' \
    "with the camera's, and let it publish at 20 Hz or more."


class PlannerNode(Node):
    """Subscribes to label maps, flow and a gyro, and publishes what a planner needs, if somebody subscribes to it.

    Attributes:
        stopped: future that is never done: only the user ends this node.

    Raises:
        ConfigError: a parameter or the file of class costs is wrong.
    """

    def __init__(self, name: str = 'planner', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.stopped: Future = Future()
        settings = declare_settings(self, PLANNER_SETTINGS)
        costs = load_class_costs(settings['class_costs'] or share_path('config', 'class_costs', 'default.yaml'))
        mounting = CameraMounting(self, settings)
        self._gyro = Gyro(self, mounting)
        self._outputs = PlannerOutputs(NodeSink(self), mounting, self._gyro, costs, settings)
        self._results = ResultSubscriptions(self, self._outputs.users)
        self._counted: Dict[str, int] = {}
        self._status = StatusPublisher(self, self._statuses)
        self._follow = self.create_timer(_PERIOD_S, self._follow_subscribers, clock=steady_clock())

    def _follow_subscribers(self) -> None:
        watched = self._outputs.watched()
        self._gyro.listen(bool(set(watched) - {'scan', 'grid'}))
        self._results.serve(watched)

    def _statuses(self, interval_s: float) -> List[DiagnosticStatus]:
        counts = dict(self._results.joined, skipped=self._results.skipped, **self._outputs.motions, **self._gyro.counts)
        new = {name: count - self._counted.get(name, 0) for name, count in counts.items()}
        self._counted = counts
        known, unknown, skipped, covered, missed = (
            new.pop(name) for name in ('known', 'unknown', 'skipped', 'covered', 'missed'))
        rate = max(new.values(), default=0) / interval_s
        level, text = Level.WARN, ''
        silent = self._results.silent()
        if skipped:  # Logged when it happened.
            level, text = Level.WARN if rate else Level.ERROR, 'images skipped: ' + self._results.last_error
        elif silent:
            text = 'Nothing comes on {}. Start the perception nodes; calibrations come from the camera_info of the ' \
                'camera.'.format(', '.join(silent))
        elif unknown > known:
            text = _UNKNOWN_MOTION
        elif missed and not covered:
            text = _UNUSED_GYRO
        else:
            level, text = Level.OK, 'running: {:.1f} images per second'.format(rate) if self._outputs.watched() else \
                'resting: nobody subscribes'
        if level and not skipped:
            self.get_logger().warning(text, throttle_duration_sec=30.0)
        share = '{:.0f}'.format(100 * known / (known + unknown)) if known + unknown else ''
        return [status_of(self.get_fully_qualified_name().lstrip('/') + ': planner', level, text,
                          [('images per second', '{:.2f}'.format(rate)), ('own motion known, %', share)])]


def run(name: str, args: Optional[List[str]] = None) -> int:
    """Run the node; see `session.run_node`."""
    return run_node(name, PlannerNode, args)

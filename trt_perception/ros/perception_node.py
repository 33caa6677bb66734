"""The node: one or several cameras, one worker; segmentation, optical flow, or both."""
import sys
import time
import traceback
from functools import partial
from typing import Any, List, Optional, Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import SetBool

from ..core.cameras import camera_specs
from ..core.errors import PerceptionError
from ..core.tasks import TASKS
from . import messages
from .camera import Camera
from .diagnostics import Diagnostics
from .feed import Feed
from .memory import keep_freed_memory
from .node_sink import ROS
from .parameters import declare_parameters, on_change, warn_of_unknown
from .qos import RELIABLE
from .session import session
from .worker import Worker


class PerceptionNode(Node):
    """Subscribes to camera images and publishes label maps, flow fields, or both.

    Attributes:
        stopped: future that is done when the worker has ended by itself; it has the exception, if that is why.

    Raises:
        ConfigError: a parameter or a model's YAML is wrong.
    """

    def __init__(self, name: str = 'perception', tasks: Sequence[str] = tuple(TASKS), **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.stopped: Future = Future()
        settings = declare_parameters(self, tasks)
        compressed = settings['image_transport'] == 'compressed'
        read = messages.frame_from_compressed if compressed else messages.frame_from_image
        specs = camera_specs(settings)
        self._worker = Worker(self, tasks, specs, settings, partial(read, mono16_bits=settings['mono16_bits']),
                              self._end)
        on_change(self, settings, self._worker.settings_changed)
        self._cameras = [Camera(self, spec.namespace, compressed, partial(self._worker.put, number),
                                partial(self._take_camera_info, self._worker.feeds[number]))
                         for number, spec in enumerate(specs)]
        self._enable = self.create_service(SetBool, '~/enable', self._set_enabled)
        self._diagnostics = Diagnostics(self.get_fully_qualified_name().lstrip('/'), self._cameras, self._worker)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE)
        self._timer = self.create_timer(1.0, self._publish_diagnostics)
        self._steady_timer = self.create_timer(1.0, self._look_after, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._last_tick_s = time.monotonic()
        warn_of_unknown(self)
        self._worker.start()

    def close(self) -> None:
        """Finish the frame in hand and close the engines."""
        self._worker.stop()

    def _end(self, error: Optional[Exception]) -> None:
        if error is None:
            self.stopped.set_result(None)
        else:
            self.stopped.set_exception(error)

    @staticmethod
    def _take_camera_info(feed: Feed, message: CameraInfo) -> None:
        feed.camera_info = message

    def _set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._worker.enabled = request.data
        response.success, response.message = True, 'running' if request.data else 'paused'
        return response

    def _look_after(self) -> None:
        for camera, feed in zip(self._cameras, self._worker.feeds):
            feed.is_mixed = camera.is_mixed
        if not self.get_clock().now().nanoseconds:  # No time comes, which the status is to tell.
            self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        now_s = time.monotonic()
        header = messages.header(ROS, self.get_clock().now().nanoseconds, '')
        try:
            self._diagnostics_publisher.publish(self._diagnostics.array(header, now_s - self._last_tick_s))
        except Exception:  # Telling how the node is must not be what ends it.
            if not self.context.ok():
                raise
            self.get_logger().error('No diagnostics: {}'.format(traceback.format_exc()), throttle_duration_sec=30.0)
        self._last_tick_s = now_s


def run(name: str, tasks: Sequence[str], args: Optional[List[str]] = None) -> int:
    """Run one node until it is told to stop and return the exit status: 1 when it could not do its work."""
    keep_freed_memory()
    try:
        with session(args) as running:
            node = PerceptionNode(name, tasks)
            running.add(node, node.close)
            running.executor.spin_until_future_complete(node.stopped)
            if node.stopped.done():
                node.stopped.result()
    except PerceptionError as error:
        print('{}: {}: {}'.format(name, type(error).__name__, error), file=sys.stderr)
        return 1
    return 0

"""The node: one image subscription, one worker; segmentation, optical flow, or both."""
import signal
import sys
import time
from functools import partial
from typing import Any, List, Optional, Sequence

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import SetBool

from ..core.errors import PerceptionError
from ..core.tasks import TASKS
from ..transport import use_shared_memory_profile
from . import messages
from .camera import Camera
from .diagnostics import Diagnostics
from .memory import keep_freed_memory
from .parameters import declare_parameters, on_change
from .qos import RELIABLE
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
        self._worker = Worker(self, tasks, settings, partial(read, mono16_bits=settings['mono16_bits']), self._end)
        on_change(self, settings, self._worker.settings_changed)
        self._camera = Camera(self, compressed, self._worker.put, self._take_camera_info)
        self._enable = self.create_service(SetBool, '~/enable', self._set_enabled)
        self._diagnostics = Diagnostics(
            self.get_fully_qualified_name().lstrip('/') + ': perception', self._camera, self._worker)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE)
        self._timer = self.create_timer(1.0, self._publish_diagnostics)
        self._last_tick_s = time.monotonic()
        self._worker.start()

    def close(self) -> None:
        """Finish the frame in hand and close the engines."""
        self._worker.stop()

    def _end(self, error: Optional[Exception]) -> None:
        if error is None:
            self.stopped.set_result(None)
        else:
            self.stopped.set_exception(error)

    def _take_camera_info(self, message: CameraInfo) -> None:
        self._worker.camera_info = message

    def _set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._worker.enabled = request.data
        response.success, response.message = True, 'running' if request.data else 'paused'
        return response

    def _publish_diagnostics(self) -> None:
        now_s = time.monotonic()
        header = messages.header(self.get_clock().now().nanoseconds, '')
        self._diagnostics_publisher.publish(self._diagnostics.array(header, now_s - self._last_tick_s))
        self._last_tick_s = now_s


def _interrupt(number: int, frame: Any) -> None:
    # Only once: Ctrl-C in `ros2 launch` reaches the node twice, and the second must not cut the clean-up short.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)  # With SIG_IGN, Python complains of one that is already on its way.
    raise KeyboardInterrupt


def run(name: str, tasks: Sequence[str], args: Optional[List[str]] = None) -> int:
    """Run one node until it is told to stop and return the exit status: 1 when it could not do its work."""
    use_shared_memory_profile()
    keep_freed_memory()
    # rclpy of Foxy does not know SIGTERM, which launch sends second and systemd first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # Its text goes on with places in C code.
        print('{}: {}'.format(name, ' '.join(str(error).split(', at /')[0].split())), file=sys.stderr)
        return 1
    executor = SingleThreadedExecutor()
    node: Optional[PerceptionNode] = None
    status = 0
    try:
        node = PerceptionNode(name, tasks)
        executor.add_node(node)
        executor.spin_until_future_complete(node.stopped)
        if node.stopped.done():
            node.stopped.result()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except PerceptionError as error:
        print('{}: {}: {}'.format(name, type(error).__name__, error), file=sys.stderr)
        status = 1
    except Exception:  # After Ctrl-C whatever the constructor does next fails, each thing with an error of its own.
        if rclpy.ok():
            raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # Also while Python ends, which resets handlers of its own.
        if node is not None:
            node.close()
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        if rclpy.ok():
            rclpy.shutdown()
    return status


def main(args: Optional[List[str]] = None) -> int:
    """Run the node with both tasks."""
    return run('perception', tuple(TASKS), args)

"""The node: one image subscription, one worker; segmentation, optical flow, or both."""
import sys
import time
from typing import Any, List, Optional, Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool

from ..core.errors import PerceptionError
from ..core.tasks import TASKS
from . import messages
from .diagnostics import Diagnostics
from .memory import keep_freed_memory
from .parameters import declare_parameters, on_change
from .qos import BEST_EFFORT, RELIABLE, overridable
from .session import session
from .worker import Worker

_SILENCE_S = 5.0


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
        self._worker = Worker(self, tasks, settings,
                              messages.frame_from_compressed if compressed else messages.frame_from_image,
                              self._end)
        on_change(self, settings, self._worker.settings_changed)
        base = self._resolved('image')  # Remapping `image` moves its siblings too, as in image_transport.
        kind, topic = (CompressedImage, base + '/compressed') if compressed else (Image, base)
        self._image = self.create_subscription(kind, topic, self._worker.put, **overridable(BEST_EFFORT))
        self._camera_info = self.create_subscription(CameraInfo, base.rsplit('/', 1)[0] + '/camera_info',
                                                     self._take_camera_info, BEST_EFFORT)
        self._enable = self.create_service(SetBool, '~/enable', self._set_enabled)
        self._diagnostics = Diagnostics(self.get_name() + ': perception', self._image.topic_name, self._worker)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE)
        self._timer = self.create_timer(1.0, self._publish_diagnostics)
        self._last_tick_s = self._silent_since_s = time.monotonic()
        self._source = (0, False)
        self._worker.start()

    def close(self) -> None:
        """Finish the frame in hand and close the engines."""
        self._worker.stop()

    def _end(self, error: Optional[Exception]) -> None:
        if error is None:
            self.stopped.set_result(None)
        else:
            self.stopped.set_exception(error)

    def _resolved(self, topic: str) -> str:
        """Return the full name of a topic after remapping; Foxy's node cannot tell, its subscriptions can."""
        subscription = self.create_subscription(Image, topic, lambda _: None, BEST_EFFORT)
        name = str(subscription.topic_name)
        self.destroy_subscription(subscription)
        return name

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
        received = self._worker.counts['received']
        publishers = self.get_publishers_info_by_topic(self._image.topic_name)
        source = received, bool(publishers)
        if source != self._source:  # An image came; or a publisher, which may take its time.
            self._source, self._silent_since_s = source, now_s
        elif now_s - self._silent_since_s > _SILENCE_S:
            self._explain_silence(publishers)

    def _explain_silence(self, publishers: List[Any]) -> None:
        topic = self._image.topic_name
        if not publishers:
            self.get_logger().warning("Nobody publishes {}. Remap `image` to the camera's topic.".format(topic),
                                      throttle_duration_sec=30.0)
            return
        offers = '; '.join('{}{} offers {}, {}, {}'.format(
            info.node_namespace.rstrip('/') + '/', info.node_name, info.topic_type,
            info.qos_profile.reliability.name, info.qos_profile.durability.name) for info in publishers)
        asked = self._image.qos_profile
        self.get_logger().warning(
            'No image on {} for {:.0f} s although there is a publisher. Asked for: {}, {}, {}. {}. Check that types '
            'and QoS fit; if they do, images may be lost on the way: see `trt_perception doctor`.'.format(
                topic, _SILENCE_S, 'sensor_msgs/msg/' + self._image.msg_type.__name__, asked.reliability.name,
                asked.durability.name, offers), throttle_duration_sec=30.0)


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


def main(args: Optional[List[str]] = None) -> int:
    """Run the node with both tasks."""
    return run('perception', tuple(TASKS), args)

"""The node: one or several cameras, one worker; segmentation, optical flow, or both."""
from functools import partial
from typing import Any, List, Optional, Sequence

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.task import Future
from std_srvs.srv import SetBool

from ..core.cameras import camera_specs
from ..core.settings import settings_for
from ..core.tasks import TASKS, tasks_of
from . import messages
from .camera import WATCH_PERIOD_S, Camera
from .diagnostics import Diagnostics
from .engine_supervisor import State
from .managed_node import ManagedNode, Stage
from .parameters import declare_settings, on_change
from .session import run_node
from .status import StatusPublisher, steady_clock
from .worker import Worker


class PerceptionNode(ManagedNode):
    """Subscribes to camera images and publishes label maps, flow fields, or both.

    Configured, it has the engines and advertises its topics; active, it subscribes to the cameras.

    Attributes:
        stopped: future that is done when the worker has ended by itself; it has the exception, if that is why.

    Raises:
        ConfigError: a parameter or a model's YAML is wrong.
    """

    def __init__(self, name: str = 'perception', tasks: Sequence[str] = tuple(TASKS), **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.stopped: Future = Future()
        self._tasks = tasks
        self._settings = declare_settings(self, settings_for(tasks))
        self._specs = camera_specs(self._settings)
        self._compressed = self._settings['image_transport'] == 'compressed'
        self._enabled = not self._settings['start_paused']
        self._worker: Optional[Worker] = None
        self._cameras: List[Camera] = []
        self._is_opening = False
        self._open_error: Optional[Exception] = None
        on_change(self, self._settings, self._settings_changed)
        self._enable = self.create_service(SetBool, '~/enable', self._set_enabled)
        self._diagnostics = Diagnostics(self.get_fully_qualified_name().lstrip('/'))
        self._status = StatusPublisher(self, self._statuses)
        self._watch_timer = self.create_timer(WATCH_PERIOD_S, self._watch, clock=steady_clock())
        self._own_publishers = set(self.publishers)
        self.start(self._settings['autostart'])

    def configure(self) -> None:
        """Open the engines. A lifecycle manager waits for them; a node that starts itself goes on meanwhile."""
        read = messages.frame_from_compressed if self._compressed else messages.frame_from_image
        self._open_error = None
        self._is_opening = not self.autostarted
        self._worker = Worker(self, self._tasks, self._specs, self._settings, partial(
            read, mono16_bits=self._settings['mono16_bits']), self._end)
        self._worker.enabled = False
        self._worker.start()
        while self._is_opening and self._worker.is_alive() and self._worker.engines.state == State.OPENING:
            self._worker.join(0.1)
            self._status.keep_up()  # The executor cannot: this is its thread.
        self._is_opening = False
        if self._open_error is not None:
            self.cleanup()
            raise self._open_error

    def activate(self) -> None:
        """Subscribe to the cameras."""
        assert self._worker is not None
        self._cameras = [Camera(self, spec.namespace, self._compressed, partial(self._worker.put, number),
                                partial(setattr, self._worker.feeds[number], 'camera_info'))
                         for number, spec in enumerate(self._specs)]
        self._worker.enabled = self._enabled

    def deactivate(self) -> None:
        """Unsubscribe from the cameras; the engines stay open."""
        for camera in self._cameras:
            camera.close()
        self._cameras = []
        if self._worker is not None:
            self._worker.rest()

    def cleanup(self) -> None:
        """Close the engines and withdraw the topics."""
        if self._worker is not None:
            self._worker.stop()
        self._worker = None
        for publisher in set(self.publishers) - self._own_publishers:
            self.destroy_publisher(publisher)

    def _end(self, error: Optional[Exception]) -> None:
        if self._is_opening and error is not None:
            self._open_error = error
        elif error is None:
            self.stopped.set_result(None)
        else:
            self.stopped.set_exception(error)

    def _settings_changed(self) -> None:
        if self._worker is not None:
            for task in self._worker.tasks:
                task.configure()

    def _set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        if self._worker is not None and self.stage == Stage.ACTIVE:
            self._worker.enabled = request.data
        response.success, response.message = True, 'running' if request.data else 'paused'
        return response

    def _watch(self) -> None:
        if self._worker is not None:
            for camera, feed in zip(self._cameras, self._worker.feeds):
                camera.watch()
                feed.is_mixed = camera.is_mixed
                feed.debug.update()

    def _idle(self) -> str:
        """Return why the node takes no images on purpose; '' = it takes them."""
        if self.stage != Stage.ACTIVE:
            return 'configuring' if self._is_opening else self.stage.value
        return '' if self._enabled else 'paused'

    def _statuses(self, interval_s: float) -> List[DiagnosticStatus]:
        return self._diagnostics.statuses(interval_s, self._idle(), self._worker, self._cameras)


def run(name: str, args: Optional[List[str]] = None) -> int:
    """Run the node of one task or of all; see `session.run_node`."""
    return run_node(name, lambda: PerceptionNode(name, tasks_of(name)), args)

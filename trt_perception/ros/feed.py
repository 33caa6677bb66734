"""The frames of one camera on their way through the tasks: their ages, and the outcome of each."""
import time
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from rclpy.node import Node

from ..core.cameras import CameraSpec
from ..core.data import Frame
from ..core.frame_in_hand import FrameInHand
from ..core.settings import Settings
from ..core.timing import StageTimer
from .clock_check import age_hint, ahead_hint
from .debug_topics import DebugTopics
from .messages import stamp_ns
from .node_task import CameraTask

DROPS = ('replaced', 'too_old', 'bad', 'idle', 'paused', 'engine_fault')
"""Why a frame was not processed: a newer one came; older than max_frame_age; FrameError; no subscribers; ~/enable is
off; the engine is being reopened. With `processed` they add up to `received`, except for frames in progress."""

_STANDSTILL_S = 0.5


class Feed:
    """The frames of one camera. Its methods belong to the worker's thread.

    Args:
        tasks: the tasks of the node, for this camera.
        frame_of: converts the subscribed message to a Frame.

    Attributes:
        camera: its name, namespace and priority.
        counts: `received`, `processed`, and DROPS.
        timer: records publishing, latency and age.
        camera_info: the last received calibration.
        is_mixed: whether successive frames may be of two cameras, so that they are no pairs.
        clock_complaint: fault of the last frame's stamp, human-readable; '' = none.
        debug: its times as topics.
        last_error: error of the last unusable frame; '' = there was none.
    """

    def __init__(self, node: Node, camera: CameraSpec, tasks: Sequence[CameraTask], settings: Settings,
                 frame_of: Callable[[Any], Frame]) -> None:
        self.camera = camera
        self.tasks = tasks
        self.counts: Dict[str, int] = Counter()
        self.timer = StageTimer()
        self.camera_info: Any = None
        self.is_mixed = False
        self.clock_complaint = ''
        self.last_error = ''
        self.debug = DebugTopics(node, camera.name)
        self._usual_s = float('inf')
        self._clock = node.get_clock()
        self._log = node.get_logger()
        self._settings = settings
        self._frame_of = frame_of
        self._in_hand = FrameInHand()
        for task in tasks:
            task.shared_flow = self._in_hand.shared_flow

    def watched(self) -> List[CameraTask]:
        """Return the tasks whose results are needed now."""
        return [task for task in self.tasks if not self._settings['lazy'] or task.publishers.watched()]

    def process(self, arrival: 'Arrival', tasks: Sequence[CameraTask]) -> str:
        """Run tasks on one frame, publish the results, and return the name of its counter.

        Raises:
            FrameError: the frame cannot be used.
            EngineError: an engine failed.
        """
        taken_s = time.monotonic()
        frame = self._frame_of(arrival.message)
        if self.is_mixed:
            for task in tasks:
                task.reset()
        self._in_hand.take(frame, [task.pipeline for task in tasks if task.pipeline is not None])
        try:
            for task in tasks:
                assert task.pipeline is not None  # The state is RUNNING.
                result = self._in_hand.result(task.pipeline)
                if result is not None and self._delayed(frame, time.monotonic() - taken_s):
                    return 'too_old'
                if result is not None:
                    self._publish(task, frame, result, arrival.monotonic_s)
        finally:
            self._in_hand.release()
        now_s = time.monotonic()
        took_s = now_s - taken_s
        if self.debug.is_watched:
            self.debug.publish(now_s, took_s, self._age_s(frame.stamp_ns))
        self._usual_s = took_s if self._usual_s == float('inf') else 0.9 * self._usual_s + 0.1 * took_s
        return 'processed'

    def _publish(self, task: CameraTask, frame: Frame, result: Any, arrived_s: float) -> None:
        with self.timer.stage(task.name + ' publish'):
            task.publishers.publish(frame, result, self.camera_info)
        self.timer.add(task.name + ' latency', (time.monotonic() - arrived_s) * 1e3)
        self.timer.add(task.name + ' age', self._age_s(frame.stamp_ns) * 1e3)

    def too_old(self, message: Any) -> bool:
        """Return whether an image is older than max_frame_age, and record a clock fault that its stamp shows."""
        limit_s = self._settings['max_frame_age']
        stamp = stamp_ns(message.header.stamp)
        age_s = self._age_s(stamp)
        is_too_old = bool(limit_s) and age_s > limit_s
        self.clock_complaint = ahead_hint(age_s) if limit_s else ''
        if self.clock_complaint:
            self._log.warning(self.clock_complaint, throttle_duration_sec=30.0)
        if is_too_old:
            self.clock_complaint = age_hint(age_s, stamp, time.monotonic())
            self._log.warning('Frame dropped: its age is {:.3f} s, max_frame_age is {:g} s. {}'.format(
                age_s, limit_s, self.clock_complaint), throttle_duration_sec=5.0)
        return is_too_old

    def _delayed(self, frame: Frame, took_s: float) -> bool:
        """Return whether a frame became too old because this process was stopped, or nearly so."""
        limit_s = self._settings['max_frame_age']
        age_s = self._age_s(frame.stamp_ns)
        if not limit_s or age_s <= limit_s or took_s < _STANDSTILL_S + 3 * self._usual_s:
            return False
        self._log.warning('Result dropped: the frame took {:.1f} s, usually {:.3f} s, and is {:.1f} s old. Was the '
                          'process stopped, or the machine asleep?'.format(took_s, self._usual_s, age_s))
        return True

    def _age_s(self, stamp: int) -> float:
        return (self._clock.now().nanoseconds - stamp) * 1e-9


class Arrival(NamedTuple):
    """An image message, the number of its camera, and the time of its arrival."""

    feed: Feed
    message: Any
    monotonic_s: float

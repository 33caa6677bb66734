"""The one thread that uses the engines: takes the newest frame, runs the pipelines on it, counts the outcome."""
import threading
import time
import traceback
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from rclpy.node import Node

from ..core.data import Frame
from ..core.errors import EngineError, FrameError
from ..core.image import FrameDecoder
from ..core.mailbox import Mailbox
from ..core.settings import Settings
from ..core.timing import StageTimer
from .clock_check import age_hint, ahead_hint
from .engine_supervisor import TICK_S, EngineSupervisor, State
from .messages import stamp_ns
from .node_task import NodeTask

DROPS = ('replaced', 'too_old', 'bad', 'idle', 'paused', 'engine_fault')
"""Why a frame was not processed: a newer one came; older than max_frame_age; FrameError; nobody watches; ~/enable is
off; the engine is being reopened. With `processed` they add up to `received`, but for frames in hand."""

_PATIENCE_S = 10.0
_STANDSTILL_S = 0.5


class Arrival(NamedTuple):
    """An image message and when the subscription got it."""

    message: Any
    monotonic_s: float


class Worker(threading.Thread):
    """Runs a node's pipelines on the newest frame, one at a time.

    Args:
        frame_of: turns the subscribed message into a Frame.
        ended: told, in this thread, what ended it before `stop`: the engines cannot be opened at start, or a bug; None
            when that was all there is to do (`build_only`).

    Attributes:
        enabled: whether frames are handled at all.
        camera_info: the last calibration that came.
        is_mixed: whether successive frames may be of two cameras: then they make no pairs.
        clock_complaint: what is wrong with the last frame's stamp, human-readable; '' = nothing.
    """

    def __init__(self, node: Node, tasks: Sequence[str], settings: Settings, frame_of: Callable[[Any], Frame],
                 ended: Callable[[Optional[Exception]], None]) -> None:
        super().__init__(name='worker', daemon=True)
        self.counts: Dict[str, int] = Counter()
        self.timer = StageTimer()
        self.enabled = not settings['start_paused']
        self.camera_info: Any = None
        self.is_mixed = False
        self.clock_complaint = ''
        self._busy_since_s: Optional[float] = None
        self._usual_s = float('inf')
        self._node = node
        self._log = node.get_logger()
        self.settings = settings
        self._frame_of = frame_of
        self._ended = ended
        self._mailbox: Mailbox[Arrival] = Mailbox()
        decoder = FrameDecoder()  # One, so that two tasks cost one decode.
        self.tasks = [NodeTask(node, name, settings, decoder, self.timer) for name in tasks]
        self._engines = EngineSupervisor(self.tasks, settings, self._log)
        self._stopped = False

    @property
    def state(self) -> State:
        """What the engines are doing."""
        return self._engines.state

    @property
    def last_error(self) -> str:
        """Text of the last fault, or of the last frame that could not be used; '' = there was none."""
        return self._engines.last_error

    @property
    def building(self) -> str:
        """How far the build of an engine is, human-readable; '' while none is going on."""
        return self._engines.building

    @property
    def busy_s(self) -> float:
        """For how long the frame in hand has been worked on; 0 = there is none."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def put(self, message: Any) -> None:
        """Hand over an image message; an older one that waits is dropped for it."""
        self.counts['received'] += 1
        if self._mailbox.put(Arrival(message, time.monotonic())):
            self.counts['replaced'] += 1
        # Hands the interpreter to the worker, which else waits while the executor, all Python, prepares to wait itself:
        # 0.29 ms at the median, 0.05 with this (docs/measurements/node.md).
        time.sleep(1e-6)

    def stop(self) -> None:
        """Finish the frame in hand, give up a build, close the engines and end the thread."""
        self._stopped = True
        self._engines.stop()
        self._mailbox.close()
        if self.is_alive():
            self.join(_PATIENCE_S)
        if self.is_alive():  # Inside an inference runtime that does not return: the process ends without it.
            self._log.error('The worker has not ended for {:.0f} s: given up.'.format(_PATIENCE_S))

    def run(self) -> None:
        """Open the engines, then work until `stop`."""
        try:
            self._engines.start(lambda building: self._work(building, TICK_S))
            if self.settings['build_only']:
                self._ended(None)
            else:
                self._work(lambda: True)
        except BaseException as error:  # Whatever it is, the main thread must hear of it, and reports it whole.
            if self._node.context.ok():  # After Ctrl-C a publish fails, and nobody cares.
                self._ended(error if isinstance(error, Exception) else RuntimeError('the worker ended: {!r}'.format(
                    error)))
        finally:
            self._engines.close()

    def settings_changed(self) -> None:
        """Bring settings that pipelines hold up to date."""
        for task in self.tasks:
            task.configure()

    def _work(self, go_on: Callable[[], bool], patience_s: Optional[float] = None) -> None:
        """Handle frames until `stop`, or until there is no reason to go on, which is asked after every wait."""
        while not self._stopped and go_on():
            arrival = self._mailbox.take(patience_s)
            if arrival is not None:
                self._busy_since_s = time.monotonic()
                self._handle(arrival)
                self._busy_since_s = None

    def _handle(self, arrival: Arrival) -> None:
        tasks = [task for task in self.tasks
                 if self.enabled and (not self.settings['lazy'] or task.publishers.watched())]
        for task in self.tasks:
            if task not in tasks and task.pipeline is not None:
                task.pipeline.reset()  # A frame that it does not see must not lie inside its next pair.
        if not self.enabled:
            self.counts['paused'] += 1
        elif not tasks:
            self.counts['idle'] += 1
        else:
            self.counts[self._outcome(arrival, tasks)] += 1

    def _outcome(self, arrival: Arrival, tasks: List[NodeTask]) -> str:
        """Run the tasks on one frame, whatever it is, and return under which name it counts."""
        try:
            if self._too_old(arrival.message):
                return 'too_old'
            if not self._engines.ready():
                return 'engine_fault'
            return self._process(arrival, tasks)
        except FrameError as error:
            self._engines.last_error = str(error)
            self._log.warning('Frame skipped: {}'.format(error), throttle_duration_sec=5.0)
            return 'bad'
        except EngineError as error:
            self._engines.fail(str(error))
            return 'engine_fault'
        except Exception as error:  # Want of memory, or a bug: of this frame, and the next may be better.
            if not self._node.context.ok():
                raise
            self._engines.last_error = '{}: {}'.format(type(error).__name__, error)
            self._log.error('Frame skipped: {}'.format(traceback.format_exc()), throttle_duration_sec=5.0)
            for task in tasks:
                if task.pipeline is not None:
                    task.pipeline.reset()
            return 'bad'

    def _process(self, arrival: Arrival, tasks: List[NodeTask]) -> str:
        taken_s = time.monotonic()
        frame = self._frame_of(arrival.message)
        for task in tasks:
            assert task.pipeline is not None  # The state is RUNNING.
            if self.is_mixed:
                task.pipeline.reset()
            result = task.pipeline.process(frame)
            if result is not None and self._delayed(frame, time.monotonic() - taken_s):
                return 'too_old'
            if result is not None:
                with self.timer.stage(task.name + ' publish'):
                    task.publishers.publish(frame, result, self.camera_info)
                self.timer.add(task.name + ' latency', (time.monotonic() - arrival.monotonic_s) * 1e3)
                self.timer.add(task.name + ' age', self._age_s(frame.stamp_ns) * 1e3)
        took_s = time.monotonic() - taken_s
        self._usual_s = took_s if self._usual_s == float('inf') else 0.9 * self._usual_s + 0.1 * took_s
        self._engines.succeed()
        return 'processed'

    def _delayed(self, frame: Frame, took_s: float) -> bool:
        """Return whether a frame became too old meanwhile because this process stood still, or nearly so."""
        limit_s = self.settings['max_frame_age']
        age_s = self._age_s(frame.stamp_ns)
        if not limit_s or age_s <= limit_s or took_s < _STANDSTILL_S + 3 * self._usual_s:
            return False
        self._log.warning('Result dropped: the frame took {:.1f} s, usually {:.3f} s, and is {:.1f} s old. Was the '
                          'process stopped, or the machine asleep?'.format(took_s, self._usual_s, age_s))
        return True

    def _age_s(self, stamp: int) -> float:
        return (self._node.get_clock().now().nanoseconds - stamp) * 1e-9

    def _too_old(self, message: Any) -> bool:
        limit_s = self.settings['max_frame_age']
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

"""The one thread that uses the engines: takes the cameras' newest frames in turns and runs the tasks on each."""
import threading
import time
import traceback
from functools import partial
from typing import Any, Callable, List, Optional, Sequence

from rclpy.node import Node

from ..core.cameras import CameraSpec
from ..core.data import Frame
from ..core.engine_time import EngineTime
from ..core.errors import EngineError, FrameError
from ..core.image import FrameDecoder
from ..core.mailbox import Mailbox
from ..core.settings import Settings
from ..core.timing import StageTimer
from .engine_supervisor import TICK_S, EngineSupervisor
from .feed import Arrival, Feed
from .node_task import CameraTask, NodeTask

_PATIENCE_S = 10.0


class Worker(threading.Thread):
    """Runs a node's tasks on the newest frames of its cameras, one frame at a time.

    Args:
        frame_of: converts the subscribed message to a Frame.
        ended: called, in this thread, with the error that ended it before `stop`: engines that cannot be opened at
            start, or a bug; None if it has finished (`build_only`).

    Attributes:
        feeds: the frames of each camera.
        tasks: the tasks, with their engines.
        engines: opens the engines, and has their state.
        timer: records the times of the pipelines of all cameras.
        enabled: whether frames are handled; otherwise they count as paused.
    """

    def __init__(self, node: Node, tasks: Sequence[str], cameras: Sequence[CameraSpec], settings: Settings,
                 frame_of: Callable[[Any], Frame], ended: Callable[[Optional[Exception]], None]) -> None:
        super().__init__(name='worker', daemon=True)
        self.timer = StageTimer()
        self.enabled = True
        self.settings = settings
        decoder = FrameDecoder()  # One for all, so that two tasks need one decode.
        self.tasks = [NodeTask(node, name, settings, cameras, decoder, self.timer) for name in tasks]
        self.feeds = [Feed(node, camera, [task.cameras[number] for task in self.tasks], settings, frame_of)
                      for number, camera in enumerate(cameras)]
        self._mailbox: Mailbox[Arrival] = Mailbox([camera.priority for camera in cameras])
        self._time = EngineTime(len(cameras))
        for task in self.tasks:
            for number, each in enumerate(task.cameras):
                each.has_time = partial(self._time.grants, number)
        self._busy_since_s: Optional[float] = None
        self._node = node
        self._log = node.get_logger()
        self._ended = ended
        self.engines = EngineSupervisor(self.tasks, settings, self._log)
        self._stopped = False

    @property
    def busy_s(self) -> float:
        """Time that the present frame has been processed so far; 0 = there is none."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def put(self, camera: int, message: Any) -> None:
        """Hand over an image message of a camera, by number; it replaces an older one that waits."""
        feed = self.feeds[camera]
        feed.counts['received'] += 1
        self._time.arrived(camera)
        if self._mailbox.put(Arrival(feed, message, time.monotonic()), camera):
            feed.counts['replaced'] += 1
        # Releases the interpreter lock for the worker, which else waits until the executor, in Python, waits itself:
        # 0.29 ms at the median, 0.05 with this (docs/measurements/node.md).
        time.sleep(1e-6)

    def rest(self) -> None:
        """Finish the present frame and handle no waiting one; the engines stay open."""
        self.enabled = False
        end_s = time.monotonic() + _PATIENCE_S
        while self._busy_since_s is not None and self.is_alive() and time.monotonic() < end_s:
            time.sleep(0.01)
        for feed in self.feeds:
            for task in feed.tasks:
                task.reset()

    def stop(self) -> None:
        """Finish the present frame, cancel a build, close the engines and end the thread."""
        self._stopped = True
        self.engines.stop()
        self._mailbox.close()
        if self.is_alive():
            self.join(_PATIENCE_S)
        if self.is_alive():  # Inside an inference runtime that does not return: the process ends without it.
            self._log.error('The worker has not ended for {:.0f} s: given up.'.format(_PATIENCE_S))

    def run(self) -> None:
        """Open the engines, then work until `stop`."""
        try:
            self.engines.start(lambda building: self._work(building, TICK_S))
            if self.settings['build_only']:
                self._ended(None)
            else:
                self._work(lambda: True)
        except BaseException as error:  # Whatever it is, the main thread must get it, and reports it.
            if self._node.context.ok():  # After Ctrl-C publishing fails, which is harmless.
                self._ended(error if isinstance(error, Exception) else RuntimeError('the worker ended: {!r}'.format(
                    error)))
        finally:
            self.engines.close()

    def _work(self, go_on: Callable[[], bool], patience_s: Optional[float] = None) -> None:
        """Handle frames until `stop`, or until there is no reason to continue, which is checked after every wait."""
        while not self._stopped and go_on():
            arrival = self._mailbox.take(patience_s)
            if arrival is not None:
                self._busy_since_s = time.monotonic()
                self._time.begin(self.feeds.index(arrival.feed))
                self._handle(arrival)
                self._time.end()
                self._busy_since_s = None
                del arrival  # Else the image message is kept until the next one.

    def _handle(self, arrival: Arrival) -> None:
        feed = arrival.feed
        tasks = feed.watched() if self.enabled else []
        for task in feed.tasks:
            if task not in tasks:
                task.reset()  # A frame that it does not get must not be within its next pair.
        if not self.enabled:
            feed.counts['paused'] += 1
        elif not tasks:
            feed.counts['idle'] += 1
        else:
            feed.counts[self._outcome(arrival, tasks)] += 1

    def _outcome(self, arrival: Arrival, tasks: List[CameraTask]) -> str:
        """Run the tasks on one frame, whatever it is, and return the name of its counter."""
        feed = arrival.feed
        try:
            if feed.too_old(arrival.message):
                return 'too_old'
            if not self.engines.ready():
                return 'engine_fault'
            outcome = feed.process(arrival, tasks)
            if outcome == 'processed':
                self.engines.succeed()
            return outcome
        except FrameError as error:
            feed.last_error = str(error)
            self._log.warning('Frame skipped: {}'.format(error), throttle_duration_sec=5.0)
            return 'bad'
        except EngineError as error:
            self.engines.fail(str(error))
            return 'engine_fault'
        except Exception as error:  # Out of memory, or a bug, for this frame; the next may work.
            if not self._node.context.ok():
                raise
            feed.last_error = '{}: {}'.format(type(error).__name__, error)
            self._log.error('Frame skipped: {}'.format(traceback.format_exc()), throttle_duration_sec=5.0)
            for task in tasks:
                task.reset()
            return 'bad'

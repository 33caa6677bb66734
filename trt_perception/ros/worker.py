"""The one thread that uses the engines: takes the newest frame, runs the pipelines on it, counts what became of it."""
import threading
import time
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from rclpy.node import Node

from ..core.data import Frame
from ..core.errors import EngineError, FrameError
from ..core.image import FrameDecoder
from ..core.mailbox import Mailbox
from ..core.settings import Settings
from ..core.timing import StageTimer
from .engine_supervisor import TICK_S, EngineSupervisor, State
from .messages import stamp_ns
from .node_task import NodeTask

DROPS = ('replaced', 'too_old', 'bad', 'idle', 'paused', 'engine_fault')
"""Why a frame was not processed: a newer one came; older than max_frame_age; FrameError; nobody watches; ~/enable is
off; the engine is being reopened. With `processed` they add up to `received`, but for frames in hand."""


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
    """

    def __init__(self, node: Node, tasks: Sequence[str], settings: Settings, frame_of: Callable[[Any], Frame],
                 ended: Callable[[Optional[Exception]], None]) -> None:
        super().__init__(name='worker', daemon=True)
        self.counts: Dict[str, int] = Counter()
        self.timer = StageTimer()
        self.enabled = True
        self.camera_info: Any = None
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
        """How far the build of an engine is, for people; '' while none is going on."""
        return self._engines.building

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
            self.join()

    def run(self) -> None:
        """Open the engines, then work until `stop`."""
        try:
            self._engines.start(lambda building: self._work(building, TICK_S))
            if self.settings['build_only']:
                self._ended(None)
            else:
                self._work(lambda: True)
        except Exception as error:  # Whatever it is, the main thread must hear of it, and reports it whole.
            if self._node.context.ok():  # After Ctrl-C a publish fails, and nobody cares.
                self._ended(error)
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
                self._handle(arrival)

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
        elif self._too_old(arrival.message):
            self.counts['too_old'] += 1
        elif not self._engines.ready():
            self.counts['engine_fault'] += 1
        else:
            self.counts[self._process(arrival, tasks)] += 1

    def _process(self, arrival: Arrival, tasks: List[NodeTask]) -> str:
        """Run the tasks on one frame and return under which name it counts."""
        try:
            frame = self._frame_of(arrival.message)
            for task in tasks:
                assert task.pipeline is not None  # The state is RUNNING.
                result = task.pipeline.process(frame)
                if result is not None:
                    with self.timer.stage(task.name + ' publish'):
                        task.publishers.publish(frame, result, self.camera_info)
                    self.timer.add(task.name + ' latency', (time.monotonic() - arrival.monotonic_s) * 1e3)
                    self.timer.add(task.name + ' age', self._age_s(frame.stamp_ns) * 1e3)
        except FrameError as error:
            self._engines.last_error = str(error)
            self._log.warning('Frame skipped: {}'.format(error), throttle_duration_sec=5.0)
            return 'bad'
        except EngineError as error:
            self._engines.fail(str(error))
            return 'engine_fault'
        self._engines.succeed()
        return 'processed'

    def _age_s(self, stamp: int) -> float:
        return (self._node.get_clock().now().nanoseconds - stamp) * 1e-9

    def _too_old(self, message: Any) -> bool:
        limit_s = self.settings['max_frame_age']
        age_s = self._age_s(stamp_ns(message.header.stamp))
        if not limit_s or age_s <= limit_s:
            return False
        hint = 'The camera, the network or this machine is slower than that.'
        if age_s > 3600:
            hint = 'Stamps of another clock: for a bag set use_sim_time and play it with --clock; for a driver that ' \
                   'leaves the stamp empty set max_frame_age to 0.'
        self._log.warning('Frame dropped: its age is {:.3f} s, max_frame_age is {:g} s. {}'.format(
            age_s, limit_s, hint), throttle_duration_sec=5.0)
        return True

"""The one thread that owns the engines: takes the newest frame, runs the pipelines, recovers from engine faults."""
import contextlib
import threading
import time
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from rclpy.node import Node

from ..core.data import Frame
from ..core.engine import Engine
from ..core.errors import ConfigError, EngineError, FrameError
from ..core.image import FrameDecoder
from ..core.mailbox import Mailbox
from ..core.model import load_model
from ..core.pipeline import Pipeline
from ..core.settings import Settings
from ..core.tasks import pipeline_class, publishers_class
from ..core.timing import StageTimer
from ..engines import BuiltEngine, EngineOptions, open_engine
from .messages import stamp_ns
from .preparation import Preparation
from .publishers import TaskPublishers

OPENING = 'opening the engine'
RUNNING = 'running'
FAULT = 'engine fault, reopening'

DROPS = ('replaced', 'too_old', 'bad', 'idle', 'paused', 'engine_fault')
"""Why a frame was not processed: a newer one came; older than max_frame_age; FrameError; nobody watches; ~/enable is
off; the engine is being reopened. With `processed` they add up to `received`, but for frames in hand."""

_LONGEST_BACKOFF_S = 30.0
_TICK_S = 0.1


class Arrival(NamedTuple):
    """An image message and when the subscription got it."""

    message: Any
    monotonic_s: float


class Task:
    """One task of a node: its model, its topics, and, while the engine is open, its pipeline."""

    def __init__(self, node: Node, name: str, settings: Settings, decoder: FrameDecoder) -> None:
        self.name = name
        self.model = load_model(settings[name + '.model'])
        if self.model.task != name:
            raise ConfigError('parameter {}.model: {} is a model for {}, expected one for {}.'.format(
                name, self.model.path, self.model.task, name))
        self.publishers: TaskPublishers = publishers_class(name)(node, self.model, settings, decoder)
        self.engine: Optional[Engine] = None
        self.pipeline: Optional[Pipeline] = None

    def open(self, options: EngineOptions, settings: Settings, decoder: FrameDecoder, timer: StageTimer,
             built: Optional[BuiltEngine] = None) -> Engine:
        """Open the engine and make the pipeline, which writes into the publishers' messages; return the engine.

        Args:
            built: see `open_engine`.
        """
        self.engine = open_engine(self.model, options, decoder, built)
        self.pipeline = pipeline_class(self.name)(self.engine, self.model, settings, timer, self.publishers.allocate,
                                                  self.publishers.wants)
        return self.engine

    def close(self) -> None:
        """Close the engine. May be called twice."""
        if self.engine is not None:
            self.engine.close()
        self.engine = self.pipeline = None


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
        self.state = OPENING
        self.last_error = ''
        self.enabled = True
        self.camera_info: Any = None
        self._node = node
        self._log = node.get_logger()
        self.settings = settings
        self._frame_of = frame_of
        self._ended = ended
        self._mailbox: Mailbox[Arrival] = Mailbox()
        self._decoder = FrameDecoder()
        self.tasks = [Task(node, name, settings, self._decoder) for name in tasks]
        self._options = EngineOptions(
            settings['engine'], settings['precision'], settings['num_threads'],
            cache_dir=settings['engine_cache_dir'], rebuild=settings['force_engine_update'],
            workspace_bytes=settings['max_workspace_size'], dla_core=settings['dla_core'], gpu_id=settings['gpu_id'])
        self._preparation: Optional[Preparation] = None
        self._stopped = False
        self._retry_at_s = 0.0
        self._backoff_s = 1.0

    @property
    def building(self) -> str:
        """How far the build of an engine is, for people; '' while none is going on."""
        preparation = self._preparation
        return preparation.progress if preparation is not None else ''

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
        self._mailbox.close()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Open the engines, then work until `stop`."""
        try:
            self._open(self._serve_while_building() if self.settings['serve_while_building'] else None)
            if self.settings['build_only']:
                self._ended(None)
            else:
                self._work(None)
        except Exception as error:  # Whatever it is, the main thread must hear of it, and reports it whole.
            if self._node.context.ok():  # After Ctrl-C a publish fails, and nobody cares.
                self._ended(error)
        finally:
            self._close()

    def settings_changed(self) -> None:
        """Bring settings that pipelines hold up to date."""
        for task in self.tasks:
            pipeline = task.pipeline  # The worker may take it away meanwhile.
            if pipeline is not None:
                pipeline.configure(self.settings)

    def _work(self, preparation: Optional[Preparation]) -> None:
        """Handle frames until `stop`, or until the preparation has come to its end."""
        while not self._stopped and (preparation is None or preparation.is_alive()):
            arrival = self._mailbox.take(None if preparation is None else _TICK_S)
            if arrival is not None:
                self._handle(arrival)

    def _serve_while_building(self) -> List[Optional[BuiltEngine]]:
        """If an engine must be built, work with those of another runtime meanwhile; return what is there then."""
        wanted = self._options
        with self._prepare() as preparation:
            while preparation.is_alive() and not (preparation.progress or self._stopped):
                preparation.join(_TICK_S)
            if preparation.is_alive():
                self._options = wanted._replace(backend=self.settings['serve_while_building'], precision='')
                self._open_tasks([None] * len(self.tasks))
                self._work(preparation)
                self._close()
                self.state = OPENING
            preparation.check()
        self._options = wanted
        return preparation.built

    def _open(self, built: Optional[List[Optional[BuiltEngine]]] = None) -> None:
        """Build the engines that are not there yet, unless they are handed over, and open them all."""
        if built is None:
            with self._prepare() as preparation:
                while preparation.is_alive() and not self._stopped:
                    preparation.join(_TICK_S)
                preparation.check()
            built = preparation.built
        if self._stopped:
            return
        for each in built:
            if each is not None:
                self._log.info(each.summary)
                if each.warning:
                    self._log.warning(each.warning)
        self._options = self._options._replace(rebuild=False)  # That was done.
        self._open_tasks(built)

    @contextlib.contextmanager
    def _prepare(self) -> Iterator[Preparation]:
        before = self._preparation  # Of those that are built while others serve.
        try:
            with Preparation([task.model for task in self.tasks], self._options) as preparation:
                self._preparation = preparation
                yield preparation
        finally:
            self._preparation = before

    def _open_tasks(self, built: Sequence[Optional[BuiltEngine]]) -> None:
        for task, file in zip(self.tasks, built):
            engine = task.open(self._options, self.settings, self._decoder, self.timer, file)
            self._log.info('{}: {} on {}, {}, {}x{} px'.format(
                task.name, task.model.name, engine.backend, engine.precision, *engine.input_size))
        self.state = RUNNING

    def _close(self) -> None:
        for task in self.tasks:
            task.close()

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
        elif self.state != RUNNING and not self._reopen():
            self.counts['engine_fault'] += 1
        else:
            self.counts[self._process(arrival, tasks)] += 1

    def _process(self, arrival: Arrival, tasks: List[Task]) -> str:
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
            self.last_error = str(error)
            self._log.warning('Frame skipped: {}'.format(error), throttle_duration_sec=5.0)
            return 'bad'
        except EngineError as error:
            self._fault(error)
            return 'engine_fault'
        self._backoff_s = 1.0
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

    def _fault(self, error: EngineError) -> None:
        self.state = FAULT
        self.last_error = str(error)
        self._log.error('{} Reopening in {:.0f} s.'.format(error, self._backoff_s))
        self._close()
        self._retry_at_s = time.monotonic() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)

    def _reopen(self) -> bool:
        if time.monotonic() < self._retry_at_s:
            return False
        try:
            self._open()
        except (EngineError, ConfigError) as error:  # ConfigError: the file went away meanwhile.
            self._fault(EngineError(str(error)))
        return self.state == RUNNING

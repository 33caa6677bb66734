"""Runs one job: a bag through the deployed pipelines, none of its images dropped, into another bag."""
import contextlib
import itertools
import time
from fnmatch import fnmatchcase
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .. import __version__
from ..bag import Bag
from ..bag_source import Recorded
from ..core.errors import ConfigError, FrameError
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.settings import Settings, defaults, find_setting
from ..core.tasks import find_task
from ..engines import deployed_model, engine_options, open_engine
from .bag_sink import BagSink
from .bag_types import BagTypes
from .camera import Camera, CameraTopics, find_cameras
from .fingerprint import describe_model, fingerprint_of
from .job import DEFAULT_OUTPUTS, Job, Progress, Summary
from .output_bag import STORAGES, OutputBag, finished_report, open_output

_MOST_FAULTS = 20
"""Different ones that are listed."""


class _Plan(NamedTuple):
    """A job, looked at."""

    bag: Bag
    cameras: List[CameraTopics]
    models: Dict[str, Model]
    settings: Settings
    described: Dict[str, Dict[str, str]]
    """How each task's model is run."""
    fingerprint: str


def fingerprint(job: Job) -> str:
    """Return 64 hexadecimal digits for all that decides the output's bytes, without doing the job.

    Raises:
        ConfigError: as `process`.
    """
    plan = _planned(job)
    plan.bag.close()
    return plan.fingerprint


def process(job: Job, progress: Callable[[Progress], None] = lambda _: None) -> Summary:
    """Do a job; go on where an earlier run of the same job was stopped. An equal job that is done is not repeated.

    Args:
        progress: called after each image.

    Raises:
        ConfigError: the bag, an option or the output is wrong.
        EngineError: an engine cannot be opened, or fails; what was done stays, for the next run.
    """
    began_s = time.monotonic()
    plan = _planned(job)
    try:
        report = finished_report(job.output, plan.fingerprint)
        state, resumed = 'unchanged', report['images'] if report else 0
        if report is None:
            types = BagTypes()
            with open_output(job.output, job.storage, job.compress, types, plan.fingerprint) as out:
                run = _Run(job, plan, types, out)
                state, resumed = 'done', run.images
                report = run.run(progress)
    finally:
        plan.bag.close()
    seconds = time.monotonic() - began_s
    new = report['images'] - resumed
    return Summary(job.bag, job.output, state, report['images'], report['processed'], report['bad'],
                   report['results'], report['faults'], resumed, round(seconds, 3), round(new / seconds, 3))


def _planned(job: Job) -> _Plan:
    if job.storage not in STORAGES:
        raise ConfigError('storage: got {!r}, expected one of {}.'.format(job.storage, ', '.join(STORAGES)))
    if job.compress and job.storage != 'mcap':
        raise ConfigError('compress: got storage {}, expected mcap: only that is compressed in a way that every reader '
                          'knows.'.format(job.storage))
    for name, value in (('every', job.every), ('split', job.split)):
        if value < 1:
            raise ConfigError('{}: got {}, expected at least 1.'.format(name, value))
    if job.start_ns < 0 or job.end_ns is not None and job.end_ns <= job.start_ns:
        raise ConfigError('time range: got {} to {} ns, expected an end after a start of at least 0.'.format(
            job.start_ns, job.end_ns))
    settings = defaults()
    settings.update({name: find_setting(name).check(value) for name, value in job.settings.items()})
    models = {task: deployed_model(task, settings) for task in job.tasks if find_task(task)}
    if not models:
        raise ConfigError('tasks: got none, expected at least one.')
    bag = Bag(job.bag)
    cameras = find_cameras(bag, job.cameras, settings['cameras'])
    bag.keep([topic for camera in cameras for topic in (camera.image, camera.info)])
    described = {task: describe_model(model, settings) for task, model in models.items()}
    return _Plan(bag, cameras, models, settings, described, fingerprint_of(job, bag, cameras, described, settings))


class _Run:
    """One run of a job.

    Attributes:
        images: how many were done, by an earlier run too.
    """

    def __init__(self, job: Job, plan: _Plan, types: BagTypes, out: OutputBag) -> None:
        journal = out.journal or {}
        self.images: int = journal.get('images', 0)
        self._bad: int = journal.get('bad', 0)
        self._faults: Dict[str, List[int]] = journal.get('faults', {})
        self._damage = ''
        self._position: int = journal.get('position', 0)
        self._paired: Dict[str, int] = journal.get('paired', {})
        self._job = job
        self._plan = plan
        self._types = types
        self._out = out
        self._resumed = self.images

    def run(self, progress: Callable[[Progress], None]) -> Dict[str, Any]:
        """Do what is left and return the report."""
        messages = self._until_damage()
        first = next(messages, None)
        if first is None:
            raise self._nothing()
        self._out.is_muted = self._position > 0
        self._out.time_ns = first.time_ns
        decoder = FrameDecoder()  # One, so that two tasks cost one decode.
        cameras = self._cameras(decoder)
        with contextlib.ExitStack() as opened:
            engines = {}
            for task in {task: None for camera in cameras for task in camera.watched()}:
                engines[task] = open_engine(self._plan.models[task], engine_options(self._plan.settings), decoder)
                opened.callback(engines[task].close)
            for number, camera in enumerate(cameras):
                camera.connect(engines, number)
            self._all(cameras, itertools.chain([first], messages), progress)
        report = self._report()
        self._out.finish(report)
        return report

    def _cameras(self, decoder: FrameDecoder) -> List[Camera]:
        """Return the cameras, their topics made known to the output."""
        cameras = []
        for topics in self._plan.cameras:
            sink = BagSink(self._types, topics.namespace, self._job.outputs, self._out.declare, self._out.write,
                           lambda: self._out.time_ns, self._note)
            cameras.append(Camera(topics, self._plan.bag.types[topics.image], self._plan.models, self._plan.settings,
                                  decoder, self._types, sink))
        for pattern in self._job.outputs:
            if not any(fnmatchcase(topic, pattern) for topic in sink.topics) and pattern not in DEFAULT_OUTPUTS:
                raise ConfigError('outputs: {!r} is none of the topics of {}: {}.'.format(
                    pattern, ', '.join(self._plan.models), ', '.join(sink.topics)))
        if self._job.with_input:
            for topic, kind in self._plan.bag.types.items():
                self._out.declare(topic, kind, False)
        return cameras

    def _all(self, cameras: List[Camera], messages: Iterator[Recorded],
             progress: Callable[[Progress], None]) -> None:
        """Take all messages, those before the position only to get where an earlier run was."""
        by_image = {camera.topics.image: camera for camera in cameras}
        total = self._total()
        seen = dict.fromkeys(by_image, 0)
        for index, recorded in enumerate(messages):
            is_new = index >= self._position
            self._out.is_muted = not is_new
            self._out.time_ns = recorded.time_ns
            camera = by_image.get(recorded.topic)
            if camera is not None:
                seen[recorded.topic] += 1
                if (seen[recorded.topic] - 1) % self._job.every:
                    continue
            if self._job.with_input:
                self._out.write(recorded.topic, recorded.data)
            if camera is None:
                for each in cameras:
                    if each.topics.info == recorded.topic:
                        each.take_info(recorded.data)
            elif not is_new:
                if self._paired.get(recorded.topic) == index:
                    camera.prime(recorded.data)
            else:
                self._process(camera, recorded, index)
                if self.images % self._job.split == 0:
                    self._out.close_file(self._journal(index + 1))
                progress(Progress(self.images, total, self._resumed))
        if not self.images:
            raise self._nothing()
        self._out.close_file(self._journal(index + 1))

    def _process(self, camera: Camera, recorded: Recorded, index: int) -> None:
        self.images += 1
        try:
            camera.process(recorded.data)
            self._paired[recorded.topic] = index
        except FrameError as error:
            self._bad += 1
            self._note('{}: image skipped: {}'.format(recorded.topic, error))

    def _note(self, text: str) -> None:
        """Note a fault of the message in hand."""
        if text in self._faults:
            self._faults[text][0] += 1
        elif len(self._faults) < _MOST_FAULTS:
            self._faults[text] = [1, self._out.time_ns]

    def _journal(self, position: int) -> Dict[str, Any]:
        """Return what a later run needs to go on behind so many messages."""
        return {'position': position, 'images': self.images, 'bad': self._bad, 'paired': dict(self._paired),
                'faults': self._faults}

    def _nothing(self) -> ConfigError:
        return ConfigError('bag {}: no image on {} in the time range. It has {:.3f} s.{}'.format(
            self._job.bag, ', '.join(camera.image for camera in self._plan.cameras),
            self._plan.bag.duration_ns * 1e-9, ' ' + self._damage if self._damage else ''))

    def _until_damage(self) -> Iterator[Recorded]:
        """Yield the messages of the bag, as far as it can be read."""
        try:
            yield from self._plan.bag.messages(*self._range())
        except ConfigError as error:
            self._damage = str(error)

    def _total(self) -> int:
        """Return how many images there are; an estimate where a part of the time is asked for."""
        bag, job = self._plan.bag, self._job
        end_ns = min(bag.duration_ns, bag.duration_ns if job.end_ns is None else job.end_ns)
        share = max(0.0, (end_ns - job.start_ns) / max(1, bag.duration_ns))
        return int(sum(-(-bag.counts[camera.image] * share // job.every) for camera in self._plan.cameras))

    def _range(self) -> Tuple[int, Optional[int]]:
        """Return the times of recording between which messages are read."""
        begin_ns, end_ns = self._plan.bag.start_ns, self._job.end_ns
        return begin_ns + self._job.start_ns, None if end_ns is None else begin_ns + end_ns

    def _report(self) -> Dict[str, Any]:
        plan = self._plan
        faults = [each for each in (plan.bag.note, self._damage) if each] + [
            '{} ({} times, first at {}.{:09d} s)'.format(text, count, *divmod(time_ns, 10**9))
            for text, (count, time_ns) in self._faults.items()]
        return {'fingerprint': plan.fingerprint, 'version': __version__, 'bag': self._job.bag,
                'cameras': [camera._asdict() for camera in plan.cameras], 'models': plan.described,
                'images': self.images, 'processed': self.images - self._bad, 'bad': self._bad,
                'results': self._out.message_counts(), 'faults': faults}

"""Runs one job: a bag through the deployed pipelines into another bag, without dropping images."""
import contextlib
import itertools
import time
from collections import deque
from fnmatch import fnmatchcase
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional

from .. import __version__
from ..bag_source import Recorded
from ..core.errors import ConfigError, FrameError
from ..core.image import FrameDecoder
from .bag_sink import BagSink
from .bag_types import BagTypes
from .camera import Camera
from .engines import Engines
from .job import DEFAULT_OUTPUTS, Job, Progress, Summary
from .output_bag import OutputBag, finished_report, open_output
from .plan import Plan, plan_of

_MOST_FAULTS = 20
"""Number of distinct faults that are listed."""
_LONGEST_LEAD_S = 10.0
_JITTER_NS = 10**9
"""Largest difference between stamps and times of recording."""


def fingerprint(job: Job) -> str:
    """Return 64 hexadecimal digits for everything that decides the output's bytes, without running the job.

    Raises:
        ConfigError: as `process`.
    """
    plan = plan_of(job)
    plan.bag.close()
    return plan.fingerprint


def process(job: Job, progress: Callable[[Progress], None] = lambda _: None,
            engines: Optional[Engines] = None) -> Summary:
    """Run a job, and resume where an earlier run was stopped. A finished job is not repeated.

    Args:
        progress: called after each image.
        engines: keeps engines open for the next job; None = they are closed at the end.

    Raises:
        ConfigError: the bag, an option or the output is wrong.
        EngineError: an engine cannot be opened, or fails; finished files stay for the next run.
    """
    began_s = time.monotonic()
    plan = plan_of(job)
    try:
        report = finished_report(job.output, plan.fingerprint)
        state, resumed = 'unchanged', report['images'] if report else 0
        if report is None:
            types = BagTypes()
            with open_output(job.output, job.storage, job.compress, types, plan.fingerprint) as out:
                run = _Run(job, plan, types, out)
                state, resumed = 'done', run.images
                report = run.run(progress, engines)
    finally:
        plan.bag.close()
    seconds = time.monotonic() - began_s
    new = report['images'] - resumed
    return Summary(job.bag, job.output, state, report['images'], report['processed'], report['bad'],
                   report['results'], report['faults'], resumed, round(seconds, 3), round(new / seconds, 3))


class _Run:
    """One run of a job.

    Attributes:
        images: images done, including those of an earlier run.
    """

    def __init__(self, job: Job, plan: Plan, types: BagTypes, out: OutputBag) -> None:
        journal = out.journal or {}
        self.images: int = journal.get('images', 0)
        self._bad: int = journal.get('bad', 0)
        self._faults: Dict[str, List[int]] = journal.get('faults', {})
        self._damage = ''
        self._position: int = journal.get('position', 0)
        self._since: Dict[str, int] = journal.get('since', {})
        self._job = job
        self._plan = plan
        self._types = types
        self._out = out
        self._resumed = self.images
        self._start_ns = plan.bag.start_ns + job.start_ns

    def run(self, progress: Callable[[Progress], None], kept: Optional[Engines]) -> Dict[str, Any]:
        """Process the rest and return the report."""
        messages = self._until_damage()
        first = next(messages, None)
        if first is None:
            raise self._nothing()
        self._out.is_muted = self._position > 0
        self._out.time_ns = max(first.time_ns, self._start_ns)
        with contextlib.ExitStack() as stack:
            engines = kept or stack.enter_context(Engines())
            cameras = self._cameras(engines.decoder)
            for number, camera in enumerate(cameras):
                camera.connect(engines, number)
            self._all(cameras, itertools.chain([first], messages), progress)
        report = self._report()
        self._out.finish(report)
        return report

    def _cameras(self, decoder: FrameDecoder) -> List[Camera]:
        """Return the cameras, and declare their topics to the output."""
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
        """Take all messages; those before the position only restore the state of an earlier run."""
        by_image = {camera.topics.image: camera for camera in cameras}
        total = self._total()
        seen = dict.fromkeys(by_image, 0)
        before: Dict[str, Deque[bytes]] = {topic: deque(maxlen=self._job.every) for topic in by_image}
        for index, recorded in enumerate(messages):
            is_new = index >= self._position
            is_inside = recorded.time_ns >= self._start_ns
            self._out.is_muted = not (is_new and is_inside)
            self._out.time_ns = recorded.time_ns
            camera = by_image.get(recorded.topic)
            if camera is not None and not is_inside:
                before[recorded.topic].append(recorded.data)
                continue
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
                continue
            if seen[recorded.topic] == 1 and len(before[recorded.topic]) == self._job.every:
                camera.prime(before[recorded.topic][0])
            if not is_new:
                if index >= self._since.get(recorded.topic, self._position):
                    camera.repeat(recorded.data)
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
            if camera.process(recorded.data):
                self._since[recorded.topic] = index
        except FrameError as error:
            self._bad += 1
            self._note('{}: image skipped: {}'.format(recorded.topic, error))

    def _note(self, text: str) -> None:
        """Record a fault of the present message."""
        if text in self._faults:
            self._faults[text][0] += 1
        elif len(self._faults) < _MOST_FAULTS:
            self._faults[text] = [1, self._out.time_ns]

    def _journal(self, position: int) -> Dict[str, Any]:
        """Return the state from which a later run can continue after a number of messages.

        `since` is the message of each topic from which on images must be shown again: results depend on none before.
        """
        return {'position': position, 'images': self.images, 'bad': self._bad, 'since': dict(self._since),
                'faults': self._faults}

    def _nothing(self) -> ConfigError:
        return ConfigError('bag {}: no image on {} in the time range. It has {:.3f} s.{}'.format(
            self._job.bag, ', '.join(camera.image for camera in self._plan.cameras),
            self._plan.bag.duration_ns * 1e-9, ' ' + self._damage if self._damage else ''))

    def _until_damage(self) -> Iterator[Recorded]:
        """Yield the messages of the bag, as far as it can be read.

        A range that begins later is preceded by what a node would know then: calibrations, and images for pairs.
        """
        bag, end_ns = self._plan.bag, self._job.end_ns
        lead_ns = int((self._plan.settings['max_pair_gap'] or _LONGEST_LEAD_S) * 1e9) + _JITTER_NS
        begin_ns = max(bag.start_ns, self._start_ns - lead_ns)
        try:
            if begin_ns > bag.start_ns:
                for topic in {camera.info for camera in self._plan.cameras if camera.info in bag.types}:
                    yield from itertools.islice(bag.messages(None, begin_ns, [topic]), 1)  # Some are sent only once.
            yield from bag.messages(begin_ns, None if end_ns is None else bag.start_ns + end_ns)
        except ConfigError as error:
            self._damage = str(error)

    def _total(self) -> int:
        """Return the number of images; an estimate for a part of the bag."""
        bag, job = self._plan.bag, self._job
        end_ns = min(bag.duration_ns, bag.duration_ns if job.end_ns is None else job.end_ns)
        share = max(0.0, (end_ns - job.start_ns) / max(1, bag.duration_ns))
        return int(sum(-(-bag.counts[camera.image] * share // job.every) for camera in self._plan.cameras))

    def _report(self) -> Dict[str, Any]:
        plan = self._plan
        faults = [each for each in (plan.bag.note, self._damage) if each] + [
            '{} ({} times, first at {}.{:09d} s)'.format(text, count, *divmod(time_ns, 10**9))
            for text, (count, time_ns) in self._faults.items()]
        return {'fingerprint': plan.fingerprint, 'version': __version__, 'bag': self._job.bag,
                'cameras': [camera._asdict() for camera in plan.cameras], 'models': plan.described,
                'images': self.images, 'processed': self.images - self._bad, 'bad': self._bad,
                'results': self._out.message_counts(), 'faults': faults}

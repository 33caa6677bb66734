"""What the node is doing, as diagnostic_msgs: state, model, engine, rates, drops, latency and age, the board."""
import resource
from collections import Counter
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ..core.board import Clock, read_board
from ..core.timing import StageTimer
from .camera import Camera
from .engine_supervisor import State
from .feed import DROPS, Feed
from .worker import Worker

_STUCK_S = 5.0

_Values = List[Tuple[str, str]]


class _Level(NamedTuple):
    """Level and message of a status."""

    level: bytes
    message: str


class Diagnostics:
    """Turns the worker's counters and timers into one DiagnosticArray per call.

    A node of one camera has one status, `NODE: perception`. With several cameras each has its own, `NODE: CAMERA`, with
    its counts and times, and `NODE: perception` tells of the node and of all cameras together.

    Args:
        name: of the node, with its namespace.
        cameras: in the order of the worker's feeds.
    """

    def __init__(self, name: str, cameras: Sequence[Camera], worker: Worker) -> None:
        self._name = name
        self._cameras = cameras
        self._worker = worker
        self._last: List[Dict[str, int]] = [{} for _ in cameras]

    def array(self, header: Header, interval_s: float) -> DiagnosticArray:
        """Return the statuses; rates are over `interval_s`, the time since the last call."""
        counts = [dict(feed.counts) for feed in self._worker.feeds]
        new = [{key: now[key] - before.get(key, 0) for key in now} for now, before in zip(counts, self._last)]
        self._last = counts
        statuses = []
        for camera, feed, each, recent in zip(self._cameras, self._worker.feeds, counts, new):
            name = feed.camera.name or 'perception'
            level = self._node_level() or self._camera_level(camera, feed, recent, interval_s)
            values = _counts(each, recent, interval_s, camera.image.lost)
            if len(counts) == 1:
                values += self._engines() + _times(self._worker.timer) + _times(feed.timer) + _machine()
            else:
                values += _times(feed.timer)
            statuses.append(self._status(name, camera.image.topic_name, level, values))
        if len(counts) > 1:
            lost = sum(camera.image.lost for camera in self._cameras)
            level = self._node_level() or _running(self._worker.state, _sum(new), interval_s)
            values = _counts(_sum(counts), _sum(new), interval_s, lost)
            values += self._engines() + _times(self._worker.timer) + _machine()
            statuses.append(self._status('perception', '', level, values))
        return DiagnosticArray(header=header, status=statuses)

    def _status(self, name: str, hardware: str, level: _Level, values: _Values) -> DiagnosticStatus:
        message = level.message
        if self._worker.building and self._worker.building not in message:
            message += '; ' + self._worker.building
        return DiagnosticStatus(name='{}: {}'.format(self._name, name), hardware_id=hardware, level=level.level,
                                message=message, values=[KeyValue(key=key, value=value) for key, value in values])

    def _node_level(self) -> Optional[_Level]:
        """Return what there is to say of the node, whatever its cameras do; None = it runs."""
        worker, state = self._worker, self._worker.state
        if not worker.is_alive() and state != State.OPENING:
            return _Level(DiagnosticStatus.ERROR, 'the worker has ended; see the log')
        if worker.busy_s > _STUCK_S and state == State.RUNNING:
            return _Level(DiagnosticStatus.ERROR, 'one frame has been in work for {:.0f} s: the inference runtime '
                                                  'hangs'.format(worker.busy_s))
        if state == State.FAULT:
            return _Level(DiagnosticStatus.ERROR, '{}: {}'.format(state.value, worker.last_error))
        if not worker.enabled:
            return _Level(DiagnosticStatus.OK, 'paused')
        if state == State.OPENING:
            return _Level(DiagnosticStatus.OK, worker.building or state.value)
        return None

    def _camera_level(self, camera: Camera, feed: Feed, recent: Mapping[str, int], interval_s: float) -> _Level:
        unusable = {key: recent.get(key, 0) for key in ('bad', 'too_old', 'engine_fault')}
        if any(unusable.values()):
            error = self._worker.last_error if unusable['engine_fault'] else feed.last_error
            return _Level(DiagnosticStatus.WARN, 'frames dropped: {}{}'.format(
                ', '.join('{} {}'.format(key, count) for key, count in unusable.items() if count),
                '; last error: ' + error if unusable['bad'] or unusable['engine_fault'] else
                '. ' + feed.clock_complaint if feed.clock_complaint else ''))
        for complaint in (feed.clock_complaint if recent.get('received') else '', camera.complaint, _lacking(feed)):
            if complaint:
                return _Level(DiagnosticStatus.WARN, complaint)
        return _running(self._worker.state, recent, interval_s)

    def _engines(self) -> _Values:
        values = []
        for task in self._worker.tasks:
            values.append((task.name + ' model', task.model.name))
            engine = task.engine
            if engine is not None:
                values.append((task.name + ' engine', engine.backend))
                values.append((task.name + ' precision asked', self._worker.settings['precision'] or 'default'))
                values.append((task.name + ' precision built', engine.precision))
                values.append((task.name + ' network', engine.file))
        return values


def _lacking(feed: Feed) -> str:
    """Return which tasks had no result for the last frame, and why; '' = none."""
    pipelines = [(task.name, task.pipeline) for task in feed.tasks]  # The worker may close them meanwhile.
    return '; '.join('no {}: {}'.format(name, pipeline.lacks) for name, pipeline in pipelines
                     if pipeline is not None and pipeline.lacks)


def _sum(counts: Sequence[Mapping[str, int]]) -> Dict[str, int]:
    total: Dict[str, int] = Counter()
    for each in counts:
        total.update(each)
    return total


def _rate(recent: Mapping[str, int], key: str, interval_s: float) -> float:
    return recent.get(key, 0) / interval_s if interval_s > 0 else 0.0


def _running(state: State, recent: Mapping[str, int], interval_s: float) -> _Level:
    return _Level(DiagnosticStatus.OK, '{}: {:.1f} Hz in, {:.1f} Hz out'.format(
        state.value, *(_rate(recent, key, interval_s) for key in ('received', 'processed'))))


def _counts(counts: Mapping[str, int], recent: Mapping[str, int], interval_s: float, lost: int) -> _Values:
    return [('rate in (Hz)', '{:.2f}'.format(_rate(recent, 'received', interval_s))),
            ('rate out (Hz)', '{:.2f}'.format(_rate(recent, 'processed', interval_s))),
            ('images lost on the way', str(lost)),
            ('frames received', str(counts.get('received', 0))),
            ('frames processed', str(counts.get('processed', 0)))] + [
        ('frames dropped: ' + reason, str(counts.get(reason, 0))) for reason in DROPS]


def _times(timer: StageTimer) -> _Values:
    return [(stage + ' p50/p95/p99/max (ms)', '{:.2f} / {:.2f} / {:.2f} / {:.2f}'.format(*p[1:]))
            for stage, p in timer.summary().items()]


def _machine() -> _Values:
    """Return the memory of this process and what the machine tells of itself; a Jetson tells all of it."""
    board = read_board()
    values = [('peak memory (MB)', '{:.0f}'.format(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))]
    values += [(key, value) for key, value in (('board', board.model), ('power mode', board.power_mode)) if value]
    values += [(name + ' clock (MHz)', _clock(clock)) for name, clock in (('CPU', board.cpu), ('GPU', board.gpu))
               if clock is not None]
    return values + [('temperature {} (C)'.format(zone), '{:.1f}'.format(celsius))
                     for zone, celsius in board.temperatures_c.items()]


def _clock(clock: Clock) -> str:
    return '{:.0f} of {:.0f}, {}'.format(*clock)

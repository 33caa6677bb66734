"""The node's state as diagnostic_msgs: state, model, engine, rates, drops, latency and age, the board."""
import resource
from collections import Counter
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from diagnostic_msgs.msg import DiagnosticStatus

from ..core.board import read_board
from ..core.health import (
    UNUSABLE,
    CameraFacts,
    Finding,
    Level,
    NodeFacts,
    camera_findings,
    input_state,
    node_findings,
    summary,
)
from ..core.timing import StageTimer
from .camera import Camera
from .engine_supervisor import State
from .feed import DROPS, Feed
from .status import status_of
from .worker import Worker

_Values = List[Tuple[str, str]]


class Diagnostics:
    """Turns the worker's counters and timers into the statuses of a node.

    A node of one camera has one status, `NODE: perception`. With several cameras each has its own, `NODE: CAMERA`, with
    its counts and times, and `NODE: perception` is about the node and all cameras together.

    Args:
        name: of the node, with its namespace.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: List[Dict[str, int]] = []
        self._rejected: List[int] = []

    def statuses(self, interval_s: float, idle: str, worker: Optional[Worker],
                 cameras: Sequence[Camera]) -> List[DiagnosticStatus]:
        """Return the statuses; rates are over `interval_s`, the time since the last call.

        Args:
            idle: why the node takes no images on purpose; '' = it takes them.
            worker: None while the node is not configured.
            cameras: in the order of the worker's feeds; none while the node is not active.
        """
        if worker is None:
            self._last, self._rejected = [], []
            return [self._status('perception', '', Finding(Level.OK, idle), _machine())]
        return self._of_worker(worker, cameras, interval_s, node_findings(_node_facts(worker, idle)))

    def _of_worker(self, worker: Worker, cameras: Sequence[Camera], interval_s: float,
                   of_node: Sequence[Finding]) -> List[DiagnosticStatus]:
        counts = [_sum([feed.counts] + [task.counts for task in feed.tasks]) for feed in worker.feeds]
        before: Sequence[Dict[str, int]] = self._last or [{}] * len(counts)
        new = [{key: now[key] - last.get(key, 0) for key in now} for now, last in zip(counts, before)]
        unusable = [sum(recent.get(reason, 0) for reason in UNUSABLE) for recent in new]
        self._rejected = [0 if recent.get('processed') else rejected + more for recent, rejected, more in zip(
            new, self._rejected or [0] * len(new), unusable)]
        self._last = counts
        state, building = worker.engines.state, worker.engines.building
        statuses = []
        for number, feed in enumerate(worker.feeds):
            camera = cameras[number] if cameras else None
            facts = _camera_facts(worker, feed, camera, new[number], interval_s, self._rejected[number])
            findings = list(of_node) or camera_findings(facts)
            values = [('input state', input_state(facts).value)] + _counts(
                counts[number], new[number], interval_s, camera.image.lost if camera else 0)
            values += [('{} missing'.format(task), reason) for task, reason in facts.missing]
            if len(counts) == 1:
                values += _engines(worker) + _times(worker.timer) + _times(feed.timer) + _machine()
            else:
                values += _times(feed.timer)
            finding = _with_building(summary(findings, _running(state, new[number], interval_s)), building)
            statuses.append(self._status(feed.camera.name or 'perception', camera.image.topic_name if camera else '',
                                         finding, values))
        if len(counts) > 1:
            finding = summary(of_node, _running(state, _sum(new), interval_s))
            values = _counts(_sum(counts), _sum(new), interval_s, sum(camera.image.lost for camera in cameras))
            values += _engines(worker) + _times(worker.timer) + _machine()
            statuses.append(self._status('perception', '', _with_building(finding, building), values))
        return statuses

    def _status(self, name: str, hardware: str, finding: Finding, values: _Values) -> DiagnosticStatus:
        return status_of('{}: {}'.format(self._name, name), finding.level, finding.text, values, hardware)


def _node_facts(worker: Worker, idle: str) -> NodeFacts:
    engines, state = worker.engines, worker.engines.state
    return NodeFacts(
        is_alive=worker.is_alive() or state == State.OPENING, state=state.value, is_running=state == State.RUNNING,
        fault=engines.last_error or state.value if state == State.FAULT else '', busy_s=worker.busy_s, idle=idle,
        building=engines.building)


def _camera_facts(worker: Worker, feed: Feed, camera: Optional[Camera], recent: Mapping[str, int], interval_s: float,
                  rejected: int) -> CameraFacts:
    pipelines = [(task.name, task.pipeline) for task in feed.tasks]  # The worker may close them at the same time.
    facts = CameraFacts(
        interval_s, recent, rejected=rejected, clock_complaint=feed.clock_complaint,
        error=worker.engines.last_error if recent.get('engine_fault') else feed.last_error,
        missing=[(name, pipeline.lacks) for name, pipeline in pipelines if pipeline is not None and pipeline.lacks],
        min_hz=worker.settings['min_rate'])
    if camera is None:
        return facts
    return facts._replace(ever_received=camera.received, silent_s=camera.silent_s, sender_hz=camera.sender_hz,
                          publishers=len(camera.image.publishers), complaint=camera.complaint)


def _with_building(finding: Finding, building: str) -> Finding:
    if building and building not in finding.text:
        return finding._replace(text='{}; {}'.format(finding.text, building))
    return finding


def _engines(worker: Worker) -> _Values:
    values = []
    for task in worker.tasks:
        values.append((task.name + ' model', task.model.name))
        engine = task.engine
        if engine is not None:
            values.append((task.name + ' engine', engine.backend))
            values.append((task.name + ' precision asked', worker.settings['precision'] or 'default'))
            values.append((task.name + ' precision built', engine.precision))
            values.append((task.name + ' network', engine.file))
    return values


def _sum(counts: Sequence[Mapping[str, int]]) -> Dict[str, int]:
    total: Dict[str, int] = Counter()
    for each in counts:
        total.update(each)
    return total


def _rate(recent: Mapping[str, int], key: str, interval_s: float) -> float:
    return recent.get(key, 0) / interval_s if interval_s > 0 else 0.0


def _running(state: State, recent: Mapping[str, int], interval_s: float) -> str:
    return '{}: {:.1f} Hz in, {:.1f} Hz out'.format(
        state.value, *(_rate(recent, key, interval_s) for key in ('received', 'processed')))


def _counts(counts: Mapping[str, int], recent: Mapping[str, int], interval_s: float, lost: int) -> _Values:
    return [('rate in (Hz)', '{:.2f}'.format(_rate(recent, 'received', interval_s))),
            ('rate out (Hz)', '{:.2f}'.format(_rate(recent, 'processed', interval_s))),
            ('images lost on the way', str(lost)),
            ('frames received', str(counts.get('received', 0))),
            ('frames processed', str(counts.get('processed', 0)))] + [
        ('frames ' + key, str(counts[key])) for key in ('segmented', 'carried') if key in counts] + [
        ('frames dropped: ' + reason, str(counts.get(reason, 0))) for reason in DROPS]


def _times(timer: StageTimer) -> _Values:
    return [(stage + ' p50/p95/p99/max (ms)', '{:.2f} / {:.2f} / {:.2f} / {:.2f}'.format(*p[1:]))
            for stage, p in timer.summary().items()]


def _machine() -> _Values:
    """Return the memory of this process and the state of the machine; only a Jetson reports all of it."""
    board = read_board()
    values = [('peak memory (MB)', '{:.0f}'.format(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))]
    values += [(key, value) for key, value in (('board', board.model), ('power mode', board.power_mode)) if value]
    values += [(name + ' clock (MHz)', '{:.0f} of {:.0f}, {}'.format(*clock))
               for name, clock in (('CPU', board.cpu), ('GPU', board.gpu)) if clock is not None]
    return values + [('temperature {} (C)'.format(zone), '{:.1f}'.format(celsius))
                     for zone, celsius in board.temperatures_c.items()]

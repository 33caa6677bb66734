"""What the node is doing, as diagnostic_msgs: state, model, engine, rates, drops, latency and age, the board."""
import resource
from typing import Dict, List

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ..core.board import Clock, read_board
from .camera import Camera
from .engine_supervisor import State
from .worker import DROPS, Worker

_STUCK_S = 5.0


class Diagnostics:
    """Turns the worker's counters and timers into one DiagnosticArray per call."""

    def __init__(self, name: str, camera: Camera, worker: Worker) -> None:
        self._name = name
        self._camera = camera
        self._worker = worker
        self._last: Dict[str, int] = {}

    def array(self, header: Header, interval_s: float) -> DiagnosticArray:
        """Return the status; rates are over `interval_s`, the time since the last call."""
        worker = self._worker
        state = worker.state
        counts = dict(worker.counts)
        rates = {key: (counts.get(key, 0) - self._last.get(key, 0)) / interval_s if interval_s > 0 else 0.0
                 for key in ('received', 'processed')}
        unusable = {key: counts.get(key, 0) - self._last.get(key, 0) for key in ('bad', 'too_old', 'engine_fault')}
        self._last = counts
        status = DiagnosticStatus(name=self._name, hardware_id=self._camera.image.topic_name)
        if not worker.is_alive() and state != State.OPENING:
            status.level, status.message = DiagnosticStatus.ERROR, 'the worker has ended; see the log'
        elif worker.busy_s > _STUCK_S and state == State.RUNNING:
            status.level, status.message = DiagnosticStatus.ERROR, \
                'one frame has been in work for {:.0f} s: the inference runtime hangs'.format(worker.busy_s)
        elif state == State.FAULT:
            status.level, status.message = DiagnosticStatus.ERROR, '{}: {}'.format(state.value, worker.last_error)
        elif not worker.enabled:
            status.level, status.message = DiagnosticStatus.OK, 'paused'
        elif state == State.OPENING:
            status.level, status.message = DiagnosticStatus.OK, worker.building or state.value
        elif any(unusable.values()):
            status.level, status.message = DiagnosticStatus.WARN, 'frames dropped: {}{}'.format(
                ', '.join('{} {}'.format(key, count) for key, count in unusable.items() if count),
                '; last error: ' + worker.last_error if unusable['bad'] or unusable['engine_fault'] else
                '. ' + worker.clock_complaint if worker.clock_complaint else '')
        elif worker.clock_complaint and rates['received']:
            status.level, status.message = DiagnosticStatus.WARN, worker.clock_complaint
        elif self._camera.complaint:
            status.level, status.message = DiagnosticStatus.WARN, self._camera.complaint
        elif self._lacking():
            status.level, status.message = DiagnosticStatus.WARN, self._lacking()
        else:
            status.level, status.message = DiagnosticStatus.OK, '{}: {:.1f} Hz in, {:.1f} Hz out'.format(
                state.value, rates['received'], rates['processed'])
        if worker.building and worker.building not in status.message:
            status.message += '; ' + worker.building
        values = [('rate in (Hz)', '{:.2f}'.format(rates['received'])),
                  ('rate out (Hz)', '{:.2f}'.format(rates['processed'])),
                  ('images lost on the way', str(self._camera.image.lost)),
                  ('frames received', str(counts.get('received', 0))),
                  ('frames processed', str(counts.get('processed', 0)))]
        values += [('frames dropped: ' + reason, str(counts.get(reason, 0))) for reason in DROPS]
        values += self._engines()
        for stage, p in worker.timer.summary().items():
            values.append((stage + ' p50/p95/p99/max (ms)', '{:.2f} / {:.2f} / {:.2f} / {:.2f}'.format(*p[1:])))
        values.append(('peak memory (MB)', '{:.0f}'.format(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))
        values += _board()
        status.values = [KeyValue(key=key, value=value) for key, value in values]
        return DiagnosticArray(header=header, status=[status])

    def _lacking(self) -> str:
        """Return which tasks had no result for the last frame, and why; '' = none."""
        pipelines = [(task.name, task.pipeline) for task in self._worker.tasks]  # The worker may close them meanwhile.
        return '; '.join('no {}: {}'.format(name, pipeline.lacks) for name, pipeline in pipelines
                         if pipeline is not None and pipeline.lacks)

    def _engines(self) -> List[tuple]:
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


def _board() -> List[tuple]:
    """Return what the machine tells of itself; a Jetson tells all of it."""
    board = read_board()
    values = [(key, value) for key, value in (('board', board.model), ('power mode', board.power_mode)) if value]
    values += [(name + ' clock (MHz)', _clock(clock)) for name, clock in (('CPU', board.cpu), ('GPU', board.gpu))
               if clock is not None]
    return values + [('temperature {} (C)'.format(zone), '{:.1f}'.format(celsius))
                     for zone, celsius in board.temperatures_c.items()]


def _clock(clock: Clock) -> str:
    return '{:.0f} of {:.0f}, {}'.format(*clock)

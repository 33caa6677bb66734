"""Run the node on a clip, under load and with injected faults, and check it against limits.

    trt_perception_tools soak --seconds 600 --load 2            # `make soak`
    trt_perception_tools soak --seconds 60 --no-faults          # the limits only

Times are in calibration loops: a fixed amount of work that is timed beside the node, so that results depend neither on
the machine nor on its load. OUTPUT gets report.json and the logs. The exit status is 1 if the node died, did not
recover, or exceeded a limit.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.share import share_path
from trt_perception.transport import use_shared_memory_profile

from .budget import MEASURES, Verdict, judge, read_budget
from .calibration import Calibration
from .faults import Fault, burn, check_load, enter_own_shared_memory, possible_faults
from .node import Node, Program, camera

_START_LIMIT_S = 300.0
_SETTLE_SHARE = 0.2
_SAMPLE_S = 1.0
_RECOVERY_LIMIT_S = 120.0


class Happened(NamedTuple):
    """An injected fault and its effect."""

    fault: str
    at_s: float
    """After the start of the node."""
    recovered_s: float | None
    """Time from its end to the next label map, s; None = there was none."""
    said: list[str]
    """Diagnostics meanwhile, each change."""
    log_lines: list[str]


class Run:
    """The node and its camera, and their measurements.

    Attributes:
        node, camera: the processes.
    """

    def __init__(self, bag: Path, parameters: list[str], output: Path) -> None:
        from .watch import Watch
        self._bag, self._output = bag, output
        self.watch = Watch()
        self.calibration = Calibration()
        self.calibration.start()
        self.start_camera()
        self.node = Node(parameters, output / 'node.log')
        self.memory: list[tuple[float, float]] = []
        self.happened: list[Happened] = []

    def start_camera(self) -> None:
        """Start the camera, again after it was killed."""
        self.camera: Program = camera(self._bag, self._output / 'camera.log')

    def wait_for_start(self) -> float:
        """Wait for the first label map and return the CPU time of the node up to it, s.

        Raises:
            EngineError: the node ended, or there was none for minutes.
        """
        while not self.watch.labels_s:
            if not self.node.is_alive or time.monotonic() - self.node.started_s > _START_LIMIT_S:
                raise EngineError(f'the node gave no label map in {_START_LIMIT_S:g} s, or ended. Its log: '
                                  f'{self._output / "node.log"}')
            time.sleep(0.02)
        return self.node.cpu_s()

    def sample(self, until_s: float) -> None:
        """Record the memory of the node every second until a moment."""
        while time.monotonic() < until_s and self.node.is_alive:
            self.memory.append((time.monotonic(), self.node.memory_mb()))
            time.sleep(min(_SAMPLE_S, max(0.0, until_s - time.monotonic())))

    def inject(self, fault: Fault) -> None:
        """Inject a fault, wait until it is over and results come again, and note what happened."""
        began_s, lines = time.monotonic(), len(self.node.log_lines())
        with fault.inject(self):
            time.sleep(fault.lasts_s)
        ended_s = time.monotonic()
        while self.watch.gap_after(ended_s) is None and time.monotonic() < ended_s + _RECOVERY_LIMIT_S \
                and self.node.is_alive:
            time.sleep(0.05)
        self.sample(time.monotonic() + 2.0)  # Diagnostics and log follow a little later.
        said = [text for at_s, level, text in self.watch.said if at_s >= began_s and level]
        self.happened.append(Happened(fault.name, began_s - self.node.started_s, self.watch.gap_after(ended_s), said,
                                      self.node.log_lines()[lines:]))

    def measured(self, start_s: float, cpu_s: float, images: int) -> dict[str, float]:
        """Return the measures of the budget that could be taken.

        Args:
            start_s: CPU time of the node up to its first label map: the rest of that time is waiting for discovery.
            cpu_s, images: of the node, from its first label map to its end.
        """
        wall, cpu = self.calibration.wall_s, self.calibration.cpu_s
        found = {'start': start_s / cpu}
        if images:
            found['cpu_per_image'] = cpu_s / images / cpu
        for measure, stage in (('latency_p99', 'segmentation latency p99'), ('age_p99', 'segmentation age p99')):
            if stage in self.watch.times_ms:
                found[measure] = self.watch.times_ms[stage] / 1000 / wall
        growth = memory_growth(self.memory)
        if growth is not None:
            found['memory_mb_per_minute'] = growth
        lines = len(self.node.log_lines()) - sum(len(each.log_lines) for each in self.happened)
        found['log_lines_per_minute'] = lines / max(1.0, (time.monotonic() - self.node.started_s) / 60)
        recovered = [each.recovered_s for each in self.happened]
        if recovered and None not in recovered:
            found['recovery'] = max(each for each in recovered if each is not None) / wall
        return found


def memory_growth(samples: Sequence[tuple[float, float]]) -> float | None:
    """Return the growth of memory in a minute, MB, after the first fifth of the samples; None if there are too few.

    A shorter run gives the growth in its own time: a buffer allocated once is no leak.

    Args:
        samples: (seconds, MB).
    """
    settled = samples[int(len(samples) * _SETTLE_SHARE):]
    if len(settled) < 3:
        return None
    times, sizes = np.array(settled).T
    return float(np.polyfit(times - times[0], sizes, 1)[0]) * min(60.0, times[-1] - times[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--bag', type=Path, default=Path('demo/street'), help='clip (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=600.0, metavar='S', help='(default: %(default)g)')
    parser.add_argument('--load', type=int, default=0, metavar='N',
                        help='processes beside it that load one CPU each (default: %(default)s)')
    parser.add_argument('--no-faults', dest='faults', action='store_false', help='inject none')
    parser.add_argument('--budget', type=Path, default=Path(share_path('config', 'budget.yaml')), metavar='YAML',
                        help='bounds (default: the shipped config/budget.yaml)')
    parser.add_argument('-p', '--param', metavar='NAME:=VALUE', action='append', default=[],
                        help='parameter of the node; repeatable')
    parser.add_argument('-o', '--output', type=Path, default=Path('out/soak'), metavar='DIR',
                        help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=1, help='of the order of the faults (default: %(default)s)')


def execute(args: argparse.Namespace) -> int:
    """Run, and report the outcome."""
    bounds = read_budget(args.budget)
    if not args.seconds > 0:
        raise ConfigError(f'--seconds: got {args.seconds:g}, expected a time above 0.')
    load = check_load(args.load)
    if args.faults:
        enter_own_shared_memory([sys.executable, '-m', 'trt_perception_tools', *sys.argv[1:]])
    args.output.mkdir(parents=True, exist_ok=True)
    for name in ('node.log', 'camera.log'):
        (args.output / name).unlink(missing_ok=True)
    os.environ.setdefault('ROS_DOMAIN_ID', str(random.randrange(1, 100)))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    use_shared_memory_profile()
    import rclpy
    rclpy.init(args=[])
    burning = burn(load)  # Before threads are started: a fork would lose them.
    run = Run(args.bag, args.param, args.output)
    spinning = threading.Thread(target=_spin, args=(run.watch,), daemon=True)
    spinning.start()
    faults = possible_faults() if args.faults else []
    try:
        start_s = run.wait_for_start()
        cpu_s, images = start_s, run.watch.processed
        _soak(run, faults, args.seconds, args.seed)
        is_alive = run.node.is_alive
        cpu_s, images = (run.node.cpu_s() - cpu_s, run.watch.processed - images) if is_alive else (0.0, 0)
        measured = run.measured(start_s, cpu_s, images)
    finally:
        for child in burning:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        run.camera.end()
        status = run.node.end()
        run.calibration.end()
        rclpy.shutdown()
        spinning.join(5.0)
    verdicts = judge(bounds, measured, bool(faults))
    missing = [] if not args.faults or any(each.name == 'shared memory full' for each in faults) else [
        'shared memory full: not injected, since this machine allows no private /dev/shm (unshare, mount)']
    return _tell(args.output, run, verdicts, measured, status if is_alive else status or 1, is_alive, missing)


def _spin(node: Any) -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.2)
    except ExternalShutdownException:
        pass


def _soak(run: Run, faults: list[Fault], seconds: float, seed: int) -> None:
    """Inject the faults again and again, in rounds of random order, spread evenly over a time."""
    end_s = time.monotonic() + seconds
    order = random.Random(seed)
    with tqdm(total=round(seconds), desc='soak', unit='s', leave=False, disable=None) as bar:
        turn: list[Fault] = []
        while run.node.is_alive and time.monotonic() < end_s:
            if not turn:
                turn = order.sample(faults, len(faults))
            rest_s = max(10.0, seconds / 12) if faults else seconds
            run.sample(min(end_s, time.monotonic() + rest_s))
            bar.update(min(round(seconds), round(seconds - (end_s - time.monotonic()))) - bar.n)
            if turn and time.monotonic() < end_s:
                run.inject(turn.pop())


def _tell(output: Path, run: Run, verdicts: list[Verdict], measured: dict[str, float], status: int, is_alive: bool,
          missing: list[str]) -> int:
    """Print and write what happened, and return the exit status."""
    ended_well = is_alive and status in (0, 130, -signal.SIGINT)
    gaps = np.diff(run.watch.labels_s)
    lost = [each for each in run.happened if each.recovered_s is None]
    (output / 'report.json').write_text(json.dumps({
        'measured': measured, 'over_budget': [each.measure for each in verdicts if not each.passed],
        'label_maps': len(run.watch.labels_s), 'flow_fields': len(run.watch.flow_s),
        'longest_gap_s': float(gaps.max()) if gaps.size else None,
        'calibration_loop_ms': {'wall': 1000 * run.calibration.wall_s, 'cpu': 1000 * run.calibration.cpu_s},
        'memory_mb': statistics.median(size for _, size in run.memory) if run.memory else None,
        'ended_well': ended_well, 'exit_status': status, 'times_ms': run.watch.times_ms, 'not_injected': missing,
        'faults': [each._asdict() for each in run.happened]}, indent=1) + '\n')
    for each in run.happened:
        came = 'no label map came again' if each.recovered_s is None else (
            f'label maps again after {each.recovered_s:.2f} s')
        print(f'{each.at_s:6.1f} s  {each.fault}: {came}; {len(each.log_lines)} lines of log'
              + (f'; diagnostics: {each.said[0]}' if each.said else ''))
    for text in missing:
        print(f'         {text}')
    for verdict in verdicts:
        got = 'no number' if verdict.got is None else f'{verdict.got:.4g}'
        print(f'{"passed" if verdict.passed else "FAILED"}: {verdict.measure} {got}, at most {verdict.most:g}   '
              f'({MEASURES[verdict.measure]})')
    if not ended_well:
        print(f'FAILED: the node {"ended" if not is_alive else "did not end by SIGINT"}, status {status}. Its log: '
              f'{output / "node.log"}')
    print(output / 'report.json')
    return int(not ended_well or bool(lost) or not all(each.passed for each in verdicts))

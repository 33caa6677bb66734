"""The whole ROS path: a camera process -> a node's process -> this one, and its network alone, interleaved."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from ...core.errors import ConfigError, EngineError
from ...core.python_child import python_command
from ...core.tasks import find_task
from ...ros.memory import keep_freed_memory
from ...ros.qos import RELIABLE
from ...transport import use_shared_memory_profile
from ..request import Plan, Progress
from ..ros_path import NodeRun, NodeSeries, NodeSpec, Stream, stream_of
from .cdr import read_stamp

_START_S = 600.0
"""Longest wait for a node's first result: a TensorRT engine may have to be built."""
_ANSWER_S = 10.0
_PAUSE_S = 0.002
"""Pause between a result and the next image: longer than a node needs to wait again, as with a real camera."""
_STREAM_S = 6.0
"""Duration with a free-running camera; longer for a node that would give fewer than 20 results."""

def bench_nodes(specs: Sequence[NodeSpec], networks: Sequence[Callable[[], Any]], compressed: bool,
                source: Sequence[str], plan: Plan, rate_hz: float, progress: Progress) -> NodeRun:
    """Measure nodes, interleaved with each other and with their networks alone.

    Args:
        networks: run the network of each node once, in this process.
        compressed: whether the camera's images are compressed.
        source: arguments of the camera's process for its images.
        rate_hz: rate of the free-running camera.

    Raises:
        ConfigError: a node does not start.
        EngineError: a node stops answering.
    """
    use_shared_memory_profile()
    keep_freed_memory()
    with started_nodes(specs, source, compressed) as bench:
        alone: List[List[float]] = [[] for _ in specs]
        whole: List[List[float]] = [[] for _ in specs]
        for number, spec in enumerate(specs):
            progress(0.0, 'starting ' + spec.name)
            bench.start(number)
            for _ in range(plan.warm_up):
                bench.latency_ms(number)
                networks[number]()
        start_s = time.monotonic()
        while len(whole[-1]) < plan.iterations:
            frames = min(plan.block, plan.iterations - len(whole[-1]))
            for number, network in enumerate(networks):
                alone[number] += _run_ms(network, frames)
                bench.latency_ms(number)  # The first of a turn is not measured, because of the caches.
                whole[number] += [bench.latency_ms(number) for _ in range(frames)]
            progress(len(whole[-1]) / plan.iterations, '{} of {} frames each'.format(len(whole[-1]), plan.iterations))
            if plan.limit_s and time.monotonic() - start_s > plan.limit_s:
                break
        nodes = []
        for number, spec in enumerate(specs):
            progress(1.0, 'a camera of {:g} Hz for {}'.format(rate_hz, spec.name))
            seconds = max(_STREAM_S, 20 * float(np.median(whole[number])) * 1e-3)
            stream = bench.stream(number, int(seconds * rate_hz) + 1, 1 / rate_hz)
            nodes.append(NodeSeries(spec, np.array(alone[number]), np.array(whole[number]), stream,
                                    bench.stages(number)))
        return NodeRun(nodes, plan.block)


def _run_ms(network: Callable[[], Any], frames: int) -> List[float]:
    network()  # As above.
    times = []
    for _ in range(frames):
        start_s = time.perf_counter()
        network()
        times.append((time.perf_counter() - start_s) * 1e3)
    return times


class NodeBench:
    """The camera's and the nodes' processes, and a subscription to each node's result.

    Attributes:
        processes: those of the nodes, in their order, then the camera's.
    """

    def __init__(self, specs: Sequence[NodeSpec], camera: subprocess.Popen, processes: Sequence[subprocess.Popen],
                 logs: Sequence[str], namespaces: Sequence[str], topics: Sequence[str], context: Any) -> None:
        self._specs, self._camera, self.processes, self._logs = specs, camera, processes, logs
        self._topics = topics
        self._node = Node('bench', context=context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._received: List[Dict[int, int]] = [{} for _ in specs]
        self._status: Dict[str, Any] = {}
        self._sent = 0
        for number, spec in enumerate(specs):
            topic = '{}/{}'.format(namespaces[number], find_task(spec.task).result_topic)
            # As bytes: a planner in C++ would not convert in Python.
            self._node.create_subscription(Image, topic, self._receiver(number), RELIABLE, raw=True)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._take_diagnostics, 10)

    def _receiver(self, number: int) -> Any:
        received, clock = self._received[number], self._node.get_clock()

        def take(data: bytes) -> None:
            received[read_stamp(data)] = clock.now().nanoseconds
        return take

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._status[status.hardware_id] = status

    def start(self, number: int) -> None:
        """Wait until a node answers."""
        end_s = time.monotonic() + _START_S
        while not self._received[number]:
            self._send('one {} 0'.format(number))
            self._spin(number, lambda: bool(self._received[number]), 1.0)
            if time.monotonic() > end_s:
                raise ConfigError('{}: no result within {:.0f} s. {}'.format(
                    self._specs[number].name, _START_S, self._tail(number)))
        self._spin(number, lambda: False, 0.5)  # Results of images that were sent while it started.

    def latency_ms(self, number: int) -> float:
        """Publish one image, wait for its result and return the ms from stamp to reception."""
        received = self._received[number]
        received.clear()
        self._sent += 1
        time.sleep(_PAUSE_S)
        # No answer is waited for: on a machine with few cores, all that is done here now would be taken from the node.
        self._send('one {} {}'.format(number, self._sent))
        if not self._spin(number, lambda: bool(received), _ANSWER_S):
            raise EngineError('{}: no result for an image within {:.0f} s. {}'.format(
                self._specs[number].name, _ANSWER_S, self._tail(number)))
        (stamp, time_ns), = received.items()
        return (time_ns - stamp) * 1e-6

    def stream(self, number: int, count: int, period_s: float) -> Stream:
        """Publish images at a fixed rate and return the statistics."""
        received = self._received[number]
        received.clear()
        self._send('stream {} {} {}'.format(number, count, period_s))
        self._spin(number, lambda: False, count * period_s)
        sent = self._answer()
        self._spin(number, lambda: len(received) == count, 1.0)
        if len(received) < 2:
            raise EngineError('{}: got {} results of {} images at {:g} Hz, expected at least 2. Lower --rate. {}'
                              .format(self._specs[number].name, len(received), count, 1 / period_s,
                                      self._tail(number)))
        return stream_of(sent, received)

    def stages(self, number: int) -> Dict[str, str]:
        """Return the times of the stages in the node's diagnostics."""
        self._spin(number, lambda: self._topics[number] in self._status, 2.0)
        status = self._status.get(self._topics[number])
        suffix = ' p50/p95/p99/max (ms)'
        return {pair.key[:-len(suffix)]: pair.value for pair in (status.values if status else ())
                if pair.key.endswith(suffix)}

    def close(self) -> None:
        """End all processes."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _send(self, line: str) -> None:
        assert self._camera.stdin is not None
        self._camera.stdin.write(line + '\n')
        self._camera.stdin.flush()

    def _answer(self) -> List[int]:
        assert self._camera.stdout is not None
        line = self._camera.stdout.readline()
        if not line:
            raise EngineError('the camera of the bench ended. It printed: {}'.format(_last_lines(self._logs[-1])))
        stamps: List[int] = json.loads(line)
        return stamps

    def _spin(self, number: int, done: Any, seconds: float) -> bool:
        end_s = time.monotonic() + seconds
        while not done():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            if self.processes[number].poll() is not None:
                raise ConfigError('{}: it ended with status {}. {}'.format(
                    self._specs[number].name, self.processes[number].returncode, self._tail(number)))
            self._executor.spin_once(timeout_sec=min(left_s, 0.5))
        return True

    def _tail(self, number: int) -> str:
        return 'It printed: {}'.format(_last_lines(self._logs[number]))


@contextlib.contextmanager
def started_nodes(specs: Sequence[NodeSpec], source: Sequence[str], compressed: bool) -> Iterator[NodeBench]:
    """Start nodes and their camera within a `with`; arguments as for `measure_nodes`."""
    namespaces = ['/bench_{}/node{}'.format(os.getpid(), number) for number in range(len(specs))]
    topics = [namespace + ('/image/compressed' if compressed else '/image') for namespace in namespaces]
    started: List[subprocess.Popen] = []
    context = rclpy.Context()
    bench: Optional[NodeBench] = None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # As Ctrl-C: else the nodes would stay alive.
    with tempfile.TemporaryDirectory(prefix='trt_perception_bench_') as folder:
        logs = [os.path.join(folder, name + '.log') for name in [str(n) for n in range(len(specs))] + ['camera']]
        try:
            for spec, namespace, log in zip(specs, namespaces, logs):
                with open(log, 'wb') as output:
                    started.append(subprocess.Popen(
                        spec.command + ('-r', '__ns:=' + namespace), stdin=subprocess.DEVNULL, stdout=output,
                        stderr=subprocess.STDOUT))
            with open(logs[-1], 'wb') as output:
                camera = subprocess.Popen(python_command('trt_perception.bench.node.camera') + topics
                                          + list(source), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
                                          universal_newlines=True)
            started.append(camera)
            assert camera.stdout is not None
            if camera.stdout.readline() != 'ready\n':
                raise ConfigError('the camera of the bench does not start. It printed: {}'.format(
                    _last_lines(logs[-1])))
            rclpy.init(args=[], context=context)
            bench = NodeBench(specs, camera, started, logs, namespaces, topics, context)
            yield bench
        finally:
            for process in started:
                if process.stdin is not None:
                    process.stdin.close()  # This ends the camera, which waits for a line and would not handle a signal.
                process.terminate()
            for process in started:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if bench is not None:
                bench.close()
            if context.ok():
                rclpy.shutdown(context=context)
            signal.signal(signal.SIGTERM, before)


def _last_lines(path: str) -> str:
    with open(path, encoding='utf-8', errors='replace') as file:
        return ' | '.join(file.read().strip().splitlines()[-3:]) or 'nothing'

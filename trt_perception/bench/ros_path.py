"""The nodes that are measured over the whole ROS path, and the results. Needs no ROS: `bench.node` measures."""
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..core.model import Model
from ..core.python_child import python_command
from ..core.settings import settings_for
from ..engines import EngineOptions
from .contender import RESTING


class NodeSpec(NamedTuple):
    """One node to measure."""

    name: str
    task: str
    command: Tuple[str, ...]
    """Command of its program, to which remapping rules are appended."""


class Stream(NamedTuple):
    """The results with a free-running camera, by the definitions of NVIDIA's ros2_benchmark.

    Their names are in capitals: github.com/NVIDIA-ISAAC-ROS/ros2_benchmark, basic_performance_calculator.py.
    """

    sent: int
    """NUM_FRAMES_SENT."""
    missed: int
    """NUM_MISSED_FRAMES without a result: a node that takes the newest frame skips those for which it has no time."""
    rate_hz: float
    """MEAN_FRAME_RATE: frames received over the time from the first received to the last."""
    first_sent_received_ms: float
    """FIRST_SENT_RECEIVED_LATENCY: first received minus first sent."""
    first_ms: float
    """FIRST_INPUT_LATENCY: of the first frame with a result, from its stamp to the result's reception."""
    mean_ms: float
    """MEAN_LATENCY of the frames with a result."""
    age_ms: np.ndarray
    """(N,) from stamp to reception: the age of results for a planner."""


class NodeSeries(NamedTuple):
    """Measurements of one node."""

    spec: NodeSpec
    engine_ms: np.ndarray
    """(N,) ms of its network alone, in another process, interleaved with the node."""
    latency_ms: np.ndarray
    """(N,) ms from the image's stamp to the result's reception here, one image at a time."""
    stream: Stream
    stages: Dict[str, str]
    """The node's own diagnostics: stage -> 'p50 / p95 / p99 / max'."""


class NodeRun(NamedTuple):
    """Nodes that took turns."""

    nodes: List[NodeSeries]
    block: int


def node_spec(model: Model, options: EngineOptions, compressed: bool) -> NodeSpec:
    """Return the deployed node of a model; it starts as `trt_perception run` does."""
    parameters = [model.task + '.model:=' + model.path, 'engine:=' + options.backend, 'max_frame_age:=0.0',
                  'num_threads:={}'.format(options.num_threads)]
    parameters += ['precision:=' + options.precision] if options.precision else []
    parameters += ['image_transport:=compressed'] if compressed else []
    parameters += ['{}:={}'.format(setting.name, RESTING[setting.name]) for setting in settings_for([model.task])
                   if setting.name in RESTING]
    words = [word for parameter in parameters for word in ('-p', parameter)]
    return NodeSpec(model.name + ' node', model.task,
                    tuple(python_command('trt_perception', 'run', model.task)) + tuple(words))


def bare_spec(model: Model, options: EngineOptions, compressed: bool) -> NodeSpec:
    """Return the minimal node."""
    return NodeSpec('bare node', model.task, (
        *python_command('trt_perception.bench.node.bare_node'), model.path, options.backend, options.precision,
        str(options.num_threads), 'compressed' if compressed else 'raw', '--ros-args'))


def tutorial_spec(file: str, model: Model, threads: int) -> NodeSpec:
    """Return the node of common tutorials."""
    return NodeSpec('tutorial node', model.task, (
        *python_command('trt_perception.bench.node.tutorial_node'), file, model.path, str(threads), '--ros-args'))


def stream_of(sent: Sequence[int], received: Dict[int, int]) -> Stream:
    """Return the statistics of a stream.

    Args:
        sent: stamps, ns.
        received: stamp -> reception of its result, ns of the same clock; at least two.
    """
    stamps = [stamp for stamp in sent if stamp in received]
    times = [received[stamp] for stamp in stamps]
    age_ms = (np.array(times) - np.array(stamps)) * 1e-6
    return Stream(len(sent), len(sent) - len(stamps), len(stamps) / ((times[-1] - times[0]) * 1e-9),
                  (times[0] - sent[0]) * 1e-6, float(age_ms[0]), float(age_ms.mean()), age_ms)

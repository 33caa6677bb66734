"""Time of an image in the deployed node beyond the bare one, step by step, compared with nodes of other checkouts.

    python docs/measurements/node_cost.py [--images 400] [--other CHECKOUT ...]

Between the bare node of `bench` and the deployed one are nodes that do one thing more each. All run a network of
256x512 with hardly any computation, get 640x480 images one at a time, and take turns of 20. The whole path is from the
image's stamp to the reception of the labels, in another process; CPU times are of the node's process, by thread, from
/proc/PID/task/*/schedstat. Prints a Markdown table of medians.
"""
import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rclpy
import rclpy.lifecycle
from onnx import TensorProto, helper
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64
from std_srvs.srv import SetBool

from trt_perception.bench.node.cdr import read_stamp, write_stamp
from trt_perception.bench.node.measure import started_nodes
from trt_perception.bench.ros_path import NodeSpec, bare_spec, node_spec
from trt_perception.core.image import FrameDecoder, NearestResizer
from trt_perception.core.mailbox import Mailbox
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.ros.memory import keep_freed_memory
from trt_perception.ros.messages import ImageWriter, frame_from_image, header, stamp_ns
from trt_perception.ros.node_sink import ROS
from trt_perception.ros.qos import BEST_EFFORT, NO_PUBLISHER_EVENTS, RELIABLE, subscription_events
from trt_perception.transport import use_shared_memory_profile

ROOT = Path(__file__).resolve().parents[2]
SIZE = (256, 512)
TURN = 20
WARM_UP = 60
STEPS = ('reliable images', 'parameters, lifecycle, topics', 'a typed image', 'a thread for the network',
         "the image in the network's input", "labels of the camera's size", 'a typed label map')
THREADS = ('executor', 'worker', 'Fast DDS')


class StepNode(rclpy.lifecycle.Node):
    """Does what the bare node does, and the first steps of STEPS."""

    def __init__(self, model: str, steps: int) -> None:
        self._steps = set(STEPS[:steps])
        entities = STEPS[1] in self._steps
        super().__init__('steps', start_parameter_services=entities, enable_communication_interface=entities)
        self._model = model
        self._result: bytearray = bytearray()
        self._writer = ImageWriter(ROS, 'mono8')
        self._mailbox: Mailbox[Any] = Mailbox()
        self._labels = self.create_publisher(Image, 'segmentation/label_map', RELIABLE)
        qos = RELIABLE if STEPS[0] in self._steps else BEST_EFFORT
        self.create_subscription(Image, 'image', self._take, qos, raw=STEPS[2] not in self._steps,
                                 event_callbacks=subscription_events())
        if entities:
            self.create_subscription(CameraInfo, 'camera_info', lambda _: None, qos,
                                     event_callbacks=subscription_events())
            self.create_service(SetBool, '~/enable', lambda _, answer: answer)
            for period_s in (0.1, 1.0):
                self.create_timer(period_s, lambda: None)
            for number in range(10):
                self.create_publisher(Float64, f'topic{number}', RELIABLE, event_callbacks=NO_PUBLISHER_EVENTS)
        if STEPS[3] in self._steps:
            threading.Thread(target=self._work, daemon=True).start()

    def _take(self, message: Any) -> None:
        if STEPS[3] in self._steps:
            self._mailbox.put(message)
            time.sleep(1e-6)  # As in the worker.
        else:
            self._handle(message)

    def _work(self) -> None:
        while True:
            self._handle(self._mailbox.take())

    def _handle(self, message: Any) -> None:
        typed = STEPS[2] in self._steps
        if not self._result:  # Here, as an engine belongs to the thread that opens it.
            self._engine = open_engine(load_model(self._model), EngineOptions('onnxruntime', '', 1), FrameDecoder())
            first = message if typed else deserialize_message(message, Image)
            self._size = first.height, first.width
            blank = Image(height=first.height, width=first.width, step=first.width, encoding='mono8',
                          data=bytes(first.height * first.width))
            self._result = bytearray(serialize_message(blank))
            self._resizer = NearestResizer(SIZE, self._size)
        if STEPS[4] in self._steps:
            self._engine.put_image('image', frame_from_image(message))
        labels = self._engine.infer()['labels'][0]
        if STEPS[5] in self._steps:
            labels = self._resizer.resize(labels, self._writer.array(self._size, np.uint8))
        stamp = stamp_ns(message.header.stamp) if typed else read_stamp(message)
        if STEPS[6] in self._steps:
            self._labels.publish(self._writer.stamped(header(ROS, stamp, message.header.frame_id)))
        else:
            write_stamp(self._result, stamp)
            self._labels.publish(bytes(self._result))


def write_network(folder: Path) -> str:
    """Write a network whose labels are its input's first channel, and return the path of its YAML."""
    shape = [1, *SIZE]
    graph = helper.make_graph(
        [helper.make_node('Slice', ['image', 'begin', 'end', 'axis'], ['channel']),
         helper.make_node('Reshape', ['channel', 'shape'], ['labels'])], 'nearly_nothing',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, [*shape, 3])],
        [helper.make_tensor_value_info('labels', TensorProto.UINT8, shape)],
        [onnx.numpy_helper.from_array(np.array(value, np.int64), name) for name, value in (
            ('begin', [0]), ('end', [1]), ('axis', [3]), ('shape', shape))])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8),
              folder / 'network.onnx')
    (folder / 'labels.yaml').write_text('classes: [{id: 0, name: all, color: [0, 0, 0]}]\n')
    path = folder / 'network.yaml'
    path.write_text('task: segmentation\ndescription: does nearly nothing\nlicense: none\n'
                    'files: {onnxruntime: {fp32: network.onnx}}\nlabels: labels.yaml\n'
                    'input: {names: [image], color: rgb, mean: [0, 0, 0], std: [1, 1, 1]}\noutput: {labels: labels}\n')
    return str(path)


def cpu_ms(pid: int) -> dict[str, float]:
    """Return the CPU time of a process so far, by kind of thread."""
    times: dict[str, float] = defaultdict(float)
    for task in Path(f'/proc/{pid}/task').iterdir():
        name = (task / 'comm').read_text()
        kind = 'executor' if task.name == str(pid) else 'Fast DDS' if name.startswith('dds') else 'worker'
        times[kind] += int((task / 'schedstat').read_text().split()[0]) * 1e-6
    return times


def specs(path: str, others: list[str]) -> list[NodeSpec]:
    """Return the nodes to measure: the bare one, one of each step, the deployed one, that of other checkouts."""
    model, options = load_model(path), EngineOptions('onnxruntime', '', 1)
    found = [bare_spec(model, options, False)]
    found += [NodeSpec('+ ' + step, model.task, (sys.executable, __file__, 'step', path, str(number), '--ros-args'))
              for number, step in enumerate(STEPS, 1)]
    deployed = node_spec(model, options, False)
    return found + [deployed._replace(name='the deployed node')] + [
        deployed._replace(name='that of ' + Path(each).name, command=deployed.command[:1] + tuple(
            word.replace(str(ROOT), str(Path(each).resolve())) for word in deployed.command[1:])) for each in others]


def measure(nodes: list[NodeSpec], images: int) -> None:
    """Measure the nodes interleaved and print."""
    use_shared_memory_profile()
    keep_freed_memory()
    whole: list[list[float]] = [[] for _ in nodes]
    cpu: list[list[list[float]]] = [[] for _ in nodes]
    with started_nodes(nodes, ['--camera', '640x480'], False) as bench:
        for number in range(len(nodes)):
            bench.start(number)
            for _ in range(WARM_UP):
                bench.latency_ms(number)
        for _ in range(images // TURN):
            for number, process in enumerate(bench.processes[:len(nodes)]):
                bench.latency_ms(number)  # The first of a turn is not measured: caches are another's.
                before = cpu_ms(process.pid)
                whole[number] += [bench.latency_ms(number) for _ in range(TURN)]
                after = cpu_ms(process.pid)
                cpu[number].append([(after[kind] - before[kind]) / TURN for kind in THREADS])
    print(f'| | whole path, ms: p10 | p50 | beyond bare: p10 | p50 | CPU, ms | {" | ".join(THREADS)} |\n|{"---|" * 9}')
    for node, latencies, times in zip(nodes, whole, cpu):
        low, middle = np.percentile(latencies, (10, 50))
        low_more, more = (low, middle) - np.percentile(whole[0], (10, 50))
        print(f'| {node.name} | {low:.2f} | {middle:.2f} | {low_more:.2f} | {more:.2f} | '
              f'{np.median(np.sum(times, 1)):.2f} | {" | ".join(f"{each:.2f}" for each in np.median(times, 0))} |')


def main() -> None:
    """Measure, or be one of the nodes that are measured."""
    if sys.argv[1:2] == ['step']:
        use_shared_memory_profile()
        keep_freed_memory()
        rclpy.init(args=sys.argv[4:])
        rclpy.spin(StepNode(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=400)
    parser.add_argument('--other', nargs='*', default=[], metavar='CHECKOUT')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(specs(write_network(Path(folder)), args.other), args.images)


if __name__ == '__main__':
    main()

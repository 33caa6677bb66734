"""The design choices in the message path, each compared with the alternative, interleaved, in one run.

    .venv/bin/python docs/measurements/message_path.py

Prints the Markdown table of medians of message_path.md.
"""
import subprocess
import sys
import time
from array import array
from collections.abc import Callable

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from trt_perception.core.data import FlowField
from trt_perception.core.image import NearestResizer
from trt_perception.ros.memory import keep_freed_memory
from trt_perception.ros.messages import ImageWriter, flow_info_json

SIZES = ((480, 640), (720, 1280), (1024, 2048))
ROUNDS = 60


def medians(*contenders: Callable[[], object]) -> list[float]:
    """Return the median time of each, ms, from rounds in which they take turns."""
    times = np.zeros((ROUNDS, len(contenders)))
    for each in times:
        for number, contender in enumerate(contenders):
            start = time.perf_counter()
            contender()
            each[number] = time.perf_counter() - start
    return [float(t) for t in np.median(times, axis=0) * 1e3]


def take_ms(size: tuple[int, int]) -> float:
    """Return the time to make an Image of (height, width) bgr8 from its serialised bytes, ms."""
    writer = ImageWriter('bgr8')
    writer.array((*size, 3), np.uint8)
    data = serialize_message(writer.message)
    held = [Image()]

    def take() -> None:
        held[0] = deserialize_message(data, Image)  # As in the node: the last frame lives until the next is there.

    return medians(take)[0]


def other_process(size: tuple[int, int], keep: bool) -> float:
    """Return `take_ms` of a fresh process: the allocator cannot be set back."""
    return float(subprocess.check_output([sys.executable, __file__, 'take', *map(str, size), str(int(keep))]))


def row(what: str, size: tuple[int, int], ours: float, other: float) -> None:
    """Print one line of the table."""
    print(f'| {what} | {size[0]}x{size[1]} | {ours:.3f} | {other:.3f} | {other / ours:.1f} |')


def main() -> None:
    """Measure and print."""
    print('| our choice, instead of the alternative | size | ours, ms | alternative, ms | ratio |')
    print('|---' * 5 + '|')
    for size in SIZES:
        turns = [(other_process(size, True), other_process(size, False)) for _ in range(3)]
        ours, other = np.median(turns, axis=0)
        row('keep freed memory for the next image, instead of mapping it again', size, ours, other)
    for size in SIZES:
        labels = np.random.default_rng(0).integers(0, 11, size).astype(np.uint8)
        writer, message = ImageWriter('mono8'), Image()
        in_place = writer.array(size, np.uint8)

        def assign(labels: np.ndarray = labels, message: Image = message) -> None:
            message.data = array('B', labels.tobytes())

        ours, other = medians(lambda: np.copyto(in_place, labels), assign)  # noqa: B023
        row('write labels into the message, instead of assigning new data', size, ours, other)
    for source, target in (((360, 480), (480, 640)), ((512, 1024), (1024, 2048))):
        labels = np.random.default_rng(0).integers(0, 11, source).astype(np.uint8)
        resizer, out = NearestResizer(source, target), np.empty(target, np.uint8)
        ours, other = medians(lambda: resizer.resize(labels, out), lambda: cv2.resize(  # noqa: B023
            labels, target[::-1], dst=out, interpolation=cv2.INTER_NEAREST_EXACT))  # noqa: B023
        row('exact nearest-neighbour labels with any OpenCV, instead of INTER_NEAREST_EXACT of OpenCV >= 4.5', target,
            ours, other)
    for size in SIZES[:2]:
        field = FlowField(np.random.default_rng(0).normal(size=(*size, 2)).astype(np.float32), 0, '', 1)
        ours, other = medians(lambda: flow_info_json(field, 'current'),  # noqa: B023
                              lambda: np.median(field.flow.reshape(-1, 2), axis=0))  # noqa: B023
        row('median flow of every 8th row and column, instead of all', size, ours, other)


if __name__ == '__main__':
    if sys.argv[1:2] == ['take']:
        if sys.argv[4] == '1':
            keep_freed_memory()
        print(take_ms((int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()

"""What ROS's lifecycle costs a node per image: CPU time of a whole process, camera included, with and without it.

Two nodes in one process, one with the services of the lifecycle, one as on Foxy, get images in turns.

    python docs/measurements/lifecycle.py
"""
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'test'))

import networks  # noqa: E402
from rig import DEEP, image, random_image  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from trt_perception.core.tasks import SEGMENTATION  # noqa: E402
from trt_perception.ros import managed_node, perception_node  # noqa: E402
from trt_perception.ros.engine_supervisor import State  # noqa: E402

TURNS, IMAGES = 12, 40
ARGUMENTS = ['--ros-args', '-p', 'max_frame_age:=0.0', '-p', 'num_threads:=1', '-p', 'lazy:=false']


def start(managed: bool, model: str) -> tuple:
    """Return an executor with a node, its worker and a publisher of images."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    node = perception_node.PerceptionNode(
        'perception', [SEGMENTATION], context=context, namespace='managed' if managed else 'plain',
        use_global_arguments=False, cli_args=ARGUMENTS + ['-p', f'segmentation.model:={model}'],
        enable_communication_interface=managed)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    camera = node.create_publisher(Image, 'image', DEEP)
    while node._worker.state != State.RUNNING or not camera.get_subscription_count():
        executor.spin_once(timeout_sec=0.05)
    return executor, node, camera


def turn(executor: SingleThreadedExecutor, node: perception_node.PerceptionNode, camera: rclpy.publisher.Publisher,
         message: Image) -> float:
    """Return the CPU time per image of one turn, ms."""
    counts = node._worker.feeds[0].counts
    began = time.process_time()
    for _ in range(IMAGES):
        done = counts['processed'] + 1
        camera.publish(message)
        while counts['processed'] < done:
            executor.spin_once(timeout_sec=0.01)
    return (time.process_time() - began) / IMAGES * 1e3


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp())
    networks.segmentation_model(folder)
    message = image(random_image(0), 10**9)
    nodes = [start(managed, str(folder / 'tiny.yaml')) for managed in (True, False)]
    for each in nodes:
        turn(*each, message)
    times = np.array([[turn(*each, message) for each in nodes] for _ in range(TURNS)])
    managed, plain = np.median(times, axis=0)
    print(f'{managed_node.HAS_LIFECYCLE=}; CPU per image: with the lifecycle {managed:.3f} ms, without {plain:.3f} ms, '
          f'ratio {np.median(times[:, 0] / times[:, 1]):.3f} ({TURNS} turns of {IMAGES} images)')
    for executor, node, _ in nodes:
        node.close()
        executor.shutdown()


if __name__ == '__main__':
    main()

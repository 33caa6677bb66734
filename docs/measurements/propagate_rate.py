"""Label maps at the camera's rate: the share of images that get one with `propagate`, and the CPU time.

    .venv/bin/python docs/measurements/propagate_rate.py [--hz 30] [--seconds 10] [--propagate 1 3 5 0]

Publishes the demo's clip over DDS to segmentation_node, a separate process with one thread for the network; prints a
Markdown table.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from trt_perception.core.image import FrameDecoder
from trt_perception.transport import use_shared_memory_profile
from trt_perception_tools.evaluate.data import open_video

START_S = 60.0
WARM_UP_S = 2.0
TICKS = os.sysconf('SC_CLK_TCK')


def there_and_back() -> list[Image]:
    """Return the messages of the clip, forwards and then backwards, so that it may be repeated without a jump."""
    decoder = FrameDecoder()
    images = []
    for frame in open_video(Path('demo/street'), '', None).frames:
        pixels = decoder.image(frame, 'bgr', (frame.height, frame.width))
        message = Image(height=frame.height, width=frame.width, encoding='bgr8', step=3 * frame.width)
        message.header.frame_id = 'camera'
        message.data = pixels.tobytes()
        images.append(message)
    return images + images[-2:0:-1]


def cpu_s(process: subprocess.Popen) -> float:
    """Return the CPU time that a process has had, s."""
    fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Camera:
    """Plays the clip, and takes what the node makes of it."""

    def __init__(self) -> None:
        self.node = rclpy.create_node('camera')
        self.images = there_and_back()
        self.publisher = self.node.create_publisher(Image, 'image', QoSProfile(depth=1))
        self.ages_s: list[float] = []
        self.status: dict[str, str] = {}
        self.node.create_subscription(Image, 'segmentation/label_map', self._take, 50)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._take_status, 10)
        self.number = 0

    def play(self, hz: float, seconds: float) -> int:
        """Publish for so long and return how many images that were."""
        began_s, count = time.monotonic(), int(hz * seconds)
        for turn in range(count):
            while time.monotonic() < began_s + turn / hz:
                rclpy.spin_once(self.node, timeout_sec=0.002)
            message = self.images[self.number % len(self.images)]
            stamp_ns = time.time_ns()
            message.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
            self.publisher.publish(message)
            self.number += 1
        return count

    def wait(self, seconds: float) -> None:
        """Take what comes for so long."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def _take(self, message: Image) -> None:
        self.ages_s.append(time.time() - message.header.stamp.sec - message.header.stamp.nanosec * 1e-9)

    def _take_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.status = {value.key: value.value for value in status.values}


def measure(camera: Camera, propagate: int, hz: float, seconds: float) -> None:
    """Run the node once and print a row."""
    with tempfile.TemporaryFile() as log:
        node = subprocess.Popen(
            [sys.executable, '-m', 'trt_perception', 'run', 'segmentation', '--image', '/image', '-p', 'num_threads:=1',
             '-p', 'max_frame_age:=0.0', '-p', f'propagate:={propagate}'], stdout=log, stderr=log)
        try:
            end_s = time.monotonic() + START_S
            camera.ages_s.clear()
            while not camera.ages_s:
                camera.play(hz, 0.5)
                if node.poll() is not None or time.monotonic() > end_s:
                    log.seek(0)
                    raise SystemExit(log.read().decode())
            camera.play(hz, WARM_UP_S)
            camera.wait(0.5)
            camera.ages_s.clear()
            before = cpu_s(node)
            count = camera.play(hz, seconds)
            camera.wait(0.5)
            used_s, ages_ms = cpu_s(node) - before, 1e3 * np.array(camera.ages_s)
            camera.wait(1.5)
        finally:
            node.terminate()
            node.wait(20)
    middle, late = np.percentile(ages_ms, [50, 95])
    counts = [camera.status.get(f'frames {key}', '-') for key in ('processed', 'segmented', 'carried')]
    print(f'| {propagate} | {len(ages_ms) / count:.3f} | {" / ".join(counts)} | {1e3 * used_s / count:.1f} | '
          f'{middle:.0f} / {late:.0f} |', flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--hz', type=float, default=30.0, help='of the camera (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=10.0, help='a row (default: %(default)s)')
    parser.add_argument('--propagate', type=int, nargs='+', default=[1, 3, 5, 0], metavar='N')
    args = parser.parse_args()
    use_shared_memory_profile()  # The node inherits it.
    rclpy.init(args=[])
    camera = Camera()
    print('| `propagate` | images with a label map | processed / segmented / carried since the start '
          '| CPU, ms an image | age p50 / p95, ms |\n' + '|---' * 5 + '|')
    for each in args.propagate:
        measure(camera, each, args.hz, args.seconds)
    rclpy.shutdown()


if __name__ == '__main__':
    main()

"""A camera several times faster than the network, for minutes: checks memory, age and counters.

Camera, node and planner are three processes over DDS. Every result must belong to an image that was sent, at most once
and in order. Every image must be counted. Memory, descriptors and threads of the node must not grow, nor the age of
the results.

usage: overload.py [--minutes 11] [--factor 5] [--size 480x640] [--best-effort] [--json FILE] [-- -p NAME:=VALUE ...]
The exit status is 1 if something grew, or if the counts do not add up.
"""
import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

TOPICS = {'segmentation': '/segmentation/label_map', 'optical_flow': '/optical_flow/flow'}
WARM_UP = 0.1
"""Share of the run before memory and age count."""
BOUNDS = {'memory growth (MB/min)': 0.5, 'descriptors more': 2, 'threads more': 1, 'age, last third over first': 1.3,
          'images not accounted for': 1, 'results not sent, twice or out of order': 0, 'results not received': 0,
          'results older than max_frame_age when taken': 0, 'exit status': 0}


def publish_images(size, best_effort, path):
    """Be the camera: publish at the rate of the last line on stdin until a line without a number; write the stamps."""
    import threading

    import rclpy
    from builtin_interfaces.msg import Time
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image
    rclpy.init(args=[])
    node = rclpy.create_node('camera')
    publisher = node.create_publisher(Image, '/camera/image', QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE))
    chance = np.random.RandomState(0)
    scene = chance.randint(0, 256, (size[0], size[1] + 64, 3)).astype(np.uint8)
    windows = [scene[:, shift:shift + size[1]].tobytes() for shift in range(0, 64, 4)]
    messages = [Image(height=size[0], width=size[1], step=3 * size[1], encoding='bgr8', data=data) for data in windows]
    rate = [0.0]

    def listen():
        for line in sys.stdin:
            rate[0] = float(line) if line.strip() else -1.0
        rate[0] = -1.0
    threading.Thread(target=listen, daemon=True).start()
    stamps = []
    next_s = time.monotonic()
    while rate[0] >= 0:
        if not rate[0] or not publisher.get_subscription_count():
            time.sleep(0.02)
            next_s = time.monotonic()
            continue
        time.sleep(max(0.0, next_s - time.monotonic()))
        next_s = max(next_s + 1 / rate[0], time.monotonic() - 1 / rate[0])
        message = messages[len(stamps) % len(messages)]
        stamp = time.time_ns()
        message.header.stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
        message.header.frame_id = 'camera'
        publisher.publish(message)
        stamps.append(stamp)
    Path(path).write_text(json.dumps(stamps))
    node.destroy_node()
    rclpy.shutdown()


class Planner:
    """Takes the results and the diagnostics."""

    def __init__(self):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import HistoryPolicy, QoSProfile
        from sensor_msgs.msg import Image
        rclpy.init(args=[])
        self._rclpy = rclpy
        self.node = rclpy.create_node('planner')
        self.stamps = {task: [] for task in TOPICS}
        self.ages_ms = {task: [] for task in TOPICS}
        self.values = {}
        deep = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100)
        for task, topic in TOPICS.items():
            self.node.create_subscription(Image, topic, self._taker(task), deep, raw=True)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._note, deep)

    def _taker(self, task):
        from trt_perception.bench.node.cdr import read_stamp

        def take(data):
            stamp = read_stamp(data)
            self.stamps[task].append(stamp)
            self.ages_ms[task].append((time.time_ns() - stamp) * 1e-6)
        return take

    def _note(self, array):
        for status in array.status:
            if any(value.key == 'frames received' for value in status.values):
                self.values = {value.key: value.value for value in status.values}

    @property
    def counts(self):
        """Return name -> number of frames."""
        return {key.replace('frames ', ''): int(value) for key, value in self.values.items()
                if key.startswith('frames ')}

    def listen(self, seconds, until=lambda: False):
        """Take what comes for so long, or until something holds; return whether it does."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until():
            self._rclpy.spin_once(self.node, timeout_sec=0.05)
        return until()

    def close(self):
        """Leave ROS."""
        self.node.destroy_node()
        self._rclpy.shutdown()


@contextlib.contextmanager
def child(arguments, **options):
    """Run this Python with arguments; kill it if it is still there at the end."""
    process = subprocess.Popen([sys.executable, *map(str, arguments)], universal_newlines=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(args, folder):
    """Return measure -> number."""
    size = 'x'.join(map(str, args.size))
    with open(str(folder / 'node.log'), 'w') as log, child(
            ['-m', 'trt_perception', 'run', '--image', '/camera/image', '-p', 'num_threads:=1', '-p',
             'max_frame_age:={}'.format(args.max_frame_age), *args.node], stdout=log, stderr=log) as node, child(
            [__file__, '--size', size, '--camera', folder / 'sent.json'] + ['--best-effort'] * args.best_effort,
            stdin=subprocess.PIPE) as camera:
        planner = Planner()

        def tell(line):
            camera.stdin.write(line + '\n')
            camera.stdin.flush()

        try:
            tell('2')
            assert planner.listen(120, lambda: all(map(len, planner.stamps.values()))), 'no results'
            tell('200')  # Faster than any network here: what comes out is the network's own rate.
            planner.listen(3)
            before = len(planner.stamps['segmentation'])
            planner.listen(args.probe_s)
            rate_hz = (len(planner.stamps['segmentation']) - before) / args.probe_s
            tell('{:.1f}'.format(args.factor * rate_hz))
            process = psutil.Process(node.pid)
            samples, first = [], {task: len(stamps) for task, stamps in planner.stamps.items()}
            began_s = time.monotonic()
            while time.monotonic() < began_s + 60 * args.minutes:
                planner.listen(1.0)
                samples.append((time.monotonic() - began_s, process.memory_info().rss / 2**20, process.num_fds(),
                                process.num_threads()))
            tell('')
            camera.wait(30)
            counts = {}
            while counts != planner.counts:  # Until all that was sent is counted.
                counts = planner.counts
                planner.listen(2.5)
            node.send_signal(signal.SIGINT)
            status = node.wait(60)
        finally:
            planner.close()
    sent = json.loads((folder / 'sent.json').read_text())
    settled = np.array(samples)[int(len(samples) * WARM_UP):]
    order = {stamp: number for number, stamp in enumerate(sent)}
    wrong, missing, ratios, too_old = 0, 0, [], 0
    received = counts.pop('received')
    for task, stamps in planner.stamps.items():
        places = [order.get(stamp, -1) for stamp in stamps]
        wrong += sum(later <= earlier for earlier, later in zip([-1] + places, places))
        ages = planner.ages_ms[task][first[task]:]
        third = len(ages) // 3
        ratios.append(float(np.percentile(ages[-third:], 95) / np.percentile(ages[:third], 95)))
        if task == 'segmentation':  # A flow field needs two images that are not too far apart.
            missing = max(0, counts['processed'] - len(stamps) - 3)  # Before both knew each other, it may go to nobody.
        latency_ms = float(planner.values['{} latency p50/p95/p99/max (ms)'.format(task)].split(' / ')[3])
        age_ms = float(planner.values['{} age p50/p95/p99/max (ms)'.format(task)].split(' / ')[3])
        too_old += age_ms > 1e3 * args.max_frame_age + latency_ms
    late = sent[len(sent) * 3 // 4:]  # Not while the network's rate was measured.
    growth = np.polyfit(settled[:, 0] / 60, settled[:, 1], 1)[0]
    found = {
        'network alone (Hz)': rate_hz, 'camera (Hz)': (len(late) - 1) / ((late[-1] - late[0]) * 1e-9),
        'sent': len(sent), 'received': received, **counts, 'memory (MB)': float(np.median(settled[:, 1])),
        'age p95 (ms)': float(np.percentile(planner.ages_ms['segmentation'][first['segmentation']:], 95)),
        'memory growth (MB/min)': float(growth), 'descriptors more': float(np.ptp(settled[:, 2])),
        'threads more': float(np.ptp(settled[:, 3])), 'age, last third over first': max(ratios),
        'images not accounted for': abs(received - sum(counts.values())),
        'results not sent, twice or out of order': wrong, 'results not received': missing,
        'results older than max_frame_age when taken': too_old, 'exit status': status}
    return found


def main():
    """Run, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=11.0)
    parser.add_argument('--factor', type=float, default=5.0, help='images of the camera for each that is processed')
    parser.add_argument('--size', type=lambda text: tuple(map(int, text.split('x'))), default=(480, 640))
    parser.add_argument('--best-effort', action='store_true', help='the camera; else it is reliable')
    parser.add_argument('--max-frame-age', type=float, default=0.5)
    parser.add_argument('--probe-s', type=float, default=10.0, help='for the rate of the network alone')
    parser.add_argument('--json', type=Path)
    parser.add_argument('--camera', help=argparse.SUPPRESS)
    parser.add_argument('node', nargs='*', help='parameters of the node: -p NAME:=VALUE')
    args = parser.parse_args()
    root = str(Path(__file__).resolve().parents[2])
    sys.path.insert(0, root)
    os.environ['PYTHONPATH'] = os.pathsep.join([root] + os.environ.get('PYTHONPATH', '').split(os.pathsep))
    if args.camera:
        publish_images(args.size, args.best_effort, args.camera)
        return 0
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ['PYTHONUNBUFFERED'] = '1'
    from trt_perception.transport import profile_environment
    os.environ.update(profile_environment())
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
        log = (Path(folder) / 'node.log').read_text()
    failed = [name for name, most in BOUNDS.items() if abs(found[name]) > most]
    for name, value in found.items():
        print('{}: {:.4g}'.format(name, value) + ('   (at most {:g}{})'.format(
            BOUNDS[name], ': FAILED' if name in failed else '') if name in BOUNDS else ''))
    print('lines of log: {}'.format(len(log.splitlines())))
    if failed:
        print(log[-2000:])
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + '\n')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())

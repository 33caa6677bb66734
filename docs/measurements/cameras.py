"""Several cameras on one node, over DDS: fairness of the turns, age of results, and flow within each camera.

Simulated cameras run in one process, the node in another. The scene of each camera moves by a different number of
pixels per image, so that a flow field reveals from which camera its images are.

usage: cameras.py [--cameras 8] [--hz 10] [--together] [--seconds 30] [--size 120x160] [--task perception]
Prints a line per camera, and whether the goals are met; `--json` prints only the numbers.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

import numpy as np

MOST_TURNS = 1.1
"""Engine times that an image may wait for each camera, at the 95th percentile of all ages."""
WARM_UP_S = 3.0
START_S = 120.0
NODE = '/cameras_{}'


def velocity(camera):
    """Return (u, v): the px by which the scene of a camera moves from image to image."""
    return [(2, 0), (-2, 0), (0, 2), (0, -2), (3, 3), (-3, 3), (3, -3), (-3, -3)][camera % 8]


def scene(camera, size):
    """Return (H, W, 3) uint8, smooth noise that goes on over its edges; another one for each camera."""
    height, width = size
    noise = np.fft.rfft2(np.random.RandomState(camera).standard_normal((height, width)))
    rows, columns = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)
    smooth = np.fft.irfft2(noise * np.exp(-800 * (rows ** 2 + columns ** 2)), (height, width))
    gray = np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., np.newaxis], 3, axis=2)


def publish_images(namespace, cameras, hz, together, seconds, size):
    """Be the cameras: publish for so long, then print the stamps of each camera (ns) as JSON."""
    import rclpy
    from builtin_interfaces.msg import Time
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image
    rclpy.init(args=[])
    node = rclpy.create_node('cameras', namespace=namespace)
    publishers = [node.create_publisher(Image, 'camera{}/image'.format(each), QoSProfile(depth=1))
                  for each in range(cameras)]
    scenes = [scene(each, size) for each in range(cameras)]
    messages = [Image(height=size[0], width=size[1], step=3 * size[1], encoding='bgr8') for _ in publishers]
    while not all(each.get_subscription_count() for each in publishers):
        time.sleep(0.05)
    stamps = [[] for _ in publishers]
    began_s = time.monotonic() + 1
    for turn in range(int(seconds * hz)):
        for camera, message in enumerate(messages):  # Before they are due, as cameras would be ready at once.
            u, v = velocity(camera)
            message.data = np.roll(scenes[camera], (v * turn, u * turn), axis=(0, 1)).tobytes()
        for camera, (publisher, message) in enumerate(zip(publishers, messages)):
            due_s = began_s + (turn + (0 if together else camera / cameras)) / hz
            time.sleep(max(0, due_s - time.monotonic()))
            # Cameras of one trigger have one stamp, however long it takes to send their images one after the other.
            stamp = stamps[0][turn] if together and camera else time.time_ns()
            message.header.stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
            message.header.frame_id = 'camera'  # The same for all: nothing but the topic tells them apart.
            publisher.publish(message)
            stamps[camera].append(stamp)
    print(json.dumps(stamps), flush=True)
    time.sleep(1)


class Planner:
    """Listens to the results of all cameras."""

    def __init__(self, namespace, cameras, task):
        import rclpy
        from sensor_msgs.msg import Image
        from std_msgs.msg import String
        rclpy.init(args=[])
        self.node = rclpy.create_node('planner', namespace=namespace)
        self.spin_once = rclpy.spin_once
        self.ages_s = defaultdict(dict)
        self.flows = defaultdict(list)
        for camera in range(cameras):
            topic = 'optical_flow/flow' if task == 'optical_flow' else 'segmentation/label_map'
            # Deep: on a busy machine this process, too, gets less than its share.
            self.node.create_subscription(Image, 'camera{}/{}'.format(camera, topic), self._taker(camera), 10, raw=True)
            if task != 'segmentation':
                self.node.create_subscription(String, 'camera{}/optical_flow/flow_info'.format(camera),
                                              self._flow_taker(camera), 10)

    def _taker(self, camera):
        from trt_perception.bench.node.cdr import read_stamp

        def take(data):
            stamp = read_stamp(data)
            self.ages_s[camera][stamp] = time.time() - stamp * 1e-9
        return take

    def _flow_taker(self, camera):
        return lambda message: self.flows[camera].append(json.loads(message.data))

    def listen(self, seconds):
        """Take what comes for so long."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.spin_once(self.node, timeout_sec=0.1)


@contextlib.contextmanager
def processes(args, namespace, log):
    """Start the node and, once it runs, the cameras; end both."""
    names = ', '.join('camera{}'.format(each) for each in range(args.cameras))
    no_gap = [] if args.task == 'segmentation' else ['-p', 'max_pair_gap:=0.0']  # Else it would decide who gets flow.
    node = subprocess.Popen(
        [sys.executable, '-m', 'trt_perception', 'run', args.task, '-p', 'cameras:=[{}]'.format(names),
         '-p', 'max_frame_age:=0.0', '-p', 'num_threads:=1', '--namespace', namespace] + no_gap + args.node,
        stdout=log, stderr=log)
    size = '{}x{}'.format(*args.size)
    cameras = subprocess.Popen(
        [sys.executable, __file__, '--publish', namespace, '--cameras', str(args.cameras), '--hz', str(args.hz),
         '--seconds', str(args.seconds + WARM_UP_S), '--size', size] + ['--together'] * args.together,
        stdout=subprocess.PIPE, universal_newlines=True)
    try:
        yield node, cameras
    finally:
        for each in (cameras, node):
            each.terminate()
            each.wait(30)


def peak_memory_mb(pid):
    """Return the most memory that a process has had, MB."""
    with open('/proc/{}/status'.format(pid)) as file:
        return next(int(line.split()[1]) for line in file if line.startswith('VmHWM')) / 1024


def ages_and_turns_s(ages_s, cameras, together, listened_s):
    """Return the (N,) ages of results and, for each, how long an image took of the engine then.

    With one trigger, that is the mean time from one result to the next of the same trigger, so that what else the
    machine does counts for both; without, images wait all the time, and it is the time per result.
    """
    if not together:
        ages = np.array([age for each in ages_s.values() for age in each.values()])
        return ages, np.full(len(ages), listened_s / len(ages))
    by_stamp = defaultdict(list)
    for each in ages_s.values():
        for stamp, age_s in each.items():
            by_stamp[stamp].append(age_s)
    whole = [ages for ages in by_stamp.values() if len(ages) == cameras]
    if not whole:  # Where other programs take the CPU, no trigger may be served for all cameras.
        ages = np.array([age for each in ages_s.values() for age in each.values()])
        return ages, np.full(len(ages), float('nan'))
    return np.concatenate(whole), np.repeat([(max(each) - min(each)) / (cameras - 1) for each in whole], cameras)


def first_ages_s(ages_s):
    """Return the age of the first result of each trigger: what transport, executor and one turn take."""
    firsts = {}
    for each in ages_s.values():
        for stamp, age_s in each.items():
            firsts[stamp] = min(age_s, firsts.get(stamp, age_s))
    return list(firsts.values())


def strangers(infos, stamps, camera):
    """Return how many flow fields are not between two images of their camera, or do not show its motion.

    Motion is looked at over up to three images: of more, the method loses the scene.
    """
    wrong, order = 0, {stamp: number for number, stamp in enumerate(stamps[camera])}
    for info in infos:
        now, before = (info[key]['sec'] * 10**9 + info[key]['nanosec'] for key in ('stamp', 'previous_stamp'))
        if now not in order or before not in order:
            wrong += 1
            continue
        steps = order[now] - order[before]
        error = np.array(info['median_flow']) - np.multiply(velocity(camera), steps)
        wrong += steps <= 3 and bool(np.abs(error).max() > 0.5)
    return wrong


def measure(args):
    """Run it and return the numbers."""
    namespace, listened_s = NODE.format(os.getpid()), args.seconds - 2  # The cameras stop first otherwise.
    with tempfile.TemporaryFile('w+') as log, processes(args, namespace, log) as (node, cameras):
        planner = Planner(namespace, args.cameras, args.task)
        end_s = time.monotonic() + START_S
        while not all(planner.ages_s[camera] for camera in range(args.cameras)):
            planner.listen(0.2)
            if time.monotonic() > end_s or node.poll() is not None:
                log.seek(0)
                raise SystemExit('The node gives no results. It printed: ' + log.read())
        planner.listen(WARM_UP_S)
        planner.ages_s.clear()
        planner.flows.clear()
        planner.listen(listened_s)
        ages_s, flows = dict(planner.ages_s), dict(planner.flows)
        peak_mb = peak_memory_mb(node.pid)
        stamps = json.loads(cameras.stdout.readline())
    rates_hz = [len(ages_s.get(camera, ())) / listened_s for camera in range(args.cameras)]
    ages, turns = ages_and_turns_s(ages_s, args.cameras, args.together, listened_s)
    return {'rates_hz': rates_hz, 'listened_s': listened_s, 'age_p50_ms': float(np.percentile(ages, 50)) * 1e3,
            'age_p95_ms': float(np.percentile(ages, 95)) * 1e3, 'turn_ms': float(turns.mean()) * 1e3,
            'first_p95_ms': float(np.percentile(first_ages_s(ages_s), 95)) * 1e3,
            'age_p95_turns': float(np.percentile(ages / turns, 95)), 'peak_mb': peak_mb,
            'flows': sum(map(len, flows.values())),
            'flows_of_strangers': sum(strangers(infos, stamps, camera) for camera, infos in flows.items())}


def main():
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--cameras', type=int, default=8)
    parser.add_argument('--hz', type=float, default=10, help='of each camera')
    parser.add_argument('--together', action='store_true', help='one trigger for all; else their images are spread')
    parser.add_argument('--seconds', type=float, default=30)
    parser.add_argument('--size', default='120x160')
    parser.add_argument('--task', default='perception', choices=('perception', 'segmentation', 'optical_flow'))
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--publish', help=argparse.SUPPRESS)
    parser.add_argument('node', nargs='*', help='further arguments of the node, after --')
    args = parser.parse_args()
    args.size = tuple(int(side) for side in args.size.split('x'))
    if args.publish:
        publish_images(args.publish, args.cameras, args.hz, args.together, args.seconds, args.size)
        return
    result = measure(args)
    if args.json:
        print(json.dumps(result))
        return
    rates = result['rates_hz']
    print('| cameras | rate of each, Hz | trigger | turn, ms | results per camera, Hz | age p50 / p95, ms | '
          'p95 in turns | flow fields, between two cameras | peak memory, MB |\n|---|---|---|---|---|---|---|---|---|')
    print('| {} | {:g} | {} | {:.1f} | {:.2f} - {:.2f} | {:.0f} / {:.0f} | {:.1f} | {}, {} | {:.0f} |'.format(
        args.cameras, args.hz, 'one' if args.together else 'none', result['turn_ms'], min(rates), max(rates),
        result['age_p50_ms'], result['age_p95_ms'], result['age_p95_turns'], result['flows'],
        result['flows_of_strangers'], result['peak_mb']))
    middle = sum(rates) / len(rates)
    most_turns = MOST_TURNS * args.cameras
    criteria = {
        'rates within 10 % of their mean': max(abs(rate / middle - 1) for rate in rates) <= 0.1,
        'age p95 <= {:.1f} turns'.format(most_turns): result['age_p95_turns'] <= most_turns,
        'no flow across cameras': result['flows_of_strangers'] == 0}
    if args.together:
        print('\nThe first result of a trigger, p95: {:.0f} ms. It waits for no other image: what is beyond one turn '
              'is transport\nand the machine, and makes the others late, too.'.format(result['first_p95_ms']))
    print()
    for text, is_met in criteria.items():
        print('{}: {}'.format('met   ' if is_met else 'MISSED', text))
    sys.exit(not all(criteria.values()))


if __name__ == '__main__':
    main()

"""Cost of images over UDP compared with shared memory: age, and CPU time of camera and subscriber.

usage: transport_cost.py [--images 60] [--hz 30] [--turns 2] [--size 480x640 720x1280]
Both processes have one of the shipped profiles, interleaved; best effort, depth 1. Prints a Markdown table.
"""
import argparse
import os
import statistics
import subprocess
import sys

from transport import CAMERA, VARIABLES

from trt_perception.transport import both_ways_profile, udp_profile

SUBSCRIBER = """
import sys, time
import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
rclpy.init(args=[])
node, ages = rclpy.create_node('subscriber'), []
def take(message):
    now = node.get_clock().now().nanoseconds
    ages.append((now - message.header.stamp.sec * 10**9 - message.header.stamp.nanosec) * 1e-6)
node.create_subscription(Image, 'TOPIC', take, QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
began_s, cpu_s = time.monotonic(), None
while time.monotonic() < began_s + float(sys.argv[1]):
    rclpy.spin_once(node, timeout_sec=0.1)
    if cpu_s is None and ages:
        cpu_s = time.process_time()
print(len(ages), sorted(ages)[len(ages) // 2] if ages else 'nan',
      (time.process_time() - (cpu_s or 0)) / max(len(ages), 1) * 1e3, flush=True)
"""
TOPIC = '/transport_cost_{}/image_raw'.format(os.getpid())


def turn(profile, size, images, hz):
    """Return received images, their age p50 (ms), CPU of camera and of subscriber (ms an image) of one turn."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment[VARIABLES[os.path.basename(profile).startswith('fastdds2')]] = profile
    listener = subprocess.Popen([sys.executable, '-c', SUBSCRIBER.replace('TOPIC', TOPIC), str(images / hz + 7)],
                                env=environment, stdout=subprocess.PIPE)
    camera = subprocess.Popen([sys.executable, '-c', CAMERA.replace('TOPIC', TOPIC), 'BEST_EFFORT']
                              + list(map(str, size + (images, hz))), env=environment, stdout=subprocess.PIPE)
    _, camera_ms = map(float, camera.communicate()[0].split())
    count, age_ms, listener_ms = map(float, listener.communicate()[0].split())
    return count, age_ms, camera_ms, listener_ms


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=60)
    parser.add_argument('--hz', type=float, default=30)
    parser.add_argument('--turns', type=int, default=2)
    parser.add_argument('--size', nargs='+', default=['480x640', '720x1280'])
    args = parser.parse_args()
    print('| images come in over | size | received | age p50, ms | CPU, camera + subscriber, ms an image |\n'
          '|---|---|---|---|---|')
    for size in args.size:
        profiles = {'shared memory': both_ways_profile(), 'UDP': udp_profile()}
        turns = {name: [] for name in profiles}
        for _ in range(args.turns):
            for name, profile in profiles.items():
                turns[name].append(turn(profile, tuple(map(int, size.split('x'))), args.images, args.hz))
        for name, each in turns.items():
            count, age, camera, listener = (statistics.mean(values) for values in zip(*each))
            print('| {} | {} | {:g} of {} | {:.1f} | {:.1f} + {:.1f} |'.format(
                name, size, count, args.images, age, camera, listener), flush=True)


if __name__ == '__main__':
    main()

"""Share of a camera's images that reach the node. The camera is a separate process, with or without a Fast DDS profile.

The node runs with its defaults. usage: transport.py [--images 300] [--hz 30] [--size 480x640]
Prints a Markdown table: images that the node received, the camera's own rate, and CPU time of both per image.
"""
import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

CAMERA = """
import sys, time
from array import array
import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
reliability, height, width, images, hz = sys.argv[1], *map(float, sys.argv[2:6])
height, width, images = int(height), int(width), int(images)
rclpy.init(args=[])
node = rclpy.create_node('camera')
publisher = node.create_publisher(Image, 'TOPIC', QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy[reliability]))
message = Image(height=height, width=width, step=3 * width, encoding='bgr8', data=array('B', bytes(3 * height * width)))
while not publisher.get_subscription_count():
    time.sleep(0.05)
time.sleep(2)
began_s, cpu_s = time.monotonic(), time.process_time()
for number in range(images):
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    time.sleep(max(0, began_s + (number + 1) / hz - time.monotonic()))
print(images / (time.monotonic() - began_s), (time.process_time() - cpu_s) / images * 1e3, flush=True)
time.sleep(3)
"""
TOPIC = '/transport_{}/image_raw'.format(os.getpid())
VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def received(arguments, seconds):
    """Listen to /diagnostics and return the largest 'frames received'."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    counts = [0]

    def take(array):
        values = {value.key: value.value for status in array.status if status.hardware_id == TOPIC
                  for value in status.values}
        counts.append(int(values.get('frames received', 0)))
    rclpy.init(args=[])
    node = rclpy.create_node('listener')
    node.create_subscription(DiagnosticArray, '/diagnostics', take, 10)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and arguments.poll() is None:
        rclpy.spin_once(node, timeout_sec=0.1)
    end_s = time.monotonic() + 2.5
    while time.monotonic() < end_s:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()
    return max(counts)


def measure(profile, reliability, size, images, hz, stopped):
    """Run one camera and one node; return (received, camera's rate, CPU of camera and node per image in ms)."""
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    with tempfile.TemporaryFile('w+') as log:
        node = subprocess.Popen(
            [sys.executable, '-m', 'trt_perception', 'run', 'segmentation', '--image', TOPIC], env=clean,
            stdout=log, stderr=log)
        time.sleep(4)
        camera = subprocess.Popen(
            [sys.executable, '-c', CAMERA.replace('TOPIC', TOPIC), reliability] + list(map(str, size + (images, hz))),
            env=dict(clean, **({VARIABLES[0]: profile} if profile else {})), stdout=subprocess.PIPE)
        if stopped:
            time.sleep(4)  # By then images flow.
            node.send_signal(signal.SIGSTOP)
        count = received(camera, 60 + 4 * images / hz)
        rate, camera_ms = map(float, camera.communicate(timeout=60)[0].split())
        node.send_signal(signal.SIGCONT)
        with open('/proc/{}/stat'.format(node.pid)) as file:
            ticks = sum(map(int, file.read().rsplit(')', 1)[1].split()[11:13]))
        node.send_signal(signal.SIGINT)
        node.wait(30)
    return count, rate, camera_ms, ticks * 1e3 / os.sysconf('SC_CLK_TCK') / images


def main():
    """Print one line per case."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--images', type=int, default=300)
    parser.add_argument('--hz', type=float, default=30)
    parser.add_argument('--size', nargs='+', default=['480x640', '720x1280', '2160x3840'])
    parser.add_argument('--camera-profile', default='', help='Fast DDS profile of the camera (default: none)')
    parser.add_argument('--stopped', action='store_true', help='stop the node: does the camera keep its rate?')
    args = parser.parse_args()
    print('| camera | size | sent | received | camera, Hz | camera, CPU ms an image |\n|---|---|---|---|---|---|')
    for size in args.size:
        for reliability in ('RELIABLE', 'BEST_EFFORT'):
            height, width = map(int, size.split('x'))
            count, rate, camera_ms, _ = measure(args.camera_profile, reliability, (height, width), args.images, args.hz,
                                                args.stopped)
            print('| {} | {} | {} | {} | {:.1f} | {:.1f} |'.format(
                reliability.lower(), size, args.images, count, rate, camera_ms), flush=True)


if __name__ == '__main__':
    main()

"""Verifies the guarantees of `trt_perception process`, with the shipped networks on the demo's clip.

    .venv/bin/python docs/measurements/processing.py [--duration 8] [--kills 20] [--threads 1] [--trials NAME ...]

Prints the table of processing.md: the bytes of a second run; a run that is killed with SIGKILL at random moments; the
messages compared with those of a node that gets the same images over DDS; a full disk; the time compared with that of
the pipelines alone. The exit status is 1 if a check fails.
"""
import argparse
import hashlib
import itertools
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage, Image, TimeReference
from std_msgs.msg import Header, String

from trt_perception.bag import Bag
from trt_perception.core.tasks import TASKS, pipeline_class
from trt_perception.engines import deployed_model, engine_options, open_engine
from trt_perception.process import Engines, Job, process, settings_of
from trt_perception.process.bag_types import BagTypes
from trt_perception.ros.messages import frame_from_compressed
from trt_perception.transport import use_shared_memory_profile

TOPICS = {'segmentation/label_map': Image, 'segmentation/confidence': Image, 'segmentation/label_info_json': String,
          'optical_flow/flow': Image, 'optical_flow/flow_info': String, 'optical_flow/time_reference': TimeReference}
ONCE = ('segmentation/label_info_json',)
TASK_IMAGES = {topic: TASKS[topic.partition('/')[0]].images for topic in TOPICS}
COMMAND = [sys.executable, '-m', 'trt_perception']


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a bag."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def same_bytes(job: Job, folder: Path) -> tuple[str, bool]:
    """Process a bag twice for each storage."""
    text, right = [], True
    for name, options in (('mcap', {}), ('mcap with zstd', {'compress': True}), ('sqlite3', {'storage': 'sqlite3'})):
        found = []
        for number in range(2):
            output = folder / f'{name} {number}'.replace(' ', '_') / 'clip'
            process(job._replace(output=str(output), **options))
            found.append(digests(output))
        right &= found[0] == found[1]
        text.append(f'{name}: {len(found[0])} files, {"equal" if found[0] == found[1] else "DIFFERENT"}')
    return '; '.join(text), right


def killed(job: Job, folder: Path, expected: dict[str, str], kills: int, threads: int) -> tuple[str, bool]:
    """Process a bag in a child that is killed at random moments, until it is done."""
    chance = random.Random(1)
    command = [*COMMAND, 'process', job.bag, '--output', str(folder), '--split', str(job.split), '--duration',
               str((job.end_ns or 0) * 1e-9), '-p', f'num_threads:={threads}']
    partial = folder / f'{Path(job.bag).name}.partial'
    done, repeated = 0, 0
    while True:
        before = len(list(partial.glob('*.mcap')))
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done < kills:
            while child.poll() is None and not (partial / 'writing').exists():
                time.sleep(0.001)  # Python and the engines are loading.
            # Every fourth time the run gets on by a file, else it is killed soon.
            while child.poll() is None and done % 4 == 3 and len(list(partial.glob('*.mcap'))) == before:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.5))
            child.send_signal(signal.SIGKILL)
        printed = child.communicate()[0]
        if child.returncode == 0:
            break
        done += 1
        repeated += (partial / 'writing').exists()
    summary = json.loads(printed)['bags'][0]
    right = digests(folder / Path(job.bag).name) == expected and child.returncode == 0
    return (f'{done} kills, {repeated} of them in the middle of a file; the last run had {summary["resumed"]} of '
            f'{summary["images"]} images from before; bytes {"equal" if right else "DIFFERENT"}'), right


def online(job: Job, offline: Path, folder: Path, threads: int) -> tuple[str, bool]:
    """Send the same images to a node in a process of its own, and compare what it publishes, message by message."""
    use_shared_memory_profile()
    rclpy.init()
    node = rclpy.create_node('camera')
    latched = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                         durability=DurabilityPolicy.TRANSIENT_LOCAL)
    got: dict[str, list[object]] = {topic: [] for topic in TOPICS}
    for topic, kind in TOPICS.items():
        node.create_subscription(kind, topic, got[topic].append, latched if topic in ONCE else 50)
    camera = node.create_publisher(CompressedImage, 'image/compressed', 10)

    def spin(done: Callable[[], bool], seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while not done() and time.monotonic() < end_s:
            rclpy.spin_once(node, timeout_sec=0.05)

    def has_all(count: int) -> bool:
        return all(len(_recent(got[topic])) == count - (TASK_IMAGES[topic] - 1) for topic in TOPICS
                   if topic not in ONCE)

    bag = Bag(job.bag)
    images = [deserialize_message(each.data, CompressedImage)
              for each in bag.messages(None, bag.start_ns + (job.end_ns or 0))]
    command = [*COMMAND, 'run', '-p', f'num_threads:={threads}', '-p', 'max_frame_age:=0.0', '-p',
               'image_transport:=compressed']
    with open(folder / 'node.log', 'wb') as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for number in itertools.count():  # While it starts, images of other stamps.
            assert child.poll() is None, (folder / 'node.log').read_text()
            header = Header(stamp=Time(sec=1, nanosec=number % 10 * 10**8))
            camera.publish(CompressedImage(header=header, format=images[0].format, data=images[0].data))
            spin(lambda: False, 0.5)
            if all(got[topic] for topic in TOPICS):
                break
        spin(lambda: False, 2.0)
        for number, message in enumerate(images, 1):
            camera.publish(message)
            spin(partial(has_all, number), 60.0)
    finally:
        child.terminate()
        child.wait(30)
        node.destroy_node()
        rclpy.shutdown()
    expected: dict[str, list[object]] = {topic: [] for topic in TOPICS}
    with AnyReader([offline]) as reader:
        for connection, _, data in reader.messages():
            topic = connection.topic[1:]
            if topic in TOPICS:
                expected[topic].append(deserialize_message(bytes(data), TOPICS[topic]))
    equal = {topic: (got[topic] if topic in ONCE else _recent(got[topic])) == expected[topic] for topic in TOPICS}
    counts = ', '.join(f'{topic} {len(expected[topic])}{"" if equal[topic] else " DIFFERENT"}' for topic in TOPICS)
    right = all(equal.values())
    return f'{len(images)} images; {counts}; {"every field equal" if right else "DIFFERENT"}', right


def _recent(messages: list[Any]) -> list[Any]:
    """Return those that are not of the images with which the node was started."""
    return [each for each in messages
            if (json.loads(each.data)['stamp']['sec'] if hasattr(each, 'data') and isinstance(each.data, str)
                else each.header.stamp.sec) > 2]


def full_disk(job: Job, folder: Path, expected: dict[str, str]) -> tuple[str, bool]:
    """Process into a file system that is too small, make it larger, and go on."""
    folder.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', str(folder)], capture_output=True)
    if mounted.returncode:
        return 'not tried: needs root for a small tmpfs', True
    try:
        command = [*COMMAND, 'process', job.bag, '--output', str(folder), '--split', str(job.split), '--duration',
                   str((job.end_ns or 0) * 1e-9), '-p', f'num_threads:={job.settings["num_threads"]}']
        full = subprocess.run(command, capture_output=True, text=True)
        error = full.stderr.strip().splitlines()[-1]
        subprocess.run(['mount', '-o', 'remount,size=2g', str(folder)], check=True)
        again = subprocess.run(command, capture_output=True, text=True)
        summary = json.loads(again.stdout)['bags'][0]
        right = full.returncode == 2 and 'No space left on device' in error and \
            digests(folder / Path(job.bag).name) == expected
        return (f'status {full.returncode}, `{error.replace(str(folder), "DIR")}`; with more space the next run goes '
                f'on with image {summary["resumed"] + 1}; bytes {"equal" if right else "DIFFERENT"}'), right
    finally:
        subprocess.run(['umount', str(folder)], check=True)


def cost(job: Job, folder: Path, rounds: int) -> tuple[str, bool]:
    """Compare the CPU time of processing with that of decoding and the pipelines alone, in turns."""
    settings, types = settings_of(job), BagTypes()
    bag = Bag(job.bag)
    data = [each.data for each in bag.messages(None, bag.start_ns + (job.end_ns or 0))]
    models = [deployed_model(task, settings) for task in TASKS]
    pipelines = [pipeline_class(model.task)(open_engine(model, engine_options(settings)), model, settings,
                                            wants=lambda role, task=model.task: task == 'segmentation')
                 for model in models]
    ratios = []
    with Engines() as engines:
        for number in range(rounds + 1):
            for each in pipelines:
                each.reset()
            began_s = time.process_time()
            for each in data:
                frame = frame_from_compressed(types.deserialize(each, 'sensor_msgs/msg/CompressedImage'))
                for pipeline in pipelines:
                    pipeline.process(frame)
            alone_s = time.process_time() - began_s
            began_s = time.process_time()
            process(job._replace(output=str(folder / str(number)), split=500), engines=engines)
            if number:  # The first opens the engines.
                ratios.append((time.process_time() - began_s) / alone_s)
    return (f'{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f}) times that of decoding and both '
            f'pipelines alone, {rounds} rounds'), True


def main() -> int:
    """Try everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bag', default='demo/street')
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--duration', type=float, default=8.0)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--trials', nargs='+', metavar='NAME', help='as the table names them (default: all)')
    args = parser.parse_args()
    job = Job(args.bag, '', settings={'num_threads': args.threads}, end_ns=int(args.duration * 1e9), split=5)
    right = True
    with tempfile.TemporaryDirectory(prefix='trt_perception_processing_') as scratch:
        folder = Path(scratch)
        name = Path(args.bag).name
        process(job._replace(output=str(folder / 'expected' / name)))
        expected = digests(folder / 'expected' / name)
        print('| what | result |\n|---|---|')
        trials = {
            'a second run': lambda: same_bytes(job, folder),
            'SIGKILL at random moments': lambda: killed(job, folder / 'killed', expected, args.kills, args.threads),
            'comparison with a node, over DDS': lambda: online(job, folder / 'expected' / name, folder, args.threads),
            'a full disk': lambda: full_disk(job, folder / 'small', expected),
            'CPU time': lambda: cost(job, folder / 'cost', args.rounds)}
        for title in args.trials or trials:
            text, is_right = trials[title]()
            right &= is_right
            print(f'| {title} | {text} |', flush=True)
    return 0 if right else 1


if __name__ == '__main__':
    sys.exit(main())

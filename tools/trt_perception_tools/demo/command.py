"""The main use case on real video: nodes in a separate process, a street clip over DDS; gives images and a table.

Replays a bag to the perception node at its own rate, records the node's topics to an mcap bag, and makes images, a
video and a table of times from that recording.
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from trt_perception.core.colors import color_flow
from trt_perception.core.errors import PerceptionError
from trt_perception.core.python_child import python_command
from trt_perception.core.tasks import TASKS
from trt_perception.transport import use_shared_memory_profile

STORE = get_typestore(Stores.LATEST)
IMAGE_TOPICS = {'segmentation/label_map': 'mono8', 'segmentation/overlay': 'rgb8', 'optical_flow/flow': '32FC2',
                'optical_flow/color': 'rgb8'}
TEXT_TOPICS = ('segmentation/label_info_json', 'optical_flow/flow_info')
COLOR_MAX_PX = 8.0
"""Flow shown fully saturated: a brisk walk in the clip. Fixed, so that colours mean the same in every frame."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--bag', type=Path, default=Path('demo/street'), help='clip to replay (default: demo/street)')
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder to write (default: out/demo)')
    parser.add_argument('--params-file', type=Path, help='parameter file for the node (default: the shipped one)')


def execute(args: argparse.Namespace) -> int:
    """Run the demo."""
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    # A separate domain, on this machine only, so that the demo and other programs do not disturb each other.
    os.environ.setdefault('ROS_DOMAIN_ID', str(random.randrange(1, 100)))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    use_shared_memory_profile()
    record(args.bag, args.params_file, args.out)
    report = summarise(args.out / 'recording')
    (args.out / 'report.json').write_text(json.dumps(report, indent=2) + '\n')
    table = format_table(report)
    (args.out / 'report.txt').write_text(table + '\n')
    images, video = make_images(args.out)
    print(table)
    print(f'\nLook at   {args.out}/*.png   ({images} images: labels over the image, flow beside it)')
    print(f'          {video}   (both, as a video)')
    print(f'Numbers   {args.out}/report.json')
    print(f'Topics    {args.out}/recording   (ROS 2 bag, mcap)')
    print(f'View      trt_perception_tools view {args.out}/recording {args.bag}   (in a browser, with Rerun)')
    print(f'          or open {args.out}/recording in Foxglove, with the layout config/foxglove.json')
    return 0


@contextmanager
def running(name: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run `trt_perception ARGUMENTS` beside this process, and end it afterwards.

    Raises:
        PerceptionError: it failed; the reason is in its output.
    """
    process = subprocess.Popen([*python_command('trt_perception'), *arguments])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            status = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    if status not in (0, 130, -signal.SIGINT):
        raise PerceptionError(f'{name} ended with status {status}; its message is above.')


def record(bag: Path, params_file: Path | None, out: Path) -> None:
    """Replay a bag to the node, and record the node's topics to OUT/recording."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.node import Node
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    parameters = ['--params-file', str(params_file)] if params_file else []
    rclpy.init(args=[])
    node = Node('demo_recorder')
    writer = Writer(out / 'recording', version=9, storage_plugin=StoragePlugin.MCAP)
    writer.open()
    last = time.monotonic()

    def subscribe(topic: str, kind: type, qos: QoSProfile) -> None:
        connection = writer.add_connection('/' + topic, f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}',
                                           typestore=STORE)

        def save(data: bytes) -> None:
            nonlocal last
            if kind is Image:  # Diagnostics continue when no image comes any more.
                last = time.monotonic()
            writer.write(connection, time.time_ns(), data)

        node.create_subscription(kind, topic, save, qos, raw=True)

    for topic in IMAGE_TOPICS:
        subscribe(topic, Image, QoSProfile(depth=10))
    subscribe(TEXT_TOPICS[0], String, QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    subscribe(TEXT_TOPICS[1], String, QoSProfile(depth=10))
    subscribe('diagnostics', DiagnosticArray, QoSProfile(depth=10))
    try:
        with running('The node', 'run', '--image', '/camera/image', '--use-sim-time', '-p',
                     f'optical_flow.color_max:={COLOR_MAX_PX}', *parameters) as perception:
            while not all(node.count_publishers(topic) for topic in IMAGE_TOPICS) and perception.poll() is None:
                rclpy.spin_once(node, timeout_sec=0.1)
            end = time.monotonic() + 2.0  # Engines open, subscriptions match.
            while time.monotonic() < end and perception.poll() is None:
                rclpy.spin_once(node, timeout_sec=0.1)
            if perception.poll() is None:
                with running('The replay', 'replay', str(bag), '--decompress', '--wait', '20') as replay:
                    while perception.poll() is None and (replay.poll() is None or time.monotonic() - last < 1.0):
                        rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        writer.close()
        node.destroy_node()
        rclpy.shutdown()


def read(recording: Path, *topics: str) -> Iterator[tuple[str, Any]]:
    """Yield topic and message from a recording, in the order of their arrival."""
    with AnyReader([recording], default_typestore=STORE) as reader:
        for connection, _, data in reader.messages([c for c in reader.connections if c.topic[1:] in topics]):
            yield connection.topic[1:], reader.deserialize(data, connection.msgtype)


def summarise(recording: Path) -> dict[str, Any]:
    """Return frame counts, and times per stage in ms, from the last diagnostics of a recording."""
    status = None
    for _, array in read(recording, 'diagnostics'):
        status = array.status[0]
    if status is None:
        raise PerceptionError(f'{recording}: no diagnostics were recorded. Check that the node has started.')
    values = {each.key: each.value for each in status.values}
    stages = {}
    for key, value in values.items():
        if key.endswith(' (ms)'):
            stage, names = key[:-len(' (ms)')].rsplit(' ', 1)
            stages[stage] = dict(zip(names.split('/'), map(float, value.split(' / ')), strict=True))
    published = {topic: sum(1 for _ in read(recording, topic)) for topic in IMAGE_TOPICS}
    return {'state': status.message, 'frames': {k[len('frames '):]: int(v) for k, v in values.items()
                                                if k.startswith('frames ')},
            'published': published, 'stages_ms': stages,
            'engines': {k: v for k, v in values.items() if k.split(' ', 1)[0] in TASKS
                        and not k.endswith('(ms)')}}


def format_table(report: dict[str, Any]) -> str:
    """Return a report as text."""
    frames = report['frames']
    dropped = {key.partition(': ')[2]: n for key, n in frames.items() if key.startswith('dropped: ') and n}
    lines = [f'frames in {frames["received"]}, processed {frames["processed"]}, dropped {sum(dropped.values())}'
             + ''.join(f', {reason} {n}' for reason, n in dropped.items()), '',
             f'{"stage":28}{"p50":>9}{"p95":>9}{"p99":>9}{"max":>9}   ms']
    for stage, p in report['stages_ms'].items():
        lines.append(f'{stage:28}{p["p50"]:9.2f}{p["p95"]:9.2f}{p["p99"]:9.2f}{p["max"]:9.2f}')
    lines.append('latency: image received -> result published; age: image taken -> result published')
    return '\n'.join(lines)


def pixels(message: Any) -> np.ndarray:
    """Return the pixels of a recorded image: (H, W, 3) of rgb8, (H, W) of mono8, (H, W, 2) of 32FC2."""
    if message.encoding == '32FC2':
        return np.frombuffer(message.data, np.float32).reshape(message.height, message.width, 2)
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, -1)


def legend(width: int, classes: list[dict[str, Any]]) -> np.ndarray:
    """Return an (H, W, 3) strip that explains the colours: classes, and the wheel of directions. RGB uint8."""
    strip = np.full((64, 2 * width, 3), 255, np.uint8)
    column = width // 4
    for number, each in enumerate(classes[:12]):
        x, y = number % 4 * column + 8, 4 + number // 4 * 20
        cv2.rectangle(strip, (x, y), (x + 14, y + 14), each['color'], -1)
        cv2.putText(strip, each['name'], (x + 20, y + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    v, u = np.mgrid[-28:29, -28:29].astype(np.float32)
    wheel = color_flow(np.dstack([u, v]), 28.0)
    wheel[np.hypot(u, v) > 28] = 255
    strip[3:60, width + 8:width + 65] = wheel
    for line, text in enumerate(('flow: hue is the direction of motion,',
                                 f'saturation its length (full at {COLOR_MAX_PX:g} px per frame)')):
        cv2.putText(strip, text, (width + 80, 26 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1,
                    cv2.LINE_AA)
    return strip


def make_images(out: Path, count: int = 4) -> tuple[int, Path]:
    """Write some frames as PNG and all of them as a video; return how many PNG and the video's path."""
    recording = out / 'recording'
    classes = [c for _, m in read(recording, TEXT_TOPICS[0]) for c in json.loads(m.data)['classes']]
    pairs: dict[int, dict[str, np.ndarray]] = {}
    for topic, message in read(recording, 'segmentation/overlay', 'optical_flow/color'):
        stamp = message.header.stamp
        pairs.setdefault(stamp.sec * 10**9 + stamp.nanosec, {})[topic] = pixels(message)
    complete = sorted(stamp for stamp, pair in pairs.items() if len(pair) == 2)
    if not complete:
        raise PerceptionError(f'{recording}: no frame has both an overlay and a flow image; see report.txt.')
    first = pairs[complete[0]]['segmentation/overlay']
    strip = legend(first.shape[1], classes)
    period_ns = float(np.median(np.diff(complete))) if len(complete) > 1 else 1e8
    path = out / 'video.mp4'
    video = open_video(path, (first.shape[0] + len(strip), 2 * first.shape[1]), 1e9 / period_ns)
    chosen = {complete[len(complete) * (2 * i + 1) // (2 * count)] for i in range(count)}
    for number, stamp in enumerate(complete):
        pair = pairs[stamp]
        image = np.vstack([np.hstack([pair['segmentation/overlay'], pair['optical_flow/color']]), strip])[..., ::-1]
        video.write(np.ascontiguousarray(image))
        if stamp in chosen:
            cv2.imwrite(str(out / f'frame_{number:03}.png'), image)
    video.release()
    return len(chosen), path


def open_video(path: Path, size: tuple[int, int], rate_hz: float) -> cv2.VideoWriter:
    """Open an MPEG-4 video of (height, width). Not VP9, which browsers could play: it takes a hundred times as long."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate_hz, size[::-1])
    if not video.isOpened():
        raise PerceptionError('this OpenCV cannot write MPEG-4 video. pip install opencv-python-headless')
    return video

"""Many bags on Ray: overhead over the bare pipelines, cost of repeated and incremental runs, and effect of kills.

    .venv/bin/python docs/measurements/fleet.py [--bags 200 --images 40 --kills 20] [--video solidWhiteRight.mp4]

Bags are cut from the demo's clip and optionally from a video; each has different images. Ray runs on this machine,
with two workers of one thread. On a busy machine, only the rates per CPU second are reliable.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import psutil
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from trt_perception.bag import Bag
from trt_perception.core.compressed import decode_compressed
from trt_perception.core.image import FrameDecoder
from trt_perception.core.settings import defaults
from trt_perception.core.tasks import TASKS, pipeline_class
from trt_perception.engines import deployed_model, engine_options, open_engine

ROOT = Path(__file__).resolve().parents[2]
STORE = get_typestore(Stores.LATEST)
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
SETTINGS = {'num_threads': 1, 'optical_flow.model': 'dis_fast'}
PERIOD_NS = 100_000_000
WORKERS = 2


def jpegs(video: Path | None) -> Iterator[bytes]:
    """Yield images, each once: of the clip, then of the video."""
    clip = Bag(str(ROOT / 'demo' / 'street'))
    for message in clip.messages():
        yield STORE.deserialize_cdr(message.data, COMPRESSED).data.tobytes()
    clip.close()
    if video is not None:
        capture = cv2.VideoCapture(str(video))
        while True:
            read, image = capture.read()
            if not read:
                return
            yield cv2.imencode('.jpg', cv2.resize(image, (640, 360)))[1].tobytes()


def write_bags(folder: Path, bags: int, images: int, video: Path | None) -> list[Path]:
    """Write bags, each of successive images that begin elsewhere."""
    source = list(jpegs(video))
    paths = []
    for number in range(bags):
        start = number * 7 % max(1, len(source) - images)
        path = folder / f'drive_{number:04}'
        with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            connection = writer.add_connection('/camera/image/compressed', COMPRESSED, typestore=STORE)
            for at in range(images):
                stamp = number * 10**12 + at * PERIOD_NS
                header = STORE.types['std_msgs/msg/Header'](
                    stamp=STORE.types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9),
                    frame_id='camera')
                message = STORE.types[COMPRESSED](header=header, format='jpeg', data=np.frombuffer(
                    source[(start + at) % len(source)], np.uint8))
                writer.write(connection, stamp, STORE.serialize_cdr(message, COMPRESSED))
        paths.append(path)
    return paths


def bare_rates(paths: list[Path]) -> tuple[float, float]:
    """Return images per CPU second of the pipelines alone, and per second of as many of them as Ray gets workers."""
    with ProcessPoolExecutor(WORKERS, get_context('spawn')) as pool:
        rates = list(pool.map(_bare, [paths] * WORKERS))
    return sum(rate for rate, _ in rates) / WORKERS, sum(rate for _, rate in rates)


def _bare(paths: list[Path]) -> tuple[float, float]:
    """Decode, and do both tasks; write nothing."""
    settings = {**defaults(), **SETTINGS}
    decoder = FrameDecoder()
    pipelines = []
    for task in TASKS:
        model = deployed_model(task, settings)
        engine = open_engine(model, engine_options(settings), decoder)
        pipelines.append(pipeline_class(task)(engine, model, settings))
    count = 0
    began_s, cpu_s = time.monotonic(), time.process_time()
    for path in paths:
        bag = Bag(str(path))
        for pipeline in pipelines:
            pipeline.reset()
        for message in bag.messages():
            image = STORE.deserialize_cdr(message.data, COMPRESSED)
            frame = decode_compressed(image.data, message.time_ns, 'camera')
            for pipeline in pipelines:
                pipeline.process(frame)
            count += 1
        bag.close()
    return count / (time.process_time() - cpu_s), count / (time.monotonic() - began_s)


class Fleet:
    """The command, and what it left."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / 'results'
        self._line = [sys.executable, '-m', 'trt_perception_tools', 'process', str(folder / 'drives'), '--output',
                      str(self.output), '--ray', '--workers', str(WORKERS),
                      *(each for name, value in SETTINGS.items() for each in ('-p', f'{name}:={value}'))]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command."""
        return subprocess.Popen(self._line, stdout=subprocess.DEVNULL)

    def run(self) -> tuple[dict, float]:
        """Run to the end; return the report, and the CPU seconds of the driver."""
        before = os.times()
        status = subprocess.run(self._line, stdout=subprocess.DEVNULL, check=False).returncode
        after = os.times()
        assert status == 0, status
        return json.loads((self.output / 'report.json').read_text()), (
            after.children_user - before.children_user + after.children_system - before.children_system)

    def finished(self) -> int:
        """Return how many pieces are done."""
        return len(list(self.output.glob('pieces/*/*/statistics.json')))

    def kill_some(self, kills: int, pieces: int) -> list[str]:
        """Run while workers and drivers are killed at random; return what was killed."""
        chance = random.Random(7)
        killed: list[str] = []
        driver = self.start()
        while len(killed) < kills and self.finished() < pieces:
            time.sleep(chance.uniform(0.5, 4))
            if driver.poll() is not None:
                driver = self.start()
                continue
            workers = [each for each in psutil.Process(driver.pid).children(recursive=True) if _is_worker(each)]
            if not workers:
                continue
            if chance.random() < 0.2:
                driver.send_signal(signal.SIGKILL)
                driver.wait()
                killed.append('driver')
                driver = self.start()
            else:
                chance.choice(workers).kill()
                killed.append('worker')
        if driver.poll() is None:
            driver.wait()
        return killed


def _is_worker(process: psutil.Process) -> bool:
    try:
        return 'MapWorker' in ' '.join(process.cmdline())
    except psutil.Error:
        return False


def digests(output: Path) -> dict[str, bytes]:
    """Return what the results are: address -> bytes of the bag."""
    return {each.parent.name: each.read_bytes() for each in output.glob('pieces/*/*/*.mcap')}


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bags', type=int, default=200)
    parser.add_argument('--images', type=int, default=40)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--video', type=Path, default=ROOT.parent / 'shared/data/video_udacity/solidWhiteRight.mp4')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='fleet_') as name:
        folder = Path(name)
        video = args.video if args.video.is_file() else None
        paths = write_bags(folder / 'drives', args.bags, args.images, video)
        places = 'the clip and a video' if video else 'the clip'
        print(f'{len(paths)} bags of {args.images} images, cut from {places}', flush=True)
        fleet = Fleet(folder)
        few = paths[:max(1, min(8, len(paths)))]
        rates = [bare_rates(few)]
        cold, _ = fleet.run()
        rates.append(bare_rates(few))
        on_ray = cold['new_images'] / cold['cpu_seconds'], cold['rate_hz']
        units = 'CPU second', 'second, with the start of Ray'
        for unit, before, after, ray in zip(units, *rates, on_ray, strict=True):
            print(f'images per {unit}: bare {before:.2f} and {after:.2f}, on Ray {ray:.2f}: '
                  f'{2 * ray / (before + after):.1%}', flush=True)
        warm, warm_cpu = fleet.run()
        assert warm['new_images'] == 0
        print(f'cold {cold["cpu_seconds"]:.1f} CPU s of workers; warm {warm_cpu:.2f} CPU s, start of Python included: '
              f'{cold["cpu_seconds"] / warm_cpu:.0f} times', flush=True)
        write_bags(folder / 'drives' / 'new', 1, args.images - 1, video)
        more, _ = fleet.run()
        print(f'one new bag: {more["new_images"]} images, {more["cpu_seconds"]:.2f} CPU s of workers; all again '
              f'{cold["cpu_seconds"] / more["cpu_seconds"]:.0f} times that', flush=True)
        if args.kills:
            whole = digests(fleet.output)
            shutil.rmtree(fleet.output)
            killed = fleet.kill_some(args.kills, len(whole))
            last, _ = fleet.run()
            again = digests(fleet.output)
            print(f'{len(killed)} kills ({killed.count("driver")} of the driver): {len(again)} of {len(whole)} pieces, '
                  f'{last["images"]} images, {sum(again[each] == whole[each] for each in whole)} with the same bytes, '
                  f'{len(list(fleet.output.glob("pieces/*/*.partial")))} halves left', flush=True)


if __name__ == '__main__':
    main()

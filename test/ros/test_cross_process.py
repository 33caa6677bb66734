import json
import os
import signal
import time

import networks
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.subscription import Subscription
from rig import DEEP, PATIENCE_S, Program, pixels_of, stamp_of, trt_perception
from sensor_msgs.msg import Image

from trt_perception.ros.feed import DROPS

CAMERA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'camera.py')
ENOUGH = 60
"""Results that are waited for, however long that takes."""

ENGINE_MS = 85.0
MAX_FRAME_AGE_S = 0.2


def counts_of(values):
    """Return the node's counts in one of its statuses: received, processed, and those dropped by reason."""
    dropped = {reason: int(values['frames dropped: ' + reason]) for reason in DROPS}
    return int(values['frames received']), int(values['frames processed']), dropped


def longest_ms(values, stage):
    return float(values[stage + ' p50/p95/p99/max (ms)'].split(' / ')[-1])


def waits(sent_ns, published_ns):
    """Return for how long each image but the first two waited for its turn, as a share of the turn before.

    That of an image that came just before its turn is near 0, of one that came first and was kept near 1, of one in a
    queue more. Whatever else slows the machine down makes the turns longer, too.
    """
    turns = list(zip(published_ns, published_ns[1:]))
    return [(end - sent) / (end - begin) for (begin, end), sent in zip(turns, sent_ns[2:])]


@pytest.mark.skipif(not hasattr(Subscription, 'CallbackType'), reason='callbacks of this rclpy get no message info')
def test_an_engine_slower_than_the_camera_gives_fresh_results_between_processes(domain, tmp_path):
    layers = networks.segmentation_model_that_takes(tmp_path, ENGINE_MS)
    params = networks.write_yaml(tmp_path / 'params.yaml', {'/**': {'ros__parameters': {
        'segmentation': {'model': str(tmp_path / 'tiny.yaml')}, 'num_threads': 1, 'max_frame_age': MAX_FRAME_AGE_S}}})
    rclpy.init(args=[])
    node = rclpy.create_node('planner')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    outputs, statuses, published_so_far = [], [], []

    def take(message, info):
        pixels = pixels_of(message)
        outputs.append((stamp_of(message), info['source_timestamp'], message.header.frame_id, pixels.shape,
                        np.unique(pixels).tolist()))
        published_so_far.append(info['publication_sequence_number'])

    def diagnosed(array):
        statuses.append({value.key: value.value for value in array.status[0].values})
    subscription = node.create_subscription(Image, '/segmentation/label_map', take, DEEP)
    node.create_subscription(DiagnosticArray, '/diagnostics', diagnosed, DEEP)

    def until(condition, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (len(outputs), statuses[-1:])
            executor.spin_once(timeout_sec=0.05)

    def all_seen():
        _, _, dropped = counts_of(statuses[-1])
        return len(outputs) >= ENOUGH and dropped['too_old'] and dropped['replaced']

    def all_counted():
        received, processed, dropped = counts_of(statuses[-1])
        return received == processed + sum(dropped.values()) and processed == published_so_far[-1]
    try:
        with Program(trt_perception('run', 'segmentation', '--params-file', params, '--image', '/camera/image'),
                     tmp_path / 'node') as program:
            program.until('tiny on onnxruntime')
            until(subscription.get_publisher_count)
            until(lambda: statuses)
            with Program([CAMERA, tmp_path / 'sent.json'], tmp_path / 'camera') as camera:
                until(all_seen, 5 * PATIENCE_S)
                camera.process.terminate()
                until(lambda: camera.process.poll() is not None)
                assert camera.process.returncode == 0, camera.output
            seen = len(statuses)
            until(lambda: len(statuses) >= seen + 2 and all_counted())  # Every image once, every result published.
            assert program.end(signal.SIGINT) == 0
            assert 'Traceback' not in program.output
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()

    with open(str(tmp_path / 'sent.json')) as file:
        sent = {stamp_ns: (frame_id, color, old) for stamp_ns, frame_id, color, old in json.load(file)}
    received, processed, dropped = counts_of(statuses[-1])
    stamps, published = [output[0] for output in outputs], [output[1] for output in outputs]
    waited = waits(stamps, published)
    print('{} layers; sent {}, received {}, processed {}, {}, {} results; waited {} turns'.format(
        layers, len(sent), received, processed, dropped, len(outputs), np.percentile(waited, (0, 50, 100)).round(2)))

    # Stamp, frame_id and content of every output are those of an image that was sent, each at most once, in order.
    assert stamps == sorted(set(stamps))
    for stamp_ns, _, frame_id, shape, labels in outputs:
        assert (frame_id, labels) == (sent[stamp_ns][0], [sent[stamp_ns][1]])
        assert shape == (480, 640)

    # Nothing older than the limit is published.
    assert not [stamp_ns for stamp_ns in stamps if sent[stamp_ns][2]]
    assert longest_ms(statuses[-1], 'segmentation age') <= \
        MAX_FRAME_AGE_S * 1e3 + longest_ms(statuses[-1], 'segmentation latency')

    # The engine is slower than the camera, else this test shows nothing.
    assert received > 1.5 * processed
    assert ENOUGH <= len(outputs) <= processed <= received <= len(sent)
    # `idle` are those that came before the node had discovered the planner.
    assert {reason: dropped[reason] for reason in ('bad', 'paused', 'engine_fault')} == {
        'bad': 0, 'paused': 0, 'engine_fault': 0}

    # Results are fresh, and stay so: most are of an image that had just come.
    third = len(waited) // 3
    assert max(np.median(part) for part in (waited[:third], waited[-third:])) <= 0.5

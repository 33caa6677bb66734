import json
import os
import signal
import time

import networks
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rig import DEEP, PATIENCE_S, Program, pixels_of, stamp_of, trt_perception
from sensor_msgs.msg import Image

from trt_perception.core.image import frame_from_array
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.ros.feed import DROPS

CAMERA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'camera.py')
RESULTS = 60
ENGINE_MS = 85.0
MAX_FRAME_AGE_S = 0.2


def engine_ms(model, runs):
    """Return the shortest CPU time of some runs on one thread: what the network takes when nothing else disturbs."""
    engine = open_engine(model, EngineOptions(num_threads=1))
    engine.put_image('image', frame_from_array(np.zeros((480, 640, 3), np.uint8)))
    times = []
    for _ in range(runs):
        began_s = time.thread_time()
        engine.infer()
        times.append((time.thread_time() - began_s) * 1e3)
    engine.close()
    return min(times)


def calibrated_model(folder):
    """Write a network that takes about ENGINE_MS here, and return the layers that this needs."""
    few, many = 4, 24
    few_ms, many_ms = (engine_ms(networks.slow_segmentation_model(folder, layers), 30) for layers in (few, many))
    per_layer_ms = max((many_ms - few_ms) / (many - few), 0.05)
    layers = max(1, round(few + (ENGINE_MS - few_ms) / per_layer_ms))
    networks.slow_segmentation_model(folder, layers)
    return layers


def values_of(array):
    return {value.key: value.value for value in array.status[0].values}


def percentiles(values, stage):
    return [float(number) for number in values[stage + ' p50/p95/p99/max (ms)'].split(' / ')]


def test_an_engine_slower_than_the_camera_gives_fresh_results_between_processes(domain, tmp_path):
    layers = calibrated_model(tmp_path)
    params = networks.write_yaml(tmp_path / 'params.yaml', {'/**': {'ros__parameters': {
        'segmentation': {'model': str(tmp_path / 'tiny.yaml')}, 'num_threads': 1, 'max_frame_age': MAX_FRAME_AGE_S}}})
    rclpy.init(args=[])
    node = rclpy.create_node('planner')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    outputs, arrivals_ms, ages_ms, diagnostics = [], [], [], []

    def take(message):
        arrivals_ms.append(time.time_ns() * 1e-6)
        ages_ms.append(arrivals_ms[-1] - stamp_of(message) * 1e-6)
        pixels = pixels_of(message)
        outputs.append((stamp_of(message), message.header.frame_id, pixels.shape, np.unique(pixels).tolist()))
    subscription = node.create_subscription(Image, '/segmentation/label_map', take, DEEP)
    node.create_subscription(DiagnosticArray, '/diagnostics', lambda array: diagnostics.append(values_of(array)), DEEP)

    def until(condition, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            executor.spin_once(timeout_sec=0.05)
    try:
        with Program(trt_perception('run', 'segmentation', '--params-file', params, '--image', '/camera/image'),
                     tmp_path / 'node') as program:
            program.until('tiny on onnxruntime')
            until(subscription.get_publisher_count)
            until(lambda: diagnostics)
            with Program([CAMERA, tmp_path / 'stop', tmp_path / 'sent.json'], tmp_path / 'camera') as camera:
                # However long it takes: how much a loaded machine gets done in a time says nothing about the node.
                until(lambda: len(outputs) >= RESULTS and int(diagnostics[-1]['frames dropped: too_old']),
                      5 * PATIENCE_S)
                (tmp_path / 'stop').touch()
                assert camera.end(None) == 0, camera.output
            seen = len(diagnostics)
            until(lambda: len(diagnostics) >= seen + 2)
            assert program.end(signal.SIGINT) == 0
            assert 'Traceback' not in program.output
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()

    with open(str(tmp_path / 'sent.json')) as file:
        sent = {stamp_ns: (frame_id, color, old) for stamp_ns, frame_id, color, old in json.load(file)}
    values = diagnostics[-1]
    received, processed = int(values['frames received']), int(values['frames processed'])
    dropped = {reason: int(values['frames dropped: ' + reason]) for reason in DROPS}
    infer_ms = percentiles(values, 'segmentation infer')[0]
    third = len(ages_ms) // 3
    median_ms, first_ms, last_ms = (float(np.median(part)) for part in (ages_ms, ages_ms[:third], ages_ms[-third:]))
    first_period_ms, last_period_ms = (float(np.median(np.diff(part)))
                                       for part in (arrivals_ms[:third], arrivals_ms[-third:]))
    print('{} layers, engine {:.1f} ms; age {:.1f} ms = {:.2f} x engine; first third {:.1f}, last {:.1f} ms; sent {}, '
          'received {}, processed {}, {}'.format(layers, infer_ms, median_ms, median_ms / infer_ms, first_ms, last_ms,
                                                 len(sent), received, processed, dropped))

    # The test means something: the engine is slower than the camera.
    assert received > 1.5 * processed

    # Stamp, frame_id and content of every output are those of an image that was sent, each at most once, in order.
    stamps = [stamp_ns for stamp_ns, _, _, _ in outputs]
    assert stamps == sorted(set(stamps))
    for stamp_ns, frame_id, shape, labels in outputs:
        assert (frame_id, labels) == (sent[stamp_ns][0], [sent[stamp_ns][1]])
        assert shape == (480, 640)

    # Nothing older than the limit is published.
    assert not [stamp_ns for stamp_ns in stamps if sent[stamp_ns][2]]
    assert dropped['too_old'] > 0
    assert percentiles(values, 'segmentation age')[3] <= \
        MAX_FRAME_AGE_S * 1e3 + percentiles(values, 'segmentation latency')[3]

    # Drops are counted and add up.
    assert processed + sum(dropped.values()) == received
    assert 0.95 * processed <= len(outputs) <= processed
    assert dropped['replaced'] > 0
    # `idle` are those that came before the node had discovered the planner.
    assert {reason: dropped[reason] for reason in ('bad', 'paused', 'engine_fault')} == {
        'bad': 0, 'paused': 0, 'engine_fault': 0}

    # Results are fresh, and stay so: an image that had waited behind another one would be two periods old.
    assert median_ms <= 1.6 * max(infer_ms, first_period_ms, last_period_ms)
    # Where other programs slowed the machine down meanwhile, they made the period of the results longer, too.
    assert last_ms <= 1.3 * first_ms * max(1.0, last_period_ms / first_period_ms)

"""Times of the shipped networks on this machine's GPU: network alone, with our loop, transfers, whole pipeline.

    python3 docs/measurements/gpu.py [ENGINE_CACHE]        (make test-gpu and tools/gpu_bundle run it, too)

Prints Markdown tables: medians over 900 interleaved iterations. There are no results yet: no GPU was available.
For Python 3.6 - 3.13, so that it runs on boards. FP16 for TensorRT 11 and INT8 use the networks that
tools/gpu_bundle/networks.py wrote to out/gpu_networks.
"""
import os
import sys
import tempfile
import time

import numpy as np

from trt_perception.bench.frames import read_image, synthetic_images
from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.model import load_model
from trt_perception.core.tasks import pipeline_class
from trt_perception.engines import EngineOptions, open_engine

MODELS = ('swiftnet_camvid', 'tinypwc')
NETWORKS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'out',
                        'gpu_networks')
PRECISIONS = ('fp32', 'fp16', 'int8')
CAMERAS = ((480, 640), (720, 1280), (1080, 1920))
ITERATIONS, ROUNDS, WARM_UP = 900, 9, 30
INTERVAL_NS = 33000000


def timed(work, count):
    """Return the time of each of `count` calls, ms."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def in_turns(works):
    """Return name -> all times: the works take turns, ITERATIONS each."""
    times = {name: [] for name in works}
    for work in works.values():
        timed(work, WARM_UP)
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name] += timed(work, ITERATIONS // ROUNDS)
    return times


def measure_engine(engine):
    """Return medians, ms: `enqueue` and wait, as trtexec does; our `infer` without and with the way of the results."""
    gpu, context = engine._gpu, engine._context

    def enqueue():
        with gpu.using('measure'):
            context.execute(gpu.stream_handle)
            gpu.synchronize()
    times = in_turns({'enqueue': enqueue, 'infer': lambda: engine.infer(()), 'results': engine.infer})
    return {name: float(np.median(each)) for name, each in times.items()}


def measure_pipeline(model, engine, camera):
    """Return p50 and p95 of a frame through the pipeline, ms, results of the camera's size."""
    images = [read_image(image, 0) for image in synthetic_images(camera)]
    pipeline = pipeline_class(model.task)(engine, model)
    state = {'number': 0}

    def process():
        state['number'] += 1
        frame = images[state['number'] % len(images)]._replace(stamp_ns=state['number'] * INTERVAL_NS)
        pipeline.process(frame)
    times = in_turns({'pipeline': process})['pipeline']
    return np.percentile(times, 50), np.percentile(times, 95)


def main():
    """Measure and print."""
    try:
        import tensorrt

        from trt_perception.engines.tensorrt.cuda import gpu_info
        print('{}, TensorRT {}, {} iterations; times in ms, medians.\n'.format(
            gpu_info(0).name, tensorrt.__version__, ITERATIONS))
    except (ImportError, EngineError) as error:
        sys.exit('Nothing measured: this needs an NVIDIA GPU, TensorRT and pycuda: {}'.format(error))
    heads = ['enqueue and wait', 'our infer', 'overhead', 'with results to the host']
    heads += ['pipeline {}x{}, p50 / p95'.format(*camera) for camera in CAMERAS]
    print('| network | precision | {} |\n{}|'.format(' | '.join(heads), '|---' * (2 + len(heads))))
    with tempfile.TemporaryDirectory() as folder:
        cache = sys.argv[1] if len(sys.argv) > 1 else folder
        for name in MODELS:
            own = os.path.join(NETWORKS, name + '.yaml')
            model = load_model(own if os.path.exists(own) else name)
            for precision in PRECISIONS:
                try:
                    engine = open_engine(model, EngineOptions('tensorrt', precision, cache_dir=cache))
                except (ConfigError, EngineError) as error:
                    print('| {} | {} | {} |'.format(name, precision, error))
                    continue
                ms = measure_engine(engine)
                cells = ['{:.3f}'.format(ms['enqueue']), '{:.3f}'.format(ms['infer']),
                         '{:+.1f} %'.format(100 * (ms['infer'] / ms['enqueue'] - 1)), '{:.3f}'.format(ms['results'])]
                cells += ['{:.3f} / {:.3f}'.format(*measure_pipeline(model, engine, camera)) for camera in CAMERAS]
                print('| {} | {} | {} |'.format(name, engine.precision, ' | '.join(cells)), flush=True)
                engine.close()


if __name__ == '__main__':
    main()

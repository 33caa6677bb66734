"""Tiny networks built by the real TensorRT, and the shipped ones beside ONNX Runtime."""
import os
import shutil

from trt_perception.bench.frames import read_image, synthetic_images
from trt_perception.core.model import load_model
from trt_perception.core.tasks import pipeline_class
from trt_perception.engines import EngineOptions, open_engine, prepare_engine

SHIPPED = ('swiftnet_camvid', 'tinypwc')
NETWORKS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'out',
                        'gpu_networks')
"""Where tools/gpu_bundle/networks.py has put the shipped models with their FP16 and INT8 networks."""
CAMERA = (480, 640)
INTERVAL_NS = 33000000


def shipped(name):
    """Return a shipped model, with networks in FP16 and INT8 where they were made."""
    own = os.path.join(NETWORKS, name + '.yaml')
    return load_model(own if os.path.exists(own) else name)


def built(model, cache, precision='fp32', **options):
    """Build a model's engine in a child process, as `build-engine` does, and return it."""
    return prepare_engine(model, EngineOptions('tensorrt', precision, cache_dir=cache, **options), lambda text: None)


def opened(model, cache, precision='fp32', **options):
    """Return a model's engine, open."""
    return open_engine(model, EngineOptions('tensorrt', precision, cache_dir=cache, **options))


def ready_made(model, cache):
    """Build a tiny model and put its engine beside its YAML; return the file."""
    path = os.path.join(os.path.dirname(model.path), 'tiny.engine')
    source = model._replace(files={'tensorrt': {'fp32': 'tiny.onnx'}})
    with open(model.path) as file:
        text = file.read()
    with open(model.path, 'w') as file:
        file.write(text.replace('tiny.engine', 'tiny.onnx'))
    try:
        shutil.copyfile(built(source, cache).path, path)
    finally:
        with open(model.path, 'w') as file:
            file.write(text)
    return path


def frames(count, size=CAMERA, seed=0):
    """Return camera frames of a textured plane that moves."""
    return [read_image(image, number * INTERVAL_NS) for number, image in enumerate(synthetic_images(size, count, seed))]


def pipeline(model, engine):
    """Return the pipeline of a model's task, whose results have the network's size."""
    return pipeline_class(model.task)(engine, model, {'output_size': 'network'})


def reference(name, runtime='onnxruntime'):
    """Return the pipeline of a shipped model in ONNX Runtime, FP32."""
    model = load_model(name)
    return pipeline(model, open_engine(model, EngineOptions(runtime, 'fp32')))

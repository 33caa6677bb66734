"""The tiny networks of `networks`, as engines of the TensorRT double."""
import importlib
import os

import networks
from tensorrt_double import VERSIONS, serialize

from trt_perception.engines import EngineOptions


def engine_file(model, generation, **header):
    """Write the serialized engine of a tiny model and return its path."""
    path = os.path.join(os.path.dirname(model.path), 'tiny.engine')
    with open(networks.network_path(model), 'rb') as network, open(path, 'wb') as file:
        file.write(serialize(network.read(), dict({'tensorrt': VERSIONS[generation]}, **header)))
    return path


def tensorrt_engine():
    """Return the module, which looks at TensorRT when it is imported."""
    return importlib.import_module('trt_perception.engines.tensorrt.engine')


def opened(model, generation, **options):
    """Open a tiny model in TensorRT and run it once."""
    engine = tensorrt_engine().TensorRTEngine(model, engine_file(model, generation), 'fp16', EngineOptions(**options))
    engine.infer()
    return engine


def segmentation_model(folder, **options):
    """Return the head for TensorRT: float NCHW in, INT32 out."""
    return networks.segmentation_model(folder, **dict(
        {'layout': 'NCHW', 'kind': 'float32', 'labels': 'int32', 'confidence': 'int32'}, **options))


def flow_model(folder, **options):
    """Return the optical-flow network for TensorRT: float NCHW in."""
    return networks.flow_model(folder, **dict({'layout': 'NCHW', 'kind': 'float32'}, **options))

"""The doubles of TensorRT and pycuda can be imported, and used in place of the real modules."""
import importlib
import json
import os
import sys

import pytest

from trt_perception.engines import EngineOptions
from trt_perception.engines.tensorrt import child_process

# Not this folder itself: its `tensorrt` would be found in place of the real package.
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tensorrt')
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)


@pytest.fixture
def use_gpu(tensorrt):
    """Give a function that puts a pycuda_double.Gpu, and TensorRT of a generation, into this process."""
    def use(generation='8.2', **options):
        tensorrt.use(generation, options)
        return importlib.import_module('the_gpu').GPU
    return use


@pytest.fixture
def build(tensorrt, monkeypatch):
    """Return `engine_file` with the cache of the test, whose builds are done in this process."""
    def here(module, request, what, progress, memory_advice):
        work = importlib.import_module(module)._work
        work(json.loads(json.dumps(request)), lambda text: progress(what + ': ' + text))

    def engine_file(model, precision, progress=lambda text: None, images='', **options):
        module = importlib.import_module('trt_perception.engines.tensorrt.file')
        options.setdefault('cache_dir', tensorrt.cache)
        return module.engine_file(model, precision, EngineOptions('tensorrt', **options), progress, images)
    monkeypatch.setattr(child_process, 'run', here)
    return engine_file

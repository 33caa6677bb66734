"""What goes wrong on a GPU: an FP16 network that overflows, threads, a fault of CUDA and the recovery from it."""
import os
import subprocess
import sys

import networks
import numpy as np
import pytest
import tensorrt_networks
from gpu_models import built, ready_made
from onnx import helper
from random_images import frame_showing, random_image
from tensorrt_rig import segmentation_model

from trt_perception.core.errors import EngineError
from trt_perception.engines import EngineOptions

tensorrt_file = pytest.importorskip('trt_perception.engines.tensorrt.file', reason='no TensorRT here')
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def overflowing_model(folder):
    """Write a network that has 65504 and more inside: right in FP32, all labels equal in FP16."""
    model = segmentation_model(folder)
    eye = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    nodes = [helper.make_node('Conv', ['image', 'large'], ['a'], name='/a/Conv'),
             helper.make_node('Conv', ['a', 'large'], ['b'], name='/b/Conv'),
             helper.make_node('Conv', ['b', 'small'], ['c'], name='/c/Conv'),
             helper.make_node('ArgMax', ['c'], ['index'], name='/head/ArgMax', axis=1, keepdims=0),
             helper.make_node('Cast', ['index'], ['labels'], name='/head/Cast', to=6)]
    networks.save_network(folder / 'tiny.onnx', nodes, [('image', 'float32', [1, 3, 6, 8])],
                          [('labels', 'int32', [1, 6, 8])], [('large', eye * 1000), ('small', eye / 1e6)])
    return model


def test_in_place_of_an_fp16_engine_that_overflows_there_is_one_in_fp32(cache, tmp_path):
    if not tensorrt_file.weakly_typed():
        pytest.skip('this TensorRT makes no FP16 engine of an FP32 network')
    engine = built(overflowing_model(tmp_path), cache, 'fp16')
    assert engine.precision == 'fp32'
    assert 'the fp16 engine of' in engine.warning
    assert 'FP32 is used instead' in engine.warning


def test_a_bad_network_has_nvidias_text_in_our_error(cache, tmp_path):
    model = segmentation_model(tmp_path)
    (tmp_path / 'tiny.onnx').write_bytes(b'not an ONNX file')
    with pytest.raises(EngineError, match='cannot read it: .*[Pp]arse'):
        built(model, cache)


def test_a_thread_of_its_own_may_use_an_engine(cache, tmp_path):
    import threading
    model = tensorrt_networks.segmentation_model(tmp_path, fields=dict(
        networks.segmentation_fields(), files={'tensorrt': {'fp32': 'tiny.engine'}}))
    path = ready_made(model, cache)
    found = []

    def work():
        engine = tensorrt_networks.tensorrt_engine().TensorRTEngine(model, path, 'fp32')
        for seed in range(50):
            engine.put_image('image', frame_showing(random_image(seed)))
            found.append((engine.infer()['labels'][0] == random_image(seed).argmax(axis=2)).all())
        engine.close()
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 100


FAULT = """
import sys
sys.path[:0] = [sys.argv[3], sys.argv[3] + '/test']
import numpy as np
import pycuda.driver as cuda
from random_images import frame_showing, random_image
from trt_perception.core.errors import EngineError
from trt_perception.core.model import load_model
from trt_perception.engines.tensorrt.engine import TensorRTEngine

model = load_model(sys.argv[1])


def run(engine):
    engine.put_image('image', frame_showing(random_image(0)))
    return np.array_equal(engine.infer()['labels'][0], random_image(0).argmax(axis=2))


engine = TensorRTEngine(model, sys.argv[2], 'fp32')
print('before', run(engine))
engine._context.place('image', 64)    # An address that nobody allocated.
try:
    print('fault', run(engine))
except EngineError as error:
    print('fault', type(error).__name__)
engine.close()
engine = TensorRTEngine(model, sys.argv[2], 'fp32')
print('after', run(engine))
"""


def test_after_a_fault_of_cuda_a_new_engine_works(cache, tmp_path):
    model = tensorrt_networks.segmentation_model(tmp_path, fields=dict(
        networks.segmentation_fields(), files={'tensorrt': {'fp32': 'tiny.engine'}}))
    path = ready_made(model, cache)
    # A process of its own: a fault spoils the context of everybody in it.
    result = subprocess.run([sys.executable, '-c', FAULT, model.path, path, ROOT], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True)
    lines = result.stdout.splitlines()
    assert lines[:2] == ['before True', 'fault EngineError'], result.stderr
    assert lines[2:] == ['after True'], result.stderr


def test_an_engine_of_another_tensorrt_is_refused_in_its_words(real_gpu, tmp_path):
    model = tensorrt_networks.segmentation_model(tmp_path, fields=dict(
        networks.segmentation_fields(), files={'tensorrt': {'fp32': 'tiny.engine'}}))
    (tmp_path / 'tiny.engine').write_bytes(b'an engine of nobody' + bytes(1000))
    with pytest.raises(EngineError, match='cannot open it: .+ Run: trt_perception build-engine'):
        tensorrt_networks.tensorrt_engine().TensorRTEngine(model, str(tmp_path / 'tiny.engine'), 'fp32',
                                                           EngineOptions('tensorrt'))

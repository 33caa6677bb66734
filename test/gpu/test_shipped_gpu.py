"""The shipped networks on a GPU: built, cached, reopened, damaged, rebuilt; against ONNX Runtime, frame by frame."""
import os

import numpy as np
import pytest
from gpu_models import SHIPPED, built, frames, opened, pipeline, reference

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, open_engine

tensorrt_file = pytest.importorskip('trt_perception.engines.tensorrt.file', reason='no TensorRT here')
FRAMES = 20
LEAST_EQUAL = {'fp32': 0.999, 'fp16': 0.995}
MOST_PX = {'fp32': 0.01, 'fp16': 0.05}


def model_with(name, precision):
    """Return a shipped model; skip where TensorRT takes precisions from the ONNX file alone and it has none."""
    model = load_model(name)
    try:
        tensorrt_file.network_of(model, precision)
    except ConfigError as error:
        pytest.skip(str(error))
    return model


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
@pytest.mark.parametrize('name', SHIPPED)
def test_results_are_those_of_onnx_runtime(shared_cache, name, precision):
    model = model_with(name, precision)
    engine = opened(model, shared_cache, precision)
    assert engine.precision == precision, 'the golden frame refused it'
    ours, theirs = pipeline(model, engine), reference(name)
    equal, difference = [], []
    for frame in frames(FRAMES):
        result, expected = ours.process(frame), theirs.process(frame)
        if model.labels is not None:
            equal.append(np.mean(result.labels == expected.labels))
        elif expected is not None:
            difference.append(np.nanmean(np.abs(result.flow - expected.flow)))
    engine.close()
    if equal:
        assert np.mean(equal) >= LEAST_EQUAL[precision]
    else:
        assert np.mean(difference) <= MOST_PX[precision]


@pytest.mark.parametrize('name', SHIPPED)
def test_a_damaged_engine_is_built_anew_and_gives_the_same(cache, name):
    model = load_model(name)
    first = built(model, cache)
    with open(first.path, 'rb') as file:
        size = len(file.read())
    made = os.stat(first.path).st_mtime_ns
    before = results(model, opened(model, cache))
    assert os.stat(first.path).st_mtime_ns == made, 'it was in the cache'
    with open(first.path, 'r+b') as file:
        file.seek(size // 2)
        file.write(b'damage' * 20)
    after = results(model, opened(model, cache))
    assert os.stat(first.path).st_mtime_ns != made
    for one, other in zip(before, after):
        # A rebuilt engine may have other tactics.
        assert np.nanmean(np.abs(one.astype(float) - other)) < 0.01


def results(model, engine):
    it = pipeline(model, engine)
    arrays = []
    for frame in frames(3):
        result = it.process(frame)
        if result is not None:
            arrays.append(np.array(result.labels if model.labels is not None else result.flow))
    engine.close()
    return arrays


def test_int8_is_built_from_q_dq_nodes(shared_cache):
    model = load_model('swiftnet_camvid')
    file = os.path.join(os.path.dirname(model.network_file('tensorrt', 'fp32')), 'swiftnet_camvid.tensorrt.int8.onnx')
    if not os.path.exists(file):
        pytest.skip('{} is not here: `trt_perception_tools quantize` makes it'.format(file))
    model = model._replace(files=dict(model.files, tensorrt=dict(model.files['tensorrt'], int8=file)))
    from trt_perception.engines.tensorrt import golden
    engine = engine_of(model, file, shared_cache)
    verdict = golden.check(engine, model, 'int8', golden.reference(model, model.network_file('tensorrt', 'fp32')))
    engine.close()
    assert verdict.passed, verdict.text


def engine_of(model, network, cache):
    """Build a network that the model's YAML does not name, and open it."""
    import tensorrt as trt

    from trt_perception.engines.tensorrt.build import _Workshop
    from trt_perception.engines.tensorrt.cache import EngineCache
    from trt_perception.engines.tensorrt.cuda import Gpu
    from trt_perception.engines.tensorrt.engine import TensorRTEngine
    assert trt.__version__
    gpu, store = Gpu(0), EngineCache(cache)
    with store.lock(lambda: None), gpu.using('building'):
        data, _ = _Workshop(model, EngineOptions('tensorrt', 'int8'), '', store, gpu, lambda text: None)._build(
            network, 'int8')
    gpu.close()
    path = os.path.join(cache, 'int8.engine')
    with open(path, 'wb') as target:
        target.write(data)
    return TensorRTEngine(model, path, 'int8')


@pytest.mark.parametrize('name', SHIPPED)
def test_bindings_by_index_and_by_name_give_the_same_bits(shared_cache, name, monkeypatch):
    from trt_perception.engines.tensorrt import context
    if not hasattr(__import__('tensorrt').ICudaEngine, 'num_bindings'):
        pytest.skip('this TensorRT has no bindings by index')
    model = load_model(name)
    by_name = results(model, opened(model, shared_cache))
    monkeypatch.setattr(context, '_NamedTensors', context._IndexedTensors)
    by_index = results(model, opened(model, shared_cache))
    for one, other in zip(by_name, by_index):
        np.testing.assert_array_equal(one, other)


def test_two_engines_share_a_context_and_close_in_any_order(shared_cache):
    models = [load_model(name) for name in SHIPPED]
    alone = [results(model, opened(model, shared_cache)) for model in models]
    engines = [open_engine(model, EngineOptions('tensorrt', 'fp32', cache_dir=shared_cache)) for model in models]
    pipelines = [pipeline(model, engine) for model, engine in zip(models, engines)]
    together = [[], []]
    for frame in frames(3):
        for number, (model, it) in enumerate(zip(models, pipelines)):
            result = it.process(frame)
            if result is not None:
                together[number].append(np.array(result.labels if model.labels is not None else result.flow))
    engines[0].close()
    pipelines[1].process(frames(4)[3])
    engines[1].close()
    for expected, got in zip(alone, together):
        for one, other in zip(expected, got):
            np.testing.assert_array_equal(one, other)


def test_up_to_10_precision_is_the_builders_choice(real_gpu):
    version = int(real_gpu.split('TensorRT ')[1].split('.')[0])
    assert tensorrt_file.weakly_typed() == (version < 11)

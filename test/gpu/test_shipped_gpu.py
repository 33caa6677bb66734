"""The shipped networks on a GPU: built, cached, reopened, damaged, rebuilt; against ONNX Runtime, frame by frame."""
import os

import numpy as np
import pytest
from gpu_models import SHIPPED, built, frames, opened, pipeline, reference, shipped

from trt_perception.core.errors import ConfigError
from trt_perception.engines import EngineOptions, open_engine

tensorrt_file = pytest.importorskip('trt_perception.engines.tensorrt.file', reason='no TensorRT here')
FRAMES = 20
LEAST_EQUAL = {'fp32': 0.999, 'fp16': 0.995, 'int8': 0.9}
MOST_PX = {'fp32': 0.01, 'fp16': 0.05, 'int8': 0.2}


def model_with(name, precision):
    """Return a shipped model; skip where this TensorRT, or this GPU, cannot have a precision of it."""
    model = shipped(name)
    try:
        network = tensorrt_file.network_of(model, precision)
        if precision == 'int8' and 'int8' not in network:
            pytest.skip('its INT8 network is not here: `python tools/gpu_bundle/networks.py out/gpu_networks` makes it')
    except ConfigError as error:
        pytest.skip(str(error))
    return model


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'int8'])
@pytest.mark.parametrize('name', SHIPPED)
def test_results_are_those_of_onnx_runtime(shared_cache, name, precision):
    model = model_with(name, precision)
    try:
        engine = opened(model, shared_cache, precision)
    except ConfigError as error:
        pytest.skip(str(error))
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
def test_an_engine_is_found_again_and_a_damaged_one_built_anew_gives_the_same(shared_cache, name):
    cache, model = shared_cache, shipped(name)
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


@pytest.mark.parametrize('name', SHIPPED)
def test_bindings_by_index_and_by_name_give_the_same_bits(shared_cache, name, monkeypatch):
    from trt_perception.engines.tensorrt import context
    if not hasattr(__import__('tensorrt').ICudaEngine, 'num_bindings'):
        pytest.skip('this TensorRT has no bindings by index')
    model = shipped(name)
    by_name = results(model, opened(model, shared_cache))
    monkeypatch.setattr(context, '_NamedTensors', context._IndexedTensors)
    by_index = results(model, opened(model, shared_cache))
    for one, other in zip(by_name, by_index):
        np.testing.assert_array_equal(one, other)


def test_two_engines_share_a_context_and_close_in_any_order(shared_cache):
    models = [shipped(name) for name in SHIPPED]
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

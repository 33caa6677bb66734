"""Our build of engines with NVIDIA's own parser and builder: what only they can say; see test_build.py."""
import gc
import importlib
import os
import re
import signal

import networks
import numpy as np
import pytest
from onnx import helper
from tensorrt_double import REAL_BUILDER
from tensorrt_real_builder import needs_real_builder
from tensorrt_rig import children_of, segmentation_model

from trt_perception.core.errors import EngineError
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, prepare_engine
from trt_perception.engines.tensorrt import child_process

pytestmark = [needs_real_builder, pytest.mark.filterwarnings('ignore:Use del obj instead')]

SHIPPED = {'swiftnet_camvid': (8e6, '100.00 % of the labels'), 'tinypwc': (5e6, 'differs from')}
"""Model -> least bytes of its plan, and the golden frame's verdict."""


@pytest.fixture
def module(tensorrt):
    """Return our module that builds, which has the real builder."""
    tensorrt.use(REAL_BUILDER)
    return importlib.import_module('trt_perception.engines.tensorrt.build')


def network_of(folder, nodes, constants=(), outputs=(('labels', 'int32', [1, 6, 8]),)):
    """Return the model of a network from float `image` to int32 `labels`."""
    model = segmentation_model(folder)
    networks.save_network(folder / 'tiny.onnx', nodes, [('image', 'float32', [1, 3, 6, 8])], list(outputs),
                          list(constants))
    return model


def refusal(kind, call, *args, **kwargs):
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_network_is_built_as_it_was_asked_for(tensorrt, build, module, name):
    least_bytes, verdict = SHIPPED[name]
    told = []
    built = build(load_model(name), 'fp32', told.append, workspace_bytes=2**28)
    [asked] = tensorrt.builds
    assert asked.pop('layers') > 100
    assert asked == {'creation': ['STRONGLY_TYPED'], 'flags': [], 'pool': 2**28, 'max_workspace_size': None,
                     'device': 'GPU', 'dla_core': -1, 'verbosity': 'DETAILED', 'monitored': True, 'timing': True}
    assert os.path.getsize(built.path) > least_bytes
    assert 'layers fp32' in built.summary
    assert verdict in built.summary
    assert any(re.search(r': Building engine \d/\d', text) for text in told)
    assert told[-1] == 'building {} fp32: comparing with the golden frame'.format(name)


def test_what_the_parser_says_is_in_our_error(build, module, tmp_path):
    nodes = [helper.make_node('Det', ['image'], ['d'], name='/head/Det'),
             helper.make_node('Cast', ['d'], ['labels'], name='/head/Cast', to=6)]
    model = network_of(tmp_path, nodes, outputs=[('labels', 'int32', [1, 3])])
    text = refusal(EngineError, build, model, 'fp32')
    assert text.startswith('{}: TensorRT 11.4.0.106 cannot read it: node 0 /head/Det (Det): '.format(
        tmp_path / 'tiny.onnx'))
    assert ' UNSUPPORTED_NODE: ' in text  # NVIDIA's own text is "false".
    assert text.endswith('`trt_perception_tools check-onnx {}`.'.format(tmp_path / 'tiny.onnx'))
    assert '\n' not in text


def test_a_wrong_type_is_in_our_error_in_nvidias_words(build, module, tmp_path):
    nodes = [helper.make_node('Cast', ['image'], ['bytes'], name='/head/Cast', to=2),
             helper.make_node('Cast', ['bytes'], ['levels'], name='/head/Widen', to=1),
             helper.make_node('ArgMax', ['levels'], ['index'], name='/head/ArgMax', axis=1, keepdims=0),
             helper.make_node('Cast', ['index'], ['labels'], name='/head/Narrow', to=6)]
    text = refusal(EngineError, build, network_of(tmp_path, nodes), 'fp32')
    assert 'node 0 /head/Cast (Cast): ' in text
    assert 'TensorRT does not support UINT8 types for intermediate tensors' in text


def test_a_graph_whose_shapes_do_not_fit_is_refused_in_nvidias_words(build, module, tmp_path):
    nodes = [helper.make_node('Conv', ['image', 'weights'], ['scores'], name='/head/Conv'),
             helper.make_node('ArgMax', ['scores'], ['index'], name='/head/ArgMax', axis=1, keepdims=0),
             helper.make_node('Cast', ['index'], ['labels'], name='/head/Cast', to=6)]
    model = network_of(tmp_path, nodes, [('weights', np.zeros((2, 5, 1, 1), np.float32))])
    text = refusal(EngineError, build, model, 'fp32')
    assert 'cannot read it: node 0 /head/Conv (Conv): ' in text
    print(text)


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', 'Network must have at least one output'), (b'not an ONNX file', 'Failed to parse the ONNX model'),
    (b'\x08\x08\x12', 'Failed to parse the ONNX model')])
def test_a_file_that_is_no_network_is_refused(build, module, tmp_path, content, reason):
    model = segmentation_model(tmp_path)
    (tmp_path / 'tiny.onnx').write_bytes(content)
    assert reason in refusal(EngineError, build, model, 'fp32')


def test_what_the_builder_says_is_in_our_error(tensorrt, build, module, tmp_path):
    # The parser takes NonMaxSuppression; the builder for RTX has no kernel for it.
    nodes = [helper.make_node('Slice', ['image', 'from', 'to', 'axes'], ['column'], name='slice'),
             helper.make_node('Reshape', ['column', 'boxes shape'], ['boxes'], name='boxes'),
             helper.make_node('ReduceSum', ['boxes', 'last'], ['sums'], name='sums', keepdims=0),
             helper.make_node('Reshape', ['sums', 'scores shape'], ['scores'], name='scores'),
             helper.make_node('NonMaxSuppression', ['boxes', 'scores', 'most'], ['kept'], name='nms'),
             helper.make_node('Cast', ['kept'], ['labels'], name='cast', to=6)]
    constants = [('from', np.int64([0, 0])), ('to', np.int64([1, 4])), ('axes', np.int64([1, 3])),
                 ('boxes shape', np.int64([1, 6, 4])), ('scores shape', np.int64([1, 1, 6])),
                 ('last', np.int64([2])), ('most', np.int64([3]))]
    text = refusal(EngineError, build, network_of(tmp_path, nodes, constants, [('labels', 'int32', [3, 3])]), 'fp32')
    assert text.startswith('{}: TensorRT 11.4.0.106 built no fp32 engine: '.format(tmp_path / 'tiny.onnx'))
    assert 'nms' in text
    assert [name for name in os.listdir(tensorrt.cache) if name.endswith(('.engine', '.part'))] == []


@pytest.mark.parametrize(('name', 'wrong'), [
    ('_creation_flags', lambda: 'STRONGLY_TYPED'), ('LOG', None), ('_creation_flags', lambda: -1)])
def test_a_wrong_argument_is_refused_by_the_bindings(build, module, tmp_path, monkeypatch, name, wrong):
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises((TypeError, AttributeError)):
        build(segmentation_model(tmp_path), 'fp32')


def test_a_name_that_the_config_lacks_is_refused_by_the_bindings(build, module, tmp_path, monkeypatch):
    config = module.trt.IBuilderConfig
    monkeypatch.setattr(module._Workshop, '_set_memory', lambda self, it: setattr(it, 'max_workspace_size', 2**20))
    assert not hasattr(config, 'max_workspace_size')
    with pytest.raises(AttributeError):
        build(segmentation_model(tmp_path), 'fp32')


def test_the_timing_cache_is_kept_and_a_damaged_one_replaced(tensorrt, build, module, tmp_path):
    os.makedirs(tensorrt.cache)
    name = os.path.join(tensorrt.cache, 'timing-NVIDIA_Tegra_X2-11.4.0.106.cache')
    with open(name, 'wb') as file:
        file.write(b'damaged')
    build(segmentation_model(tmp_path), 'fp32')
    with open(name, 'rb') as file:
        kept = file.read()
    assert kept != b'damaged'
    build(segmentation_model(tmp_path), 'fp32', rebuild=True)
    assert [asked['timing'] for asked in tensorrt.builds] == [True, True]


def test_only_one_logger_is_given_to_tensorrt(build, module, tmp_path, caplog):
    gc.collect()  # A builder that an earlier test's error keeps alive has the logger of that test's module.
    build(segmentation_model(tmp_path), 'fp32')
    assert 'differs from one already registered' not in caplog.text
    trt = module.trt
    first = trt.Builder.__base__(module.LOG)
    second = trt.Builder.__base__(trt.Logger(trt.Logger.VERBOSE))
    assert first
    assert second


@pytest.mark.parametrize('allowed', [1, 1024])
def test_a_workspace_that_is_too_small_is_an_error_that_says_so(build, module, allowed):
    text = refusal(EngineError, build, load_model('tinypwc'), 'fp32', workspace_bytes=allowed)
    assert 'TensorRT 11.4.0.106 built no fp32 engine: ' in text
    assert 'no tactics to implement the operation within workspace limit' in text
    assert text.endswith('. Raise max_workspace_size (bytes, now {}), or set it to 0.'.format(allowed))


# In a process of its own, as on a robot.

@pytest.fixture
def options(tensorrt):
    return EngineOptions('tensorrt', 'fp32', cache_dir=tensorrt.cache)


def test_a_child_builds_with_nvidias_builder(tensorrt, tmp_path, options):
    tensorrt.use(REAL_BUILDER)
    built = prepare_engine(segmentation_model(tmp_path), options, lambda text: None)
    assert 'layers fp32' in built.summary
    assert len(tensorrt.builds) == 1


class GiveUpError(Exception):
    pass


def test_a_build_can_be_given_up(tensorrt, options):
    tensorrt.use(REAL_BUILDER)

    def give_up(text):
        if 'Building engine' in text:
            raise GiveUpError
    before = children_of(os.getpid())
    with pytest.raises(GiveUpError):
        prepare_engine(load_model('tinypwc'), options, give_up)
    assert set(children_of(os.getpid())) <= set(before)
    assert [name for name in os.listdir(tensorrt.cache) if name.endswith(('.engine', '.json'))] == []


@pytest.mark.parametrize(('number', 'cause'), [
    (signal.SIGKILL, 'was ended by SIGKILL, most likely by the system for want of memory.'),
    (signal.SIGABRT, "was ended by SIGABRT. NVIDIA's builder may end so where memory is short."),
    (signal.SIGSTOP, "did nothing for 2 s, and was ended. NVIDIA's builder may end so where memory is short.")])
def test_a_child_that_is_killed_or_stopped_meanwhile_is_an_error_that_speaks_of_memory(
        tensorrt, options, monkeypatch, number, cause):
    monkeypatch.setattr(child_process, '_STALLED_S', 2.0)
    tensorrt.use(REAL_BUILDER)

    def harm(text):
        if 'Building engine' in text:
            for child in children_of(os.getpid()):
                os.kill(child, number)
    text = refusal(EngineError, prepare_engine, load_model('tinypwc'), options, harm)
    assert text.startswith('building tinypwc fp32: the process {} Close other programs, add swap, or lower '
                           'max_workspace_size.'.format(cause))


# With as little, NVIDIA's builder says so, is ended by a signal, or waits for ever: differently from run to run.
@pytest.mark.parametrize('megabytes', [1, 20])
def test_however_the_builder_ends_where_memory_is_short_the_error_says_so(tensorrt, options, monkeypatch, megabytes):
    monkeypatch.setattr(child_process, '_STALLED_S', 5.0)
    tensorrt.use(REAL_BUILDER, memory_bytes=megabytes << 20)
    text = refusal(EngineError, prepare_engine, load_model('tinypwc'), options, lambda text: None)
    assert 'Close other programs, add swap, or lower max_workspace_size.' in text

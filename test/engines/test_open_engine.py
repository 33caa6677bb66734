import os
import subprocess
import sys

import networks
import numpy as np
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.engines import (
    BACKENDS,
    Backend,
    EngineOptions,
    available_backends,
    backends,
    default_model,
    onnxruntime_engine,
    open_engine,
    prepare_engine,
    resolve,
)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def absent(monkeypatch):
    """Put a back-end whose package nobody has into the table, first."""
    table = {'warp': Backend('warp_engine', 'WarpEngine', ('numpy', 'warp_runtime_that_nobody_has'), 'fp16',
                             automatic=True)}
    table.update(BACKENDS)
    monkeypatch.setattr(backends, 'BACKENDS', table)


def error_of(call, *args):
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return str(caught.value)


def modules_after(statement):
    """Return the names of the modules that a fresh interpreter has loaded after a statement."""
    code = statement + '; import sys; print(" ".join(sys.modules))'
    path = os.pathsep.join(p for p in (ROOT, os.environ.get('PYTHONPATH')) if p)
    output = subprocess.check_output([sys.executable, '-c', code], env=dict(os.environ, PYTHONPATH=path))
    return set(output.decode().split())


def test_a_back_end_is_imported_only_when_chosen():
    loaded = modules_after('import trt_perception.engines')
    assert 'trt_perception.engines' in loaded
    assert not loaded & {'onnxruntime', 'tensorrt', 'pycuda', 'tflite_runtime', 'torch', 'rclpy',
                         'trt_perception.engines.onnxruntime_engine'}


def test_the_import_test_would_notice():
    assert 'onnxruntime' in modules_after('import trt_perception.engines.onnxruntime_engine')


@pytest.fixture
def model(tmp_path):
    """Return a model with a network for ONNX Runtime only."""
    return networks.segmentation_model(tmp_path)


def with_files(model, *backends):
    return model._replace(files={backend: {'fp32': 'tiny.onnx'} for backend in backends})


def table_of(**backends):
    return dict({name: Backend(name + '_engine', 'Engine', *fields) for name, fields in backends.items()},
                onnxruntime=BACKENDS['onnxruntime'])


def test_onnxruntime_is_there_with_fp32(model):
    assert 'onnxruntime' in available_backends()
    assert resolve(model, EngineOptions(backend='onnxruntime')) == ('onnxruntime', 'fp32')


@pytest.mark.parametrize(('loss', 'dot_product', 'right', 'expected'), [
    (0.5, True, True, 'int8'), (0.6, True, True, 'fp32'), (None, True, True, 'fp32'), (0.1, False, True, 'fp32'),
    (0.1, True, False, 'fp32')])
def test_int8_is_the_default_where_the_cpu_is_faster_and_the_model_loses_little(
        monkeypatch, model, loss, dot_product, right, expected):
    monkeypatch.setattr(backends, 'has_int8_dot_product', lambda: dot_product)
    monkeypatch.setattr(onnxruntime_engine, 'runs_int8', lambda: right)
    model = model._replace(files={'onnx': {'fp32': 'a.onnx', 'int8': 'b.onnx'}},
                           precision_loss={} if loss is None else {'int8': loss})
    assert resolve(model, EngineOptions('onnxruntime')) == ('onnxruntime', expected)
    assert resolve(model, EngineOptions('onnxruntime', 'fp32')) == ('onnxruntime', 'fp32')
    assert resolve(model._replace(files={'onnx': {'fp32': 'a.onnx'}}), EngineOptions()) == ('onnxruntime', 'fp32')


def test_onnxruntime_refuses_int8_in_versions_that_compute_it_wrongly(monkeypatch, model):
    monkeypatch.setattr(onnxruntime_engine.ort, '__version__', '1.9.1')
    model = model._replace(files={'onnx': {'int8': 'tiny.onnx'}})
    with pytest.raises(ConfigError, match=r'int8 was asked for, but ONNX Runtime 1\.9\.1 computes it wrongly'):
        open_engine(model, EngineOptions('onnxruntime', 'int8'))


def test_auto_takes_the_first_that_is_installed(absent, model):
    assert list(backends.BACKENDS)[0] == 'warp'
    assert 'warp' not in available_backends()
    assert resolve(with_files(model, 'warp', 'onnxruntime'), EngineOptions())[0] == 'onnxruntime'


def test_auto_follows_the_order_of_the_table(monkeypatch, model):
    monkeypatch.setattr(backends, 'BACKENDS', table_of(quick=(('numpy',), 'fp16', True)))
    both = with_files(model, 'quick', 'onnxruntime')
    assert available_backends() == ['quick', 'onnxruntime']
    assert resolve(both, EngineOptions()) == ('quick', 'fp16')
    assert resolve(both, EngineOptions(precision='int8')) == ('quick', 'int8')
    assert resolve(both, EngineOptions(backend='onnxruntime')) == ('onnxruntime', 'fp32')


def test_auto_passes_over_a_back_end_for_which_the_model_has_no_network(monkeypatch, model):
    monkeypatch.setattr(backends, 'BACKENDS', table_of(quick=(('numpy',), 'fp16', True)))
    assert resolve(with_files(model, 'onnxruntime'), EngineOptions()) == ('onnxruntime', 'fp32')
    assert resolve(with_files(model, 'other'), EngineOptions()) == ('quick', 'fp16')


def test_auto_never_takes_a_back_end_that_is_for_the_asking(monkeypatch, model):
    monkeypatch.setattr(backends, 'BACKENDS', table_of(quick=(('numpy',), 'fp16')))
    both = with_files(model, 'quick', 'onnxruntime')
    assert resolve(both, EngineOptions())[0] == 'onnxruntime'
    assert resolve(both, EngineOptions('quick'))[0] == 'quick'


@pytest.mark.parametrize('gpu', [True, False])
def test_auto_takes_a_gpu_back_end_where_there_is_a_gpu(monkeypatch, tmp_path, model, gpu):
    monkeypatch.setattr(backends, 'BACKENDS', table_of(quick=(('numpy',), 'fp16', True, True)))
    if gpu:
        (tmp_path / 'nvidia0').write_bytes(b'')
    monkeypatch.setattr(backends, '_GPU_FILES', (str(tmp_path / 'nvidia[0-9]*'),))
    chosen = resolve(with_files(model, 'quick', 'onnxruntime'), EngineOptions())[0]
    assert chosen == ('quick' if gpu else 'onnxruntime')
    assert ('quick' in available_backends()) is gpu


def test_one_of_two_packages_is_enough():
    assert Backend('x', 'Engine', ('numpy|nobody_has_this',), 'fp32').missing == ''
    assert Backend('x', 'Engine', ('nobody_has_this|numpy',), 'fp32').missing == ''
    neither = Backend('x', 'Engine', ('numpy', 'nobody_has_a|nobody_has_b'), 'fp32')
    assert neither.missing == 'nobody_has_a or nobody_has_b'


def test_an_unknown_back_end_is_refused_with_the_known_ones(model):
    known = ', '.join(['auto'] + list(BACKENDS))
    assert error_of(resolve, model, EngineOptions(backend='onnxruntme')) == (
        "engine: got 'onnxruntme', expected one of {}. Did you mean 'onnxruntime'?".format(known))
    assert error_of(resolve, model, EngineOptions(backend='zzz')) == (
        "engine: got 'zzz', expected one of {}.".format(known))


def test_a_named_back_end_that_is_not_installed_stops(absent, model):
    assert error_of(resolve, model, EngineOptions(backend='warp')) == (
        'engine: warp was asked for, but the Python package warp_runtime_that_nobody_has is not installed here. '
        'Install it, or set engine: auto.')


@pytest.mark.parametrize('call', [open_engine, lambda *args: prepare_engine(*args, progress=None)])
def test_a_package_that_cannot_be_imported_is_told_with_its_reason(monkeypatch, model, call):
    monkeypatch.setattr(backends, 'BACKENDS', table_of(half=(('numpy',), 'fp32', False, False, 'half_builder')))
    text = error_of(call, model, EngineOptions('half'))
    assert text.startswith('engine: half: its Python packages are installed, but cannot be imported: No module named')
    assert text.endswith('Repair them, or choose another engine.')


def test_auto_without_any_back_end_says_what_to_install(monkeypatch, model):
    monkeypatch.setattr(backends, 'BACKENDS', {
        'a': Backend('a_engine', 'Engine', ('package_a_nobody_has',), 'fp16', True),
        'b': Backend('b_engine', 'Engine', ('numpy',), 'fp32')})
    assert error_of(resolve, model, EngineOptions()) == (
        'engine: auto found none of a. Install one: pip install onnxruntime')


def test_auto_says_what_to_install_when_what_is_installed_does_not_suit_the_model(monkeypatch, model):
    monkeypatch.setattr(backends, 'BACKENDS', {
        'a': Backend('a_engine', 'Engine', ('package_a_nobody_has',), 'fp16', True),
        'b': Backend('b_engine', 'Engine', ('numpy',), 'fp32', True, format='')})
    assert error_of(resolve, with_files(model, 'a'), EngineOptions()) == (
        'engine: auto found none of a. Install one: pip install onnxruntime')


def test_the_default_model_is_one_for_the_first_back_end_that_has_one(monkeypatch, model):
    models = {name: with_files(model, *names)._replace(name=name)
              for name, names in {'network': ['quick', 'onnxruntime'], 'method': ['classic']}.items()}
    monkeypatch.setattr(backends, 'load_model', models.__getitem__)
    monkeypatch.setattr(backends, 'find_task', lambda _: TASKS[OPTICAL_FLOW]._replace(default_models=tuple(models)))
    monkeypatch.setattr(backends, 'BACKENDS', table_of(
        quick=(('nobody_has_this',), 'fp16', True), classic=(('numpy',), 'fp32', True), asked=(('numpy',), 'fp32')))
    for name, expected in (('auto', 'method'), ('onnxruntime', 'network'), ('classic', 'method'), ('quick', 'network'),
                           ('zzz', 'network')):
        assert default_model('optical_flow', name).name == expected


def test_a_task_without_default_models_must_name_one():
    assert error_of(default_model, SEGMENTATION) == (
        "parameter segmentation.model: got '', expected a name in config/models, or the path of a YAML.")


def test_an_unknown_precision_is_refused_with_the_known_ones(model):
    assert error_of(resolve, model, EngineOptions('onnxruntime', 'fp64')) == (
        "precision: got 'fp64', expected one of fp32, fp16, bf16, int8.")


def test_a_precision_without_a_network_is_refused_and_not_replaced(tmp_path):
    model = networks.segmentation_model(tmp_path)
    assert error_of(open_engine, model, EngineOptions('onnxruntime', 'int8')) == (
        '{}: files.onnxruntime: no int8 network, only fp32. Choose one of those with the parameter precision.'.format(
            model.path))


def test_the_network_of_the_precision_asked_for_is_opened(tmp_path):
    fields = networks.segmentation_fields()
    fields['files'] = {'onnxruntime': {'fp32': 'none.onnx', 'fp16': 'tiny.onnx'}}
    engine = open_engine(networks.segmentation_model(tmp_path, fields=fields), EngineOptions('onnxruntime', 'fp16'))
    assert engine.precision == 'fp16'
    assert engine.file == str(tmp_path / 'tiny.onnx')


def test_opening_runs_the_network_once(tmp_path, monkeypatch):
    from trt_perception.engines.onnxruntime_engine import OnnxRuntimeEngine
    runs = []
    original = OnnxRuntimeEngine._infer
    monkeypatch.setattr(OnnxRuntimeEngine, '_infer', lambda self, wanted: runs.append(1) or original(self, wanted))
    engine = open_engine(networks.segmentation_model(tmp_path))
    assert runs == [1]
    assert isinstance(engine, OnnxRuntimeEngine)
    assert np.all(engine.infer()['confidence'] == 0)


def test_zero_threads_means_the_cores_of_this_process(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {2, 5, 7})
    assert EngineOptions().threads == 3
    assert EngineOptions(num_threads=2).threads == 2

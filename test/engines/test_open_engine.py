import os
import subprocess
import sys

import networks
import numpy as np
import pytest

from trt_perception import engines
from trt_perception.core.errors import ConfigError
from trt_perception.engines import BACKENDS, Backend, EngineOptions, available_backends, open_engine, resolve

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def absent(monkeypatch):
    """Put a back-end whose package nobody has into the table, first."""
    table = {'warp': Backend('warp_engine', 'warp_runtime_that_nobody_has', 'fp16')}
    table.update(BACKENDS)
    monkeypatch.setattr(engines, 'BACKENDS', table)


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


def test_onnxruntime_is_there_with_fp32():
    assert 'onnxruntime' in available_backends()
    assert resolve(EngineOptions(backend='onnxruntime')) == ('onnxruntime', 'fp32')


def test_auto_takes_the_first_that_is_installed(absent):
    assert list(engines.BACKENDS)[0] == 'warp'
    assert 'warp' not in available_backends()
    assert resolve(EngineOptions())[0] == available_backends()[0]


def test_auto_follows_the_order_of_the_table(monkeypatch):
    monkeypatch.setattr(engines, 'BACKENDS', {'quick': Backend('quick_engine', 'numpy', 'fp16'),
                                              'onnxruntime': BACKENDS['onnxruntime']})
    assert available_backends() == ['quick', 'onnxruntime']
    assert resolve(EngineOptions()) == ('quick', 'fp16')
    assert resolve(EngineOptions(precision='int8')) == ('quick', 'int8')
    assert resolve(EngineOptions(backend='onnxruntime')) == ('onnxruntime', 'fp32')


def test_an_unknown_back_end_is_refused_with_the_known_ones():
    known = ', '.join(['auto'] + list(BACKENDS))
    assert error_of(resolve, EngineOptions(backend='onnxruntme')) == (
        "engine: got 'onnxruntme', expected one of {}. Did you mean 'onnxruntime'?".format(known))
    assert error_of(resolve, EngineOptions(backend='zzz')) == "engine: got 'zzz', expected one of {}.".format(known)


def test_a_named_back_end_that_is_not_installed_stops(absent):
    assert error_of(resolve, EngineOptions(backend='warp')) == (
        'engine: warp was asked for, but the Python package warp_runtime_that_nobody_has is not installed here. '
        'Install it, or set engine: auto.')


def test_auto_without_any_back_end_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engines, 'BACKENDS', {'a': Backend('a_engine', 'package_a_nobody_has', 'fp16'),
                                              'b': Backend('b_engine', 'package_b_nobody_has', 'fp32')})
    assert error_of(resolve, EngineOptions()) == (
        'engine: auto found none of package_a_nobody_has, package_b_nobody_has. Install one: pip install '
        'package_b_nobody_has')


def test_an_unknown_precision_is_refused_with_the_known_ones():
    assert error_of(resolve, EngineOptions('onnxruntime', 'fp64')) == (
        "precision: got 'fp64', expected one of fp32, fp16, int8.")


def test_a_precision_without_a_network_is_refused_and_not_replaced(tmp_path):
    model = networks.segmentation_model(tmp_path)
    assert error_of(open_engine, model, EngineOptions('onnxruntime', 'int8')) == (
        '{}: files.onnxruntime: no int8 network, only fp32. Choose one of those with the parameter precision.'.format(
            model.path))


def test_the_network_of_the_precision_asked_for_is_opened(tmp_path):
    fields = networks.segmentation_fields()
    fields['files'] = {'onnxruntime': {'fp32': 'none.onnx', 'int8': 'tiny.onnx'}}
    engine = open_engine(networks.segmentation_model(tmp_path, fields=fields), EngineOptions('onnxruntime', 'int8'))
    assert engine.precision == 'int8'
    assert engine.file == str(tmp_path / 'tiny.onnx')


def test_opening_runs_the_network_once(tmp_path, monkeypatch):
    from trt_perception.engines.onnxruntime_engine import OnnxRuntimeEngine
    runs = []
    original = OnnxRuntimeEngine._infer
    monkeypatch.setattr(OnnxRuntimeEngine, '_infer', lambda self: runs.append(1) or original(self))
    engine = open_engine(networks.segmentation_model(tmp_path))
    assert runs == [1]
    assert isinstance(engine, OnnxRuntimeEngine)
    assert np.all(engine.infer()['confidence'] == 0)

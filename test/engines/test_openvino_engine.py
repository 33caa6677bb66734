import os
import subprocess
import sys

import networks
import numpy as np
import pytest
from onnx import TensorProto, helper
from random_images import frame_showing, random_image

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, backends, open_engine

pytest.importorskip('openvino')

from trt_perception.engines import openvino_engine
from trt_perception.engines.openvino_engine import OpenVinoEngine

OPENVINO = EngineOptions('openvino')
CAPABILITIES = openvino_engine.ov.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
needs_bf16 = pytest.mark.skipif('BF16' not in CAPABILITIES, reason='this CPU has no BF16 units')


def for_openvino(fields, precision='fp32'):
    """Return the fields of a model's YAML with its file named for OpenVINO, and for ONNX Runtime too."""
    return dict(fields, files={'openvino': {precision: 'tiny.onnx'}, 'onnxruntime': {'fp32': 'tiny.onnx'}})


def segmentation_model(folder, precision='fp32', **options):
    options.setdefault('fields', for_openvino(networks.segmentation_fields(), precision))
    return networks.segmentation_model(folder, **options)


def flow_model(folder, precision='fp32', **options):
    return networks.flow_model(folder, fields=for_openvino(networks.flow_fields(), precision), **options)


def convolution_model(folder, precision, quantised):
    """Write a flow network of one convolution of 8 random 5x5 filters on both images, with Q/DQ nodes or without.

    The values of its flow are within -1..1.
    """
    weights = np.random.RandomState(0).randint(-127, 128, (2, 2, 5, 5)).astype(np.int8)
    scale, zero = np.float32(1 / (127 * 50)), np.int8(0)
    constants = [('axes', np.array([1])), ('level', np.float32(1 / 255))]
    nodes = [helper.make_node('Cast', [name], [name + ' float'], to=TensorProto.FLOAT) for name in ('first', 'second')]
    nodes += [helper.make_node('Concat', ['first float', 'second float'], ['both'], axis=1),
              helper.make_node('Mul', ['both', 'level'], ['input'])]
    if quantised:
        constants += [('weights', weights), ('scale', scale), ('zero', zero), ('level zero', np.uint8(0))]
        nodes += [helper.make_node('QuantizeLinear', ['input', 'level', 'level zero'], ['input q']),
                  helper.make_node('DequantizeLinear', ['input q', 'level', 'level zero'], ['input dq']),
                  helper.make_node('DequantizeLinear', ['weights', 'scale', 'zero'], ['weights dq']),
                  helper.make_node('Conv', ['input dq', 'weights dq'], ['flow'], pads=[2] * 4)]
    else:
        constants.append(('weights', weights * scale))
        nodes.append(helper.make_node('Conv', ['input', 'weights'], ['flow'], pads=[2] * 4))
    networks.save_network(folder / 'tiny.onnx', nodes,
                          [(name, 'uint8', (1, 1, 48, 64)) for name in ('first', 'second')],
                          [('flow', 'float32', (1, 2, 48, 64))], constants)
    return load_model(networks.write_model(folder, for_openvino(networks.flow_fields(), precision)))


def error_of(call, *args):
    with pytest.raises(EngineError) as caught:
        call(*args)
    return str(caught.value)


def flow_of(model, options):
    engine = open_engine(model, options)
    for number, name in enumerate(('first', 'second')):
        engine.put_image(name, frame_showing(random_image(number, 1, engine.input_size)))
    return engine.infer()['flow'].copy()


# Contents.

@pytest.mark.parametrize('kind', ['uint8', 'float32'])
@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_labels_and_confidence_are_those_of_onnx_runtime(tmp_path, layout, kind):
    fields = for_openvino(networks.segmentation_fields())
    fields['input'].update(mean=[100, 20, 5], std=[0.5, 2, 4])
    model = segmentation_model(tmp_path, layout=layout, kind=kind, fields=fields)
    results = []
    for name in ('openvino', 'onnxruntime'):
        engine = open_engine(model, EngineOptions(name))
        engine.put_image('image', frame_showing(random_image(7)))
        results.append({key: value.copy() for key, value in engine.infer().items()})
    np.testing.assert_array_equal(results[0]['labels'], results[1]['labels'])
    np.testing.assert_array_equal(results[0]['confidence'], results[1]['confidence'])
    assert set(np.unique(results[0]['labels'])) == {0, 1, 2}
    assert results[0]['labels'].dtype == np.uint8


def test_flow_is_that_of_onnx_runtime(tmp_path):
    model = convolution_model(tmp_path, 'fp32', quantised=False)
    flow = flow_of(model, OPENVINO)
    np.testing.assert_allclose(flow, flow_of(model, EngineOptions('onnxruntime')), atol=1e-5)
    assert flow.std() > 0.03


# Precision.

@needs_bf16
def test_bf16_computes_with_eight_bits_of_mantissa(tmp_path):
    exact = flow_of(convolution_model(tmp_path, 'fp32', quantised=False), OPENVINO)
    rough = flow_of(convolution_model(tmp_path, 'bf16', quantised=False), EngineOptions('openvino', 'bf16'))
    difference = np.abs(rough - exact)
    assert 1e-4 < difference.max() < 2e-2


@needs_bf16
def test_fp32_stays_fp32_on_a_cpu_with_bf16(tmp_path):
    engine = OpenVinoEngine(convolution_model(tmp_path, 'fp32', quantised=False), 'fp32', OPENVINO)
    assert engine.precision == 'fp32'
    expected = flow_of(load_model(str(tmp_path / 'tiny.yaml')), EngineOptions('onnxruntime'))
    np.testing.assert_allclose(flow_of(load_model(str(tmp_path / 'tiny.yaml')), OPENVINO), expected, atol=1e-5)


def test_a_network_with_q_dq_nodes_runs_in_int8(tmp_path):
    model = convolution_model(tmp_path, 'int8', quantised=True)
    flow = flow_of(model, EngineOptions('openvino', 'int8'))
    np.testing.assert_allclose(flow, flow_of(model, EngineOptions('onnxruntime')), atol=1e-4)
    assert flow.std() > 0.03


def test_int8_of_a_network_without_q_dq_nodes_is_refused(tmp_path):
    model = convolution_model(tmp_path, 'int8', quantised=False)
    text = error_of(open_engine, model, EngineOptions('openvino', 'int8'))
    assert text.replace('fp32', 'f32') == (  # As OpenVINO 2022 calls it.
        '{}: precision int8 was asked for, but its convolutions and matrix products run in f32. Give a file with Q/DQ '
        'nodes, or choose another precision.'.format(networks.network_path(model)))


def test_int8_of_a_network_without_anything_to_quantise_is_refused(tmp_path):
    model = flow_model(tmp_path, 'int8')
    assert 'run in no precision: it has none. Give a file with Q/DQ nodes' in error_of(
        open_engine, model, EngineOptions('openvino', 'int8'))


def test_a_precision_that_the_cpu_lacks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(openvino_engine._ARITHMETIC, 'bf16', ('bf16', 'BF17'))
    model = segmentation_model(tmp_path, 'bf16')
    with pytest.raises(ConfigError) as caught:
        open_engine(model, EngineOptions('openvino', 'bf16'))
    text = str(caught.value)
    assert text.startswith('precision: bf16 was asked for, but this CPU (')
    assert text.endswith('has no units for it, only for {}. Choose precision fp32.'.format(', '.join(CAPABILITIES)))


def test_a_precision_that_openvino_turns_into_another_is_refused(tmp_path):
    core = openvino_engine.ov.Core()
    segmentation_model(tmp_path)
    compiled = core.compile_model(core.read_model(str(tmp_path / 'tiny.onnx')), 'CPU',
                                  {'INFERENCE_PRECISION_HINT': 'f32'})
    openvino_engine._check_executed('a.onnx', compiled, 'fp32')
    assert error_of(openvino_engine._check_executed, 'a.onnx', compiled, 'bf16') == (
        'a.onnx: precision bf16 was asked for, but OpenVINO {} runs it in f32. Choose another precision.'.format(
            openvino_engine.ov.get_version()))


def test_fp16_is_refused_with_what_there_is(tmp_path):
    model = segmentation_model(tmp_path, 'fp16')
    with pytest.raises(ConfigError, match='fp16 was asked for, but engine openvino runs fp32, bf16, int8. Choose one'):
        open_engine(model, EngineOptions('openvino', 'fp16'))


# The thread, threads, and failures.

@pytest.mark.parametrize('count', [1, 2])
def test_the_number_of_threads_reaches_the_compiled_network(tmp_path, monkeypatch, count):
    seen = []

    class Core(openvino_engine.ov.Core):
        def compile_model(self, *arguments):
            compiled = super().compile_model(*arguments)
            # Only there since OpenVINO 2023.
            pinned = 'ENABLE_CPU_PINNING' in compiled.get_property('SUPPORTED_PROPERTIES') \
                and compiled.get_property('ENABLE_CPU_PINNING')
            seen.append((int(compiled.get_property('INFERENCE_NUM_THREADS')),
                         int(compiled.get_property('NUM_STREAMS')), pinned))
            return compiled

    monkeypatch.setattr(openvino_engine, '_core', Core)
    OpenVinoEngine(segmentation_model(tmp_path), 'fp32', EngineOptions(num_threads=count))
    # It takes no more threads than this process has cores.
    assert seen == [(min(count, len(os.sched_getaffinity(0))), 1, False)]


def test_a_file_that_is_no_network_is_refused_with_the_librarys_text(tmp_path):
    model = segmentation_model(tmp_path)
    (tmp_path / 'tiny.onnx').write_bytes(b'this is no protobuf')
    text = error_of(open_engine, model, OPENVINO)
    assert text.startswith('{}: OpenVINO {} cannot open it: '.format(
        networks.network_path(model), openvino_engine.ov.get_version()))
    assert text.endswith('Check that it is an ONNX file of an opset that this version knows.')


@pytest.mark.parametrize('options', [{'batch': 'N'}, {'size': ('height', 8)}])
def test_a_dynamic_shape_is_refused(tmp_path, options):
    model = segmentation_model(tmp_path, **options)
    text = error_of(open_engine, model, OPENVINO)
    assert text.startswith("{}: 'image' has the dynamic shape ".format(networks.network_path(model)))
    assert text.endswith('expected fixed sizes. `trt_perception_tools import-model` makes it static, with batch 1.')


def test_a_failed_run_raises_and_the_next_one_is_right_again(tmp_path, monkeypatch):
    engine = open_engine(segmentation_model(tmp_path), OPENVINO)
    engine.put_image('image', frame_showing(random_image(2)))
    request = engine._request

    class Failing:
        def start_async(self):
            raise RuntimeError('the CPU is on fire')

    engine._request = Failing()
    assert error_of(engine.infer) == '{}: OpenVINO failed to run it: the CPU is on fire.'.format(engine.file)
    engine._request = request
    np.testing.assert_array_equal(engine.infer()['labels'][0], random_image(2).argmax(axis=2))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, '_installed', lambda package: package != 'openvino')
    model = segmentation_model(tmp_path)
    with pytest.raises(ConfigError, match='the Python package openvino is not installed here'):
        open_engine(model, OPENVINO)
    assert open_engine(model).backend == 'onnxruntime'  # auto never takes it, installed or not.


def test_auto_does_not_take_it(tmp_path):
    assert open_engine(segmentation_model(tmp_path)).backend == 'onnxruntime'


def test_inputs_are_read_in_place(tmp_path):
    engine = open_engine(segmentation_model(tmp_path), OPENVINO)
    engine._tensors['image'][...] = [0, 9, 3]
    assert (engine.infer()['labels'] == 1).all()


SIGNAL_AFTER_TWO_ENGINES = """
import gc, os, signal, sys, time
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, open_engine
engines = [open_engine(load_model(path), EngineOptions('openvino', 'fp32', 1)) for path in sys.argv[1:]]
for engine in engines:
    engine.close()
while engines:  # In the order of their opening.
    engine = None
    del engines[0]
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print('interrupted')
"""


def test_a_signal_after_two_engines_were_closed_interrupts_as_always(tmp_path):
    paths = []
    for name in ('first', 'second'):
        (tmp_path / name).mkdir()
        fields = dict(networks.segmentation_fields(), files={'onnx': {'fp32': 'tiny.onnx'}})
        paths.append(networks.segmentation_model(tmp_path / name, fields=fields).path)
    done = subprocess.run([sys.executable, '-c', SIGNAL_AFTER_TWO_ENGINES] + paths, stdout=subprocess.PIPE,
                          cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    assert (done.returncode, done.stdout) == (0, b'interrupted\n')

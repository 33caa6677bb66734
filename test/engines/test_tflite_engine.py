
import numpy as np
import pytest
from random_images import frame_showing, random_image

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.engines import EngineOptions, backends, open_engine

pytest.importorskip('ai_edge_litert', reason='tiny TFLite files are written with the schema of ai_edge_litert')

import networks
import tflite_networks

from trt_perception.engines import tflite_engine
from trt_perception.engines.tflite_engine import TfliteEngine

TFLITE = EngineOptions('tflite')
INT8 = EngineOptions('tflite', 'int8')


def error_of(call, *args):
    with pytest.raises(EngineError) as caught:
        call(*args)
    return str(caught.value)


def normalised(fields, **image):
    fields['input'].update(image)
    return fields


def rounded(values, scale, zero_point, kind):
    """Return what is left of values in 8 bits."""
    limits = np.iinfo(kind)
    return (np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max) - zero_point) * scale


# Contents.

@pytest.mark.parametrize('kind', ['uint8', 'float32'])
def test_labels_and_confidence_are_those_of_onnx_runtime(tmp_path, kind):
    (tmp_path / 'onnx').mkdir()
    image = {'mean': [100, 20, 5], 'std': [0.5, 2, 4]}
    models = [tflite_networks.segmentation_model(
                  tmp_path, kind=kind, fields=normalised(tflite_networks.segmentation_fields(), **image)),
              networks.segmentation_model(
                  tmp_path / 'onnx', kind=kind, fields=normalised(networks.segmentation_fields(), **image))]
    # TFLite casts to uint8 without bounds: keep the confidence within them.
    frame = frame_showing(np.clip(random_image(7), [100, 20, 5], [227, 255, 255]))
    results = []
    for model, name in zip(models, ('tflite', 'onnxruntime')):
        engine = open_engine(model, EngineOptions(name))
        engine.put_image('image', frame)
        results.append({key: value.copy() for key, value in engine.infer().items()})
    np.testing.assert_array_equal(results[0]['labels'], results[1]['labels'])
    np.testing.assert_array_equal(results[0]['confidence'], results[1]['confidence'])
    assert len(np.unique(results[0]['labels'])) > 1


@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_swap_exchanges_two_inputs_and_only_those(tmp_path, layout):
    engine = open_engine(tflite_networks.flow_model(tmp_path, layout=layout), TFLITE)
    images = [random_image(seed, 1) for seed in range(4)]

    def flow():
        result = engine.infer()['flow'][0]
        return result if layout == 'NHWC' else result.transpose(1, 2, 0)

    engine.put_image('second', frame_showing(images[1]))
    engine.put_image('first', frame_showing(images[0]))
    np.testing.assert_array_equal(flow(), np.dstack([images[0], images[1]]))
    engine.swap('first', 'second')
    np.testing.assert_array_equal(flow(), np.dstack([images[1], images[0]]))
    engine.put_image('first', frame_showing(images[2]))  # After a swap, writing goes to the right one, too.
    np.testing.assert_array_equal(flow(), np.dstack([images[2], images[0]]))
    engine.swap('second', 'first')
    engine.put_image('second', frame_showing(images[3]))
    np.testing.assert_array_equal(flow(), np.dstack([images[0], images[3]]))


# Quantised tensors.

@pytest.mark.parametrize(('kind', 'quantisation'), [('int8', (0.02, -7)), ('uint8', (0.02, 131))])
def test_a_quantised_input_stands_for_normalised_grey_levels(tmp_path, kind, quantisation):
    fields = normalised(tflite_networks.segmentation_fields('int8'), mean=[100, 90, 80], std=[64, 32, 128])
    model = tflite_networks.segmentation_model(tmp_path, kind=kind, quantisation=quantisation, fields=fields)
    engine = open_engine(model, INT8)
    rgb = random_image(3)
    engine.put_image('image', frame_showing(rgb))
    scores = rounded((rgb - np.array([100.0, 90, 80])) / [64, 32, 128], *quantisation, kind=kind)
    np.testing.assert_array_equal(engine.infer()['labels'][0], scores.argmax(axis=2))
    assert (scores.argmax(axis=2) != rgb.argmax(axis=2)).any()  # Else this test could not fail.


@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
@pytest.mark.parametrize(('kind', 'first', 'second'), [('int8', (1 / 128, 0), (0.0104719, -20)),
                                                       ('uint8', (0.0104719, 128), (1 / 128, 100))])
def test_two_inputs_with_different_quantisation_may_be_swapped(tmp_path, kind, first, second, layout):
    fields = normalised(tflite_networks.flow_fields('int8'), mean=[128], std=[128])
    model = tflite_networks.flow_model(tmp_path, (6, 8), layout, first, second, kind=kind, fields=fields)
    engine = open_engine(model, INT8)
    a, b = random_image(0, 1), random_image(1, 1)
    engine.put_image('first', frame_showing(a))
    engine.put_image('second', frame_showing(b))
    engine.infer()
    engine.swap('first', 'second')
    flow = engine.infer()['flow'][0]
    expected = np.dstack([rounded((levels - 128.0) / 128, *quantisation, kind=kind)
                          for levels, quantisation in ((b, first), (a, second))])
    np.testing.assert_allclose(flow if layout == 'NHWC' else flow.transpose(1, 2, 0), expected, atol=1e-6)


@pytest.mark.parametrize(('kind', 'output'), [('int8', (0.5, -128)), ('int8', (2.0, 3)), ('uint8', (1.5, 40))])
def test_a_quantised_output_is_handed_out_as_float32(tmp_path, kind, output):
    model = tflite_networks.flow_model(tmp_path, output=output, kind=kind, fields=tflite_networks.flow_fields('int8'))
    engine = open_engine(model, INT8)
    assert engine.outputs == (TensorSpec('flow', (1, 6, 8, 2), np.dtype(np.float32)),)
    first, second = random_image(0, 1), random_image(1, 1)
    engine.put_image('first', frame_showing(first))
    engine.put_image('second', frame_showing(second))
    flow = engine.infer()['flow']
    # Halves are rounded up there and to the even number here.
    np.testing.assert_allclose(flow[0], rounded(np.dstack([first, second]).astype(float), *output, kind=kind),
                               atol=output[0] * 1.001)
    np.testing.assert_array_equal(flow / output[0], np.rint(flow / output[0]))
    kept = flow.copy()
    engine.put_image('first', frame_showing(second))
    assert engine.infer()['flow'] is flow
    assert (flow != kept).any()


def test_a_quantised_network_runs_in_the_pipeline(tmp_path):
    fields = normalised(tflite_networks.flow_fields('int8'), mean=[128], std=[128])
    model = tflite_networks.flow_model(tmp_path, first=(1 / 128, 0), second=(1 / 128, -1), output=(1 / 100, 0),
                                       fields=fields)
    pipeline = OpticalFlowPipeline(open_engine(model, INT8), model)
    images = [random_image(seed, 1) for seed in range(3)]
    assert pipeline.process(frame_showing(images[0], 1)) is None
    for number in (1, 2):
        flow = pipeline.process(frame_showing(images[number], number + 1)).flow
        expected = -np.dstack([images[number], images[number - 1]]).astype(float) / 128 + 1
        np.testing.assert_allclose(flow, expected, atol=0.02)


def test_int8_of_a_float_network_is_refused(tmp_path):
    model = tflite_networks.flow_model(tmp_path, fields=tflite_networks.flow_fields('int8'))
    assert error_of(open_engine, model, INT8) == (
        '{}: precision int8 was asked for, but it computes in floating point. Quantise weights and activations, or '
        'choose precision fp32.'.format(tflite_networks.network_path(model)))


def test_a_precision_that_tflite_does_not_have_is_refused(tmp_path):
    model = tflite_networks.flow_model(tmp_path, fields=tflite_networks.flow_fields('bf16'))
    with pytest.raises(ConfigError, match='bf16 was asked for, but engine tflite runs fp32, int8. Choose one of those'):
        open_engine(model, EngineOptions('tflite', 'bf16'))


# The thread, threads, and failures.

@pytest.mark.parametrize('count', [1, 2])
def test_the_number_of_threads_reaches_the_interpreter(tmp_path, monkeypatch, count):
    seen = []

    class Interpreter(tflite_engine.Interpreter):
        def __init__(self, file, num_threads):
            seen.append(num_threads)
            super().__init__(file, num_threads=num_threads)

    monkeypatch.setattr(tflite_engine, 'Interpreter', Interpreter)
    TfliteEngine(tflite_networks.segmentation_model(tmp_path), 'fp32', EngineOptions(num_threads=count))
    assert seen == [count]


@pytest.mark.parametrize('content', [b'', b'this is no flatbuffer, but it is long enough to be taken for one'])
def test_a_file_that_is_no_network_is_refused_with_the_librarys_text(tmp_path, content):
    model = tflite_networks.segmentation_model(tmp_path)
    (tmp_path / 'tiny.tflite').write_bytes(content)
    text = error_of(open_engine, model, TFLITE)
    assert text.startswith('{}: TensorFlow Lite cannot open it: '.format(tflite_networks.network_path(model)))
    assert text.endswith('Check that it is a TFLite file, and that this version knows its operators.')


def test_an_onnx_file_is_refused(tmp_path):
    networks.segmentation_model(tmp_path)
    fields = dict(tflite_networks.segmentation_fields(), files={'tflite': {'fp32': 'tiny.onnx'}})
    model = load_model(networks.write_model(tmp_path, fields))
    assert 'TensorFlow Lite cannot open it: ' in error_of(open_engine, model, TFLITE)


@pytest.mark.parametrize('signature', [(-1, -1, 8, 3), (1, 6, -1, 3)])
def test_a_dynamic_shape_is_refused(tmp_path, signature):
    model = tflite_networks.segmentation_model(tmp_path, signature=signature)
    assert error_of(open_engine, model, TFLITE) == (
        "{}: 'image' has the dynamic shape {}, expected fixed sizes. `trt_perception_tools "
        "import-model` makes it static, with batch 1.".format(
            tflite_networks.network_path(model), [1] + list(signature[1:])))


def test_an_open_batch_is_one(tmp_path):
    engine = open_engine(tflite_networks.segmentation_model(tmp_path, signature=(-1, 6, 8, 3)), TFLITE)
    assert engine.inputs[0].shape == (1, 6, 8, 3)


def test_a_failed_run_raises_and_the_next_one_is_right_again(tmp_path):
    # Looks up the grey level in a table of 100 entries: brighter images make TFLite fail.
    network = tflite_networks.Network()
    network.tensor('image', 'uint8', [1, 6, 8, 1])
    network.tensor('table', 'uint8', [100], data=np.arange(100, 200))
    network.tensor('index', 'int32', [1, 6, 8, 1])
    network.tensor('labels', 'uint8', [1, 6, 8, 1])
    network.operator('CAST', ['image'], 'index')
    network.operator('GATHER', ['table', 'index'], 'labels')
    network.save(tmp_path / 'tiny.tflite', ['image'], ['labels'])
    fields = tflite_networks.segmentation_fields()
    fields['input'] = {'names': ['image'], 'color': 'gray'}
    fields['output'] = {'labels': 'labels'}
    engine = open_engine(load_model(networks.write_model(tmp_path, fields)), TFLITE)
    for level in (7, 99):
        engine.put_image('image', frame_showing(np.full((6, 8, 1), level, np.uint8)))
        assert (engine.infer()['labels'] == 100 + level).all()
        engine.put_image('image', frame_showing(np.full((6, 8, 1), 100, np.uint8)))
        text = error_of(engine.infer)
        assert text.startswith('{}: TensorFlow Lite failed to run it: '.format(engine.file))
        assert 'gather' in text.lower()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, '_installed', lambda package: False)
    with pytest.raises(ConfigError) as caught:
        open_engine(tflite_networks.segmentation_model(tmp_path), TFLITE)
    assert str(caught.value) == ('engine: tflite was asked for, but the Python package ai_edge_litert or '
                                 'tflite_runtime is not installed here. Install it, or set engine: auto.')

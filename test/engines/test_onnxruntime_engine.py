
import networks
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from random_images import frame_showing, random_image

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.image import FrameDecoder
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.engines.onnxruntime_engine import OnnxRuntimeEngine

SIZE = (6, 8)


def error_of(call, *args, **options):
    with pytest.raises(EngineError) as caught:
        call(*args, **options)
    return str(caught.value)


# Contents.

@pytest.mark.parametrize('color', ['rgb', 'bgr'])
@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_the_network_sees_the_bytes_of_the_frame(tmp_path, layout, color):
    fields = networks.segmentation_fields()
    fields['input']['color'] = color
    engine = open_engine(networks.segmentation_model(tmp_path, layout=layout, fields=fields))
    for seed in range(3):
        rgb = random_image(seed)
        engine.put_image('image', frame_showing(rgb))
        outputs = engine.infer()
        seen = rgb if color == 'rgb' else rgb[..., ::-1]
        np.testing.assert_array_equal(outputs['labels'][0], seen.argmax(axis=2))
        np.testing.assert_array_equal(outputs['confidence'][0], seen.max(axis=2))


@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_the_network_sees_normalised_values(tmp_path, layout):
    fields = networks.segmentation_fields()
    fields['input'].update(mean=[100, 20, 5], std=[0.5, 2, 4])
    engine = open_engine(networks.segmentation_model(tmp_path, layout=layout, kind='float32', fields=fields))
    rgb = random_image(7)
    engine.put_image('image', frame_showing(rgb))
    outputs = engine.infer()
    scores = (rgb - np.array([100.0, 20, 5])) / [0.5, 2, 4]  # Exact in binary: no ties by rounding.
    np.testing.assert_array_equal(outputs['labels'][0], scores.argmax(axis=2))
    np.testing.assert_array_equal(outputs['confidence'][0], np.clip(scores.max(axis=2), 0, 255).astype(np.uint8))
    assert (scores.argmax(axis=2) != rgb.argmax(axis=2)).any()  # Else this test could not fail.


def test_two_engines_share_the_decode_of_one_decoder(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    decoder = FrameDecoder()
    a = open_engine(networks.segmentation_model(tmp_path / 'a'), decoder=decoder)
    b = open_engine(networks.segmentation_model(tmp_path / 'b', layout='NCHW'), decoder=decoder)
    frame = frame_showing(random_image(3))
    a.put_image('image', frame)
    frame.data[...] = 0  # A second decode would see this.
    b.put_image('image', frame)
    np.testing.assert_array_equal(b.infer()['labels'], a.infer()['labels'])


# The thread.

# Failures.

def test_a_file_that_is_no_network_is_refused_with_the_librarys_text(tmp_path):
    model = networks.segmentation_model(tmp_path)
    (tmp_path / 'tiny.onnx').write_bytes(b'this is no protobuf')
    text = error_of(open_engine, model)
    assert text.startswith('{}: ONNX Runtime {} cannot open it: '.format(
        networks.network_path(model), onnxruntime.__version__))
    assert 'protobuf' in text.lower()
    assert text.endswith('Check that it is an ONNX file of an opset that this version knows.')


def test_a_missing_network_file_is_a_configuration_error(tmp_path):
    model = networks.segmentation_model(tmp_path)
    (tmp_path / 'tiny.onnx').unlink()
    with pytest.raises(ConfigError, match='tiny.onnx is neither beside the YAML nor in .*models. Run `make models`'):
        open_engine(model)


def test_a_flow_network_is_not_taken_for_a_segmentation_network(tmp_path):
    flow = networks.flow_model(tmp_path)
    model = load_model(networks.write_model(tmp_path, networks.segmentation_fields()))
    assert error_of(open_engine, model) == '{}: inputs are first, second, but {} says image. Correct input.names in ' \
        'the YAML.'.format(networks.network_path(flow), model.path)


@pytest.mark.parametrize(('options', 'shape'), [
    ({'batch': 'N'}, "['N', 6, 8, 3]"), ({'size': ('height', 8)}, "[1, 'height', 8, 3]")])
def test_a_dynamic_shape_is_refused(tmp_path, options, shape):
    model = networks.segmentation_model(tmp_path, **options)
    assert error_of(open_engine, model) == "{}: 'image' has the dynamic shape {}, expected fixed sizes. " \
        '`trt_perception_tools import-model` makes it static, with batch 1.'.format(networks.network_path(model), shape)


def test_a_batch_of_two_is_refused(tmp_path):
    model = networks.segmentation_model(tmp_path, batch=2)
    assert error_of(open_engine, model).startswith(
        "{}: input 'image': got uint8 (2, 6, 8, 3), expected (1, H, W, 3) or (1, 3, H, W), uint8, float32 or "
        'float16, for color rgb. Export the network with a static shape and batch 1'.format(
            networks.network_path(model)))


def test_a_wrong_channel_count_is_refused(tmp_path):
    model = networks.segmentation_model(tmp_path, channels=4)
    assert error_of(open_engine, model) == (
        "{}: input 'image': got uint8 (1, 6, 8, 4), expected (1, H, W, 3) or (1, 3, H, W), uint8, float32 or "
        'float16, for color rgb. Export the network with a static shape and batch 1, or correct `color` in the model '
        'YAML.'.format(networks.network_path(model)))


def test_an_input_type_that_images_cannot_have_is_refused(tmp_path):
    model = networks.segmentation_model(tmp_path, kind='int32')
    assert error_of(open_engine, model).startswith(
        "{}: input 'image': got int32 (1, 6, 8, 3), expected (1, H, W, 3)".format(networks.network_path(model)))


def test_a_tensor_type_nobody_reads_is_refused(tmp_path):
    model = networks.segmentation_model(tmp_path, kind='bool')
    assert error_of(open_engine, model) == (
        "{}: 'image' is a tensor(bool), expected one of tensor(float), tensor(float16), tensor(int32), tensor(int64), "
        'tensor(uint8).'.format(networks.network_path(model)))


def test_two_inputs_of_different_size_are_refused(tmp_path):
    networks.save_network(
        tmp_path / 'tiny.onnx', [helper.make_node('Cast', ['first'], ['flow'], to=TensorProto.FLOAT),
                                 helper.make_node('Cast', ['second'], ['other'], to=TensorProto.FLOAT)],
        [('first', 'uint8', (1, 6, 8, 1)), ('second', 'uint8', (1, 6, 10, 1))],
        [('flow', 'float32', (1, 6, 8, 1)), ('other', 'float32', (1, 6, 10, 1))])
    model = load_model(networks.write_model(tmp_path, networks.flow_fields()))
    assert error_of(open_engine, model) == '{}: inputs differ in size: 6x8, 6x10. Both frames of a pair need one ' \
        'size.'.format(networks.network_path(model))


def test_a_failed_run_raises_and_the_next_one_is_right_again(tmp_path):
    # Looks up the top left grey level in a table of 100 entries: brighter images make ONNX Runtime fail.
    networks.save_network(
        tmp_path / 'tiny.onnx',
        [helper.make_node('Cast', ['image'], ['all'], to=TensorProto.INT64),
         helper.make_node('Gather', ['table', 'all'], ['found'], axis=0),
         helper.make_node('Squeeze', ['found', 'last'], ['labels'])],
        [('image', 'uint8', (1, 6, 8, 1))], [('labels', 'uint8', (1, 6, 8))],
        [('table', np.arange(100, 200, dtype=np.uint8)), ('last', np.array([3]))])
    fields = networks.segmentation_fields()
    fields['input'] = {'names': ['image'], 'color': 'gray'}
    fields['output'] = {'labels': 'labels'}
    engine = open_engine(load_model(networks.write_model(tmp_path, fields)))
    for level in (7, 99):
        engine.put_image('image', frame_showing(np.full((6, 8, 1), level, np.uint8)))
        assert (engine.infer()['labels'] == 100 + level).all()
        engine.put_image('image', frame_showing(np.full((6, 8, 1), 100, np.uint8)))
        text = error_of(engine.infer)
        assert text.startswith('{}: ONNX Runtime failed to run it: '.format(engine.file))
        assert 'Gather' in text
        assert 'out of data bounds' in text


def test_the_number_of_threads_reaches_the_session(tmp_path):
    model = networks.segmentation_model(tmp_path)
    for count in (1, 2):
        engine = OnnxRuntimeEngine(model, 'fp32', EngineOptions(num_threads=count))
        assert engine._session.get_session_options().intra_op_num_threads == count

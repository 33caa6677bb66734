import re

import numpy as np
import pytest

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import EngineError
from trt_perception.core.image import FrameDecoder, frame_from_array
from trt_perception.core.model import ModelInput
from trt_perception.core.preprocess import InputWriter

SIZE = (6, 8)
MEAN = {'rgb': [10, 20.5, 30], 'bgr': [10, 20.5, 30], 'gray': [100]}
STD = {'rgb': [2, 4, 0.5], 'bgr': [2, 4, 0.5], 'gray': [50]}
RGB = np.random.RandomState(0).randint(0, 256, SIZE + (3,)).astype(np.uint8)


def writer_for(shape, kind, color, decoder=None):
    image = ModelInput(('image',), color, np.float32(MEAN[color]), np.float32(STD[color]))
    return InputWriter(TensorSpec('image', shape, np.dtype(kind)), image, decoder or FrameDecoder(), 'tiny.onnx')


def frame_showing(rgb):
    return frame_from_array(np.ascontiguousarray(rgb[..., ::-1]))


def shape_of(layout, color, size=SIZE):
    channels = 1 if color == 'gray' else 3
    return (1,) + size + (channels,) if layout == 'NHWC' else (1, channels) + size


@pytest.mark.parametrize('color', ['rgb', 'bgr', 'gray'])
@pytest.mark.parametrize('kind', ['uint8', 'float32'])
@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_a_frame_fills_the_tensor_in_its_layout_type_and_colour(layout, kind, color):
    writer = writer_for(shape_of(layout, color), kind, color)
    assert writer.size == SIZE
    tensor = np.full(shape_of(layout, color), 77, kind)
    writer.write(frame_showing(RGB), tensor)
    levels = {'rgb': RGB, 'bgr': RGB[..., ::-1], 'gray': RGB.dot([0.299, 0.587, 0.114])[..., np.newaxis]}[color]
    image = tensor[0] if layout == 'NHWC' else tensor[0].transpose(1, 2, 0)
    grey_level = 1.0 if color == 'gray' else 0.0  # OpenCV rounds the luma.
    if kind == 'uint8':
        assert np.abs(image - levels.astype(float)).max() <= grey_level
    else:
        expected = (levels - np.array(MEAN[color])) / STD[color]
        np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-4 + grey_level / STD[color][0])


@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_half_precision_is_the_float_rounded_once(layout):
    image = ModelInput(('image',), 'rgb', np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375]))
    tensors = [np.zeros(shape_of(layout, 'rgb'), kind) for kind in (np.float32, np.float16)]
    for tensor in tensors:
        InputWriter(TensorSpec('image', tensor.shape, tensor.dtype), image, FrameDecoder(), 'tiny.onnx').write(
            frame_showing(RGB), tensor)
    np.testing.assert_array_equal(tensors[1], tensors[0].astype(np.float16))
    assert (tensors[1] != tensors[0]).any()  # Else this test could not fail.


@pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
def test_a_frame_of_another_size_is_stretched_to_the_network(layout):
    size = (3, 4)
    tensor = np.zeros(shape_of(layout, 'rgb', size), np.float32)
    writer_for(tensor.shape, 'float32', 'rgb').write(frame_showing(RGB), tensor)
    levels = RGB.reshape(3, 2, 4, 2, 3).mean(axis=(1, 3))  # Half the size: the mean of 2x2 pixels.
    image = tensor[0] if layout == 'NHWC' else tensor[0].transpose(1, 2, 0)
    assert np.abs(image * STD['rgb'] + MEAN['rgb'] - levels).max() <= 1


def test_the_next_frame_overwrites_the_whole_tensor():
    tensor = np.zeros(shape_of('NHWC', 'rgb'), np.uint8)
    writer = writer_for(tensor.shape, 'uint8', 'rgb')
    for rgb in (RGB, 255 - RGB):
        writer.write(frame_showing(rgb), tensor)
        np.testing.assert_array_equal(tensor[0], rgb)


def test_two_inputs_with_one_decoder_share_its_work():
    decoder = FrameDecoder()
    frame = frame_showing(RGB)
    tensors = [np.zeros(shape_of(layout, 'rgb'), np.uint8) for layout in ('NHWC', 'NCHW')]
    writer_for(tensors[0].shape, 'uint8', 'rgb', decoder).write(frame, tensors[0])
    frame.data[...] = 0  # A second decode would see this.
    writer_for(tensors[1].shape, 'uint8', 'rgb', decoder).write(frame, tensors[1])
    np.testing.assert_array_equal(tensors[1][0].transpose(1, 2, 0), RGB)


@pytest.mark.parametrize(('shape', 'kind', 'color', 'channels'), [
    ((1, 6, 8, 4), 'uint8', 'rgb', 3), ((1, 6, 8, 1), 'uint8', 'bgr', 3), ((1, 3, 6, 8), 'float32', 'gray', 1),
    ((1, 6, 3, 8), 'uint8', 'rgb', 3), ((6, 8, 3), 'uint8', 'rgb', 3), ((1, 1, 6, 8, 3), 'uint8', 'rgb', 3),
    ((2, 6, 8, 3), 'uint8', 'rgb', 3), ((1, 0, 8, 3), 'uint8', 'rgb', 3), ((1, 6, 8, 3), 'float64', 'rgb', 3),
    ((1, 6, 8, 3), 'int32', 'rgb', 3), ((1, 6, 8, 3), 'int8', 'bgr', 3)])
def test_an_input_that_is_no_image_is_refused(shape, kind, color, channels):
    expected = ("tiny.onnx: input 'image': got {} {}, expected (1, H, W, {c}) or (1, {c}, H, W), uint8, float32 "
                'or float16, for color {}. Export the network with a static shape and batch 1, or correct `color` in '
                'the model YAML.'.format(kind, shape, color, c=channels))
    with pytest.raises(EngineError, match='^{}$'.format(re.escape(expected))):
        writer_for(shape, kind, color)

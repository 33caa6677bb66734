import numpy as np
import pytest

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import EngineError
from trt_perception.core.tensors import image_layout, map_size, static_spec


def test_a_tensor_is_described_in_numpys_words():
    assert static_spec('a.onnx', 'x', [1, 2, 3], 'float', {'float': np.float32}) == TensorSpec(
        'x', (1, 2, 3), np.dtype(np.float32))
    assert static_spec('a.onnx', 'x', (), np.uint8) == TensorSpec('x', (), np.dtype(np.uint8))


@pytest.mark.parametrize('shape', [['N', 3], [None, 3], [-1, 3], [0, 3]])
def test_a_dynamic_shape_is_refused(shape):
    with pytest.raises(EngineError) as caught:
        static_spec('a.onnx', 'x', shape, np.uint8)
    assert str(caught.value) == ("a.onnx: 'x' has the dynamic shape {}, expected fixed sizes. `trt_perception_tools "
                                 'import-model` makes it static, with batch 1.'.format(shape))


def test_an_unknown_type_is_refused_with_the_known_ones():
    with pytest.raises(EngineError) as caught:
        static_spec('a.onnx', 'x', [1], 'bool', {'float': np.float32, 'byte': np.uint8})
    assert str(caught.value) == "a.onnx: 'x' is a bool, expected one of byte, float."


@pytest.mark.parametrize(('shape', 'strides'), [((1, 4, 5, 3), (1, 3)), ((1, 3, 4, 5), (20, 1))])
def test_pixels_are_found_in_either_layout(shape, strides):
    layout = image_layout(shape, 3)
    assert (layout.size, layout.channels, layout.channels_last, layout.strides) == (
        (4, 5), 3, shape[3] == 3, strides)
    tensor = np.arange(60).reshape(shape)
    pixels = layout.pixels(tensor)
    assert pixels.shape == (4, 5, 3)
    assert np.shares_memory(pixels, tensor)
    plane_stride, pixel_stride = strides
    assert pixels[2, 1, 2] == (2 * 5 + 1) * pixel_stride + 2 * plane_stride


def test_where_both_layouts_are_possible_channels_are_last():
    assert image_layout((1, 3, 7, 3), 3).size == (3, 7)


@pytest.mark.parametrize('shape', [(4, 5, 3), (2, 4, 5, 3), (1, 4, 5, 2), (1, 0, 5, 3), (1, 4, 3, 5)])
def test_what_holds_no_image_has_no_layout(shape):
    assert image_layout(shape, 3) is None


def test_a_map_ends_in_height_and_width():
    assert map_size((4, 5)) == map_size((1, 4, 5)) == map_size((1, 1, 4, 5)) == (4, 5)
    assert map_size((5,)) is map_size((2, 4, 5)) is map_size(()) is None

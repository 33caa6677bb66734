"""Each operator of a newer or older opset, run as it is and as opset 13, on the same input."""
from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools.graphs.opset import opset_of, to_opset_13

X = np.random.default_rng(1).normal(0, 2, (1, 4, 6, 8)).astype(np.float32)


def network(text: str, opset: int, sides: str = 'float[1, 4, 6, 8]', **constants: np.ndarray) -> onnx.ModelProto:
    """Return a network of an input x and an output y, from nodes in ONNX's notation."""
    parsed = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]>\nnet (float[1, 4, 6, 8] x) => ({sides} y) {{ {text} }}')
    parsed.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    return parsed


def run(model: onnx.ModelProto) -> np.ndarray:
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), settings, providers=['CPUExecutionProvider'])
    result: np.ndarray = session.run(None, {'x': X})[0]
    return result


ints = np.int64
NEWER = {
    'ReduceMean': (18, 'y = ReduceMean <keepdims = 1> (x, axes)', {'axes': np.array([2, -1], ints)}),
    'ReduceMax without axes': (18, 'y = ReduceMax <keepdims = 1, noop_with_empty_axes = 1> (x)', {}),
    'ReduceL2': (18, 'y = ReduceL2 <keepdims = 0> (x, axes)', {'axes': np.array([1], ints)}),
    'ReduceLogSumExp of all': (18, 'y = ReduceLogSumExp <keepdims = 1> (x)', {}),
    'Reshape': (14, 'y = Reshape <allowzero = 1> (x, shape)', {'shape': np.array([1, 2, 12, -1], ints)}),
    'Split': (18, 'a, b = Split <axis = 1, num_outputs = 2> (x)\ny = Sub (b, a)', {}),
    'Split that leaves a rest': (18, 'a, b, c = Split <axis = -1, num_outputs = 3> (x)\n'
                                     'y = Concat <axis = -1> (c, a, b)', {}),
    'HardSwish': (14, 'y = HardSwish (x)', {}),
    'Mish': (18, 'y = Mish (x)', {}),
    'Gelu': (20, 'y = Gelu (x)', {}),
    'Gelu by tanh': (20, 'y = Gelu <approximate = "tanh"> (x)', {}),
    'LayerNormalization': (17, 'y = LayerNormalization <axis = 2, epsilon = 0.01> (x, g, b)',
                           {'g': np.arange(48, dtype=np.float32).reshape(6, 8), 'b': np.ones((6, 8), np.float32)}),
    'LayerNormalization without bias': (17, 'y = LayerNormalization (x, g)', {'g': np.full(8, 3, np.float32)}),
    'GroupNormalization': (21, 'y = GroupNormalization <num_groups = 2> (x, g, b)',
                           {'g': np.arange(1, 5, dtype=np.float32), 'b': np.ones(4, np.float32)}),
    'CastLike': (15, 'whole = CastLike (x, like)\ny = Cast <to = 1> (whole)', {'like': np.array(1, np.int32)}),
    'Shape of a part': (15, 's = Shape <start = 1, end = 3> (x)\nf = Cast <to = 1> (s)\nsum = ReduceSum (f)\n'
                            'y = Mul (x, sum)', {}),
    'Pad of some axes': (18, 'y = Pad <mode = "constant"> (x, pads, value, axes)',
                         {'pads': np.array([1, 0, 2, 3], ints), 'value': np.array(7, np.float32),
                          'axes': np.array([3, -2], ints)}),
    'Resize of some axes': (18, 'y = Resize <mode = "linear", axes = [2, 3], antialias = 0> (x, , scales)',
                            {'scales': np.array([2, 1.5], np.float32)}),
    'Resize to a size': (19, 'y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel_symmetric"> '
                             '(x, , , sizes)', {'sizes': np.array([1, 4, 9, 20], ints)}),
    'BatchNormalization': (15, 'y = BatchNormalization <training_mode = 0> (x, g, b, b, g)',
                           {'g': np.arange(1, 5, dtype=np.float32), 'b': np.ones(4, np.float32)}),
    'AveragePool': (19, 'y = AveragePool <kernel_shape = [2, 2], dilations = [1, 1], ceil_mode = 0> (x)', {}),
    'a nested graph': (18, 'c = Constant <value = bool {1}> ()\n'
                           'y = If (c) <then_branch = t () => (float[1, 4, 1, 1] a) { a = ReduceMean (x, axes) }, '
                           'else_branch = e () => (float[1, 4, 1, 1] b) { b = ReduceMax (x, axes) }>',
                       {'axes': np.array([2, 3], ints)})}


@pytest.mark.parametrize('name', NEWER)
def test_a_newer_operator_does_the_same_in_13(name: str):
    opset, text, constants = NEWER[name]
    model = network(text, opset, 'float[A, B, C, D]' if name != 'ReduceL2' else 'float[A, B, C]', **constants)
    lowered = to_opset_13(model, 'net')
    assert opset_of(lowered) == 13
    onnx.checker.check_model(lowered, full_check=True)
    np.testing.assert_allclose(run(lowered), run(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('padding', ['zeros', 'border'])
@pytest.mark.parametrize('corners', [0, 1])
def test_reading_at_any_place_does_the_same_in_13(padding: str, corners: int):
    grid = np.random.default_rng(2).uniform(-1.6, 1.6, (1, 5, 7, 2)).astype(np.float32)
    grid[0, 0, :3] = (-1, -1), (1, 1), (0, 0)
    attributes = f'mode = "linear", padding_mode = "{padding}", align_corners = {corners}'
    model = network(f'y = GridSample <{attributes}> (x, grid)', 20, 'float[A, B, C, D]', grid=grid)
    lowered = to_opset_13(model, 'net')
    assert opset_of(lowered) == 13
    assert 'GridSample' not in {node.op_type for node in lowered.graph.node}
    np.testing.assert_allclose(run(lowered), run(model), atol=1e-5)


def test_a_batch_of_images_is_read_each_at_its_own_places():
    grid = np.random.default_rng(4).uniform(-1.2, 1.2, (2, 5, 7, 2)).astype(np.float32)
    model = network('two = Reshape (x, shape)\ny = GridSample <mode = "linear"> (two, grid)', 20, 'float[A, B, C, D]',
                    grid=grid, shape=np.array([2, 2, 6, 8], ints))
    lowered = to_opset_13(model, 'net')
    assert opset_of(lowered) == 13
    np.testing.assert_allclose(run(lowered), run(model), atol=1e-5)


OLDER = {
    'Upsample, linear': (9, 'y = Upsample <mode = "linear"> (x, scales)',
                         {'scales': np.array([1, 1, 2, 3], np.float32)}),
    'Upsample, nearest, by a fraction': (9, 'y = Upsample <mode = "nearest"> (x, scales)',
                                         {'scales': np.array([1, 1, 1.5, 2.5], np.float32)}),
    'Upsample with scales as attribute': (7, 'y = Upsample <mode = "nearest", scales = [1.0, 1.0, 3.0, 2.0]> (x)', {}),
    'Resize, linear, smaller': (10, 'y = Resize <mode = "linear"> (x, scales)',
                                {'scales': np.array([1, 1, 0.5, 0.75], np.float32)}),
    'Resize, nearest, smaller': (10, 'y = Resize <mode = "nearest"> (x, scales)',
                                 {'scales': np.array([1, 1, 0.5, 0.5], np.float32)}),
    'Softmax over all behind the axis': (11, 'y = Softmax <axis = 1> (x)', {}),
    'Pad': (9, 'y = Pad <mode = "reflect", pads = [0, 0, 1, 2, 0, 0, 2, 1]> (x)', {}),
    'Slice': (9, 'y = Slice <axes = [2, 3], starts = [1, -4], ends = [5, 8]> (x)', {}),
    'Clip': (9, 'y = Clip <min = -0.5, max = 1.0> (x)', {}),
    'Squeeze and Unsqueeze': (9, 'a = Squeeze <axes = [0]> (x)\ny = Unsqueeze <axes = [0]> (a)', {}),
    'Split': (11, 'a, b = Split <axis = 1, split = [1, 3]> (x)\ny = Concat <axis = 1> (b, a)', {}),
    'ReduceSum': (11, 'y = ReduceSum <axes = [1], keepdims = 1> (x)', {}),
    'Dropout': (9, 'y = Dropout <ratio = 0.5> (x)', {})}


@pytest.mark.parametrize('name', OLDER)
def test_an_older_operator_does_the_same_in_13(name: str):
    opset, text, constants = OLDER[name]
    model = network(text, opset, 'float[A, B, C, D]', **constants)
    raised = to_opset_13(model, 'net')
    assert opset_of(raised) == 13
    np.testing.assert_allclose(run(raised), run(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('opset', 'text', 'constants'), [
    (18, 'y = Resize <mode = "linear", antialias = 1> (x, , scales)', {'scales': np.array([1, 1, .5, .5], np.float32)}),
    (19, 'y = Pad <mode = "wrap"> (x, pads)', {'pads': np.array([0, 0, 1, 1, 0, 0, 1, 1], ints)}),
    (20, 'y = GridSample <mode = "cubic"> (x, grid)', {'grid': np.zeros((1, 2, 2, 2), np.float32)})])
def test_what_cannot_be_lowered_stays_as_it_is(opset: int, text: str, constants: dict[str, np.ndarray]):
    model = network(text, opset, 'float[A, B, C, D]', **constants)
    assert to_opset_13(model, 'net') == model


def test_an_old_operator_that_onnx_cannot_raise_is_refused_with_a_way_out():
    model = network('y = Scan <body = b () => () {}, num_scan_inputs = 1> (x)', 8)
    with pytest.raises(ConfigError, match=r'net: got opset 8, expected 13 or newer(.|\n)*--output-name'):
        to_opset_13(model, 'net')

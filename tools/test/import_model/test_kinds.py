"""Kinds of files that people bring, each as a tiny network whose right answer is known, through the pipeline."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trt_perception.core.data import VOID
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import EngineOptions, open_engine
from trt_perception_tools import cli

H, W = 24, 40
COMMON = ('--color', 'rgb', '--license', 'MIT')
NAMES = ('--class-names', 'red', 'green', 'blue')
EYE = np.eye(3, dtype=np.float32)[:, :, None, None]
BYTES = (np.arange(H * W * 3).reshape(H, W, 3) * 37 % 256).astype(np.uint8)
"""An image (H, W, 3), BGR."""


def write(folder: Path, text: str, opset: int = 13, ir: int = 8, **constants: np.ndarray) -> Path:
    network = onnx.parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]>\n{text}')
    for name, array in {'w': EYE, **constants}.items():
        if f'{name})' in text or f'{name},' in text:
            network.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(network, folder / 'net.onnx')
    return folder / 'net.onnx'


def run(file: Path, *arguments: str, task: str = 'segmentation') -> int:
    return cli.main(['import-model', str(file), '--task', task, '--output', str(file.parent / 'out'), *COMMON,
                     *arguments])


def segment(file: Path, *arguments: str, normalise: str | None = 'signed', names: tuple[str, ...] = NAMES,
            backend: str = 'onnxruntime') -> tuple[np.ndarray, np.ndarray | None]:
    """Import, and return labels and confidence of BYTES."""
    assert run(file, *(('--normalise', normalise) if normalise else ()), *names, *arguments) == 0
    model = load_model(str(file.parent / 'out' / 'net.yaml'))
    result = SegmentationPipeline(open_engine(model, EngineOptions(backend)), model).process(frame_from_array(BYTES))
    return result.labels, result.confidence


def flow_at_centre(file: Path, *arguments: str) -> tuple[float, float]:
    """Import, and return the flow from an earlier image of level 10 to a later one of 20, as published backwards."""
    assert run(file, '--normalise', 'none', '--flow-scale', '1', *arguments, task='optical_flow') == 0
    model: Model = load_model(str(file.parent / 'out' / 'net.yaml'))
    pipeline = OpticalFlowPipeline(open_engine(model, EngineOptions('onnxruntime')), model, {'flow_grid': 'previous'})
    pipeline.process(frame_from_array(np.full((H, W, 3), 10, np.uint8), 0))
    field = pipeline.process(frame_from_array(np.full((H, W, 3), 20, np.uint8), 10**8))
    assert field is not None
    u, v = field.flow[H // 2, W // 2].tolist()
    return u, v


BEST = BYTES[..., ::-1].argmax(-1)
"""What a network says whose scores are the channels."""


@pytest.mark.parametrize(('given', 'first'), [
    ('float[1, 3, 24, 40] x', 'a = Identity (x)'), ('float[4, 3, 24, 40] x', 'a = Identity (x)'),
    ('float[3, 24, 40] x', 'a = Unsqueeze (x, zero)'),
    ('float[24, 40, 3] x', 't = Transpose <perm = [2, 0, 1]> (x)\na = Unsqueeze (t, zero)'),
    ('float[B, C, 24, 40] x', 'a = Identity (x)')])
def test_an_image_may_come_with_and_without_a_batch(tmp_path: Path, given: str, first: str):
    file = write(tmp_path, f'net ({given}) => (float[A, 3, 24, 40] y) {{ {first}\ny = Conv (a, w) }}',
                 zero=np.array([0]))
    np.testing.assert_array_equal(segment(file)[0], BEST)


@pytest.mark.parametrize(('shape', 'last'), [
    ('1, 960, 3', 't = Transpose <perm = [0, 2, 3, 1]> (c)\ny = Reshape (t, s)'),
    ('1, 3, 960', 'y = Reshape (c, s)'), ('3, 24, 40', 'y = Reshape (c, s)'),
    ('24, 40, 3', 't = Transpose <perm = [0, 2, 3, 1]> (c)\ny = Reshape (t, s)')])
def test_scores_may_be_flat_or_without_a_batch(tmp_path: Path, shape: str, last: str):
    file = write(tmp_path, f'net (float[1, 3, 24, 40] x) => (float[{shape}] y) {{ c = Conv (x, w)\n{last} }}',
                 s=np.array([int(each) for each in shape.split(',')]))
    np.testing.assert_array_equal(segment(file)[0], BEST)


@pytest.mark.parametrize('shape', ['24, 40', '1, 24, 40', '1, 1, 24, 40', '1, 960'])
def test_class_ids_may_be_floats(tmp_path: Path, shape: str):
    file = write(tmp_path, f"""net (float[1, 3, 24, 40] x) => (float[{shape}] y) {{
        c = Conv (x, w)
        i = ArgMax <axis = 1> (c)
        f = Cast <to = 1> (i)
        y = Reshape (f, s)
    }}""", s=np.array([int(each) for each in shape.split(',')]))
    labels, confidence = segment(file)
    np.testing.assert_array_equal(labels, BEST)
    assert confidence is None


def test_the_border_that_convolutions_without_padding_leave_has_no_class(tmp_path: Path):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 3, 20, 36] y) { y = Conv (x, k) }',
                 k=np.pad(EYE, ((0, 0), (0, 0), (2, 2), (2, 2))))
    labels, confidence = segment(file)
    np.testing.assert_array_equal(labels[2:-2, 2:-2], BEST[2:-2, 2:-2])
    assert confidence is not None
    for values, outside in ((labels, VOID), (confidence, 0)):
        values[2:-2, 2:-2] = outside
        assert (values == outside).all()


def test_sigmoids_of_several_classes_are_their_confidence(tmp_path: Path):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) { c = Conv (x, w)\n'
                           'y = Sigmoid (c) }')
    labels, confidence = segment(file)
    scores = (BYTES[..., ::-1] - 127.5) / 127.5
    np.testing.assert_array_equal(labels, BEST)
    np.testing.assert_allclose(confidence, 255 / (1 + np.exp(-scores.max(-1))), atol=0.6)


def test_a_score_of_a_convolution_is_no_probability_though_it_lies_within_0_and_1(tmp_path: Path,
                                                                               capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 1, 24, 40] y) { y = Conv (x, v, b) }',
                 v=np.full((1, 3, 1, 1), 0.001, np.float32), b=np.array([0.2], np.float32))
    labels, _ = segment(file, names=('--class-names', 'else', 'road'))
    assert 'y: logits of 2 classes (Conv makes it' in capsys.readouterr().out
    assert (labels == 1).all()


def test_values_that_are_no_numbers_are_refused_with_the_normalisation_as_the_likely_cause(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) { c = Conv (x, w)\ny = Sqrt (c) }')
    assert run(file, '--normalise', 'signed', *NAMES) == 2
    assert 'NaN or infinite for an ordinary frame. Give the normalisation' in capsys.readouterr().err


def test_an_old_file_whose_constants_are_inputs_is_read(tmp_path: Path):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x, float[3, 3, 1, 1] w) => (float[1, 3, 24, 40] y) '
                           '{ y = Conv (x, w) }', opset=7, ir=3)
    np.testing.assert_array_equal(segment(file)[0], BEST)


def test_an_old_enlargement_keeps_its_coordinates(tmp_path: Path):
    file = write(tmp_path, """net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) {
        p = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (x)
        y = Upsample <mode = "nearest"> (p, s)
    }""", opset=9, ir=4, s=np.array([1, 1, 4, 4], np.float32))
    means = BYTES[..., ::-1].reshape(6, 4, 10, 4, 3).mean((1, 3))
    np.testing.assert_array_equal(segment(file)[0], means.argmax(-1).repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize('kind', ['uint8', 'bool'])
def test_the_file_for_tensorrt_of_a_network_of_bytes_has_none(tmp_path: Path, kind: str,
                                                              capsys: pytest.CaptureFixture[str]):
    number = {'uint8': 2, 'bool': 9}[kind]
    file = write(tmp_path, f"""net (uint8[1, 3, 24, 40] x) => ({kind}[1, 24, 40] y) {{
        f = Cast <to = 1> (x)
        c = Conv (f, w)
        a = ArgMax <axis = 1, keepdims = 0> (c)
        y = Cast <to = {number}> (a)
    }}""")
    labels, _ = segment(file, normalise=None)
    np.testing.assert_array_equal(labels, BEST if kind == 'uint8' else np.minimum(BEST, 1))
    assert 'NOTE: TensorRT' not in capsys.readouterr().out
    special = onnx.load(tmp_path / 'out' / 'net_tensorrt.onnx')
    assert {each.key: each.value for each in special.metadata_props}['runtime'] == 'tensorrt'
    assert special.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


FLOW = """m = ReduceMean <axes = [1], keepdims = 1> (a)
    n = ReduceMean <axes = [1], keepdims = 1> (b)
    f = Concat <axis = 1> (m, n)"""


@pytest.mark.parametrize(('given', 'first'), [
    ('float[1, 2, 3, 24, 40] x', 'p, q = Split <axis = 1> (x)\na = Squeeze (p, one)\nb = Squeeze (q, one)'),
    ('float[1, 3, 2, 24, 40] x', 'p, q = Split <axis = 2> (x)\na = Squeeze (p, two)\nb = Squeeze (q, two)'),
    ('float[2, 3, 24, 40] x', 'a, b = Split <axis = 0> (x)'), ('float[1, 6, 24, 40] x', 'a, b = Split <axis = 1> (x)'),
    ('float[1, 3, 24, 40] im2, float[1, 3, 24, 40] im1', 'a = Identity (im1)\nb = Identity (im2)'),
    ('float[1, 3, 24, 40] current, float[1, 3, 24, 40] previous', 'a = Identity (previous)\nb = Identity (current)')])
def test_a_pair_may_come_in_any_layout_and_order(tmp_path: Path, given: str, first: str):
    file = write(tmp_path, f'net ({given}) => (float[1, 2, 24, 40] flow) {{ {first}\n{FLOW}\nflow = Identity (f) }}',
                 one=np.array([1]), two=np.array([2]))
    assert flow_at_centre(file) == (10, 20)


@pytest.mark.parametrize(('results', 'last'), [
    ('float[1, 1, 2, 24, 40] flow', 'flow = Unsqueeze (f, zero)'),
    ('float[2, 24, 40] flow', 'flow = Squeeze (f, zero)'),
    ('float[1, 1, 24, 40] v, float[1, 1, 24, 40] u', 'u, v = Split <axis = 1> (f)')])
def test_flow_may_come_in_any_layout_and_u_and_v_apart(tmp_path: Path, results: str, last: str):
    file = write(tmp_path, f'net (float[1, 3, 24, 40] a, float[1, 3, 24, 40] b) => ({results}) {{ {FLOW}\n{last} }}',
                 zero=np.array([0]))
    assert flow_at_centre(file) == (10, 20)


@pytest.mark.parametrize(('count', 'names', 'message'), [
    (2, ('road',), 'expected 2 names, as many as the network has classes'),
    (5, ('a', 'b', 'c'), 'expected 5 names'), (2, ('a', 'b', 'c'), 'expected ids below 2')])
def test_another_number_of_names_than_of_classes_is_refused(tmp_path: Path, count: int, names: tuple[str, ...],
                                                            message: str, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, f'net (float[1, 3, 24, 40] x) => (float[1, {count}, 24, 40] y) {{ y = Conv (x, k) }}',
                 k=np.ones((count, 3, 1, 1), np.float32))
    assert run(file, '--normalise', 'unit', '--class-names', *names) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('names', [('red,green,blue',), ('red,', 'green,', 'blue'), ('["red", "green", "blue"]',),
                                   ('{"2": "blue", "0": "red", "1": "green"}',)])
def test_class_names_are_read_as_people_write_them(tmp_path: Path, names: tuple[str, ...]):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) { y = Conv (x, w) }')
    segment(file, names=('--class-names', *names))
    labels = load_model(str(tmp_path / 'out' / 'net.yaml')).labels
    assert labels is not None
    assert [each.name for each in labels.classes] == ['red', 'green', 'blue']


@pytest.mark.parametrize(('text', 'arguments', 'message'), [
    ('y = Conv (x, w)', ('--mean', '123', '117', '104', '--std', '0.229', '0.224', '0.225'),
     "--std: got '0.229 0.224 0.225', expected grey levels of 0..255"),
    ('y = Conv (x, w)', ('--mean', '0', '0.4', '0.4', '--std', '58', '57', '57'), 'grey levels of 0..255, not of 0..1'),
    ('s = Div (x, level)\ny = Conv (s, w)', ('--normalise', 'imagenet'), 'normalised twice. Give --normalise none'),
    ('s = Sub (x, mean)\nd = Div (s, std)\ny = Conv (d, w)', ('--normalise', 'none'), 'Give --normalise unit'),
])
def test_a_normalisation_that_is_surely_wrong_is_refused(tmp_path: Path, text: str, arguments: tuple[str, ...],
                                                         message: str, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, f'net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) {{ {text} }}',
                 level=np.array(255, np.float32), mean=np.full((1, 3, 1, 1), 0.45, np.float32),
                 std=np.full((1, 3, 1, 1), 0.225, np.float32))
    assert run(file, *arguments, *NAMES) == 2
    assert message in capsys.readouterr().err


def test_a_size_that_does_not_run_is_answered_with_one_that_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[1, 3, H, W] x) => (float[1, 3, H, W] y) {
        p = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (x)
        u = Resize <mode = "nearest"> (p, , s)
        a = Add (u, x)
        y = Conv (a, w)
    }""", s=np.array([1, 1, 8, 8], np.float32))
    assert run(file, '--size', '250x500', '--normalise', 'unit', *NAMES) == 2
    assert 'It runs at --size 256 512: give that, or other multiples of 32.' in capsys.readouterr().err
    assert run(file, '--size', '24x40', '--normalise', 'unit', *NAMES) == 0


def test_an_operator_that_needs_a_plugin_is_named_and_the_network_can_end_before_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 13, "vendor" : 1]>
        net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) { c = Relu (x)
        y = vendor.Paint (c) }""")
    onnx.save(network, tmp_path / 'net.onnx')
    assert run(tmp_path / 'net.onnx', '--normalise', 'none', *NAMES) == 2
    error = capsys.readouterr().err
    assert 'got the operator vendor.Paint' in error
    assert error.endswith('--output-name c\n')
    np.testing.assert_array_equal(segment(tmp_path / 'net.onnx', '--output-name', 'c', normalise='none')[0], BEST)


def test_an_input_that_is_no_image_can_be_a_constant(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x, float[1] gain) => (float[1, 3, 24, 40] y) { c = Conv (x, w)\n'
                           'y = Mul (c, gain) }')
    assert run(file, '--normalise', 'signed', *NAMES) == 2
    assert 'e.g. --constant gain=1' in capsys.readouterr().err
    np.testing.assert_array_equal(segment(file, '--constant', 'gain=-1')[0], BYTES[..., ::-1].argmin(-1))
    assert run(file, '--constant', 'gain=much', '--overwrite', '--normalise', 'signed', *NAMES) == 2


def test_masks_of_instances_are_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[1, 3, 24, 40] x) => (float[1, 37, 50] boxes, float[1, 32, 24, 40] masks) {
        masks = Conv (x, k)
        boxes = Identity (many)
    }""", k=np.ones((32, 3, 1, 1), np.float32), many=np.ones((1, 37, 50), np.float32))
    assert run(file, '--normalise', 'unit', *NAMES) == 2
    assert 'masks of which instances are mixed (as of YOLO)' in capsys.readouterr().err


def test_an_output_that_no_image_reaches_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] a, float[1, 3, 24, 40] b) => (float[1, 2, 24, 40] flow) '
                           '{ flow = Conv (a, k) }', k=np.ones((2, 3, 1, 1), np.float32))
    assert run(file, '--normalise', 'unit', '--flow-scale', '1', task='optical_flow') == 2
    assert 'output flow does not depend on input b' in capsys.readouterr().err


@pytest.mark.parametrize('damage', [lambda data: data[:len(data) // 2], lambda data: b'\0' * 100,
                                    lambda data: data.replace(b'Conv', b'Conx')])
def test_a_damaged_file_ends_in_a_sentence(tmp_path: Path, damage, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) { y = Conv (x, w) }')
    file.write_bytes(damage(file.read_bytes()))
    assert run(file, '--normalise', 'unit', *NAMES) == 2
    assert 'ConfigError: ' in capsys.readouterr().err

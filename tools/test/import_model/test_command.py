import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.optical_flow import PREVIOUS, OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import open_engine
from trt_perception_tools import cli
from trt_perception_tools.import_model.examples import example_frames

SIZE = (24, 40)
HEADER = '<ir_version: 9, opset_import: ["" : 13]>'
WEIGHT = np.random.default_rng(5).normal(0, 1, (5, 3, 1, 1)).astype(np.float32)
COMMON = {'--color': 'bgr', '--mean': '100 110 120', '--std': '50 60 70', '--license': 'MIT'}
ANSWERS = {**COMMON, '--class-names': 'a b c d e'}
FLOW_ANSWERS = {**COMMON, '--flow-scale': '1/4'}
SCORES = 'net (float[N, 3, H, W] x) => (float[N, 5, H, W] scores) { scores = Conv (x, w) }'
SCORES_LAST = """net (float[N, H, W, 3] x) => (float[N, H, W, 5] scores) {
    first = Transpose <perm = [0, 3, 1, 2]> (x)
    conv = Conv (first, w)
    scores = Transpose <perm = [0, 2, 3, 1]> (conv)
}"""


def write(folder: Path, text: str, header: str = HEADER, **arrays: np.ndarray) -> Path:
    """Write a network given in ONNX's text notation; w is WEIGHT where nothing else is said."""
    network = onnx.parser.parse_model(f'{header}\n{text}')
    for name, array in {'w': WEIGHT, **arrays}.items():
        if f'{name})' in text or f'{name},' in text:
            network.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(network, folder / 'foreign.onnx')
    return folder / 'foreign.onnx'


def options(answers: dict[str, str], **changes: str | None) -> list[str]:
    """Return answers as options; a keyword with None leaves one out."""
    changed = {**answers, **{'--' + name.replace('_', '-'): value for name, value in changes.items()}}
    return [word for name, value in changed.items() if value is not None for word in (name, *value.split(' '))]


def example_images(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return blobs that move, (H, W, 3) uint8 each."""
    return example_frames(size)[0][:count]


def run(file: Path, *arguments: str, task: str = 'segmentation') -> int:
    return cli.main(['import-model', str(file), '--task', task, '--output', str(file.parent / 'out'), *arguments])


def imported(file: Path, *arguments: str, task: str = 'segmentation') -> Model:
    assert run(file, *arguments, task=task) == 0
    return load_model(str(file.parent / 'out' / 'foreign.yaml'))


def graph(model: Model, backend: str = 'onnxruntime') -> onnx.GraphProto:
    return onnx.load(model.network_file(backend, 'fp32')).graph


def interface(model: Model, backend: str = 'onnxruntime') -> dict[str, tuple[str, list[int]]]:
    network = graph(model, backend)
    return {each.name: (onnx.TensorProto.DataType.Name(each.type.tensor_type.elem_type),
                        [side.dim_value for side in each.type.tensor_type.shape.dim])
            for each in [*network.input, *network.output]}


def segment(model: Model, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    result = SegmentationPipeline(open_engine(model), model).process(frame_from_array(image))
    return result.labels, result.confidence


def flow(model: Model, images: list[np.ndarray]) -> np.ndarray:
    pipeline = OpticalFlowPipeline(open_engine(model), model, {'flow_grid': PREVIOUS})
    first, second = (frame_from_array(image, number) for number, image in enumerate(images))
    pipeline.process(first)
    result = pipeline.process(second)
    assert result is not None
    return result.flow


def normalised(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float64) - [100, 110, 120]) / [50, 60, 70]


def expected_scores(image: np.ndarray) -> np.ndarray:
    """(H, W, 5) of the networks that are one convolution by WEIGHT."""
    return normalised(image) @ WEIGHT[:, :, 0, 0].T


def probabilities(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


@pytest.fixture
def image() -> np.ndarray:
    return example_images(1, SIZE)[0]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answers to give; what was asked is put behind them."""
    answers: list[str] = []
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        if not answers:
            raise EOFError
        return answers.pop(0)

    monkeypatch.setattr('sys.stdin.isatty', lambda: True, raising=False)
    monkeypatch.setattr(builtins, 'input', answer)
    yield answers
    answers[:] = asked


@pytest.mark.parametrize('text', [SCORES, SCORES_LAST], ids=['NCHW', 'NHWC'])
def test_scores_become_labels_and_confidence_inside_the_graph(tmp_path: Path, text: str, image: np.ndarray):
    model = imported(write(tmp_path, text), '--size', '24', '40', *options(ANSWERS))
    labels, confidence = segment(model, image)
    share = probabilities(expected_scores(image))
    np.testing.assert_array_equal(labels, share.argmax(-1))
    assert len(np.unique(labels)) > 2
    assert confidence is not None
    np.testing.assert_allclose(confidence, 255 * share.max(-1), atol=0.51)
    sides = [1, 3, *SIZE] if text is SCORES else [1, *SIZE, 3]
    assert interface(model) == {'image': ('FLOAT', sides), 'labels': ('UINT8', [1, *SIZE]),
                                'confidence': ('UINT8', [1, *SIZE])}


def test_the_card_says_what_was_answered_and_where_it_came_from(tmp_path: Path):
    model = imported(write(tmp_path, SCORES), '--size', '24', '40', *options(ANSWERS), '--description', 'Of a friend')
    assert (model.task, model.license, model.description) == ('segmentation', 'MIT', 'Of a friend')
    assert model.input.color == 'bgr'
    np.testing.assert_array_equal(model.input.mean, [100, 110, 120])
    np.testing.assert_array_equal(model.input.std, [50, 60, 70])
    assert model.labels is not None
    assert [(each.id, each.name, each.color) for each in model.labels.classes[:3]] == [
        (0, 'a', (128, 0, 0)), (1, 'b', (0, 128, 0)), (2, 'c', (128, 128, 0))]
    properties = {each.key: each.value for each in onnx.load(model.network_file('onnxruntime', 'fp32')).metadata_props}
    assert properties['source'] == 'foreign.onnx'
    assert re.fullmatch('[0-9a-f]{64}', properties['source_sha256'])
    assert sorted(path.name for path in Path(model.path).parent.iterdir()) == [
        'foreign.onnx', 'foreign.yaml', 'foreign_labels.yaml', 'foreign_tensorrt.onnx']


def test_sizes_that_the_graph_computes_become_constants(tmp_path: Path, image: np.ndarray):
    file = write(tmp_path, """net (float[N, 3, H, W] x) => (float[N, 5, H, W] scores) {
        small = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        low = Conv (small, w)
        shape = Shape (x)
        two = Constant <value = int64[1] {2}> ()
        four = Constant <value = int64[1] {4}> ()
        zero = Constant <value = int64[1] {0}> ()
        sides = Slice (shape, two, four)
        lowshape = Shape (low)
        count = Slice (lowshape, zero, two)
        sizes = Concat <axis = 0> (count, sides)
        scores = Resize <mode = "nearest"> (low, , , sizes)
    }""")
    model = imported(file, '--size', '24', '40', *options(ANSWERS))
    assert not {node.op_type for node in graph(model).node} & {'Shape', 'Concat'}
    means = normalised(image).reshape(12, 2, 20, 2, 3).mean((1, 3)) @ WEIGHT[:, :, 0, 0].T
    np.testing.assert_array_equal(segment(model, image)[0], means.argmax(-1).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(('shape', 'steps'), [
    ('N, H, W', 'labels = ArgMax <axis = 1, keepdims = 0> (scores)'),
    ('N, 1, H, W', 'labels = ArgMax <axis = 1, keepdims = 1> (scores)'),
    ('N, H, W, 1', """flat = ArgMax <axis = 1, keepdims = 0> (scores)
                      axis = Constant <value = int64[1] {3}> ()
                      labels = Unsqueeze (flat, axis)""")])
def test_wide_labels_become_bytes(tmp_path: Path, shape: str, steps: str, image: np.ndarray):
    file = write(tmp_path, f'net (float[N, 3, H, W] x) => (int64[{shape}] labels) {{ scores = Conv (x, w)\n{steps} }}')
    model = imported(file, '--size', '24', '40', *options(ANSWERS))
    np.testing.assert_array_equal(segment(model, image)[0], expected_scores(image).argmax(-1))
    assert interface(model) == {'image': ('FLOAT', [1, 3, *SIZE]), 'labels': ('UINT8', [1, *SIZE])}


def test_the_label_minus_one_means_no_class(tmp_path: Path, image: np.ndarray):
    file = write(tmp_path, """net (float[N, 3, H, W] x) => (int32[N, H, W] labels) {
        scores = Conv (x, w)
        index = ArgMax <axis = 1, keepdims = 0> (scores)
        one = Constant <value = int64 {1}> ()
        shifted = Sub (index, one)
        labels = Cast <to = 6> (shifted)
    }""")
    labels, _ = segment(imported(file, '--size', '24', '40', *options(ANSWERS)), image)
    np.testing.assert_array_equal(labels, (expected_scores(image).argmax(-1) - 1).astype(np.uint8))
    assert 255 in labels


def test_outputs_that_the_package_does_not_use_are_removed_with_their_weights(tmp_path: Path,
                                                                              capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[N, 3, H, W] x) => (float[N, 5, H, W] scores, float[N, 7] tags) {
        scores = Conv (x, w)
        pooled = GlobalAveragePool (x)
        axes = Constant <value = int64[2] {2, 3}> ()
        flat = Squeeze (pooled, axes)
        tags = MatMul (flat, only_for_tags)
    }""", only_for_tags=np.ones((3, 7), np.float32))
    model = imported(file, '--size', '24', '40', *options(ANSWERS))
    assert 'Outputs removed: tags' in capsys.readouterr().out
    assert list(interface(model)) == ['image', 'labels', 'confidence']
    assert 'only_for_tags' not in {each.name for each in graph(model).initializer}
    assert not {node.op_type for node in graph(model).node} & {'MatMul', 'GlobalAveragePool'}


def test_confidence_is_the_networks_own_probability_where_it_has_a_softmax(tmp_path: Path, image: np.ndarray):
    file = write(tmp_path, """net (float[N, 3, H, W] x) => (float[N, 5, H, W] share) {
        scores = Conv (x, w)
        share = Softmax <axis = 1> (scores)
    }""")
    labels, confidence = segment(imported(file, '--size', '24', '40', *options(ANSWERS)), image)
    share = probabilities(expected_scores(image))
    np.testing.assert_array_equal(labels, share.argmax(-1))
    np.testing.assert_allclose(confidence, 255 * share.max(-1), atol=0.51)


@pytest.mark.parametrize('last', ['Identity', 'Sigmoid'])
def test_a_single_score_means_the_second_of_two_classes(tmp_path: Path, last: str, image: np.ndarray):
    file = write(tmp_path, f"""net (float[N, 3, H, W] x) => (float[N, 1, H, W] road) {{
        score = Conv (x, v)
        road = {last} (score)
    }}""", v=WEIGHT[:1])
    model = imported(file, '--size', '24', '40', *options(ANSWERS, class_names='else road'))
    labels, confidence = segment(model, image)
    share = 1 / (1 + np.exp(-expected_scores(image)[..., 0]))
    np.testing.assert_array_equal(labels, share > 0.5)
    np.testing.assert_allclose(confidence, 255 * np.maximum(share, 1 - share), atol=0.51)


@pytest.mark.parametrize(('kind', 'number', 'fed'), [('float16', 1, 'FLOAT'), ('uint8', 1, 'UINT8'),
                                                     ('int32', 1, 'UINT8')])
def test_inputs_of_other_types_are_cast_inside(tmp_path: Path, kind: str, number: int, fed: str, image: np.ndarray):
    file = write(tmp_path, f"""net ({kind}[1, 24, 40, 3] x) => (float[1, 24, 40, 5] scores) {{
        wide = Cast <to = {number}> (x)
        first = Transpose <perm = [0, 3, 1, 2]> (wide)
        conv = Conv (first, w)
        scores = Transpose <perm = [0, 2, 3, 1]> (conv)
    }}""")
    byte = fed == 'UINT8'
    model = imported(file, *options(ANSWERS, **{'mean': None, 'std': None} if byte else {}))
    assert interface(model)['image'] == (fed, [1, *SIZE, 3])
    fed_values = image.astype(np.float64) if byte else normalised(image).astype(np.float16).astype(np.float64)
    scores = np.sort(fed_values @ WEIGHT[:, :, 0, 0].T)
    clear = scores[..., -1] - scores[..., -2] > 1e-2
    expected = (fed_values @ WEIGHT[:, :, 0, 0].T).argmax(-1)
    np.testing.assert_array_equal(segment(model, image)[0][clear], expected[clear])
    assert clear.mean() > 0.9


def test_names_that_the_package_uses_may_be_taken_in_the_file(tmp_path: Path, image: np.ndarray):
    file = write(tmp_path, """net (float[N, 3, H, W] labels) => (float[N, 5, H, W] image) {
        confidence = Conv (labels, w)
        image = Identity (confidence)
    }""")
    labels, _ = segment(imported(file, '--size', '24', '40', *options(ANSWERS)), image)
    np.testing.assert_array_equal(labels, expected_scores(image).argmax(-1))


def test_nested_graphs_keep_what_they_need(tmp_path: Path, image: np.ndarray):
    file = write(tmp_path, """net (float[N, 3, H, W] image) => (float[N, 5, H, W] scores) {
        mean = ReduceMean <keepdims = 0> (image)
        least = Constant <value = float {-1e9}> ()
        high = Greater (mean, least)
        scores = If (high) <
            then_branch = yes () => (float[N, 5, H, W] a) { a = Conv (image, w) },
            else_branch = no () => (float[N, 5, H, W] b) { c = Conv (image, w)
                                                           b = Neg (c) }>
    }""")
    labels, _ = segment(imported(file, '--size', '24', '40', *options(ANSWERS)), image)
    np.testing.assert_array_equal(labels, expected_scores(image).argmax(-1))


@pytest.mark.parametrize(('opset', 'operator'), [(9, 'Relu'), (11, 'Relu'), (17, 'Relu'), (17, 'BatchNormalization'),
                                                 (21, 'LeakyRelu')])
def test_other_opsets_become_13(tmp_path: Path, opset: int, operator: str, image: np.ndarray):
    inputs = '(linear, one, zero, zero, one)' if operator == 'BatchNormalization' else '(linear)'
    attribute = '<training_mode = 0>' if operator == 'BatchNormalization' else ''
    file = write(tmp_path, f"""net (float[N, 3, H, W] x) => (float[N, 5, H, W] scores) {{
        linear = Conv (x, w)
        scores = {operator} {attribute} {inputs}
    }}""", f'<ir_version: 10, opset_import: ["" : {opset}]>', one=np.ones(5, np.float32), zero=np.zeros(5, np.float32))
    model = imported(file, '--size', '24', '40', *options(ANSWERS))
    network = onnx.load(model.network_file('onnxruntime', 'fp32'))
    assert [(each.domain, each.version) for each in network.opset_import] == [('', 13)]
    assert network.ir_version <= 8
    scores = expected_scores(image)
    slope = {'Relu': 0, 'LeakyRelu': 0.01}.get(operator, 1)
    bent = np.where(scores > 0, scores, slope * scores)
    clear = np.sort(bent)[..., -1] - np.sort(bent)[..., -2] > 1e-3
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(segment(model, image)[0][clear], bent.argmax(-1)[clear])


def test_an_opset_that_cannot_become_13_is_kept_and_said(tmp_path: Path, image: np.ndarray,
                                                         capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[N, 3, H, W] x) => (float[N, 5, H, W] scores) {
        linear = Conv (x, w)
        sizes = Constant <value = int64[4] {1, 5, 12, 20}> ()
        small = Resize <mode = "linear", antialias = 1> (linear, , , sizes)
        scores = Resize <mode = "nearest"> (small, , twice)
    }""", '<ir_version: 8, opset_import: ["" : 18]>', twice=np.array([1, 1, 2, 2], np.float32))
    model = imported(file, '--size', '24', '40', *options(ANSWERS))
    assert 'NOTE: opset 18 could not be lowered to 13, the newest that TensorRT 8.2 reads' in capsys.readouterr().out
    network = onnx.load(model.network_file('onnxruntime', 'fp32'))
    assert [each.version for each in network.opset_import] == [18]
    assert segment(model, image)[0].shape == SIZE


def test_one_score_behind_those_of_a_label_set_is_not_seen(tmp_path: Path, image: np.ndarray,
                                                           capsys: pytest.CaptureFixture[str]):
    (tmp_path / 'names.txt').write_text('a\nb\nc\nd\n')
    model = imported(write(tmp_path, SCORES), '--size', '24', '40',
                     *options(ANSWERS, class_names=None, labels=str(tmp_path / 'names.txt')))
    assert 'NOTE: scores not seen, behind those of the 4 classes: 1' in capsys.readouterr().out
    share = probabilities(expected_scores(image)[..., :4])
    labels, confidence = segment(model, image)
    np.testing.assert_array_equal(labels, share.argmax(-1))
    np.testing.assert_allclose(confidence, 255 * share.max(-1), atol=0.51)


FLOW_WEIGHT = np.random.default_rng(6).normal(0, 1, (2, 6, 1, 1)).astype(np.float32)
JOINED = 'net (float[N, 6, H, W] pair) => (float[N, 2, H, W] motion) { motion = Conv (pair, v) }'
JOINED_LAST = """net (float[N, H, W, 6] pair) => (float[N, H, W, 2] motion) {
    first = Transpose <perm = [0, 3, 1, 2]> (pair)
    conv = Conv (first, v)
    motion = Transpose <perm = [0, 2, 3, 1]> (conv)
}"""
TWO = """net (float[N, 3, H, W] left, float[N, 3, H, W] right) => (float[N, 2, H, W] motion) {
    pair = Concat <axis = 1> (left, right)
    motion = Conv (pair, v)
}"""


@pytest.mark.parametrize('text', [JOINED, JOINED_LAST, TWO], ids=['6 channels', '6 channels last', 'two inputs'])
def test_flow_takes_two_images_and_gives_px(tmp_path: Path, text: str):
    model = imported(write(tmp_path, text, v=FLOW_WEIGHT), '--size', '24', '40', *options(FLOW_ANSWERS),
                     task='optical_flow')
    images = example_images(2, SIZE)
    expected = np.concatenate([normalised(each) for each in images], -1) @ FLOW_WEIGHT[:, :, 0, 0].T / 4
    np.testing.assert_allclose(flow(model, images), expected, atol=1e-4)
    sides = [1, *SIZE, 3] if text is JOINED_LAST else [1, 3, *SIZE]
    assert interface(model)['first'] == interface(model)['second'] == ('FLOAT', sides)
    assert model.output.flow_scale == 0.25


def test_two_channels_are_a_pair_of_grey_images(tmp_path: Path):
    file = write(tmp_path, 'net (float[1, 2, 24, 40] pair) => (float[1, 2, 24, 40] motion) { motion = Conv (pair, v) }',
                 v=FLOW_WEIGHT[:, :2])
    model = imported(file, '--mean', '128', '--std', '64', '--flow-scale', '2', '--license', 'MIT', task='optical_flow')
    assert model.input.color == 'gray'
    images = [np.full((*SIZE, 3), level, np.uint8) for level in (160, 96)]
    expected = 2 * (np.array([0.5, -0.5]) @ FLOW_WEIGHT[:, :2, 0, 0].T)
    np.testing.assert_allclose(flow(model, images), np.broadcast_to(expected, (*SIZE, 2)), atol=1e-5)


def test_the_order_of_two_images_can_be_given(tmp_path: Path):
    model = imported(write(tmp_path, TWO, v=FLOW_WEIGHT), '--size', '24', '40', '--input-names', 'right', 'left',
                     *options(FLOW_ANSWERS, flow_scale='1'), task='optical_flow')
    images = example_images(2, SIZE)
    expected = np.concatenate([normalised(each) for each in images[::-1]], -1) @ FLOW_WEIGHT[:, :, 0, 0].T
    np.testing.assert_allclose(flow(model, images), expected, atol=1e-4)


@pytest.mark.parametrize(('text', 'task'), [(SCORES_LAST, 'segmentation'), (JOINED_LAST, 'optical_flow')])
def test_the_file_for_tensorrt_has_planes_in_and_no_bytes(tmp_path: Path, text: str, task: str):
    answers = ANSWERS if task == 'segmentation' else FLOW_ANSWERS
    model = imported(write(tmp_path, text, v=FLOW_WEIGHT), '--tensorrt', '--size', '24', '40', *options(answers),
                     task=task)
    plane, small = ('FLOAT', [1, 3, *SIZE]), ('INT32', [1, *SIZE])
    assert interface(model, 'tensorrt') == (
        {'image': plane, 'labels': small, 'confidence': small} if task == 'segmentation' else
        {'first': plane, 'second': plane, 'flow': ('FLOAT', [1, *SIZE, 2])})


@pytest.mark.parametrize('slope', [0, 0.25])
def test_a_slope_that_paddle2onnx_lost_is_said(tmp_path: Path, slope: float, capsys: pytest.CaptureFixture[str]):
    imported(write(tmp_path, f"""net (float[1, 3, 24, 40] x) => (float[1, 5, 24, 40] scores) {{
        bent = LeakyRelu <alpha = {slope:.2f}> (x)
        scores = Conv (bent, w)
    }}"""), *options(ANSWERS))
    assert ('NOTE: LeakyRelu layers with slope 0: 1, e.g. bent. paddle2onnx' in capsys.readouterr().out) == (slope == 0)


def test_what_tensorrt_cannot_take_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (uint8[1, 3, 24, 40] x) => (float[1, 5, 24, 40] scores) {
        double = BitShift <direction = "LEFT"> (x, one)
        levels = Cast <to = 1> (double)
        scores = Conv (levels, w)
    }""", one=np.array(1, np.uint8))
    imported(file, *options(ANSWERS, mean=None, std=None))
    assert re.search(r'NOTE: TensorRT 8\.2 does not support the file for it, a newer version may:\n.*BitShift',
                     capsys.readouterr().out, re.DOTALL)
    imported(write(tmp_path, SCORES), '--overwrite', '--size', '24', '40', *options(ANSWERS))
    assert 'NOTE' not in capsys.readouterr().out
    imported(write(tmp_path, SCORES), '--overwrite', '--no-tensorrt', '--size', '24', '40', *options(ANSWERS))
    assert 'NOTE: no file for TensorRT was written' in capsys.readouterr().out


BOTH = """net (float[N, 3, H, W] x) => (float[N, 5, H, W] main, float[N, 5, H, W] aux) {
    main = Conv (x, w)
    aux = Neg (main)
}"""


@pytest.mark.parametrize(('text', 'arguments', 'task', 'message'), [
    (BOTH, (), 'segmentation', 'several outputs that can be the labels or scores: main float32 (1, 5, 24, 40), '
     'aux float32 (1, 5, 24, 40). Choose one with --output-name, e.g. --output-name main'),
    (BOTH, ('--output-name', 'minor'), 'segmentation', "--output-name: got 'minor', expected one of main float32"),
    (SCORES, (), 'optical_flow', 'It looks like one image: --task segmentation?'),
    (JOINED, (), 'segmentation', 'It looks like a pair of images: --task optical_flow?'),
    (TWO, (), 'segmentation', 'or give --task optical_flow for a pair'),
    (TWO, ('--input-names', 'left', 'right', 'left'), 'optical_flow', 'expected two for optical_flow'),
    (TWO, ('--input-names', 'left'), 'optical_flow', 'output motion needs right besides left'),
    (TWO, ('--input-names', 'middle', 'right'), 'optical_flow',
     "--input-names: got 'middle', expected of left float32 (?, 3, ?, ?), right float32 (?, 3, ?, ?)"),
    ('net (float[N, 3, H, W] x, float[1] gain) => (float[N, 5, H, W] s) { c = Conv (x, w)\ns = Mul (c, gain) }',
     ('--input-names', 'x'), 'segmentation', 'output s needs gain besides x, expected nothing but images'),
    ("""net (float[4, 3, 24, 40] x) => (float[4, 5, 24, 40] s) {
        batch = Constant <value = int64[4] {4, 3, 24, 40}> ()
        four = Reshape (x, batch)
        s = Conv (four, w)
    }""", (), 'segmentation', 'ask its author for one that runs, with batch 1'),
    ('net (uint16[N, 3, H, W] x) => (uint16[N, 3, H, W] s) { s = Identity (x) }', (), 'segmentation',
     'input x: got uint16, expected one of float16, float64, int32, int64, int8, uint8, float32'),
    ('net (float[N, 300] x) => (float[N, 300] s) { s = Relu (x) }', (), 'segmentation',
     'got the input x float32 (?, 300)'),
    ('net (float[N, 3, H, W] x) => (float[N, 3] s) { s = ReduceMean <axes = [2, 3], keepdims = 0> (x) }', (),
     'segmentation', 'got the output s float32 (1, 3), expected labels (1, H, W), or scores'),
    ('net (float[1, 3, 32, 32] x) => (float[1, 5, 32, 32] s) { s = Conv (x, w) }', (), 'segmentation',
     'foreign.onnx is fixed to 32x32. Leave it out'),
])
def test_a_network_that_does_not_fit_or_is_not_clear_is_refused(tmp_path: Path, text: str, arguments: tuple[str, ...],
                                                                task: str, message: str,
                                                                capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, text, v=FLOW_WEIGHT)
    answers = ANSWERS if task == 'segmentation' else FLOW_ANSWERS
    assert run(file, '--size', '24', '40', *arguments, *options(answers), task=task) == 2
    error = capsys.readouterr().err
    assert error.startswith('trt_perception_tools import-model: ConfigError: ')
    assert message in error
    assert not (tmp_path / 'out').exists()


def test_an_output_that_needs_more_than_images_is_no_candidate(tmp_path: Path, image: np.ndarray,
                                                                 capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[N, 3, H, W] x, float[1] gain) => (float[N, 5, H, W] a, float[N, 5, H, W] b) {
        a = Conv (x, w)
        b = Mul (a, gain)
    }""")
    model = imported(file, '--size', '24', '40', '--input-names', 'x', *options(ANSWERS))
    assert 'Outputs removed: b' in capsys.readouterr().out
    np.testing.assert_array_equal(segment(model, image)[0], expected_scores(image).argmax(-1))


def test_the_named_output_is_taken(tmp_path: Path, image: np.ndarray):
    model = imported(write(tmp_path, BOTH), '--size', '24', '40', '--output-name', 'aux', *options(ANSWERS))
    np.testing.assert_array_equal(segment(model, image)[0], expected_scores(image).argmin(-1))


def test_a_size_that_the_network_cannot_run_at_is_refused_with_the_runtimes_reason(tmp_path: Path,
                                                                                  capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[N, 3, H, W] x) => (float[N, 5, H, W] scores) {
        small = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        scales = Constant <value = float[4] {1, 1, 2, 2}> ()
        large = Resize <mode = "nearest"> (small, , scales)
        sum = Add (large, x)
        scores = Conv (sum, w)
    }""")
    assert run(file, '--size', '25', '40', *options(ANSWERS)) == 2
    assert re.search(r'ONNX Runtime \S+ cannot run it on x \(1, 3, 25, 40\): .*multiples of 32',
                     capsys.readouterr().err, re.DOTALL)


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('none.onnx', None, 'none.onnx: no such file'),
    ('net.h5', b'x', "got the suffix '.h5', expected one of .onnx, .pb, .tflite"),
    ('text.onnx', b'not a network', 'text.onnx: not an ONNX file'),
    ('empty.onnx', b'', 'empty.onnx: got an empty graph'),
    ('text.tflite', b'not a network', 'text.tflite: not a TFLite network: the file identifier TFL3 is missing'),
])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str,
                                              capsys: pytest.CaptureFixture[str]):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run(tmp_path / name, *options(ANSWERS)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('option', 'names'), [
    ('size', '--size'), ('color', '--color'), ('mean', '--mean'), ('std', '--std'), ('license', '--license'),
    ('class_names', '--labels or --class-names')])
def test_without_a_terminal_a_missing_answer_names_its_option(tmp_path: Path, option: str, names: str,
                                                              monkeypatch: pytest.MonkeyPatch,
                                                              capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr('sys.stdin.isatty', lambda: False, raising=False)
    file = write(tmp_path, SCORES)
    assert run(file, *options({**ANSWERS, '--size': '24 40'}, **{option: None})) == 2
    error = capsys.readouterr().err
    assert f'ConfigError: {names}: missing, and there is no terminal to ask on' in error
    assert error.endswith(f'Give {names}.\n')
    assert not (tmp_path / 'out').exists()


def test_without_a_terminal_the_flow_scale_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr('sys.stdin.isatty', lambda: False, raising=False)
    file = write(tmp_path, TWO, v=FLOW_WEIGHT)
    assert run(file, '--size', '24', '40', *options(FLOW_ANSWERS, flow_scale=None), task='optical_flow') == 2
    assert 'Give --flow-scale.' in capsys.readouterr().err


def test_the_terminal_is_asked_for_everything_until_the_answer_is_right(tmp_path: Path, terminal: list[str],
                                                                        image: np.ndarray,
                                                                        capsys: pytest.CaptureFixture[str]):
    (tmp_path / 'names.txt').write_text('sky\nroad\n\ncar\nbus\ntree\n')
    terminal += ['', '24', '24 40', 'blue', 'bgr', 'custom', '0.4 0.4 0.5', '100 110 120', '50 60 0', '50 60 70',
                 'no_such_labels', str(tmp_path / 'names.txt'), '', 'MIT', '']
    model = imported(write(tmp_path, SCORES))
    assert not terminal
    said = capsys.readouterr().out
    for complaint in ("Got '24', expected a height and a width", "Got 'blue', expected one of rgb, bgr",
                      'Times 255 these are 102 102 127.5', "Got '50 60 0', expected 3 numbers above 0",
                      "no 'no_such_labels'", 'expected a licence, or "unknown"'):
        assert complaint in said
    np.testing.assert_array_equal(segment(model, image)[0], expected_scores(image).argmax(-1))
    assert model.labels is not None
    assert [each.name for each in model.labels.classes] == ['sky', 'road', 'car', 'bus', 'tree']
    assert model.description == 'imported from foreign.onnx'


def test_enter_takes_the_answers_in_brackets(tmp_path: Path, terminal: list[str]):
    terminal += ['', '', '', 'a', 'unknown', '']
    (tmp_path / 'a').write_text('a\nb\nc\nd\ne\n')
    file = write(tmp_path, 'net (float[1, 3, 24, 40] x) => (float[1, 5, 24, 40] s) { s = Conv (x, w) }')
    terminal[3] = str(tmp_path / 'a')
    model = imported(file)
    assert model.input.color == 'rgb'
    np.testing.assert_allclose(model.input.mean, [123.675, 116.28, 103.53])
    assert model.license == 'unknown'


def test_the_end_of_the_input_names_the_option(tmp_path: Path, terminal: list[str],
                                               capsys: pytest.CaptureFixture[str]):
    assert run(write(tmp_path, SCORES), '--name', 'foreign', '--size', '24', '40') == 2
    assert '--color: the input ended before the answer' in capsys.readouterr().err
    assert not terminal


def test_a_model_that_is_there_stays_unless_it_may_be_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, SCORES)
    imported(file, '--size', '24', '40', *options(ANSWERS))
    assert run(file, '--size', '24', '40', *options(ANSWERS, license='BSD')) == 2
    assert 'foreign.yaml: already exists' in capsys.readouterr().err
    assert load_model(str(tmp_path / 'out' / 'foreign.yaml')).license == 'MIT'
    assert imported(file, '--overwrite', '--size', '24', '40', *options(ANSWERS, license='BSD')).license == 'BSD'


def test_a_label_set_that_ships_is_named_and_another_travels_with_the_model(tmp_path: Path):
    wide = np.random.default_rng(7).normal(0, 1, (12, 3, 1, 1)).astype(np.float32)
    text = 'net (float[1, 3, 24, 40] x) => (float[1, 12, 24, 40] s) { s = Conv (x, v) }'
    file = write(tmp_path, text, v=wide)
    shipped = imported(file, *options(ANSWERS, class_names=None, labels='camvid'))
    assert shipped.labels is not None
    assert shipped.labels.name == 'camvid'
    assert not (tmp_path / 'out' / 'foreign_labels.yaml').exists()
    (tmp_path / 'own.yaml').write_text(
        'classes: [{id: 1, name: "no", color: [1, 2, 3]}, {id: 10, name: b, color: [4, 5, 6]}]')
    own = imported(file, '--overwrite', *options(ANSWERS, class_names=None, labels=str(tmp_path / 'own.yaml')))
    assert own.labels is not None
    assert own.labels.name == 'foreign_labels'
    assert [tuple(each) for each in own.labels.classes] == [(1, 'no', (1, 2, 3)), (10, 'b', (4, 5, 6))]


@pytest.mark.parametrize(('changes', 'message'), [
    ({'class_names': 'a b c d e f'}, 'expected ids below 5, which is what the network has'),
    ({'class_names': 'a b b'}, 'different class names'),
    ({'labels': 'camvid'}, '--labels: got --class-names as well'),
    ({'class_names': None, 'labels': 'camvid'}, 'expected ids below 5'),
    ({'class_names': None, 'labels': 'camvit'}, "Did you mean 'camvid'?"),
    ({'normalise': 'imagenet'}, '--normalise: got --mean or --std as well'),
    ({'mean': None, 'std': None, 'normalise': 'image'}, "got 'image', expected one of imagenet, caffe, unit"),
    ({'mean': '1 2'}, "--mean: got '1 2', expected 3 numbers"),
    ({'std': '1 0 1'}, "--std: got '1 0 1', expected 3 numbers above 0"),
    ({'color': 'gray'}, "--color: got 'gray', expected one of rgb, bgr"),
    ({'name': '../up'}, "--name: got '../up', expected letters"),
    ({'size': '4 4'}, "--size: got '4 4', expected a height and a width of at least 8 px"),
])
def test_a_wrong_option_is_refused(tmp_path: Path, changes: dict[str, str], message: str,
                                   capsys: pytest.CaptureFixture[str]):
    assert run(write(tmp_path, SCORES), *options({**ANSWERS, '--size': '24 40'}, **changes)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_labels_without_a_class_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write(tmp_path, """net (float[1, 3, 24, 40] x) => (int64[1, 24, 40] labels) {
        scores = Conv (x, w)
        labels = ArgMax <axis = 1, keepdims = 0> (scores)
    }""")
    imported(file, *options(ANSWERS, class_names='a b'))
    assert re.search(r'NOTE: the label set has no class for (2|3|4)', capsys.readouterr().out)


def test_the_last_lines_say_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    imported(write(tmp_path, SCORES), '--size', '24', '40', *options(ANSWERS))
    path = tmp_path / 'out' / 'foreign.yaml'
    assert f'ros2 launch trt_perception perception.launch.py segmentation_model:={path}\n' in capsys.readouterr().out


def test_tensorflow_is_asked_for_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(__import__('sys').modules, 'tensorflow', None)
    (tmp_path / 'frozen.pb').write_bytes(b'')
    assert run(tmp_path / 'frozen.pb') == 2
    error = capsys.readouterr().err
    assert 'the Python packages tensorflow-cpu and tf2onnx are needed' in error
    assert "pip install -e './tools[tensorflow]'" in error


@pytest.fixture
def tensorflow() -> object:
    pytest.importorskip('tf2onnx', reason="tf2onnx is not installed: pip install -e './tools[tensorflow]'")
    return pytest.importorskip('tensorflow', reason="tensorflow is not installed: pip install -e './tools[tensorflow]'")


def write_frozen_graph(folder: Path, tf: object) -> Path:
    with tf.Graph().as_default() as frozen:
        x = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], 'image')
        weight = tf.constant(WEIGHT.transpose(2, 3, 1, 0))
        scores = tf.nn.conv2d(x, weight, 1, 'SAME', name='scores')
        tf.argmax(scores, -1, name='classes')
        tf.nn.softmax(scores, name='share')
        tf.reduce_mean(x, [1, 2], name='tags')
    (folder / 'foreign.pb').write_bytes(frozen.as_graph_def().SerializeToString())
    return folder / 'foreign.pb'


@pytest.mark.parametrize(('output', 'outputs'), [('scores', 2), ('share', 2), ('classes', 1)])
def test_a_frozen_graph_is_imported(tmp_path: Path, tensorflow: object, output: str, outputs: int, image: np.ndarray):
    model = imported(write_frozen_graph(tmp_path, tensorflow), '--size', '24', '40', '--output-name', output,
                     *options(ANSWERS))
    labels, confidence = segment(model, image)
    share = probabilities(expected_scores(image))
    np.testing.assert_array_equal(labels, share.argmax(-1))
    assert len(interface(model)) == 1 + outputs
    if confidence is not None:
        np.testing.assert_allclose(confidence, 255 * share.max(-1), atol=0.51)


def test_a_frozen_graph_with_several_results_asks_which(tmp_path: Path, tensorflow: object,
                                                        capsys: pytest.CaptureFixture[str]):
    assert run(write_frozen_graph(tmp_path, tensorflow), '--size', '24', '40', *options(ANSWERS)) == 2
    assert 'several outputs that can be the labels or scores: classes:0 int64 (1, 24, 40), share:0 float32' \
        in capsys.readouterr().err


def test_bytes_that_are_no_frozen_graph_are_refused(tmp_path: Path, tensorflow: object,
                                                    capsys: pytest.CaptureFixture[str]):
    (tmp_path / 'foreign.pb').write_bytes(b'not a graph')
    assert run(tmp_path / 'foreign.pb', *options(ANSWERS)) == 2
    assert 'not a TensorFlow frozen graph' in capsys.readouterr().err


def test_the_published_tflite_file_agrees_with_the_native_network(tmp_path: Path, data: Path, tensorflow: object):
    torch = pytest.importorskip('torch')
    from trt_perception_tools.networks import nanoflownet
    from trt_perception_tools.networks.weights import read_weights
    folder = data / 'weights_nanoflownet'
    (tmp_path / 'foreign.tflite').symlink_to(folder / 'nanoflownet_unquantized.tflite')
    model = imported(tmp_path / 'foreign.tflite', '--mean', '128', '--std', '128', '--flow-scale', '1/4.554',
                     '--license', 'MIT', task='optical_flow')
    native = nanoflownet.load(read_weights(folder / 'nanoflownet.npz'), 'published')
    images = [np.repeat(each[..., :1], 3, -1) for each in example_images(2, (112, 160))]
    pair = np.concatenate([each[..., :1] for each in images], -1).transpose(2, 0, 1)[None]
    with torch.no_grad():
        expected = native(torch.from_numpy((pair.astype(np.float32) - 128) / 128))[0].numpy().transpose(1, 2, 0)
    pipeline = OpticalFlowPipeline(open_engine(model), model, {'flow_grid': PREVIOUS, 'output_size': 'network'})
    pipeline.process(frame_from_array(images[0]))
    result = pipeline.process(frame_from_array(images[1], 1))
    assert result is not None
    np.testing.assert_allclose(result.flow * 4, expected, atol=1e-3)

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import EngineOptions, open_engine
from trt_perception_tools import cli
from trt_perception_tools.graphs.slim import simplify
from trt_perception_tools.quantize import sensitivity
from trt_perception_tools.quantize.calibration import (
    METHODS,
    bag_frames,
    entropy_range,
    folder_frames,
    prepare,
    tensor_ranges,
)
from trt_perception_tools.quantize.channels_last_scores import decide_channels_last
from trt_perception_tools.quantize.fp16 import COORDINATES, to_fp16
from trt_perception_tools.quantize.int8 import OPERATORS, quantisable, quantise
from trt_perception_tools.quantize.int8 import prepare as prepare_graph

ROOT = Path(__file__).parents[3]
STREET = ROOT / 'demo' / 'street'
SIZE = (32, 48)
# As export/heads.py exports a network: normalisation, convolutions, a batch normalisation that cannot be folded, a
# sum; scores at half size, of which the last is not seen; labels and confidence.
SEGMENTATION = """<ir_version: 8, opset_import: ["" : 13]>
g ({image} image) => ({result}[1, 32, 48] labels, {result}[1, 32, 48] confidence) {{
  {normalisation}
  c1 = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (normal, w1, b1)
  r1 = Relu (c1)
  n1 = BatchNormalization (r1, scale, shift, mean, variance)
  r2 = Relu (n1)
  c2 = Conv <pads = [1, 1, 1, 1]> (r2, w2, b2)
  sum = Add (c2, r1)
  r3 = Relu (sum)
  logits = Conv (r3, w3, b3)
  sizes = Constant <value_ints = [1, 4, 32, 48]> ()
  large = Resize <mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"> (logits, , , sizes)
  first = Constant <value_ints = [0]> ()
  last = Constant <value_ints = [3]> ()
  axis = Constant <value_ints = [1]> ()
  scores = Slice (large, first, last, axis)
  best = ReduceMax <axes = [1]> (scores)
  below = Sub (scores, best)
  likely = Exp (below)
  total = ReduceSum <keepdims = 0> (likely, axis)
  certain = Constant <value_float = 255.0> ()
  share = Div (certain, total)
  level = Round (share)
  confidence = Cast <to = {kind}> (level)
  index = ArgMax <axis = 1, keepdims = 0> (scores)
  labels = Cast <to = {kind}> (index)
}}"""
BYTES = """planes = Transpose <perm = [0, 3, 1, 2]> (image)
  levels = Cast <to = 1> (planes)
  centred = Sub (levels, img_mean)
  normal = Div (centred, img_std)"""
FLOW = """<ir_version: 8, opset_import: ["" : 13]>
g (uint8[1, 32, 48, 1] first, uint8[1, 32, 48, 1] second) => (float[1, 32, 48, 2] flow) {
  p1 = Transpose <perm = [0, 3, 1, 2]> (first)
  f1 = Cast <to = 1> (p1)
  s1 = Sub (f1, half)
  n1 = Div (s1, half)
  p2 = Transpose <perm = [0, 3, 1, 2]> (second)
  f2 = Cast <to = 1> (p2)
  s2 = Sub (f2, half)
  n2 = Div (s2, half)
  pair = Concat <axis = 1> (n1, n2)
  c1 = Conv <pads = [1, 1, 1, 1]> (pair, w1, b1)
  r1 = Relu (c1)
  c2 = Conv <pads = [1, 1, 1, 1]> (r1, w2, b2)
  r2 = Clip (c2, zero, six)
  c3 = Conv (r2, w3, b3)
  flow = Transpose <perm = [0, 2, 3, 1]> (c3)
}"""
CARD = """
task: {task}
description: made up
license: none
files: {{onnxruntime: {{fp32: tiny.onnx}}}}
{labels}
input: {{names: {names}, color: {color}, {norm}}}
output: {output}
"""


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(30)  # Each class in each image.
    return {name: (random.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)
            for name, shape in shapes.items()}


def network(text: str, arrays: dict[str, np.ndarray]) -> ModelProto:
    model = onnx.parser.parse_model(text)
    for number, node in enumerate(model.graph.node):
        node.name = f'/{node.op_type}_{number}'
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


def segmentation(runtime: str = 'onnxruntime') -> ModelProto:
    arrays = weights(w1=(8, 3, 3, 3), b1=(8,), w2=(8, 8, 3, 3), b2=(8,), w3=(4, 8, 1, 1), b3=(4,), shift=(8,),
                     mean=(8,))
    arrays |= {'scale': np.linspace(0.5, 1.5, 8, dtype=np.float32), 'variance': np.ones(8, np.float32),
               'img_mean': np.float32([124, 116, 104]).reshape(1, 3, 1, 1),
               'img_std': np.float32([58, 57, 57.5]).reshape(1, 3, 1, 1)}
    if runtime == 'onnxruntime':
        fields = {'image': 'uint8[1, 32, 48, 3]', 'result': 'uint8', 'kind': TensorProto.UINT8,
                  'normalisation': BYTES}
    else:
        fields = {'image': 'float[1, 3, 32, 48]', 'result': 'int32', 'kind': TensorProto.INT32,
                  'normalisation': 'normal = Identity (image)'}
    model = network(SEGMENTATION.format(**fields), arrays)
    onnx.helper.set_model_props(model, {'runtime': runtime})
    return model


def flow() -> ModelProto:
    return network(FLOW, weights(w1=(8, 2, 3, 3), b1=(8,), w2=(8, 8, 3, 3), b2=(8,), w3=(2, 8, 1, 1), b3=(2,))
                   | {'half': np.float32([128]), 'zero': np.float32(0), 'six': np.float32(6)})


def write_card(folder: Path, task: str) -> Path:
    fields = {'task': task, 'labels': '', 'names': '[first, second]', 'color': 'gray', 'output': '{flow: flow}',
              'norm': 'mean: [128], std: [128]'}
    if task == 'segmentation':
        (folder / 'three.yaml').write_text('classes: [' + ', '.join(
            f'{{id: {n}, name: c{n}, color: [{n}, 0, 0]}}' for n in range(3)) + ']')
        fields |= {'labels': 'labels: three.yaml', 'names': '[image]', 'color': 'rgb',
                   'norm': 'mean: [124, 116, 104], std: [58, 57, 57.5]',
                   'output': '{labels: labels, confidence: confidence}'}
    (folder / 'tiny.yaml').write_text(CARD.format(**fields))
    return folder / 'tiny.yaml'


def smooth_images(count: int) -> list[np.ndarray]:
    """Return smooth (H, W, 3) uint8 images; each is the one before it, moved by 2 px."""
    noise = np.random.default_rng(7).integers(0, 256, (12, 24, 3), np.uint8)
    blobs = cv2.resize(noise, (2 * count + 48, 32), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(blobs[:, 2 * number:2 * number + 48]) for number in range(count)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / 'images'
    folder.mkdir()
    for number, pixels in enumerate(smooth_images(8)):
        cv2.imwrite(str(folder / f'{number}.png'), pixels)
    return folder


@pytest.fixture
def road(tmp_path: Path) -> Model:
    onnx.save(segmentation(), str(tmp_path / 'tiny.onnx'))
    return load_model(str(write_card(tmp_path, 'segmentation')))


@pytest.fixture
def motion(tmp_path: Path) -> Model:
    onnx.save(flow(), str(tmp_path / 'tiny.onnx'))
    return load_model(str(write_card(tmp_path, 'optical_flow')))


def quantised(model: Model, images: Path, *arguments: str, precision: str = 'int8') -> Path:
    output = images.parent / f'{precision}.onnx'
    source = [] if precision == 'fp16' else ['--images', str(images)]
    assert cli.main(['quantize', model.path, '--precision', precision, '--output', str(output), *source,
                     *arguments]) == 0
    return output


def interface(file: str | Path) -> list[tuple[str, int, list[int]]]:
    graph = onnx.load(str(file)).graph
    types = [(value.name, value.type.tensor_type) for value in [*graph.input, *graph.output]]
    return [(name, kind.elem_type, [side.dim_value for side in kind.shape.dim]) for name, kind in types]


def results(model: Model, file: Path, precision: str) -> list[np.ndarray]:
    """Return what the deployed pipeline gives for every image."""
    variant = model._replace(files={'onnxruntime': {precision: str(file)}})
    engine = open_engine(variant, EngineOptions('onnxruntime', precision, 1))
    pipeline: SegmentationPipeline | OpticalFlowPipeline = (
        SegmentationPipeline if model.task == 'segmentation' else OpticalFlowPipeline)(engine, variant)
    given = [pipeline.process(frame_from_array(pixels, number + 1)) for number, pixels in enumerate(smooth_images(8))]
    return [(each.labels if model.task == 'segmentation' else each.flow).copy() for each in given if each is not None]


@pytest.mark.parametrize(('precision', 'most'), [('fp16', 0.002), ('int8', 0.05)])
def test_a_pipeline_takes_the_variant_of_a_segmentation_network_and_gives_nearly_the_same_labels(
        road: Model, images: Path, precision: str, most: float):
    file = quantised(road, images, precision=precision)
    fp32 = Path(road.path).with_name('tiny.onnx')
    assert interface(file) == interface(fp32)
    expected, given = results(road, fp32, 'fp32'), results(road, file, precision)
    assert all(len(np.unique(labels)) == 3 for labels in expected)
    assert np.mean([(a != b).mean() for a, b in zip(expected, given, strict=True)]) < most


@pytest.mark.parametrize(('precision', 'least', 'most'), [('fp16', 1e-6, 0.002), ('int8', 0.001, 0.03)])
def test_a_pipeline_takes_the_variant_of_a_flow_network_and_gives_nearly_the_same_flow(
        motion: Model, images: Path, precision: str, least: float, most: float):
    file = quantised(motion, images, precision=precision)
    fp32 = Path(motion.path).with_name('tiny.onnx')
    assert interface(file) == interface(fp32)
    expected, given = results(motion, fp32, 'fp32'), results(motion, file, precision)
    assert len(given) == 7
    assert np.abs(expected).mean() > 0.2
    assert least < np.abs(np.subtract(expected, given)).mean() < most


def kinds(file: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(file)).graph.node)


def test_activations_are_taken_into_the_range_of_the_bytes(motion: Model, images: Path):
    counts = kinds(quantised(motion, images))
    assert counts['Conv'] == 3
    assert not counts['Relu'] + counts['Clip']
    # What the first convolution takes, and what each activation gives.
    assert counts['QuantizeLinear'] == 3


def test_for_onnxruntime_bytes_go_in_and_batch_normalisation_is_a_convolution(road: Model, images: Path):
    file = quantised(road, images)
    counts = kinds(file)
    assert counts['Conv'] == 4
    assert not counts['BatchNormalization'] + counts['Sub'] - 1  # That of the scores.
    graph = onnx.load(str(file)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = next(node for node in graph.node if node.op_type == 'DequantizeLinear'
                 and constants.get(node.input[2], np.array(0)).size == 1 and constants[node.input[2]] == 115)
    assert constants[first.input[1]] == pytest.approx(1 / 57.5)
    activations = [constants[node.input[2]].dtype for node in graph.node if node.op_type == 'QuantizeLinear']
    assert set(activations) == {np.dtype(np.uint8)}
    per_channel = [constants[node.input[1]].shape for node in graph.node
                   if node.op_type == 'DequantizeLinear' and constants.get(node.input[0], np.array(0)).dtype == np.int8]
    assert sorted(per_channel) == [(8,), (8,), (8,)]
    logits = next(node for node in graph.node if node.op_type == 'Conv' and 'w3' in node.input)
    assert 'b3' in logits.input


def test_for_tensorrt_there_are_no_zero_points_and_nothing_that_it_lacks(
        road: Model, images: Path, capsys: pytest.CaptureFixture[str]):
    file = images.parent / 'tensorrt.onnx'
    onnx.save(segmentation('tensorrt'), str(file))
    output = images.parent / 'tensorrt.int8.onnx'
    assert cli.main(['quantize', str(file), '--model', road.path, '--precision', 'int8', '--images', str(images),
                     '--output', str(output)]) == 0
    assert 'INT8 for tensorrt' in capsys.readouterr().out
    assert interface(output) == interface(file)
    assert cli.main(['check-onnx', str(output)]) == 0
    graph = onnx.load(str(output)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantisers = [node for node in graph.node if node.op_type == 'QuantizeLinear']
    assert len(quantisers) > 4
    for node in quantisers:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
    feeds = prepare(road, onnx.load(str(file)), folder_frames(images, 8, False), '')
    expected, given = (sensitivity.run(onnx.load(str(each)), road, feeds) for each in (file, output))
    assert sensitivity.difference(road, expected, given) < 0.05


def test_each_method_finds_ranges_of_its_own_and_minmax_the_widest(road: Model, images: Path):
    prepared = prepare_graph(segmentation(), 'onnxruntime')
    feeds = prepare(road, prepared, folder_frames(images, 8, False), '')
    ends = {}
    for method in METHODS:
        ranges = tensor_ranges(prepared, feeds, method, OPERATORS)
        ends[method] = np.array([np.ravel(ranges[name].range_value[1])[0] for name in ('r1', 'c2', 'r3')])
        labels = sensitivity.run(quantise(prepared, ranges, 'onnxruntime'), road, feeds)
        assert sensitivity.difference(road, sensitivity.run(prepared, road, feeds), labels) < 0.1
    assert (ends['minmax'] >= ends['entropy'] - 1e-6).all()
    assert (ends['minmax'] >= ends['percentile'] - 1e-6).all()
    assert len({tuple(each) for each in ends.values()}) == 3


def test_entropy_cuts_a_long_tail_off_but_takes_no_notice_of_zeros():
    random = np.random.default_rng(1)
    values = np.abs(random.normal(size=200_000))
    values[:20] = np.linspace(4, 50, 20)
    ranges = []
    for zeros in (0, 1_000_000):
        counts, edges = np.histogram(np.append(values, np.zeros(zeros)), 2048, (-50, 50))
        ranges.append(entropy_range(counts, edges, 0, 50, 256))
    assert ranges[0] == ranges[1]
    assert ranges[0][0] == 0
    assert 4 < ranges[0][1] < 25
    assert entropy_range(*np.histogram(np.zeros(9), 2048, (-1, 1)), 0, 0, 256) == (0, 0)


def test_coordinates_of_tinypwc_stay_fp32_in_fp16_and_its_flow_hardly_changes():
    model = load_model('tinypwc')
    fp32 = onnx.load(model.network_file('onnxruntime', 'fp32'))
    fp16 = to_fp16(fp32, model.keep_fp32)
    inferred = onnx.shape_inference.infer_shapes(fp16, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*inferred.value_info, *inferred.output]}
    coordinates = [types[name] for node in inferred.node if COORDINATES in node.name and '_cast' not in node.name
                   for name in node.output]
    # Of both warps: torch calls the second time that a module runs coordinates_1.
    assert sum('/coordinates_1/' in node.name for node in inferred.node) > 15
    assert len(coordinates) > 30
    assert TensorProto.FLOAT16 not in coordinates
    convolutions = [types[node.output[0]] for node in inferred.node if node.op_type == 'Conv']
    assert set(convolutions) == {TensorProto.FLOAT16}
    feeds = prepare(model, fp32, bag_frames(STREET, 2, True), '')
    expected, given = (sensitivity.run(each, model, feeds) for each in (fp32, fp16))
    assert 0 < sensitivity.difference(model, expected, given) < 0.03


def test_classes_beside_each_other_give_the_same_labels_and_nearly_the_same_confidence(road: Model, images: Path):
    changed = onnx.shape_inference.infer_shapes(simplify(segmentation()))
    assert decide_channels_last(changed)
    onnx.checker.check_model(changed, full_check=True)
    # ONNX Runtime 1.10 and 1.11 would give other labels, without an error.
    assert changed.opset_import[0].version == 17
    feeds = prepare(road, changed, folder_frames(images, 2, False), '')
    expected, given = (sensitivity.run(each, road, feeds) for each in (segmentation(), changed))
    np.testing.assert_array_equal(expected, given)
    confidence = road._replace(output=road.output._replace(names={'labels': 'confidence'}))
    expected, given = (sensitivity.run(each, confidence, feeds) for each in (segmentation(), changed))
    assert np.abs(np.subtract(expected, given, dtype=int)).max() <= 1
    assert not decide_channels_last(onnx.shape_inference.infer_shapes(simplify(segmentation('tensorrt'))))


def test_sensitivity_ranks_convolutions_and_the_worst_stay_fp32(
        road: Model, images: Path, capsys: pytest.CaptureFixture[str]):
    file = images.parent / 'losses.json'
    output = quantised(road, images, '--sensitivity', '--json', str(file), '--keep-worst', '1')
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()[2:5]]
    losses = [float(row[1]) for row in rows]
    assert sorted(losses, reverse=True) == losses
    assert losses[0] > 0
    assert {row[0] for row in rows} == set(quantisable(prepare_graph(segmentation(), 'onnxruntime')))
    assert [f'"name": "{row[0]}"' in file.read_text() for row in rows] == [True] * 3
    assert '2 convolutions in INT8, 2 in FP32' in text
    worst = next(node for node in onnx.load(str(output)).graph.node if node.name == rows[0][0])
    kept = {tensor.name: tensor.data_type for tensor in onnx.load(str(output)).graph.initializer}
    assert kept[worst.input[1]] == TensorProto.FLOAT


def test_a_convolution_that_is_named_stays_fp32(road: Model, images: Path, capsys: pytest.CaptureFixture[str]):
    quantised(road, images, '--keep-fp32', '/Conv_8')
    assert '2 convolutions in INT8, 2 in FP32' in capsys.readouterr().out


def test_nodes_without_names_are_quantised_too(road: Model, images: Path, capsys: pytest.CaptureFixture[str]):
    unnamed = segmentation()
    for node in unnamed.graph.node:
        node.name = ''
    onnx.save(unnamed, str(images.parent / 'tiny.onnx'))
    quantised(road, images, '--sensitivity')
    text = capsys.readouterr().out
    assert '3 convolutions in INT8, 1 in FP32' in text
    assert 'Conv_8 ' in text


def test_frames_are_spread_over_the_source_and_pairs_are_neighbours(images: Path):
    assert [len(group) for group in folder_frames(images, 3, False)] == [1, 1, 1]
    chosen = [[frame.data.tobytes() for frame in group] for group in folder_frames(images, 3, True)]
    every = [pixels.tobytes() for pixels in smooth_images(8)]
    assert chosen == [every[0:2], every[3:5], every[6:8]]
    assert [len(group) for group in bag_frames(STREET, 4, True)] == [2] * 4


def test_of_several_topics_in_a_bag_one_is_chosen_and_raw_images_are_read(tmp_path: Path):
    store = get_typestore(Stores.ROS2_FOXY)
    header, time, image = (store.types[name] for name in (
        'std_msgs/msg/Header', 'builtin_interfaces/msg/Time', 'sensor_msgs/msg/Image'))
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, pixels in zip(('/left', '/right'), smooth_images(2), strict=True):
            connection = writer.add_connection(topic, image.__msgtype__, typestore=store)
            message = image(header(time(1, 0), 'camera'), 32, 48, 'bgr8', 0, 144, pixels.reshape(-1))
            writer.write(connection, 10**9, store.serialize_cdr(message, image.__msgtype__))
    with pytest.raises(ConfigError, match='got 2 image topics: /left, /right. Choose one with --topic.'):
        bag_frames(tmp_path / 'bag', 1, False)
    [[frame]] = bag_frames(tmp_path / 'bag', 5, False, '/right')
    assert (frame.encoding, frame.data.tobytes()) == ('bgr8', smooth_images(2)[1].tobytes())
    with pytest.raises(ConfigError, match='1 images on /right, expected at least 2.'):
        bag_frames(tmp_path / 'bag', 5, True, '/right')


def test_a_flow_network_sees_the_current_image_first(motion: Model, images: Path):
    [feeds] = prepare(motion, flow(), folder_frames(images, 1, True), '')
    before, current = (cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) for pixels in smooth_images(8)[:2])
    np.testing.assert_array_equal(feeds['first'][0, ..., 0], current)
    np.testing.assert_array_equal(feeds['second'][0, ..., 0], before)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.main(['quantize', *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith('trt_perception_tools quantize: ConfigError: ')
    return error


def test_what_cannot_be_done_is_refused(road: Model, images: Path, capsys: pytest.CaptureFixture[str]):
    folder = images.parent
    output = ['--output', folder / 'x.onnx']
    int8 = ['--precision', 'int8', *output]
    assert 'INT8 needs images like those' in refused(capsys, road.path, *int8)
    (folder / 'empty').mkdir()
    assert f'{folder / "empty"}: 0 images, expected at least 1.' \
        in refused(capsys, road.path, *int8, '--images', folder / 'empty')
    assert 'no such folder' in refused(capsys, road.path, *int8, '--images', folder / 'none')
    assert 'no such file or folder' in refused(capsys, road.path, *int8, '--bag', folder / 'none')
    tiny = folder / 'tiny.onnx'
    assert 'Give its name or YAML with --model' in refused(capsys, tiny, *int8, '--images', images)
    assert 'its inputs are image, but' in refused(capsys, tiny, *int8, '--images', images, '--model', 'tinypwc')
    assert "--keep-fp32: got 'none', expected of /Conv_4, " \
        in refused(capsys, road.path, *int8, '--images', images, '--keep-fp32', 'none')
    assert '--output: missing' in refused(capsys, road.path, '--precision', 'int8', '--images', images)
    assert '--count: got 0, expected at least 1.' in refused(capsys, road.path, *int8, '--images', images, '--count', 0)
    assert '--keep-worst: got -1, expected at least 0.' in refused(
        capsys, road.path, *int8, '--images', images, '--keep-worst', -1)
    assert 'are for --precision int8' in refused(capsys, road.path, '--precision', 'fp16', '--sensitivity', *output)
    assert not (folder / 'x.onnx').exists()


def test_a_network_that_is_quantised_or_has_unknown_operators_is_refused(
        road: Model, images: Path, capsys: pytest.CaptureFixture[str]):
    for precision, text in (('int8', 'it has DequantizeLinear'), ('fp16', 'it has tensors in half precision')):
        file = quantised(road, images, precision=precision)
        for again in ('int8', 'fp16'):
            assert f'{file}: it is quantised already: {text}' in refused(
                capsys, file, '--precision', again, '--output', images.parent / 'x.onnx')
    odd = segmentation()
    odd.graph.node[5].op_type = 'Rectify'
    onnx.save(odd, str(images.parent / 'odd.onnx'))
    assert 'Only networks of standard operators can be quantised.' in refused(
        capsys, images.parent / 'odd.onnx', '--precision', 'fp16', '--output', images.parent / 'x.onnx')


def test_the_shipped_int8_network_gives_nearly_the_labels_of_fp32():
    model = load_model('swiftnet_camvid')
    fp32, int8 = (onnx.load(model.network_file('onnxruntime', precision)) for precision in ('fp32', 'int8'))
    feeds = prepare(model, fp32, bag_frames(STREET, 3, False), '')
    expected, given = (sensitivity.run(each, model, feeds) for each in (fp32, int8))
    # 3 % on a CPU with VNNI; without it pairs of products saturate.
    assert 0 < sensitivity.difference(model, expected, given) < 0.1

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.image import FrameDecoder, frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.preprocess import InputWriter

torch = pytest.importorskip('torch')

from trt_perception_tools.cli import main  # noqa: E402
from trt_perception_tools.export import optical_flow, random_network, to_onnx  # noqa: E402
from trt_perception_tools.export.exporter import HeadOptions  # noqa: E402
from trt_perception_tools.export.heads import FlowHead, GreyLevels  # noqa: E402
from trt_perception_tools.export.to_onnx import export  # noqa: E402
from trt_perception_tools.graphs.check import check  # noqa: E402
from trt_perception_tools.graphs.runtimes import Runtime  # noqa: E402
from trt_perception_tools.graphs.tensorrt_support import GENERATIONS  # noqa: E402
from trt_perception_tools.networks import (  # noqa: E402
    NETWORKS,
    Network,
    espnet,
    nanoflownet,
    network_of,
    parse_network,
)

SEGMENTATION = """
task: segmentation
description: ESPNet with random weights
license: none
files: {onnxruntime: {fp32: espnet_random.onnx}}
labels: camvid
input: {names: [image], color: rgb, mean: [100, 110, 120], std: [40, 50, 60]}
output: {labels: ids, confidence: sure}
"""
FLOW = """
task: optical_flow
description: NanoFlowNet with random weights
license: none
files: {onnxruntime: {fp32: nanoflownet_random.onnx}}
input: {names: [now, then], color: gray, mean: [120], std: [64]}
output: {flow: motion}
"""
SIZE = (64, 96)


def write_model(folder: Path, name: str, text: str) -> Model:
    (folder / f'{name}.yaml').write_text(text)
    return load_model(str(folder / f'{name}.yaml'))


def random_espnet(folder: Path, classes: int = 12) -> Path:
    torch.manual_seed(1)
    network = espnet.EspNet(classes, 1, 2)
    network.classifier.weight.data *= 20  # So that pixels differ in class and in confidence.
    torch.save(network.state_dict(), folder / 'espnet.pth')
    return folder / 'espnet.pth'


def random_nanoflownet(folder: Path) -> Path:
    torch.manual_seed(1)
    arrays = {}
    for name, value in nanoflownet.NanoFlowNet().state_dict().items():
        module, kind = name.rsplit('.', 1)
        part = ''
        if module not in nanoflownet._KERAS_LAYERS:
            module, part = module.rsplit('.', 1)
        array = value.numpy()
        if kind == 'weight':
            kind = f'{part}_kernel' if part else 'kernel'
            array = array.transpose((2, 3, 0, 1) if part == 'depthwise' else (2, 3, 1, 0))
        arrays[f'{nanoflownet._KERAS_LAYERS[module]}/{kind}'] = array
    np.savez(folder / 'nanoflownet.npz', **arrays)
    return folder / 'nanoflownet.npz'


def run(file: Path, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feeds), strict=True))


def describe(file: Path) -> dict[str, tuple[list[int], int]]:
    graph = onnx.load(file).graph
    return {value.name: ([side.dim_value for side in value.type.tensor_type.shape.dim],
                         value.type.tensor_type.elem_type) for value in [*graph.input, *graph.output]}


@pytest.fixture(scope='module')
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (1, *SIZE, 3), np.uint8)


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('segmentation')
    model = write_model(folder, 'espnet_random', SEGMENTATION)
    difference = export(model, NETWORKS['espnet'], random_espnet(folder), SIZE, folder / 'out' / 'espnet_random.onnx')
    assert difference.measures['labels'] <= 1e-3
    return folder


@pytest.fixture(scope='module')
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('flow')
    model = write_model(folder, 'nanoflownet_random', FLOW)
    difference = export(model, NETWORKS['nanoflownet'], random_nanoflownet(folder), SIZE, folder / 'n.onnx')
    assert difference.measures['flow_px'] <= 1e-3
    return folder


def test_labels_and_confidence_equal_argmax_and_softmax_of_the_known_classes(segmentation: Path, image: np.ndarray):
    weights = dict(to_onnx.read_weights(segmentation / 'espnet.pth'))
    normalised = (image.astype(np.float32) - [100, 110, 120]) / np.array([40, 50, 60], np.float32)
    with torch.no_grad():
        scores = espnet.load(weights, 'random')(torch.from_numpy(normalised.transpose(0, 3, 1, 2)).float()).numpy()
    known = scores[:, :11].astype(np.float64)
    odds = np.exp(known - known.max(1, keepdims=True))
    probability = (odds / odds.sum(1, keepdims=True)).max(1)
    runner_up = np.sort(known, axis=1)[:, -2]

    got = run(segmentation / 'out' / 'espnet_random.onnx', image=image)
    clear = known.max(1) - runner_up > 1e-3
    assert clear.mean() > 0.99
    assert (scores.argmax(1) == 11).any()
    assert len(np.unique(got['ids'])) > 3
    np.testing.assert_array_equal(got['ids'][clear], known.argmax(1)[clear])
    np.testing.assert_allclose(got['sure'], 255 * probability, atol=0.51)
    assert np.ptp(got['sure']) > 50


def test_flow_equals_torch_on_both_images(flow: Path, image: np.ndarray):
    network = nanoflownet.load(to_onnx.read_weights(flow / 'nanoflownet.npz'), 'random')
    now, then = image[..., :1], image[..., 1:2]
    pair = torch.from_numpy(np.concatenate([now, then], 3).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        expected = network((pair - 120) / 64).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(run(flow / 'n.onnx', now=now, then=then)['motion'], expected, atol=1e-3)


def test_the_graphs_are_static_with_bytes_in_and_results_out(segmentation: Path, flow: Path):
    byte, single = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    assert describe(segmentation / 'out' / 'espnet_random.onnx') == {
        'image': ([1, *SIZE, 3], byte), 'ids': ([1, *SIZE], byte), 'sure': ([1, *SIZE], byte)}
    assert describe(flow / 'n.onnx') == {
        'now': ([1, *SIZE, 1], byte), 'then': ([1, *SIZE, 1], byte), 'motion': ([1, 16, 24, 2], single)}


def test_the_graphs_suit_old_runtimes_and_have_no_slow_nodes(segmentation: Path, flow: Path):
    for file in (segmentation / 'out' / 'espnet_random.onnx', flow / 'n.onnx'):
        graph = onnx.load(file)
        assert [(opset.domain, opset.version) for opset in graph.opset_import] == [('', 13)]
        assert graph.ir_version <= 8
        # PRelu: ten times slower than its parts. Pad: not fused. Softmax: of all classes. Loop, If: not static.
        assert not {node.op_type for node in graph.graph.node} & {'PRelu', 'Pad', 'Softmax', 'Loop', 'If', 'Shape'}
        by_output = {output: node for node in graph.graph.node for output in node.output}
        assert not [node.name for node in graph.graph.node if node.op_type == 'BatchNormalization'
                    and by_output[node.input[0]].op_type == 'Conv']


def test_the_file_says_what_it_was_made_from(flow: Path):
    properties = {entry.key: entry.value for entry in onnx.load(flow / 'n.onnx').metadata_props}
    assert properties['model'] == 'nanoflownet_random'
    assert properties['license'] == 'none'
    assert properties['weights'] == 'nanoflownet.npz'
    assert re.fullmatch('[0-9a-f]{64}', properties['weights_sha256'])


def test_confidence_is_left_out_where_the_model_names_none(tmp_path: Path, image: np.ndarray, segmentation: Path):
    model = write_model(tmp_path, 'espnet_plain', SEGMENTATION.replace(', confidence: sure', ''))
    export(model, NETWORKS['espnet'], random_espnet(tmp_path), SIZE, tmp_path / 'x.onnx')
    got = run(tmp_path / 'x.onnx', image=image)
    assert list(got) == ['ids']
    np.testing.assert_array_equal(
        got['ids'], run(segmentation / 'out' / 'espnet_random.onnx', image=image)['ids'])


def test_a_failed_check_leaves_the_older_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = write_model(tmp_path, 'nanoflownet_random', FLOW)
    weights = random_nanoflownet(tmp_path)
    folder = tmp_path / 'out'
    folder.mkdir()
    (folder / 'x.onnx').write_text('older')
    monkeypatch.setattr(optical_flow, '_LIMITS', {'flow_px': -1.0})
    with pytest.raises(PerceptionError, match=r'ONNX Runtime .* and torch .* differ: flow differs by .*flow_px'):
        export(model, NETWORKS['nanoflownet'], weights, SIZE, folder / 'x.onnx')
    assert [path.name for path in folder.iterdir()] == ['x.onnx']
    assert (folder / 'x.onnx').read_text() == 'older'


@pytest.mark.parametrize(('network', 'size', 'message'), [
    ('espnet', (64, 100), 'size: got 64x100, expected multiples of 8 for espnet'),
    ('espnet', (0, 96), 'size: got 0x96'),
    ('nanoflownet', SIZE, 'got task segmentation with 3 channels, but nanoflownet is for optical_flow with 1'),
])
def test_a_size_or_a_network_that_does_not_fit_is_refused(tmp_path: Path, network: str, size: tuple[int, int],
                                                          message: str):
    model = write_model(tmp_path, 'espnet_random', SEGMENTATION)
    with pytest.raises(ConfigError, match=message):
        export(model, NETWORKS[network], random_espnet(tmp_path), size, tmp_path / 'x.onnx')
    assert not (tmp_path / 'x.onnx').exists()


def test_class_ids_with_a_gap_are_refused(tmp_path: Path):
    (tmp_path / 'two.yaml').write_text(
        'classes: [{id: 0, name: a, color: [0, 0, 0]}, {id: 2, name: b, color: [1, 1, 1]}]')
    model = write_model(tmp_path, 'espnet_random', SEGMENTATION.replace('camvid', str(tmp_path / 'two.yaml')))
    with pytest.raises(ConfigError, match=r'labels: two has the ids \[0, 2\], expected 0, 1, 2'):
        export(model, NETWORKS['espnet'], random_espnet(tmp_path), SIZE, tmp_path / 'x.onnx')


def test_fewer_outputs_than_classes_are_refused(tmp_path: Path):
    model = write_model(tmp_path, 'espnet_random', SEGMENTATION)
    with pytest.raises(ConfigError, match='at most 10 of them'):
        export(model, NETWORKS['espnet'], random_espnet(tmp_path, 10), SIZE, tmp_path / 'x.onnx')


def test_a_flow_scale_is_refused_because_graphs_give_pixels(tmp_path: Path):
    model = write_model(tmp_path, 'nanoflownet_random', FLOW.replace('motion}', 'motion, flow_scale: 2.0}'))
    with pytest.raises(ConfigError, match=r'flow_scale: got 2\.0, expected 1'):
        export(model, NETWORKS['nanoflownet'], random_nanoflownet(tmp_path), SIZE, tmp_path / 'x.onnx')


def test_the_network_follows_from_the_models_name():
    assert network_of('espnet_camvid') is NETWORKS['espnet']
    with pytest.raises(ConfigError, match=r'model mine: no network of that name.*--network'):
        network_of('mine')


COLORS = {1: 'gray, mean: [120], std: [64]', 3: 'bgr, mean: [100, 110, 120], std: [40, 50, 60]'}
EXPORTED = [*NETWORKS, 'swiftnet,encoder=repvgg,width=0.125', 'swiftnet,encoder=mobilenet_v2,width=0.125']


def model_of(folder: Path, network: Network) -> Model:
    text = SEGMENTATION if network.task == 'segmentation' else FLOW
    return write_model(folder, 'random', re.sub(r'color: [^}]*', f'color: {COLORS[network.channels]}', text))


def weights_of(folder: Path, name: str) -> Path:
    """Write random weights of a network, with statistics in its batch normalisation."""
    if name == 'nanoflownet':
        return random_nanoflownet(folder)
    torch.manual_seed(4)
    network, options = parse_network(name)
    module = network.build(**options)
    for key, tensor in module.state_dict().items():
        if key.endswith('running_mean'):
            tensor.normal_(0, 0.3)
        elif key.endswith('running_var'):
            tensor.uniform_(0.5, 1.5)
        elif key.endswith(('classifier.weight', 'logits.conv.weight')):
            tensor *= 20  # So that pixels differ in class and in confidence.
    torch.save(module.state_dict(), folder / 'weights.pth')
    return folder / 'weights.pth'


@pytest.mark.parametrize('name', EXPORTED)
def test_both_heads_of_a_network_equal_torch_and_each_other(tmp_path: Path, name: str):
    network, _ = parse_network(name)
    model = model_of(tmp_path, network)
    size = (network.multiple, 2 * network.multiple) if network.multiple >= 32 else SIZE
    weights = weights_of(tmp_path, name)
    for runtime in ('onnxruntime', 'tensorrt'):
        difference = export(model, network, weights, size, tmp_path / f'{runtime}.onnx', runtime)
        assert set(difference.measures) == {'labels' if model.labels else 'flow_px', 'confidence'}
        assert difference.is_rounding
    graph = onnx.load(str(tmp_path / 'tensorrt.onnx'))
    for generation in GENERATIONS:
        assert [finding for finding in check(graph, generation) if finding.fault] == []

    random = np.random.default_rng(5)
    images = {each: random.integers(0, 256, (*size, 3), np.uint8) for each in model.input.names}
    results = []
    for runtime, dtype in (('onnxruntime', np.uint8), ('tensorrt', np.float32)):
        file = tmp_path / f'{runtime}.onnx'
        feeds = {}
        for each, image in images.items():
            spec = TensorSpec(each, tuple(describe(file)[each][0]), np.dtype(dtype))
            feeds[each] = np.empty(spec.shape, dtype)
            # What an engine does with a frame.
            InputWriter(spec, model.input, FrameDecoder(), str(file)).write(frame_from_array(image), feeds[each])
        results.append(run(file, **feeds))
    bytes_out, results_out = results
    if network.task == 'segmentation':
        assert results_out['ids'].dtype == results_out['sure'].dtype == np.int32
        assert len(np.unique(bytes_out['ids'])) > 1
        assert (results_out['ids'] == bytes_out['ids']).mean() > 0.999
        assert np.abs(results_out['sure'] - bytes_out['sure'].astype(int)).max() <= 1
    else:
        assert np.ptp(bytes_out['motion']) > 0
        np.testing.assert_allclose(results_out['motion'], bytes_out['motion'], atol=1e-3)


def test_the_graph_for_tensorrt_has_floats_in_and_int32_out(tmp_path: Path):
    export(write_model(tmp_path, 'espnet_random', SEGMENTATION), NETWORKS['espnet'], random_espnet(tmp_path), SIZE,
           tmp_path / 's.onnx', 'tensorrt')
    export(write_model(tmp_path, 'nanoflownet_random', FLOW), NETWORKS['nanoflownet'], random_nanoflownet(tmp_path),
           SIZE, tmp_path / 'f.onnx', 'tensorrt')
    integer, single = onnx.TensorProto.INT32, onnx.TensorProto.FLOAT
    assert describe(tmp_path / 's.onnx') == {
        'image': ([1, 3, *SIZE], single), 'ids': ([1, *SIZE], integer), 'sure': ([1, *SIZE], integer)}
    assert describe(tmp_path / 'f.onnx') == {
        'now': ([1, 1, *SIZE], single), 'then': ([1, 1, *SIZE], single), 'motion': ([1, 16, 24, 2], single)}
    assert ('runtime', 'tensorrt') in [(each.key, each.value) for each in onnx.load(tmp_path / 's.onnx').metadata_props]


def test_the_networks_unit_of_flow_becomes_pixels(tmp_path: Path):
    assert (NETWORKS['flownets'].flow_px, NETWORKS['pwcnet'].flow_px, NETWORKS['nanoflownet'].flow_px) == (20, 20, 1)
    model, network = write_model(tmp_path, 'random', FLOW), torch.nn.Conv2d(2, 2, 3)
    now, then = torch.randn(1, 1, 9, 12), torch.randn(1, 1, 9, 12)
    with torch.no_grad():
        (flow,) = FlowHead(network, model.input, 20, runtime='tensorrt')(now, then)
        expected = 20 * network(torch.cat([now, then], 1)).permute(0, 2, 3, 1)
    torch.testing.assert_close(flow, expected, atol=0, rtol=0)


@pytest.mark.parametrize(('runtime', 'dtype'), [('onnxruntime', torch.uint8), ('tensorrt', torch.int32)])
def test_a_flow_is_certain_where_it_is_the_same_all_around(tmp_path: Path, runtime: Runtime, dtype: torch.dtype):
    class Border(torch.nn.Module):
        def forward(self, pair: torch.Tensor) -> torch.Tensor:
            flow = torch.zeros(1, 2, 64, 128)
            flow[:, 0, :, 64:] = 3
            return flow

    model = write_model(tmp_path, 'random', FLOW)
    images = torch.zeros((1, 128, 256, 1) if runtime == 'onnxruntime' else (1, 1, 128, 256))
    head = FlowHead(Border(), model.input, 2, runtime=runtime, confidence=True)
    flow, confidence = head(images, images)
    assert flow[0, 0, :, 0].tolist() == [0] * 64 + [6] * 64
    assert confidence.dtype == dtype
    assert confidence.shape == (1, 64, 128)
    row = confidence[0, 32].tolist()
    assert row[:36] == row[-36:] == [255] * 36  # More than two windows of 24 px of the input from the border.
    # The deviation falls from 3 px at the border to 0 half a window away: 1.5 px on average.
    assert min(row) == row[63] == pytest.approx(255 / (1 + 2 * 1.5), abs=3)
    assert (confidence == confidence[:, :1]).all()


def test_flow_at_full_size_is_the_same_flow_interpolated(tmp_path: Path, image: np.ndarray):
    model, weights = write_model(tmp_path, 'nanoflownet_random', FLOW), random_nanoflownet(tmp_path)
    feeds = {'now': image[..., :1], 'then': image[..., 1:2]}
    flows = []
    for name, full in (('quarter', False), ('full', True)):
        export(model, NETWORKS['nanoflownet'], weights, SIZE, tmp_path / f'{name}.onnx',
               head=HeadOptions(full_size_flow=full))
        flows.append(torch.from_numpy(run(tmp_path / f'{name}.onnx', **feeds)['motion']).permute(0, 3, 1, 2))
    quarter, full = flows
    assert full.shape == (1, 2, *SIZE)
    torch.testing.assert_close(full, torch.nn.functional.interpolate(quarter, SIZE, mode='bilinear'), atol=1e-4,
                               rtol=1e-4)
    with pytest.raises(ConfigError, match='--upsample: is not for segmentation'):
        export(write_model(tmp_path, 'espnet_random', SEGMENTATION), NETWORKS['espnet'], random_espnet(tmp_path), SIZE,
               tmp_path / 'x.onnx', head=HeadOptions(full_size_flow=True))


def test_pwcnets_coordinates_keep_the_names_by_which_they_stay_fp32(tmp_path: Path):
    network = NETWORKS['pwcnet']
    export(model_of(tmp_path, network), network, weights_of(tmp_path, 'pwcnet'), (64, 64), tmp_path / 'x.onnx',
           'tensorrt')
    graph = onnx.load(str(tmp_path / 'x.onnx')).graph
    inside = {node.op_type for node in graph.node if '/coordinates/' in node.name}
    assert {'Clip', 'Floor', 'Cast'} <= inside
    types = {value.name: value.type.tensor_type.elem_type
             for value in onnx.shape_inference.infer_shapes(onnx.load(str(tmp_path / 'x.onnx'))).graph.value_info}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    gathers = [types[node.input[1]] for node in graph.node if node.op_type == 'Gather']
    assert len(gathers) == 16
    assert set(gathers) == {onnx.TensorProto.INT32}


def test_a_graph_that_tensorrt_8_cannot_take_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, weights = write_model(tmp_path, 'nanoflownet_random', FLOW), random_nanoflownet(tmp_path)
    monkeypatch.setattr(nanoflownet, '_double', lambda x: torch.nn.functional.interpolate(
        x, scale_factor=2.0, mode='bicubic', align_corners=False))
    with pytest.raises(PerceptionError, match='TensorRT 8.2 does not support the graph:\n.*Resize with mode cubic'):
        export(model, NETWORKS['nanoflownet'], weights, SIZE, tmp_path / 'x.onnx', 'tensorrt')
    assert not (tmp_path / 'x.onnx').exists()
    export(model, NETWORKS['nanoflownet'], weights, SIZE, tmp_path / 'x.onnx', 'onnxruntime')


def test_merged_branches_and_folded_norms_are_what_is_written(tmp_path: Path):
    name = 'swiftnet,encoder=repvgg,width=0.125'
    network, _ = parse_network(name)
    export(model_of(tmp_path, network), network, weights_of(tmp_path, name), (64, 64), tmp_path / 'x.onnx')
    nodes = onnx.load(str(tmp_path / 'x.onnx')).graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count('Conv') == 22 + 12
    assert kinds.count('BatchNormalization') == 11
    assert not {'Identity', 'Constant', 'Shape'} & set(kinds)


def test_levels_that_need_no_normalising_are_only_cast(tmp_path: Path):
    plain = write_model(tmp_path, 'plain', SEGMENTATION.replace('mean: [100, 110, 120], std: [40, 50, 60]', ''))
    image = torch.arange(2 * 3 * 3, dtype=torch.uint8).view(1, 2, 3, 3)
    feed = GreyLevels(plain.input)
    torch.testing.assert_close(feed(image), image.permute(0, 3, 1, 2).float(), atol=0, rtol=0)
    graph = to_onnx.to_onnx(feed, [image]).graph
    assert [node.op_type for node in graph.node] == ['Transpose', 'Cast']


def test_an_option_of_a_network_reaches_it(tmp_path: Path):
    name = 'swiftnet,width=0.125'
    network, _ = parse_network(name)
    weights = weights_of(tmp_path, name)
    for upsample in ('nearest', 'bilinear'):
        export(model_of(tmp_path, network), network, weights, (64, 64), tmp_path / f'{upsample}.onnx',
               options={'upsample': upsample})
    modes = [{bytes(attribute.s) for node in onnx.load(str(tmp_path / f'{upsample}.onnx')).graph.node
              for attribute in node.attribute if attribute.name == 'mode'} for upsample in ('nearest', 'bilinear')]
    assert modes == [{b'nearest', b'linear'}, {b'linear'}]
    with pytest.raises(ConfigError, match="network swiftnet: got an unexpected keyword argument 'colour'"):
        network.load({}, 'x', colour='red')
    with pytest.raises(ConfigError, match="got 'width', expected option=value"):
        parse_network('swiftnet,width')


@pytest.mark.parametrize('name', ['flownets', 'pwcnet', 'swiftnet_cityscapes'])
def test_the_yamls_of_published_checkpoints_fit_their_networks(name: str):
    model = load_model(str(Path(__file__).parents[2] / 'configs' / 'models' / f'{name}.yaml'))
    network = network_of(model.name)
    assert (network.task, network.channels) == (model.task, model.input.mean.size)
    to_onnx.check_fit(model, network, network.size)
    if model.labels:
        assert len(model.labels.classes) == network.build().logits.conv.out_channels == 19


def export_random(capsys: pytest.CaptureFixture[str], output: Path, *arguments: str) -> str:
    status = main(['export', 'swiftnet,width=0.125', '--weights', 'random:3', '--size', '64', '96', '--output',
                   str(output), *arguments])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out


def test_random_weights_depend_on_the_seed_and_the_yaml_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                                image: np.ndarray):
    results = []
    for name, seed in (('a', 'random:3'), ('b', 'random:3'), ('c', 'random')):
        output = tmp_path / f'{name}.onnx'
        export_random(capsys, output, '--weights', seed)
        results.append(run(output, image=image))
    assert len(np.unique(results[0]['labels'])) > 3
    np.testing.assert_array_equal(results[0]['labels'], results[1]['labels'])
    assert (results[0]['labels'] != results[2]['labels']).any()
    model = load_model(str(tmp_path / 'a.yaml'))
    assert model.description == 'swiftnet,width=0.125 with RANDOM WEIGHTS (seed 3), to measure speed only'
    assert model.network_file('onnxruntime', 'fp32') == str(tmp_path / 'a.onnx')
    assert model.labels is not None
    assert len(model.labels.classes) == 19
    properties = {each.key: each.value for each in onnx.load(str(tmp_path / 'a.onnx')).metadata_props}
    assert properties['weights'] == 'random numbers of seed 3'


def test_labels_decided_at_a_quarter_are_those_of_the_scores_there(tmp_path: Path, image: np.ndarray):
    network, options = parse_network('swiftnet,width=0.125')
    module = random_network.random_module(network, options, 3)
    model = random_network.write_card(network, options, module, 3, tmp_path / 'q.onnx', 'onnxruntime')
    random_network.take_statistics(module, network, model)
    to_onnx.export_module(model, network, module, {}, SIZE, tmp_path / 'q.onnx',
                          options=HeadOptions(decision='quarter'))
    with torch.no_grad():
        scores = module.quarter(torch.from_numpy(image.transpose(0, 3, 1, 2)).float())
    best = scores.sort(1).values[0]
    expected = scores.argmax(1)[0].numpy()
    clear = np.kron((best[-1] - best[-2] > 1e-3).numpy(), np.ones((4, 4))).astype(bool)
    assert clear.mean() > 0.99
    got = run(tmp_path / 'q.onnx', image=image)
    assert got['labels'].shape == got['confidence'].shape == (1, *SIZE)
    np.testing.assert_array_equal(got['labels'][0][clear], np.kron(expected, np.ones((4, 4)))[clear])
    graph = onnx.load(str(tmp_path / 'q.onnx'))
    assert [finding for finding in check(graph, '8.6') if finding.fault and 'uint8' not in finding.text.lower()] == []


def test_scores_out_are_what_the_labels_are_the_largest_of(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                          image: np.ndarray):
    export_random(capsys, tmp_path / 'labels.onnx')
    export_random(capsys, tmp_path / 'logits.onnx', '--head', 'logits', '--for', 'tensorrt')
    assert not (tmp_path / 'logits.yaml').exists()
    scores = run(tmp_path / 'logits.onnx', image=image.transpose(0, 3, 1, 2).astype(np.float32))
    assert scores['logits'].shape == (1, 19, *SIZE)
    labels = run(tmp_path / 'labels.onnx', image=image)['labels']
    assert (scores['logits'].argmax(1) == labels).mean() > 0.999


@pytest.mark.parametrize(('arguments', 'message'), [
    (['swiftnet', '--weights', 'random:x'], "--weights random:x: got seed 'x', expected a whole number"),
    (['swiftnet', '--weights', 'random', '--network', 'espnet'], 'Give the network in place of the model'),
    (['swiftnett', '--weights', 'random'], "network: got 'swiftnett'. Did you mean 'swiftnet'?"),
    (['espnet', '--weights', 'random', '--head', 'quarter', '--size', '64', '96'], 'espnet has no scores at 1/4'),
    (['nanoflownet', '--weights', 'random', '--head', 'logits', '--size', '64', '96'], '--head: is not for optical'),
])
def test_what_cannot_be_exported_with_random_weights_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                             arguments: list[str], message: str):
    assert main(['export', *arguments, '--output', str(tmp_path / 'x.onnx')]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'x.onnx').exists()

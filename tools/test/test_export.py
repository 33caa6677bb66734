import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.model import Model, load_model

torch = pytest.importorskip('torch')

from trt_perception_tools import export as export_module  # noqa: E402
from trt_perception_tools.export import export  # noqa: E402
from trt_perception_tools.networks import NETWORKS, espnet, nanoflownet, network_of  # noqa: E402

SEGMENTATION = """
task: segmentation
description: ESPNet with random weights
license: none
files: {onnxruntime: {fp32: espnet_random.onnx}}
labels: camvid
input: {names: [picture], color: rgb, mean: [100, 110, 120], std: [40, 50, 60]}
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
def picture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (1, *SIZE, 3), np.uint8)


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('segmentation')
    model = write_model(folder, 'espnet_random', SEGMENTATION)
    difference = export(model, NETWORKS['espnet'], random_espnet(folder), SIZE, folder / 'out' / 'espnet_random.onnx')
    assert difference.labels <= 1e-3
    return folder


@pytest.fixture(scope='module')
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('flow')
    model = write_model(folder, 'nanoflownet_random', FLOW)
    difference = export(model, NETWORKS['nanoflownet'], random_nanoflownet(folder), SIZE, folder / 'n.onnx')
    assert difference.flow_px <= 1e-3
    return folder


def test_labels_and_confidence_equal_argmax_and_softmax_of_the_known_classes(segmentation: Path, picture: np.ndarray):
    weights = dict(export_module.read_weights(segmentation / 'espnet.pth'))
    normalised = (picture.astype(np.float32) - [100, 110, 120]) / np.array([40, 50, 60], np.float32)
    with torch.no_grad():
        scores = espnet.load(weights, 'random')(torch.from_numpy(normalised.transpose(0, 3, 1, 2)).float()).numpy()
    known = scores[:, :11].astype(np.float64)
    odds = np.exp(known - known.max(1, keepdims=True))
    probability = (odds / odds.sum(1, keepdims=True)).max(1)
    runner_up = np.sort(known, axis=1)[:, -2]

    got = run(segmentation / 'out' / 'espnet_random.onnx', picture=picture)
    clear = known.max(1) - runner_up > 1e-3
    assert clear.mean() > 0.99
    assert (scores.argmax(1) == 11).any()
    assert len(np.unique(got['ids'])) > 3
    np.testing.assert_array_equal(got['ids'][clear], known.argmax(1)[clear])
    np.testing.assert_allclose(got['sure'], 255 * probability, atol=0.51)
    assert np.ptp(got['sure']) > 50


def test_flow_equals_torch_on_both_pictures(flow: Path, picture: np.ndarray):
    network = nanoflownet.load(export_module.read_weights(flow / 'nanoflownet.npz'), 'random')
    now, then = picture[..., :1], picture[..., 1:2]
    pair = torch.from_numpy(np.concatenate([now, then], 3).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        expected = network((pair - 120) / 64).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(run(flow / 'n.onnx', now=now, then=then)['motion'], expected, atol=1e-3)


def test_the_graphs_are_static_with_bytes_in_and_results_out(segmentation: Path, flow: Path):
    byte, single = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    assert describe(segmentation / 'out' / 'espnet_random.onnx') == {
        'picture': ([1, *SIZE, 3], byte), 'ids': ([1, *SIZE], byte), 'sure': ([1, *SIZE], byte)}
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


def test_confidence_is_left_out_where_the_model_names_none(tmp_path: Path, picture: np.ndarray, segmentation: Path):
    model = write_model(tmp_path, 'espnet_plain', SEGMENTATION.replace(', confidence: sure', ''))
    export(model, NETWORKS['espnet'], random_espnet(tmp_path), SIZE, tmp_path / 'x.onnx')
    got = run(tmp_path / 'x.onnx', picture=picture)
    assert list(got) == ['ids']
    np.testing.assert_array_equal(
        got['ids'], run(segmentation / 'out' / 'espnet_random.onnx', picture=picture)['ids'])


def test_a_failed_check_leaves_the_older_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = write_model(tmp_path, 'nanoflownet_random', FLOW)
    weights = random_nanoflownet(tmp_path)
    folder = tmp_path / 'out'
    folder.mkdir()
    (folder / 'x.onnx').write_text('older')
    monkeypatch.setattr(export_module, '_TOLERANCE_PX', -1.0)
    with pytest.raises(PerceptionError, match=r'ONNX Runtime .* and torch .* differ by .*flow_px'):
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

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
import yaml

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_model

torch = pytest.importorskip('torch')
pytest.importorskip('torch_pruning')

from torch import nn  # noqa: E402

from trt_perception_tools import cli  # noqa: E402
from trt_perception_tools.export.to_onnx import export  # noqa: E402
from trt_perception_tools.networks import NETWORKS, swiftnet  # noqa: E402
from trt_perception_tools.networks.weights import read_weights  # noqa: E402
from trt_perception_tools.train import trainer  # noqa: E402
from trt_perception_tools.train.prune import prune  # noqa: E402

ENCODERS = ['resnet18', 'mobilenet_v2', 'repvgg']
MODEL = """
task: segmentation
description: SwiftNet with random weights and removed channels
license: none
files: {onnxruntime: {fp32: swiftnet_pruned.onnx}}
labels: camvid
input: {names: [image], color: rgb, mean: [0, 0, 0], std: [1, 1, 1]}
output: {labels: ids, confidence: sure}
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch):
    """Networks of this size are slower on several; and drawing takes longer than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(trainer, 'draw_curves', lambda *_: None)
    yield
    torch.set_num_threads(threads)


def random_network(encoder: str = 'resnet18', width: float = 0.375) -> swiftnet.SwiftNet:
    """Return a network whose batch normalisations do something and have another scale for every channel."""
    torch.manual_seed(0)
    network = swiftnet.SwiftNet(11, encoder, width).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = torch.linspace(0.5, 1.5, module.num_features)[torch.randperm(module.num_features)]
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
    network.logits.conv.bias.data.zero_()
    network.logits.conv.weight.data *= 10
    network.logits.conv.weight.data -= network.logits.conv.weight.data.mean(1, keepdim=True)  # Let no class win.
    return network


def scores(network: nn.Module, height: int = 64, width: int = 96) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255)


def widths(network: nn.Module) -> dict[str, int]:
    return {name: len(module.weight) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def count(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def save(network: nn.Module, folder: Path) -> Path:
    torch.save({'state_dict': network.state_dict()}, folder / 'weights.pt')
    return folder / 'weights.pt'


@pytest.mark.parametrize('encoder', ENCODERS)
def test_every_layer_but_the_classifier_gets_narrower_and_stays_a_multiple_of_8(encoder: str):
    network = random_network(encoder)
    before = widths(network)
    pruned = prune(network, 0.3)
    assert widths(network) == before
    after = widths(pruned)
    assert after.pop('logits.conv') == before.pop('logits.conv') == 11
    assert after == {name: max(int(channels * 0.7) // 8 * 8, 8) for name, channels in before.items()}
    assert scores(pruned).shape == (1, 11, 64, 96)
    assert count(pruned) < count(network) / 2


@pytest.mark.parametrize('encoder', ENCODERS)
def test_ratio_0_changes_nothing(encoder: str):
    network = random_network(encoder)
    pruned = prune(network, 0)
    assert widths(pruned) == widths(network)
    torch.testing.assert_close(scores(pruned), scores(network), rtol=0, atol=0)


@pytest.mark.parametrize('encoder', ENCODERS)
def test_what_is_left_computes_as_if_the_removed_channels_were_zero(encoder: str):
    network = random_network(encoder)
    pruned = prune(network, 0.3)
    # Everything passes a normalisation before it is used, and the scales tell which channels are left.
    for norm, rest in zip(norms(network), norms(pruned), strict=True):
        removed = ~torch.isin(norm.weight.data, rest.weight.data)
        assert removed.sum() == norm.num_features - rest.num_features
        norm.weight.data[removed] = 0
        norm.bias.data[removed] = 0
    assert scores(pruned).std() > 0.1
    torch.testing.assert_close(scores(pruned), scores(network), rtol=1e-4, atol=1e-4)


def test_the_smallest_scales_go_first():
    network = random_network()
    norm, rest = (each.backbone.layer1[0].bn1.weight.data for each in (network, prune(network, 0.3)))
    assert (len(norm), len(rest)) == (24, 16)
    assert sorted(rest.tolist()) == sorted(norm.tolist())[8:]


@pytest.mark.parametrize(('encoder', 'width'), [('resnet18', 0.375), ('mobilenet_v2', 0.125), ('repvgg', 0.25)])
def test_saved_and_loaded_weights_compute_the_same(encoder: str, width: float, tmp_path: Path):
    # Of width 0.125 is left a decoder of width 0.0625, which has another shortcut.
    pruned = prune(random_network(encoder, width), 0.3)
    again = NETWORKS['swiftnet'].load(read_weights(save(pruned, tmp_path)), 'w.pt')
    torch.testing.assert_close(scores(again), scores(pruned), rtol=0, atol=0)
    assert str(again) == str(pruned)  # What convolutions say of themselves.


@pytest.mark.parametrize('encoder', ENCODERS)
def test_onnx_runtime_computes_what_torch_does(encoder: str, tmp_path: Path):
    pruned = prune(random_network(encoder), 0.3)
    (tmp_path / 'swiftnet_pruned.yaml').write_text(MODEL)
    file = tmp_path / 'swiftnet_pruned.onnx'
    export(load_model(str(tmp_path / 'swiftnet_pruned.yaml')), NETWORKS['swiftnet'], save(pruned, tmp_path), (64, 96),
           file)
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    labels, _ = ort.InferenceSession(file, providers=['CPUExecutionProvider']).run(None, {'image': image})
    with torch.no_grad():
        expected = pruned(torch.from_numpy(image).permute(0, 3, 1, 2).float()).argmax(1).numpy()
    assert len(np.unique(labels)) > 1
    assert (labels != expected).mean() < 1e-3


@pytest.mark.parametrize('ratio', [-0.1, 1, 30, float('nan')])
def test_a_ratio_that_is_no_share_is_refused(ratio: float):
    with pytest.raises(ConfigError, match=f'ratio: got {ratio}, expected a share'):
        prune(random_network(width=0.125), ratio)


def write_recipe(folder: Path, **network: object) -> Path:
    """Write a recipe with three images, whose labels are left and right halves."""
    data = folder / 'camvid'
    for split in ('train', 'val'):
        for name in (split, f'{split}annot'):
            (data / name).mkdir(parents=True)
        (data / f'{split}.txt').write_text('0\n1\n2\n')
        for number in range(3):
            labels = np.full((32, 64), number, np.uint8)
            labels[:, 32:] += 1
            assert cv2.imwrite(str(data / split / f'{number}.png'), np.dstack([labels * np.uint8(60)] * 3))
            assert cv2.imwrite(str(data / f'{split}annot' / f'{number}.png'), labels)
    section = {'data': {'folder': str(data), 'size': [32, 64]}, 'batch': 3, 'augmentation': {'crop': [32, 64]},
               'network': network}
    (folder / 'recipe.yaml').write_text(yaml.safe_dump({
        'task': 'segmentation', 'output': str(folder / 'run'), 'epochs': 7, 'segmentation': section}))
    return folder / 'recipe.yaml'


def test_the_command_prunes_fine_tunes_and_prints_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network = random_network(width=0.1875)
    recipe = write_recipe(tmp_path, name='swiftnet', width=0.1875)
    command = ['prune', str(recipe), '--weights', str(save(network, tmp_path)), '--ratio', '0.5',
               '--output', str(tmp_path / 'out')]
    assert cli.main([*command, '--epochs', '2']) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-4:]]
    assert rows[0] == ['at', '32x64', 'parameters', 'GFLOPs', 'mIoU']
    assert [row[0] for row in rows[1:]] == ['before', 'pruned', 'fine-tuned']
    pruned = prune(network, 0.5)
    tuned = NETWORKS['swiftnet'].load(read_weights(tmp_path / 'out' / 'best.pt'), 'best.pt')
    assert widths(tuned) == widths(pruned)
    assert (scores(tuned) - scores(pruned)).abs().max() > 1e-3
    assert [int(row[1].replace(',', '')) for row in rows[1:]] == [count(network), count(pruned), count(tuned)]
    assert float(rows[1][2]) > 1.5 * float(rows[2][2]) == 1.5 * float(rows[3][2])
    history = json.loads((tmp_path / 'out' / 'history.json').read_text())
    assert len(history) == 2
    assert float(rows[3][3]) == pytest.approx(max(entry['score'] for entry in history), abs=1e-4)
    # Another ratio would go on with other widths.
    assert cli.main([*command, '--ratio', '0.25', '--epochs', '2']) == 2
    assert 'got a run with another settings' in capsys.readouterr().err


def test_without_epochs_nothing_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = write_recipe(tmp_path, name='swiftnet', width=0.125)
    network = random_network(width=0.125)
    weights = save(network, tmp_path)
    assert cli.main(['prune', str(recipe), '--weights', str(weights), '--epochs', '0', '--output', str(tmp_path)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ['at', 'before', 'pruned']
    assert not (tmp_path / 'best.pt').exists()
    pruned = NETWORKS['swiftnet'].load(read_weights(tmp_path / 'pruned.pt'), 'pruned.pt')
    torch.testing.assert_close(scores(pruned), scores(prune(network, 0.3)), rtol=0, atol=0)


def test_other_networks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = write_recipe(tmp_path, name='espnet')
    assert cli.main(['prune', str(recipe), '--weights', 'none.pt', '--output', str(tmp_path / 'out')]) == 2
    assert 'recipe.yaml: network: got EspNet, expected SwiftNet' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()

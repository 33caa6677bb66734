import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import Model, load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.engines import EngineOptions, open_engine

torch = pytest.importorskip('torch')

from trt_perception_tools.cli import main  # noqa: E402
from trt_perception_tools.datasets.flow import flow_pairs  # noqa: E402
from trt_perception_tools.datasets.images import read_image  # noqa: E402
from trt_perception_tools.export import to_tflite as module  # noqa: E402
from trt_perception_tools.export.to_onnx import export  # noqa: E402
from trt_perception_tools.export.to_tflite import to_tflite  # noqa: E402
from trt_perception_tools.networks import NETWORKS, espnet, tinypwc  # noqa: E402

FLOW = """
task: optical_flow
description: TinyPwc with random weights
license: none
files:
  onnxruntime: {fp32: random.onnx}
  tflite: {fp32: random.tflite, int8: random.tflite}
input: {names: [now, then], color: gray, mean: [120], std: [64]}
output: {flow: motion}
"""
SEGMENTATION = """
task: segmentation
description: ESPNet with random weights
license: none
files: {tflite: {fp32: random.tflite, int8: random.tflite}}
labels: camvid
input: {names: [image], color: rgb, mean: [100, 110, 120], std: [40, 50, 60]}
output: {labels: ids, confidence: sure}
"""
SIZE = (64, 96)


def write_model(folder: Path, text: str) -> Model:
    (folder / 'random.yaml').write_text(text)
    return load_model(str(folder / 'random.yaml'))


def random_tinypwc(folder: Path) -> Path:
    torch.manual_seed(1)
    torch.save(tinypwc.TinyPwc().state_dict(), folder / 'weights.pt')
    return folder / 'weights.pt'


def blobs(count: int) -> list[list]:
    """Return pairs of frames of an image that moves."""
    images = module.example_images(count + 1, SIZE)
    frames = [frame_from_array(image, 1 + number) for number, image in enumerate(images)]
    return [frames[number:number + 2] for number in range(count)]


def flow_of(model: Model, options: EngineOptions, pair: list) -> np.ndarray:
    pipeline = OpticalFlowPipeline(open_engine(model, options), model)
    assert pipeline.process(pair[0]) is None
    field = pipeline.process(pair[1])
    assert field is not None
    return field.flow.copy()


def needs_extra() -> None:
    for name in ('litert_torch', 'ai_edge_quantizer'):
        pytest.importorskip(name, reason='the extra `tflite` is not installed')


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, 'litert_torch', None)
    weights = random_tinypwc(tmp_path)
    assert main(['to-tflite', 'tinypwc', '--weights', str(weights), '--output', str(tmp_path / 'a.tflite')]) == 2
    text = capsys.readouterr().err
    assert text.startswith('trt_perception_tools to-tflite: ConfigError: needs LiteRT Torch: ')
    assert "pip install -e . -e './tools[tflite]'" in text


@pytest.mark.parametrize('quantise', ['convolutions', 'full'])
def test_int8_without_images_is_refused(tmp_path: Path, quantise: str):
    model = write_model(tmp_path, FLOW)
    with pytest.raises(ConfigError, match=f'--quantise {quantise}: got no images, .* Give a folder with --images'):
        to_tflite(model, NETWORKS['tinypwc'], random_tinypwc(tmp_path), SIZE, tmp_path / 'a.tflite', quantise)


def test_the_flow_is_that_of_the_onnx_export(tmp_path: Path):
    needs_extra()
    model, weights = write_model(tmp_path, FLOW), random_tinypwc(tmp_path)
    result = to_tflite(model, NETWORKS['tinypwc'], weights, SIZE, tmp_path / 'random.tflite')
    assert result.precision == 'fp32'
    assert result.difference < 1e-4
    export(model, NETWORKS['tinypwc'], weights, SIZE, tmp_path / 'random.onnx')
    pair = blobs(1)[0]
    flow = flow_of(model, EngineOptions('tflite'), pair)
    np.testing.assert_allclose(flow, flow_of(model, EngineOptions('onnxruntime'), pair), atol=1e-3)
    assert flow.std() > 0.01
    assert sorted(path.name for path in tmp_path.iterdir()) == ['random.onnx', 'random.tflite', 'random.yaml',
                                                                'weights.pt']


@pytest.mark.parametrize(('quantise', 'precision', 'limit'), [
    ('weights', 'fp32', 0.1), ('convolutions', 'int8', 0.2), ('full', 'int8', 0.5)])
def test_a_quantised_network_is_smaller_and_still_near(tmp_path: Path, quantise: str, precision: str, limit: float):
    needs_extra()
    model, weights = write_model(tmp_path, FLOW), random_tinypwc(tmp_path)
    to_tflite(model, NETWORKS['tinypwc'], weights, SIZE, tmp_path / 'random.tflite')
    exact_bytes = (tmp_path / 'random.tflite').stat().st_size
    exact = flow_of(model, EngineOptions('tflite'), blobs(3)[2])
    result = to_tflite(model, NETWORKS['tinypwc'], weights, SIZE, tmp_path / 'random.tflite', quantise, blobs(3))
    assert result.precision == precision
    assert (tmp_path / 'random.tflite').stat().st_size < 0.5 * exact_bytes
    rough = flow_of(model, EngineOptions('tflite', precision), blobs(3)[2])
    assert 0 < np.abs(rough - exact).mean() < limit * np.abs(exact).mean()


def test_labels_are_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    needs_extra()
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    network = espnet.EspNet(12, 1, 2)
    network.classifier.weight.data *= 20  # So that pixels differ in class.
    torch.save(network.state_dict(), tmp_path / 'weights.pth')
    model = write_model(tmp_path, SEGMENTATION)
    result = to_tflite(model, NETWORKS['espnet'], Path('weights.pth'), SIZE, Path('random.tflite'))
    assert result.difference < 1e-3
    engine = open_engine(model, EngineOptions('tflite'))
    assert [(each.name, each.shape, each.dtype) for each in engine.outputs] == [
        ('ids', (1, *SIZE), np.uint8), ('sure', (1, *SIZE), np.uint8)]
    engine.put_image('image', blobs(1)[0][0])
    assert len(np.unique(engine.infer()['ids'])) > 1


# The published network.

@pytest.mark.parametrize('scene', ['RubberWhale', 'Venus'])
def test_the_published_tflite_gives_the_flow_of_our_export(tmp_path: Path, data: Path, scene: str):
    pytest.importorskip('ai_edge_litert')
    weights = data / 'weights_nanoflownet'
    shutil.copy(Path(__file__).parents[2] / 'configs' / 'models' / 'nanoflownet_tflite.yaml', tmp_path)
    (tmp_path / 'nanoflownet_unquantized.tflite').symlink_to(weights / 'nanoflownet_unquantized.tflite')
    published = load_model(str(tmp_path / 'nanoflownet_tflite.yaml'))
    ours = load_model('nanoflownet')._replace(files={'onnxruntime': {'fp32': str(tmp_path / 'nanoflownet.onnx')}})
    export(ours, NETWORKS['nanoflownet'], weights / 'nanoflownet.npz', (112, 160), tmp_path / 'nanoflownet.onnx')
    found = next(pair for pair in flow_pairs(data / 'flow_middlebury') if scene in pair.name)
    pair = [frame_from_array(read_image(file), 1 + number) for number, file in
            enumerate((found.first, found.second))]
    flow = flow_of(published, EngineOptions('tflite'), pair)
    # Images are enlarged about 4 times, and so is what differs.
    np.testing.assert_allclose(flow, flow_of(ours, EngineOptions('onnxruntime'), pair), atol=2e-3)
    assert np.abs(flow).mean() > 0.5

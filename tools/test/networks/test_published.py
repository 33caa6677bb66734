"""Networks against ../shared/reference: names, shapes and outputs of the published ones for made-up weights."""
import json
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip('torch')

from trt_perception_tools.networks import flownets, pwcnet, swiftnet  # noqa: E402

REFERENCE = Path(__file__).parents[4] / 'shared' / 'reference'
NETWORKS = {'swiftnet_rn18': (swiftnet.SwiftNet, swiftnet.load), 'flownets': (flownets.FlowNetS, flownets.load),
            'flownets_bn': (lambda: flownets.FlowNetS(batch_norm=True), flownets.load),
            'pwcnet': (pwcnet.PwcNet, pwcnet.load)}
# All of them in onnx-tensorrt's docs/operators.md of 8.2.
OPERATORS = {
    'Abs', 'Add', 'BatchNormalization', 'Cast', 'Clip', 'Concat', 'Constant', 'Conv', 'ConvTranspose', 'Div', 'Floor',
    'Gather', 'LeakyRelu', 'Less', 'MatMul', 'MaxPool', 'Mul', 'Pad', 'ReduceMean', 'Relu', 'Reshape', 'Resize',
    'Shape', 'Slice', 'Split', 'Sub', 'Transpose', 'Unsqueeze'}

needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f'no reference networks in {REFERENCE}')


def made_up_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Make the weights that the golden outputs were computed with, for any layout; constants as constructed."""
    weights = {}
    for name, shape in shapes.items():
        normal = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.endswith('running_var'):
            array = 1 + 0.1 * np.abs(normal)
        elif name.endswith(('running_mean', 'bias')):
            array = 0.1 * normal
        elif len(shape) == 1:
            array = 1 + 0.1 * normal
        else:
            array = normal * np.sqrt(1.5 / np.prod(shape[1:]))
        weights[name] = np.float32(array)
        if name.endswith('num_batches_tracked'):
            weights[name] = np.array(0)
        elif name.endswith('img_mean'):
            weights[name] = np.float32([73.15, 82.90, 72.3]).reshape(shape)
        elif name.endswith('img_std'):
            weights[name] = np.float32([47.67, 48.49, 47.73]).reshape(shape)
    return weights


def image(phase: float, height: int = 128, width: int = 192) -> torch.Tensor:
    """Make (1, 3, H, W) float32, RGB 0..255."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [0.11 * x + 0.05 * y + phase, 0.07 * x - 0.13 * y + 2 * phase, 0.003 * x * y / 8 + phase]
    return torch.from_numpy(127.5 + 127.5 * np.sin(np.float32(waves)))[None]


def published_input(name: str, *size: int) -> torch.Tensor:
    first, second = image(0, *size), image(0.35, *size)
    if name.startswith('swiftnet'):
        return first
    if name.startswith('flownets'):
        return torch.cat([first, second], 1) / 255 - torch.tensor([0.411, 0.432, 0.45] * 2).view(1, 6, 1, 1)
    return torch.cat([first.flip(1), second.flip(1)], 1) / 255


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@needs_reference
@pytest.mark.parametrize('name', NETWORKS)
def test_names_and_shapes_are_those_of_the_published_checkpoint(name: str):
    layout = json.loads((REFERENCE / f'{name}_checkpoint.json').read_text())
    assert shapes_of(NETWORKS[name][0]()) == {key: tuple(shape) for key, shape in layout.items()}


@needs_reference
@pytest.mark.parametrize('name', NETWORKS)
def test_outputs_are_those_of_the_published_network(name: str):
    build, load = NETWORKS[name]
    network = load(made_up_weights(shapes_of(build())), 'made up')
    with torch.no_grad():
        output = network(published_input(name))[0].numpy()
    with np.load(REFERENCE / f'{name.removesuffix("_rn18")}_golden.npz') as golden:
        if 'labels' in golden:
            np.testing.assert_allclose(output[:, ::4, ::4], golden['logits_stride4'], rtol=0, atol=1e-3)
            np.testing.assert_array_equal(output.argmax(0), golden['labels'])
        else:
            np.testing.assert_allclose(output, golden['flow_quarter'], rtol=0, atol=1e-3)


@pytest.mark.parametrize(('name', 'build', 'nodes'), [
    ('swiftnet', swiftnet.SwiftNet, 125),
    ('swiftnet', lambda: swiftnet.SwiftNet(5, 'mobilenet_v2', 0.5, 'nearest'), 170),
    ('flownets', flownets.FlowNetS, 41),
    ('flownets', lambda: flownets.FlowNetS(batch_norm=True), 41),
    ('pwcnet', lambda: pwcnet.PwcNet(16), 550)], ids=['swiftnet', 'mobilenet', 'flownets', 'flownets_bn', 'pwcnet'])
def test_export_is_silent_has_only_operators_of_tensorrt_8_2_and_equals_torch(name, build, nodes, tmp_path):
    network = build().eval()
    weights = made_up_weights(shapes_of(network))
    network.load_state_dict({key: torch.from_numpy(np.asarray(array)) for key, array in weights.items()})
    image = published_input(name, 64, 128)
    file = str(tmp_path / 'network.onnx')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.onnx.export(network, (image,), file, input_names=['image'], opset_version=13, dynamo=False)
    graph = onnx.load(file).graph
    assert {node.op_type for node in graph.node} <= OPERATORS
    assert sum(node.op_type != 'Constant' for node in graph.node) <= nodes
    got, = ort.InferenceSession(file, providers=['CPUExecutionProvider']).run(None, {'image': image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, network(image).numpy(), rtol=0, atol=1e-3)

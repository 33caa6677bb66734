from pathlib import Path

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_model

torch = pytest.importorskip('torch')

from trt_perception_tools.networks import espnet  # noqa: E402
from trt_perception_tools.networks.weights import read_weights  # noqa: E402


def arrays_of(network: espnet.EspNet) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize('suffix', ['npz', 'pth'])
def test_published_weights_fit_without_remainder(data: Path, suffix: str):
    weights = read_weights(data / 'weights_espnet' / f'espnet_p_2_q_8_camvid.{suffix}')
    network = espnet.load(weights, 'published')
    assert sum(parameter.numel() for parameter in network.parameters()) == 354_517
    state = {name: value for name, value in arrays_of(network).items() if not name.endswith('num_batches_tracked')}
    assert set(state) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(state[name], array)


def test_classes_and_depth_follow_from_the_weights():
    network = espnet.load(arrays_of(espnet.EspNet(5, 1, 3)), 'here')
    assert len(network.encoder.level2) == 1
    assert len(network.encoder.level3) == 3
    assert network(torch.zeros(1, 3, 16, 24)).shape == (1, 5, 16, 24)


def test_prelu_of_elementwise_operations_equals_that_of_torch():
    ours = espnet._PRelu(3)
    ours.weight.data = torch.tensor([-0.5, 0.25, 1.7])
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(ours(x), torch.nn.functional.prelu(x, ours.weight), rtol=0, atol=0)


def test_foreign_weights_are_refused_with_the_file_and_the_array():
    with pytest.raises(ConfigError, match=r'w\.pth: no array classifier\.weight'):
        espnet.load({'conv.weight': np.zeros(1, np.float32)}, 'w.pth')
    weights = arrays_of(espnet.EspNet(5, 1, 1))
    del weights['encoder.level3.0.d8.conv.weight']
    with pytest.raises(ConfigError, match=r'w\.pth(.|\n)*encoder\.level3\.0\.d8\.conv\.weight'):
        espnet.load(weights, 'w.pth')


def reference_scores(weights: dict[str, np.ndarray], image: torch.Tensor) -> torch.Tensor:
    """Return the scores of ESPNet as its paper draws it, from the arrays alone; the decoder joins level 1 at 1/2."""
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    functional = torch.nn.functional

    def convolved(x: torch.Tensor, name: str, stride: int = 1, dilation: int = 1) -> torch.Tensor:
        kernel = state[f'{name}.conv.weight']
        return functional.conv2d(x, kernel, None, stride, dilation * (kernel.shape[-1] // 2), dilation)

    def normalised(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.batch_norm(x, state[f'{name}.running_mean'], state[f'{name}.running_var'],
                                     state[f'{name}.weight'], state[f'{name}.bias'], eps=1e-3)

    def activated(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.prelu(normalised(x, f'{name}.bn'), state[f'{name}.act.weight'])

    def pyramid(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        reduced = convolved(x, f'{name}.c1', stride)
        branches = [convolved(reduced, f'{name}.d{rate}', dilation=rate) for rate in (1, 2, 4, 8, 16)]
        return torch.cat([branches[0], *torch.stack(branches[1:]).cumsum(0)], 1)

    def blocks(x: torch.Tensor, level: str) -> torch.Tensor:
        first = activated(pyramid(x, f'{level}_0', 2), f'{level}_0')
        x = first
        for number in range(len({name.split('.')[2] for name in state if name.startswith(f'{level}.')})):
            x = activated(x + pyramid(x, f'{level}.{number}'), f'{level}.{number}.bn')
        return torch.cat([x, first] if level.endswith('2') else [first, x], 1)

    def enlarged(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.conv_transpose2d(x, state[f'{name}.weight'], stride=2)

    half = functional.avg_pool2d(image, 3, 2, 1)
    level1 = activated(convolved(image, 'encoder.level1', 2), 'encoder.level1')
    at_2 = activated(torch.cat([level1, half], 1), 'encoder.b1')
    at_4 = torch.cat([blocks(at_2, 'encoder.level2'), functional.avg_pool2d(half, 3, 2, 1)], 1)
    at_4 = activated(at_4, 'encoder.b2')
    at_8 = activated(blocks(at_4, 'encoder.level3'), 'encoder.b3')
    up_4 = enlarged(normalised(convolved(at_8, 'encoder.classifier'), 'br'), 'up_l3.0')
    joined = activated(torch.cat([convolved(at_4, 'level3_C'), up_4], 1), 'combine_l2_l3.0')
    merged = activated(pyramid(joined, 'combine_l2_l3.1'), 'combine_l2_l3.1.bn')
    up_2 = activated(enlarged(merged, 'up_l2.0'), 'up_l2.1')
    return enlarged(activated(convolved(torch.cat([up_2, level1], 1), 'conv'), 'conv'), 'classifier')


@pytest.mark.parametrize('depth', [3, 5])
def test_weights_for_cityscapes_join_the_first_layer_without_the_image(depth: int):
    torch.manual_seed(depth)
    made = espnet.EspNet(20, 2, depth, joins_image=False)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    for name, buffer in made.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            buffer.uniform_(0.5, 1.5)
    weights = arrays_of(made)
    assert weights['conv.conv.weight'].shape == (20, 16 + 20, 3, 3)
    network = espnet.load(weights, 'cityscapes')
    image = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        scores = network(image)
        expected = reference_scores(weights, image)
    assert expected.std() > 0
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_the_model_for_cityscapes_has_its_normalisation_and_classes():
    model = load_model(str(Path(__file__).parents[2] / 'configs' / 'models' / 'espnet_cityscapes.yaml'))
    assert model.labels is not None
    assert [each.name for each in model.labels.classes][:3] == ['road', 'sidewalk', 'building']
    assert len(model.labels.classes) == 19
    np.testing.assert_allclose(model.input.std / 255, [45.3192, 46.1529, 44.9148], atol=1e-3)

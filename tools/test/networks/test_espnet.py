from pathlib import Path

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError

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

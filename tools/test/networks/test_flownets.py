import numpy as np
import pytest

from trt_perception.core.errors import ConfigError

torch = pytest.importorskip('torch')

from trt_perception_tools.networks import flownets  # noqa: E402


@pytest.mark.parametrize('batch_norm', [False, True])
def test_batch_normalisation_follows_from_the_weights(batch_norm: bool):
    published = flownets.FlowNetS(batch_norm)
    network = flownets.load({name: value.numpy() for name, value in published.state_dict().items()}, 'here')
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()) == batch_norm
    with torch.no_grad():
        assert network(torch.rand(1, 6, 64, 128)).shape == (1, 2, 16, 32)


def test_foreign_weights_are_refused_with_the_file():
    with pytest.raises(ConfigError, match=r'w\.pth: expected the weights of FlowNetS'):
        flownets.load({'conv.weight': np.zeros(1, np.float32)}, 'w.pth')

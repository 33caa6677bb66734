import numpy as np
import pytest

from trt_perception.core.errors import ConfigError

torch = pytest.importorskip('torch')

from torch.nn import functional  # noqa: E402

from trt_perception_tools.networks import NETWORKS, tinypwc  # noqa: E402


def test_flow_has_half_the_size_and_every_level_its_own():
    torch.manual_seed(0)
    network = tinypwc.TinyPwc().eval()
    with torch.no_grad():
        levels = network.pyramid(torch.randn(2, 2, 64, 96))
        assert [tuple(level.shape) for level in levels] == [(2, 2, 4, 6), (2, 2, 8, 12), (2, 2, 16, 24), (2, 2, 32, 48)]
        assert torch.equal(network(torch.zeros(1, 2, 64, 96)), network.pyramid(torch.zeros(1, 2, 64, 96))[-1])


def test_pairs_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    network = tinypwc.TinyPwc().eval()
    pairs = torch.randn(3, 2, 32, 48)
    with torch.no_grad():
        together, alone = network(pairs), torch.cat([network(pair[None]) for pair in pairs])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_warp_is_grid_sample_with_the_border_repeated():
    torch.manual_seed(0)
    features, flow = torch.randn(2, 5, 9, 12), 6 * torch.randn(2, 2, 9, 12)
    rows, columns = torch.meshgrid(torch.arange(9.), torch.arange(12.), indexing='ij')
    grid = torch.stack([(columns + flow[:, 0]) * 2 / 11 - 1, (rows + flow[:, 1]) * 2 / 8 - 1], 3)
    expected = functional.grid_sample(features, grid, align_corners=True, padding_mode='border')
    torch.testing.assert_close(tinypwc.Warp()(features, flow), expected, atol=1e-5, rtol=1e-5)


def test_warp_by_a_whole_motion_moves_pixels():
    features = torch.arange(12.).reshape(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = 1
    assert tinypwc.Warp()(features, flow)[0, 0].tolist() == [[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]


def test_cost_volume_is_largest_where_the_features_went():
    torch.manual_seed(0)
    first = torch.randn(1, 16, 8, 10)
    second = torch.roll(first, (1, -2), (2, 3))  # 1 down, 2 left.
    volume = tinypwc.cost_volume(first, second, 2)
    assert volume.shape == (1, 25, 8, 10)
    best = volume[:, :, 2:-2, 2:-2].argmax(1)
    assert (best == (1 + 2) * 5 + (-2 + 2)).all()
    torch.testing.assert_close(volume[0, 0, 4, 5], (first[0, :, 4, 5] * second[0, :, 2, 3]).mean())


@pytest.mark.parametrize(('width', 'radius'), [(40, 4), (17, 3), (48, 2), (6, 1)])
def test_cost_volume_is_every_mean_product(width: int, radius: int):
    torch.manual_seed(0)
    first, second = torch.randn(2, 8, 5, width), torch.randn(2, 8, 5, width)
    padded = functional.pad(second, (radius,) * 4)
    side = 2 * radius + 1
    expected = torch.stack([(first * padded[:, :, dy:dy + 5, dx:dx + width]).mean(1)
                            for dy in range(side) for dx in range(side)], 1)
    torch.testing.assert_close(tinypwc.cost_volume(first, second, radius), expected)


def test_weights_come_back_as_saved_and_others_are_refused():
    torch.manual_seed(0)
    state = {name: value.numpy() for name, value in tinypwc.TinyPwc().state_dict().items()}
    loaded = NETWORKS['tinypwc'].load(state, 'w.pt')
    assert all(np.array_equal(value.numpy(), state[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training
    with pytest.raises(ConfigError, match=r'w\.pt: expected the weights of TinyPwc: (.|\n)*pixels\.0\.0\.weight'):
        NETWORKS['tinypwc'].load({}, 'w.pt')

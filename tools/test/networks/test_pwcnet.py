import numpy as np
import onnx
import pytest

from trt_perception.core.errors import ConfigError

torch = pytest.importorskip('torch')

from torch.nn import functional  # noqa: E402

from trt_perception_tools.networks import pwcnet  # noqa: E402


@pytest.fixture(autouse=True)
def _same_random_numbers():
    torch.manual_seed(0)


def warped_with_grid_sample(features: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Warp as the published network does: grid_sample, and 0 where the same sampling of ones gives less than 0.9999."""
    height, width = flow.shape[2:]
    x = torch.arange(width) + flow[:, 0]
    y = torch.arange(height)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], 3)
    sampled = functional.grid_sample(features, grid, align_corners=True)
    mask = functional.grid_sample(torch.ones_like(features), grid, align_corners=True) >= 0.9999
    return sampled * mask


@pytest.mark.parametrize(('height', 'width'), [(2, 2), (2, 5), (32, 48)])
@pytest.mark.parametrize('reach', [0.0, 1.0, 30.0])
def test_warping_equals_grid_sample_with_its_mask(height: int, width: int, reach: float):
    features = torch.randn(1, 3, height, width)
    flow = reach * torch.randn(1, 2, height, width)
    expected = warped_with_grid_sample(features, 2.5 * flow)
    torch.testing.assert_close(pwcnet.Warp()(features, flow, 2.5), expected, rtol=0, atol=1e-4)


def test_warping_by_whole_pixels_moves_and_clears_what_comes_from_outside():
    features = torch.arange(1., 13.).reshape(1, 1, 3, 4)
    flow = torch.tensor([2., -1.]).view(1, 2, 1, 1).expand(1, 2, 3, 4)
    assert pwcnet.Warp()(features, flow, 1.0)[0, 0].tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]]


def test_half_precision_features_and_flow_are_warped_with_exact_coordinates():
    features, flow = torch.randn(1, 4, 64, 512).half(), (5 * torch.randn(1, 2, 64, 512)).half()
    warped = pwcnet.Warp()(features, flow, 1.25)
    assert warped.dtype == torch.half
    torch.testing.assert_close(warped.float(), pwcnet.Warp()(features.float(), flow.float(), 1.25), rtol=0, atol=2e-2)


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_exported_indices_are_int32_and_coordinates_have_their_own_name(tmp_path):
    class OneWarp(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.warp = pwcnet.Warp()

        def forward(self, features: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
            return self.warp(features, flow, 5.0)

    torch.onnx.export(OneWarp(), (torch.zeros(1, 4, 8, 9), torch.zeros(1, 2, 8, 9)), str(tmp_path / 'warp.onnx'),
                      opset_version=13, dynamo=False)
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(tmp_path / 'warp.onnx'))).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    indices = [node.input[1] for node in graph.node if node.op_type == 'Gather']
    assert [types[name] for name in indices] == [onnx.TensorProto.INT32] * 4
    for node in graph.node:
        if node.op_type in ('Floor', 'Clip', 'Less', 'Abs'):
            assert '/coordinates/' in node.name


def test_cost_volume_equals_a_plain_loop_over_displacements_and_pixels():
    first, second = torch.randn(2, 1, 3, 6, 7)
    expected = np.zeros((81, 6, 7), np.float32)
    for number, (dy, dx) in enumerate((dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)):
        for y in range(max(0, -dy), min(6, 6 - dy)):
            for x in range(max(0, -dx), min(7, 7 - dx)):
                expected[number, y, x] = (first[0, :, y, x] * second[0, :, y + dy, x + dx]).mean()
    np.testing.assert_allclose(pwcnet.cost_volume(first, second)[0].numpy(), expected, rtol=0, atol=1e-6)


def test_cost_volume_can_be_trained_through():
    pair = torch.randn(2, 1, 2, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(pwcnet.cost_volume, tuple(pair))


def test_loaded_network_has_multiples_of_16_channels_and_the_same_flow():
    published = pwcnet.PwcNet().eval()
    network = pwcnet.load({name: value.numpy() for name, value in published.state_dict().items()}, 'here')
    assert {network.get_parameter(f'conv{level}_0.0.weight').shape[1] % 16 for level in range(2, 6)} == {0}
    pair = torch.rand(1, 6, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(pair), published(pair))


def test_foreign_weights_are_refused_with_the_file():
    with pytest.raises(ConfigError, match=r'w\.pth: expected the weights of PwcNet'):
        pwcnet.load({'conv.weight': np.zeros(1, np.float32)}, 'w.pth')

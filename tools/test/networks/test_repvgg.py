import pytest

torch = pytest.importorskip('torch')
from torch import nn  # noqa: E402

from trt_perception_tools.networks import swiftnet  # noqa: E402
from trt_perception_tools.networks.repvgg import RepVggBlock, merge  # noqa: E402


def trained(network: nn.Module) -> nn.Module:
    """Give every batch normalisation statistics and factors of its own."""
    torch.manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


@pytest.mark.parametrize(('inputs', 'outputs', 'stride'), [(6, 6, 1), (6, 6, 2), (3, 8, 1), (3, 8, 2)])
def test_a_merged_block_equals_its_branches(inputs: int, outputs: int, stride: int):
    block = trained(RepVggBlock(inputs, outputs, stride))
    assert (block.rbr_identity is not None) == (inputs == outputs and stride == 1)
    x = torch.randn(2, inputs, 9, 12)
    with torch.no_grad():
        expected, got = block(x), block.merged()(x)
    assert expected.shape == (2, outputs, -(-9 // stride), 12 // stride)
    assert (expected > 0).float().mean() > 0.2
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_a_merged_network_equals_the_trained_one_and_leaves_it_as_it_was():
    network = trained(swiftnet.SwiftNet(5, 'repvgg', 0.125))
    image = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        expected = network(image)
        merged = merge(network)
        got, after = merged(image), network(image)
    assert expected.std() > 0.01
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after, expected, atol=0, rtol=0)
    assert not [module for module in merged.modules() if isinstance(module, RepVggBlock)]
    # 22 blocks: the stem, and 2, 4, 14 and 1.
    convolutions = [sum(isinstance(module, nn.Conv2d) for module in each.modules()) for each in (network, merged)]
    assert convolutions[0] - convolutions[1] == 22
    assert not any(name.endswith('.bn') for name, _ in merged.backbone.stage3.named_modules())


def test_merging_leaves_a_network_without_such_blocks_alone():
    network = swiftnet.SwiftNet(5, 'mobilenet_v2', 0.125)
    assert merge(network) is network
    assert isinstance(merge(RepVggBlock(4, 4)), nn.Sequential)


def test_the_encoder_follows_from_the_weights():
    network = trained(swiftnet.SwiftNet(5, 'repvgg', 0.125))
    loaded = swiftnet.load({name: value.numpy() for name, value in network.state_dict().items()}, 'x.pth')
    image = torch.rand(1, 3, 32, 64) * 255
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), network(image), atol=0, rtol=0)


def test_names_and_shapes_are_those_of_the_published_encoder():
    # RepVGG-A0, without its classifier.
    state = swiftnet.SwiftNet(5, 'repvgg').backbone.state_dict()
    assert tuple(state['stage0.rbr_dense.conv.weight'].shape) == (48, 3, 3, 3)
    assert tuple(state['stage1.1.rbr_identity.running_mean'].shape) == (48,)
    assert tuple(state['stage3.13.rbr_1x1.bn.weight'].shape) == (192,)
    assert tuple(state['stage4.0.rbr_1x1.conv.weight'].shape) == (1280, 192, 1, 1)
    encoder = [tensor.numel() for name, tensor in state.items()
               if name.startswith('stage') and not name.endswith(('running_mean', 'running_var', 'batches_tracked'))]
    # 9.11 M while training, says the paper, with a classifier of 1000 classes.
    assert sum(encoder) + (1280 + 1) * 1000 == 9_108_968

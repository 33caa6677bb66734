import numpy as np
import pytest

from trt_perception.core.errors import ConfigError

torch = pytest.importorskip('torch')

from torch.nn import functional  # noqa: E402

from trt_perception_tools.networks import swiftnet, swiftnet_layers  # noqa: E402


def arrays_of(network: swiftnet.SwiftNet) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def random_image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.parametrize('encoder', ['resnet18', 'mobilenet_v2'])
@pytest.mark.parametrize('width', [0.25, 0.5625])
def test_classes_encoder_and_width_follow_from_the_weights(encoder: str, width: float):
    network = swiftnet.SwiftNet(7, encoder, width).eval()
    again = swiftnet.load(arrays_of(network), 'here')
    image = random_image(64, 96)
    with torch.no_grad():
        scores = again(image)
        assert scores.shape == (1, 7, 64, 96)
        torch.testing.assert_close(scores, network(image), rtol=0, atol=0)


def test_encoders_have_as_many_weights_as_torchvisions():
    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    resnet = swiftnet.SwiftNet().backbone
    assert sum(count(resnet.get_submodule(name)) for name in ('conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4')
               ) == 11_689_512 - 1000 * 513
    last_conv = 320 * 1280 + 2 * 1280
    assert count(swiftnet.SwiftNet(encoder='mobilenet_v2').backbone.features) == 3_504_872 - 1000 * 1281 - last_conv


def test_upsampling_by_nearest_neighbour_gives_other_scores():
    network = swiftnet.SwiftNet(7, width=0.25)
    image = random_image(64, 96)
    with torch.no_grad():
        bilinear, nearest = (swiftnet.load(arrays_of(network), 'here', mode)(image) for mode in ('bilinear', 'nearest'))
    assert nearest.shape == bilinear.shape
    assert (nearest - bilinear).abs().max() > 1e-3


def test_images_are_normalised_with_the_constants_of_the_checkpoint():
    network = swiftnet.SwiftNet(7, width=0.25).eval()
    image = random_image(64, 96)
    backbone = network.backbone
    with torch.no_grad():
        expected = network(image)
        normalised = (image - backbone.img_mean) / backbone.img_std
        backbone.img_mean.zero_()
        backbone.img_std.fill_(1)
        torch.testing.assert_close(network(normalised), expected)


@pytest.mark.parametrize('height', [1, 2, 5, 16])
@pytest.mark.parametrize('width', [1, 7, 32])
@pytest.mark.parametrize('rows', [2, 8])
def test_pooling_equals_that_of_torch(height: int, width: int, rows: int):
    x = torch.rand(1, 3, height, width)
    columns = max(1, round(width / height * rows))
    torch.testing.assert_close(swiftnet_layers.pool(x, rows), functional.adaptive_avg_pool2d(x, (rows, columns)))


def test_other_widths_and_foreign_weights_are_refused():
    with pytest.raises(ConfigError, match=r'width 0\.3'):
        swiftnet.SwiftNet(width=0.3)
    with pytest.raises(ConfigError, match=r'w\.pt: no arrays logits'):
        swiftnet.load({}, 'w.pt')
    weights = arrays_of(swiftnet.SwiftNet(7, width=0.25))
    del weights['backbone.conv1.weight']
    with pytest.raises(ConfigError, match=r'w\.pt: expected the weights of SwiftNet(.|\n)*backbone\.conv1\.weight'):
        swiftnet.load(weights, 'w.pt')

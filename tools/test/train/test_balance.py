import cv2
import numpy as np
import pytest
import torch
import yaml

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception_tools import cli
from trt_perception_tools.evaluate.metrics import class_iou, confusion_matrix
from trt_perception_tools.networks.swiftnet import SwiftNet
from trt_perception_tools.networks.weights import read_weights
from trt_perception_tools.train.balance import Scored, balance, collect

SHARES = np.array([0.7, 0.25, 0.05])
"""Of the pixels, by class."""


def scored(seed: int, bias: np.ndarray) -> Scored:
    """Return scores that tell the classes apart, with `bias` added to them."""
    random = np.random.default_rng(seed)
    truth = random.choice(3, 20000, p=SHARES).astype(np.uint8)
    scores = random.normal(0, 1, (truth.size, 3)) + 2.5 * np.eye(3)[truth] + bias
    return Scored(scores.astype(np.float32), truth)


def test_a_bias_of_the_network_is_found():
    bias = np.array([-1.5, 0.0, 2.0])
    found = balance([scored(0, bias)])
    even = balance([scored(0, np.zeros(3))])
    # Only differences between classes matter. 0.125 is the finest step.
    np.testing.assert_allclose(found - found[1] + bias, even - even[1], atol=0.3)
    fresh = scored(1, bias)
    assert fresh.mean_iou(found) > fresh.mean_iou(np.zeros(3)) + 0.1
    assert fresh.mean_iou(found) == pytest.approx(fresh.mean_iou(even - bias), abs=0.005)


def test_a_class_too_rare_to_measure_does_not_count():
    part = scored(0, np.zeros(3))
    rare = part._replace(truth=np.where(np.arange(part.truth.size) < 15, 2, part.truth % 2).astype(np.uint8))
    confusion = confusion_matrix(rare.truth, rare.scores.argmax(1).astype(np.uint8), 3)
    assert rare.mean_iou(np.zeros(3)) == pytest.approx(class_iou(confusion)[:2].mean())


def test_each_network_counts_as_much_however_many_images_it_saw():
    one, other = scored(0, np.array([0.0, 0.0, 1.0])), scored(1, np.array([0.5, 0.0, 0.0]))
    more = Scored(np.tile(other.scores, (3, 1)), np.tile(other.truth, 3))
    assert balance([one, more]).tolist() == balance([one, other]).tolist() != balance([one]).tolist()


def test_every_sixth_known_pixel_is_collected_at_the_size_of_the_truth():
    truth = (np.arange(18 * 18) % 250).astype(np.uint8).reshape(18, 18)
    truth[6] = VOID
    scores = torch.from_numpy(truth[::2, ::2].astype(np.float32))[None]
    part = collect([(scores, truth), (scores, truth)])
    expected = [truth[row, column] for row in (0, 12) for column in (0, 6, 12)]
    assert part.truth.tolist() == 2 * expected
    assert part.scores[:3, 0].tolist() == expected[:3]


@pytest.fixture
def training(tmp_path):
    """Write a recipe, CamVid's layout with two images of validation, and weights; return the folder."""
    for split in ('train', 'val'):
        (tmp_path / f'{split}.txt').write_text('0\n1')
        for number in range(2):
            labels = np.random.default_rng(number).integers(0, 11, (4, 6)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
            for name, content in ((split, labels * 20), (split + 'annot', labels)):
                (tmp_path / name).mkdir(exist_ok=True)
                assert cv2.imwrite(str(tmp_path / name / f'{number}.png'), content)
    network = {'name': 'swiftnet', 'encoder': 'resnet18', 'width': 0.125}
    (tmp_path / 'recipe.yaml').write_text(yaml.safe_dump({
        'task': 'segmentation', 'output': str(tmp_path / 'out'), 'epochs': 1, 'threads': 1,
        'segmentation': {'data': {'folder': str(tmp_path), 'size': [64, 96]}, 'batch': 2, 'network': network,
                         'augmentation': {'crop': [32, 32]}}}))
    torch.manual_seed(0)
    torch.save(SwiftNet(11, 'resnet18', 0.125).state_dict(), tmp_path / 'best.pt')
    return tmp_path


def test_the_command_changes_the_last_bias_and_nothing_else(training, capsys):
    assert cli.main(['balance', str(training / 'recipe.yaml'), '--weights', str(training / 'best.pt')]) == 0
    before, after = (read_weights(training / name) for name in ('best.pt', 'balanced.pt'))
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ['logits.conv.bias']
    offsets = after['logits.conv.bias'] - before['logits.conv.bias']
    text = capsys.readouterr().out
    assert all(f'{number}: {offset:+.3f}' in text for number, offset in enumerate(offsets))
    was, now = (float(word) for word in text.split('mIoU ')[1].split(' -> '))
    assert now > was


def test_what_cannot_be_balanced_is_named(training, capsys):
    recipe, weights = str(training / 'recipe.yaml'), str(training / 'best.pt')
    assert cli.main(['balance', recipe, '--weights', weights, '--share', '0']) == 2
    assert '--share: got 0.0, expected more than 0' in capsys.readouterr().err
    assert cli.main(['balance', recipe, recipe, '--weights', weights]) == 2
    assert 'got 1 files, expected one for each of 2 recipes' in capsys.readouterr().err
    text = (training / 'recipe.yaml').read_text()
    (training / 'espnet.yaml').write_text(text.replace('encoder: resnet18', '').replace('width: 0.125', '')
                                          .replace('name: swiftnet', 'name: espnet'))
    assert cli.main(['balance', str(training / 'espnet.yaml'), '--weights', weights]) == 2
    assert 'ConfigError' in capsys.readouterr().err


def test_networks_without_a_last_bias_are_refused():
    from trt_perception_tools.networks.espnet import EspNet
    from trt_perception_tools.train.balance import _last_bias
    with pytest.raises(ConfigError, match=r'w\.pt: got EspNet, expected SwiftNet'):
        _last_bias(EspNet(11), 'w.pt')

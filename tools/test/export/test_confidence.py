import numpy as np
import pytest
import torch

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import ModelInput
from trt_perception_tools.export.confidence import Calibration, Confidence, read_calibration, write_calibration
from trt_perception_tools.export.heads import SegmentationHead
from trt_perception_tools.networks.swiftnet import SwiftNet

NAMES = ('road', 'sky')
SCORES = torch.tensor([[3.0, 0.0, 1.0], [1.0, 2.0, 1.0]]).view(1, 2, 1, 3)
"""(1, classes, 1, 3): surely a road, sky, and a tie."""


def test_confidence_is_the_largest_softmax_probability():
    expected = SCORES.softmax(1).amax(1, keepdim=True)
    torch.testing.assert_close(Confidence()(SCORES), expected)
    torch.testing.assert_close(Confidence(Calibration((1, 1), (0, 0)))(SCORES), expected)


def test_log_odds_are_scaled_and_moved_by_class():
    confidence = Confidence(Calibration((0.5, 2.0), (0.0, -1.0)))(SCORES).flatten()
    # The log odds of two classes are the difference of their scores.
    torch.testing.assert_close(confidence[:2], torch.sigmoid(torch.tensor([0.5 * 2.0, 2.0 * 2.0 - 1.0])))


def test_certainty_is_limited_to_odds_that_fp16_can_tell():
    certain = Confidence(Calibration((1, 1), (0, 0)))(torch.tensor([100.0, 0.0]).view(1, 2, 1, 1))
    assert certain.item() == pytest.approx(1000 / 1001)


def test_a_network_with_scores_at_a_quarter_gets_its_confidence_there():
    torch.manual_seed(0)
    network = SwiftNet(3, width=0.25).eval()
    network.logits.conv.weight.data *= 20  # So that pixels differ in class and in confidence.
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    given = ModelInput(('image',), 'rgb', np.zeros(3, np.float32), np.ones(3, np.float32))
    with torch.no_grad():
        labels, confidence = SegmentationHead(network, given, 3).eval()(image)
        levels = image.permute(0, 3, 1, 2).float()
        coarse = network.quarter(levels).softmax(1).amax(1, keepdim=True)
        expected = torch.nn.functional.interpolate(coarse, (64, 96), mode='bilinear') * 255
        assert torch.equal(labels, network(levels).argmax(1).byte())
    assert (confidence - expected[:, 0]).abs().max() <= 0.5 + 1e-3
    assert np.ptp(confidence.numpy()) > 50


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    path = tmp_path / 'confidence.yaml'
    write_calibration(path, Calibration((0.5, 1.25), (-0.125, 3.0)), NAMES, 'from here')
    assert read_calibration(path, NAMES) == Calibration((0.5, 1.25), (-0.125, 3.0))
    assert read_calibration(path, NAMES[::-1]) == Calibration((1.25, 0.5), (3.0, -0.125))


@pytest.mark.parametrize(('text', 'fault'), [
    ('road: [1, 0]', 'expected one line'), ('- 1', 'expected one line'), ('a: [', 'cannot be read'),
    ('{road: [1, 0], sky: 3}', 'two numbers'), ('{road: [1, 0], sky: [1, x]}', 'two numbers')])
def test_what_is_no_calibration_is_named(tmp_path, text, fault):
    path = tmp_path / 'confidence.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=f'confidence.yaml: .*{fault}'):
        read_calibration(path, NAMES)


def test_a_missing_calibration_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r'none.yaml: cannot be read.*trt_perception_tools calibrate'):
        read_calibration(tmp_path / 'none.yaml', NAMES)

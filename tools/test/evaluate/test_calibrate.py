from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from trt_perception.core.model import load_labels
from trt_perception_tools import cli
from trt_perception_tools.evaluate.calibrate import calibrated_counts, fit_calibration
from trt_perception_tools.evaluate.reliability import LEVELS, reliability
from trt_perception_tools.export.confidence import Calibration, read_calibration

NAMES = [each.name for each in load_labels('camvid').classes]


def counts_of(slope: float, offset: float, pixels: int = 200_000) -> np.ndarray:
    """Return (256, 2) counts of a classifier whose labels are right with probability sigmoid(slope * z + offset)."""
    random = np.random.default_rng(0)
    odds = np.log((np.arange(LEVELS) + 0.5) / (LEVELS - 0.5 - np.arange(LEVELS)))
    levels = random.integers(60, LEVELS, pixels)
    right = random.random(pixels) < 1 / (1 + np.exp(-(slope * odds[levels] + offset)))
    return np.stack([np.bincount(levels[right == kind], minlength=LEVELS) for kind in (False, True)], 1)


def test_slope_and_offset_of_each_class_are_found():
    true = [(1.0, 0.0), (0.5, -0.3), (1.5, 0.4)]
    found = fit_calibration(np.stack([counts_of(*each) for each in true]))
    np.testing.assert_allclose(np.transpose(found), true, atol=0.03)


def test_a_class_that_is_hardly_seen_stays_as_it_is():
    assert fit_calibration(np.stack([counts_of(0.5, -1, 500)])) == Calibration((1.0,), (0.0,))


def test_an_overconfident_class_says_the_truth_afterwards():
    counts = np.stack([counts_of(0.6, -0.8), counts_of(1.0, 0.0)])
    assert reliability(counts[0]).ece > 0.1
    after = calibrated_counts(counts, fit_calibration(counts))
    assert after.sum() == counts.sum()
    for each in after:
        assert reliability(each).ece < 0.01


def test_counts_change_as_the_exported_graph_does():
    from trt_perception_tools.export.confidence import Confidence

    calibration = Calibration((0.7, 1.0), (-0.5, 0.0))
    probability = 0.8
    scores = torch.tensor([np.log(probability / (1 - probability)), 0.0]).view(1, 2, 1, 1).float()
    expected = 255 * Confidence(calibration)(scores).item()
    counts = np.zeros((2, LEVELS, 2), np.int64)
    counts[0, round(255 * probability), 1] = 5
    [(number, level, kind)] = np.argwhere(calibrated_counts(counts, calibration))
    assert (number, kind) == (0, 1)
    assert level == pytest.approx(expected, abs=1)


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """CamVid with three images of a drive that is road to nine tenths, and one of another that is so by half."""
    for folder in ('train', 'trainannot'):
        (tmp_path / folder).mkdir()
    names = ['known_1', 'known_2', 'known_3', 'other_1']
    for name in names:
        truth = np.full((100, 100), 3, np.uint8)
        truth[:10 if name.startswith('known') else 50] = 8
        cv2.imwrite(str(tmp_path / 'train' / f'{name}.png'), np.zeros((100, 100, 3), np.uint8))
        cv2.imwrite(str(tmp_path / 'trainannot' / f'{name}.png'), truth)
    (tmp_path / 'train.txt').write_text('\n'.join(names))
    return tmp_path


@pytest.fixture
def road(tmp_path: Path) -> Path:
    """A model that is sure of road by 0.8."""
    network = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 13]>
        sure (uint8[1,100,100,3] image) => (uint8[1,100,100] labels, uint8[1,100,100] confidence) {
        labels = Identity (label) confidence = Identity (level) }""")
    network.graph.initializer.extend([
        onnx.numpy_helper.from_array(np.full((1, 100, 100), level, np.uint8), name)
        for name, level in (('label', 3), ('level', 204))])
    onnx.save(network, tmp_path / 'road.onnx')
    (tmp_path / 'road.yaml').write_text(
        'task: segmentation\ndescription: road\nlicense: none\nfiles: {onnx: {fp32: road.onnx}}\nlabels: camvid\n'
        'input: {names: [image], color: bgr}\noutput: {labels: labels, confidence: confidence}\n')
    return tmp_path / 'road.yaml'


@pytest.mark.parametrize(('models', 'drive', 'right'), [(1, ['known'], 0.9), (1, ['other'], 0.5),
                                                        (2, ['known', 'other'], 0.7)])
def test_models_count_alike_on_the_images_of_their_drives(drives, road, models, drive, right, capsys):
    output = drives / 'confidence.yaml'
    assert cli.main(['calibrate', *[str(road)] * models, '--data', str(drives), '--split', 'train', '--only', *drive,
                     '--output', str(output)]) == 0
    slope, offset = np.transpose(read_calibration(output, NAMES))[3]
    assert 1 / (1 + np.exp(-(slope * np.log(0.8 / 0.2) + offset))) == pytest.approx(right, abs=0.01)
    assert 'CamVid train ' + ' and CamVid train '.join(drive) in output.read_text()


def test_a_list_that_does_not_fit_the_models_is_refused(drives, road, capsys):
    assert cli.main(['calibrate', str(road), '--data', str(drives), '--only', 'a', 'b', '--output', 'x.yaml']) == 2
    assert '--only: got 2 values, expected one for all models, or one for each' in capsys.readouterr().err

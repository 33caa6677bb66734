import numpy as np
import pytest
from networks import flow_fields, flow_model, logits_network, segmentation_fields, segmentation_model

from trt_perception.bench.frames import EncodedImage, synthetic_images
from trt_perception.bench.tutorial import TutorialContender
from trt_perception.core.errors import ConfigError, EngineError


@pytest.fixture
def logits(tmp_path):
    """Write a network whose scores are its normalised input."""
    return logits_network(tmp_path / 'logits.onnx')


def test_it_labels_by_the_largest_normalised_channel(tmp_path, logits):
    fields = segmentation_fields()
    fields['input'].update(mean=[100, 120, 140], std=[50, 60, 70])
    contender = TutorialContender(logits, segmentation_model(tmp_path, (24, 32), fields=fields), 1)
    image = synthetic_images((24, 32))[0]
    stages = contender.process(image, 1)
    rgb = image.data.reshape(24, 32, 3)[..., ::-1].astype(float)
    scores = (rgb - [100, 120, 140]) / [50, 60, 70]
    best = np.sort(scores, axis=2)
    clear = best[..., 2] - best[..., 1] > 1e-4
    assert clear.mean() > 0.95
    assert (contender.result()[clear] == scores.argmax(axis=2)[clear]).all()
    assert list(stages) == ['read', 'preprocess', 'infer', 'decode', 'publish']
    assert all(ms > 0 for ms in stages.values())


def test_its_labels_have_the_cameras_size(tmp_path, logits):
    contender = TutorialContender(logits, segmentation_model(tmp_path, (24, 32)), 1)
    contender.process(synthetic_images((48, 64))[0], 1)
    assert contender.result().shape == (48, 64)


def test_padded_rows_are_honoured(tmp_path, logits):
    contender = TutorialContender(logits, segmentation_model(tmp_path, (24, 32)), 1)
    plain = synthetic_images((24, 32))[0]
    padded = np.hstack([plain.data.reshape(24, 96), np.full((24, 5), 77, np.uint8)]).reshape(-1)
    contender.process(plain, 1)
    expected = contender.result().copy()
    contender.process(EncodedImage(padded, 24, 32, 101, 'bgr8'), 2)
    assert (contender.result() == expected).all()


def test_what_it_cannot_do_is_said(tmp_path, logits):
    model = segmentation_model(tmp_path, (24, 32))
    with pytest.raises(EngineError, match=r'logits.onnx|tiny.onnx.*expected tensor\(float\) \[1, 3, H, W\] in'):
        TutorialContender(str(tmp_path / 'tiny.onnx'), model)
    with pytest.raises(EngineError, match='none.onnx: ONNX Runtime .* cannot open it'):
        TutorialContender(str(tmp_path / 'none.onnx'), model)
    with pytest.raises(ConfigError, match='got rgb8 images, expected bgr8'):
        TutorialContender(logits, model).process(synthetic_images((24, 32))[0]._replace(encoding='rgb8'), 1)
    with pytest.raises(ConfigError, match='is a model for optical_flow of gray images, expected segmentation'):
        TutorialContender(logits, flow_model(tmp_path, fields=flow_fields()))

import numpy as np
import pytest

from trt_perception.bench.frames import EncodedImage, parse_camera, read_image, synthetic_images
from trt_perception.core.errors import ConfigError, FrameError


def pixels(image):
    return image.data.reshape(image.height, image.width, 3)


def test_synthetic_images_depend_on_the_seed_alone():
    first, again, other = (synthetic_images((48, 64), seed=seed) for seed in (1, 1, 2))
    assert [(p.height, p.width, p.step, p.encoding) for p in first] == [(48, 64, 192, 'bgr8')] * 8
    assert all((a.data == b.data).all() for a, b in zip(first, again))
    assert (first[0].data != other[0].data).any()


def test_synthetic_images_are_textured_and_move():
    first, second = (pixels(image) for image in synthetic_images((48, 64))[:2])
    assert first.std() > 20
    assert (first[2:, 3:] == second[:-2, :-3]).all()
    assert (first != second).any()


def test_a_raw_image_is_viewed_and_a_compressed_one_decoded():
    cv2 = pytest.importorskip('cv2')
    raw = synthetic_images((48, 64))[0]
    frame = read_image(raw, 5)
    assert (frame.height, frame.width, frame.encoding, frame.stamp_ns) == (48, 64, 'bgr8', 5)
    assert np.shares_memory(frame.data, raw.data)
    png = cv2.imencode('.png', pixels(raw))[1].reshape(-1)
    decoded = read_image(EncodedImage(png, 0, 0, 0, ''), 6)
    assert (decoded.data.reshape(48, 64, 3) == pixels(raw)).all()
    with pytest.raises(FrameError):
        read_image(EncodedImage(png[:50], 0, 0, 0, ''), 7)


def test_a_camera_is_called_width_first():
    assert parse_camera('640x480') == (480, 640)
    for text in ('640', '640*480', '640x480x3', 'x', '0x480', '8x8', '99999x10', '-640x480'):
        with pytest.raises(ConfigError, match='expected WIDTHxHEIGHT in px, e.g. 640x480'):
            parse_camera(text)

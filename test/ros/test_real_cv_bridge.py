"""The real cv_bridge beside ours, and behind our slow path: this Python's, or Debian's (`make cv-bridge`)."""
import importlib.util
import types

import debian_cv_bridge
import numpy as np
import pytest
from sensor_msgs.msg import Image

from trt_perception.core.errors import FrameError
from trt_perception.core.image import ENCODINGS, FrameDecoder
from trt_perception.ros import messages

SIZE = (6, 8)
BAYER = ('rggb', 'bggr', 'gbrg', 'grbg')


@pytest.fixture(scope='module')
def bridge():
    if importlib.util.find_spec('cv_bridge') is not None:
        import cv_bridge
        yield cv_bridge.CvBridge()
        return
    if not (debian_cv_bridge.ROOT / 'done').exists():
        pytest.skip('cv_bridge is neither installed nor unpacked by `make cv-bridge`')
    it = debian_cv_bridge.CvBridge()
    yield it
    it.close()


@pytest.fixture
def slow_path(bridge, use_cv_bridge):
    """Let our module find the real cv_bridge."""
    use_cv_bridge(types.SimpleNamespace(CvBridge=lambda: bridge))


def message_of(encoding, data, step):
    return Image(height=SIZE[0], width=SIZE[1], step=step, encoding=encoding, data=data.tobytes())


def bgr_of(message):
    return FrameDecoder().image(messages.frame_from_image(message), 'bgr', SIZE)


def test_every_encoding_that_both_know_looks_as_in_cv_bridge(bridge):
    compared = []
    for encoding, layout in ENCODINGS.items():
        step = 8 * layout.bytes_per_pixel
        data = np.random.default_rng(1).integers(16, 236, 6 * layout.planes[0] // layout.planes[1] * step, np.uint8)
        message = message_of(encoding, data, step)
        try:
            expected = bridge.imgmsg_to_cv2(message, 'bgr8')
        except Exception:  # Not a colour format in its eyes, or not known to it.
            continue
        assert np.abs(bgr_of(message).astype(int) - expected).max() <= 1, encoding
        compared.append(encoding)
    assert set(compared) >= {'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', 'yuv422'} | {
        'bayer_{}8'.format(pattern) for pattern in BAYER}


@pytest.mark.parametrize(('encoding', 'places'), [
    ('rgb16', (2, 1, 0)), ('bgr16', (0, 1, 2)), ('rgba16', (2, 1, 0)), ('bgra16', (0, 1, 2))])
def test_sixteen_bits_of_colour_come_through_the_real_one(slow_path, encoding, places):
    channels = 4 if 'a' in encoding else 3
    pixels = np.random.default_rng(2).integers(0, 65536, SIZE + (channels,)).astype('<u2')
    found = bgr_of(message_of(encoding, pixels, 2 * channels * SIZE[1]))
    assert np.abs(found - pixels[..., places] / 257).max() <= 1


@pytest.mark.parametrize('pattern', BAYER)
def test_sixteen_bits_of_a_bayer_pattern_look_as_its_eight(slow_path, pattern):
    levels = np.random.default_rng(3).integers(0, 256, SIZE, np.uint8)
    found = bgr_of(message_of('bayer_{}16'.format(pattern), levels.astype('<u2') * 257, 2 * SIZE[1]))
    expected = bgr_of(message_of('bayer_{}8'.format(pattern), levels, SIZE[1]))
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(('encoding', 'bytes_per_pixel'), [('32FC1', 4), ('16SC1', 2), ('16UC3', 6), ('8UC2', 2)])
def test_what_is_no_colour_is_refused_with_the_reason_of_the_real_one(slow_path, encoding, bytes_per_pixel):
    data = np.zeros(SIZE + (bytes_per_pixel,), np.uint8)
    with pytest.raises(FrameError, match='which cv_bridge cannot convert to bgr8: .*not a color format.* Convert in'):
        messages.frame_from_image(message_of(encoding, data, bytes_per_pixel * SIZE[1]))


def test_an_encoding_that_nobody_knows_is_refused_with_the_reason_of_the_real_one(slow_path):
    with pytest.raises(FrameError, match='which cv_bridge cannot convert to bgr8: Unrecognized image encoding'):
        messages.frame_from_image(message_of('rgb64', np.zeros(SIZE, np.uint8), SIZE[1]))

import platform
import struct
import weakref
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from trt_perception.core import compressed
from trt_perception.core.compressed import as_bayer, decode_compressed, encode_png
from trt_perception.core.errors import FrameError
from trt_perception.core.image import (
    ENCODINGS,
    FrameDecoder,
    NearestResizer,
    frame_from_array,
    make_frame,
    narrow_mono16,
    resize_flow,
)

SIZES = some.tuples(some.integers(1, 60), some.integers(1, 60))
# Of 2x2 OpenCV makes no colours of a Bayer pattern.
EVEN_SIZES = some.tuples(some.integers(2, 12), some.integers(4, 12)).map(lambda size: (2 * size[0], 2 * size[1]))
SCALES = some.sampled_from([-3.5, -1.0, 0.0, 0.25, 1.0, 4.0])

# Written out here, so that a line lost from ENCODINGS is noticed.
PLAIN = ['rgb8', 'bgr8', 'rgba8', 'bgra8', '8UC3', '8UC4', 'mono8', '8UC1']
BAYER = ['bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8']
YUV = ['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21', 'nv24', 'i420']
ALL = PLAIN + ['mono16'] + BAYER + YUV

BYTES_PER_PIXEL = {'rgb8': 3, 'bgr8': 3, '8UC3': 3, 'rgba8': 4, 'bgra8': 4, '8UC4': 4, 'mono16': 2, 'yuv422': 2,
                   'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2}


def bt601(y, u, v):
    """Return RGB, 0..255 float, from studio-range YUV, from the definition in ITU-R BT.601."""
    kr, kg, kb = 0.299, 0.587, 0.114
    y = (np.asarray(y, float) - 16) / 219
    pb, pr = [(np.asarray(c, float) - 128) / 224 for c in (u, v)]
    red, blue = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
    green = (y - kr * red - kb * blue) / kg
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * 255


def gray_of(rgb):
    """Return the luma of RGB, as in ITU-R BT.601."""
    return np.asarray(rgb, float).dot([0.299, 0.587, 0.114])


def mosaic(rgb, pattern):
    """Return (H, W) uint8: of each pixel of (H, W, 3) RGB only the channel that a Bayer pattern has there."""
    raw = np.empty(rgb.shape[:2], np.uint8)
    for place, letter in enumerate(pattern):
        at = np.s_[place // 2::2, place % 2::2]
        raw[at] = rgb[at + ('rgb'.index(letter),)]
    return raw


def rows_and_rgb(encoding, height=6, width=8, seed=0):
    """Return the rows of a message without padding, one list per plane, and the RGB it shows, as float."""
    random = np.random.RandomState(seed)

    def levels(*shape):
        return random.randint(16, 236, shape).astype(np.uint8)

    if encoding in ('rgb8', 'bgr8', '8UC3', 'rgba8', 'bgra8', '8UC4'):
        rgb = levels(height, width, 3)
        stored = rgb if encoding.startswith('rgb') else rgb[..., ::-1]
        if encoding.endswith(('a8', 'C4')):
            stored = np.dstack([stored, levels(height, width)])
        return [stored.reshape(height, -1)], rgb.astype(float)
    if encoding in ('mono8', '8UC1'):
        gray = levels(height, width)
        return [gray], np.repeat(gray[..., np.newaxis], 3, axis=2).astype(float)
    if encoding == 'mono16':
        gray = random.randint(0, 65536, (height, width))
        stored = np.stack([gray % 256, gray // 256], -1).astype(np.uint8)
        return [stored.reshape(height, -1)], np.repeat((gray // 256)[..., np.newaxis], 3, axis=2).astype(float)
    if encoding in BAYER:
        rgb = np.tile(np.uint8([200, 90, 30]), (height, width, 1))
        return [mosaic(rgb, encoding[6:10])], rgb.astype(float)
    y = levels(height, width)
    if encoding in ('nv12', 'nv21'):
        u, v = levels(height // 2, width // 2), levels(height // 2, width // 2)
        pair = (u, v) if encoding == 'nv12' else (v, u)
        planes = [y, np.stack(pair, -1).reshape(height // 2, width)]
        u, v = [np.repeat(np.repeat(c, 2, axis=0), 2, axis=1) for c in (u, v)]
    elif encoding == 'i420':
        u, v = levels(height // 2, width // 2), levels(height // 2, width // 2)
        planes = [y, u, v]
        u, v = [np.repeat(np.repeat(c, 2, axis=0), 2, axis=1) for c in (u, v)]
    elif encoding == 'nv24':
        u, v = levels(height, width), levels(height, width)
        planes = [y, np.stack([u, v], -1).reshape(height, 2 * width)]
    else:
        u, v = levels(height, width // 2), levels(height, width // 2)
        four = (u, y[:, 0::2], v, y[:, 1::2]) if encoding in ('yuv422', 'uyvy') else (y[:, 0::2], u, y[:, 1::2], v)
        planes = [np.stack(four, -1).reshape(height, 2 * width)]
        u, v = np.repeat(u, 2, axis=1), np.repeat(v, 2, axis=1)
    return planes, bt601(y, u, v)


def frame_of(encoding, height=6, width=8, seed=0, padding=0, trailing=0, stamp_ns=0):
    """Return a frame of random content and the RGB it shows, (H, W, 3) float."""
    planes, rgb = rows_and_rgb(encoding, height, width, seed)
    step = width * BYTES_PER_PIXEL.get(encoding, 1) + padding
    data = []
    for plane in planes:  # The chroma rows of nv24 are twice as long, of i420 half as long, and so is their padding.
        wide = np.full((len(plane), step * plane.shape[1] // planes[0].shape[1]), 0xAA, np.uint8)
        wide[:, :plane.shape[1]] = plane
        data.append(wide.reshape(-1))
    data.append(np.full(trailing, 0x55, np.uint8))
    return make_frame(np.concatenate(data), height, width, step, encoding, stamp_ns, 'camera'), rgb


def bilinear(image, size):
    """Return an image resampled with half-pixel centres, as float."""
    result = np.asarray(image, float)
    for axis, new in enumerate(size):
        old = result.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.minimum(np.floor(at).astype(int), old - 1)
        high = np.minimum(low + 1, old - 1)
        part = (at - low).reshape([-1 if i == axis else 1 for i in range(result.ndim)])
        result = np.take(result, low, axis) * (1 - part) + np.take(result, high, axis) * part
    return result


def address(array):
    return array.__array_interface__['data'][0]


# Decoding.

def test_exactly_the_documented_encodings_are_known():
    assert sorted(ENCODINGS) == sorted(ALL)


@pytest.mark.parametrize('encoding', ALL)
@settings(max_examples=25, deadline=None)
@given(size=EVEN_SIZES, padding=some.integers(0, 8), trailing=some.integers(0, 3), seed=some.integers(0, 99))
def test_every_encoding_gives_the_colours_that_its_bytes_mean(encoding, size, padding, trailing, seed):
    frame, rgb = frame_of(encoding, *size, seed=seed, padding=2 * padding, trailing=trailing)
    decoder = FrameDecoder()
    tolerance = 1 if encoding in YUV else 0  # OpenCV computes YUV in fixed point.
    for color, expected in (('rgb', rgb), ('bgr', rgb[..., ::-1])):
        image = decoder.image(frame, color, size)
        assert image.dtype == np.uint8
        assert image.shape == size + (3,)
        assert np.abs(image - np.round(expected)).max() <= tolerance, color
    gray = decoder.image(frame, 'gray', size)
    assert gray.dtype == np.uint8
    assert gray.shape == size
    assert np.abs(gray - gray_of(rgb)).max() <= (2 if encoding in YUV else 1)


@pytest.mark.parametrize('encoding', ALL)
def test_bytes_that_may_not_be_written_decode_too(encoding):
    frame, _ = frame_of(encoding, padding=2)
    locked = make_frame(np.frombuffer(frame.data.tobytes(), np.uint8), 6, 8, frame.data.shape[1], encoding, 0, '')
    assert not locked.data.flags.writeable
    for size in ((6, 8), (3, 5)):
        np.testing.assert_array_equal(FrameDecoder().image(locked, 'bgr', size),
                                      FrameDecoder().image(frame, 'bgr', size))


@pytest.mark.parametrize('encoding', BAYER)
def test_bayer_colours_stay_where_they_are(encoding):
    rows, columns = np.mgrid[0:20, 0:24]
    rgb = np.stack([20 + 8 * columns, 220 - 8 * rows, 30 + 4 * rows + 4 * columns], -1).astype(np.uint8)
    frame = make_frame(mosaic(rgb, encoding[6:10]).reshape(-1), 20, 24, 24, encoding, 0, '')
    image = FrameDecoder().image(frame, 'rgb', (20, 24))
    # Bilinear interpolation is exact on a ramp; the outermost pixels lack a neighbour.
    inside = np.s_[2:-2, 2:-2]
    assert np.abs(image[inside].astype(int) - rgb[inside]).max() <= 1


@pytest.mark.parametrize('encoding', BAYER + YUV)
def test_the_smallest_image_of_an_encoding_decodes(encoding):
    side = 4 if encoding in BAYER else 2  # OpenCV leaves a Bayer image of one cell black.
    frame, rgb = frame_of(encoding, side, side)
    assert np.abs(FrameDecoder().image(frame, 'rgb', (side, side)) - np.round(rgb)).max() <= 1


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_mono16_uses_its_high_byte_in_either_byte_order(is_bigendian):
    gray = np.array([[0, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFF00, 0xFFFF]])
    rows = gray.astype('>u2' if is_bigendian else '<u2').view(np.uint8).reshape(2, 8)
    data = np.hstack([rows, np.full((2, 2), 0xAA, np.uint8)]).reshape(-1)
    frame = make_frame(data, 2, 4, 10, 'mono16', 0, '', is_bigendian)
    assert frame.is_bigendian == is_bigendian
    np.testing.assert_array_equal(FrameDecoder().image(frame, 'gray', (2, 4)),
                                  [[0, 0, 1, 0x12], [0x7F, 0x80, 0xFF, 0xFF]])


def test_odd_sizes_of_encodings_without_subsampling_decode():
    for encoding in PLAIN + ['mono16', 'nv24']:
        frame, rgb = frame_of(encoding, 5, 7, padding=1)
        image = FrameDecoder().image(frame, 'rgb', (5, 7))
        assert np.abs(image - np.round(rgb)).max() <= 1, encoding
    for encoding in ('yuv422', 'yuyv'):  # Only their columns are subsampled.
        frame, rgb = frame_of(encoding, 5, 8)
        assert np.abs(FrameDecoder().image(frame, 'rgb', (5, 8)) - np.round(rgb)).max() <= 1, encoding


# The fields of an image message.

def test_a_frame_keeps_every_field_and_views_the_bytes():
    data = np.arange(50, dtype=np.uint8)
    frame = make_frame(data, 3, 4, 14, 'bgr8', 1234567890123456789, 'cam_optical')
    assert frame[1:] == (3, 4, 'bgr8', 1234567890123456789, 'cam_optical', False)
    assert np.shares_memory(frame.data, data)
    np.testing.assert_array_equal(frame.data, np.arange(42).reshape(3, 14))


@pytest.mark.parametrize(('encoding', 'rows'), [('bgr8', 6), ('nv12', 9), ('nv21', 9), ('nv24', 18)])
def test_chroma_rows_follow_the_luma_rows(encoding, rows):
    frame, _ = frame_of(encoding, padding=4)
    assert frame.data.shape == (rows, 8 * BYTES_PER_PIXEL.get(encoding, 1) + 4)


def test_an_unknown_encoding_is_refused_with_the_known_ones():
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros(12, np.uint8), 2, 2, 6, 'yuv999', 0, '')
    assert str(caught.value) == (
        "image encoding: got 'yuv999', expected one of {}. Convert in the camera driver.".format(', '.join(ENCODINGS)))


@pytest.mark.parametrize('size', [(0, 4), (4, 0), (0, 0), (-2, 4)])
def test_an_empty_image_is_refused(size):
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros(100, np.uint8), size[0], size[1], 12, 'rgb8', 0, '')
    assert str(caught.value) == 'image size: got {}x{}, expected at least 1x1.'.format(*size)


@pytest.mark.parametrize(('encoding', 'height', 'width', 'name', 'value'), [
    ('nv12', 5, 8, 'height', 5), ('nv12', 6, 7, 'width', 7), ('nv21', 5, 8, 'height', 5), ('nv21', 6, 7, 'width', 7),
    ('yuv422', 6, 7, 'width', 7), ('uyvy', 6, 7, 'width', 7), ('yuv422_yuy2', 6, 7, 'width', 7),
    ('yuyv', 6, 7, 'width', 7), ('bayer_rggb8', 5, 8, 'height', 5), ('bayer_bggr8', 6, 7, 'width', 7),
    ('bayer_gbrg8', 5, 8, 'height', 5), ('bayer_grbg8', 6, 7, 'width', 7)])
def test_an_odd_size_is_refused_where_colours_are_subsampled(encoding, height, width, name, value):
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros(1000, np.uint8), height, width, 20, encoding, 0, '')
    assert str(caught.value) == 'image {}: got {}, expected an even number for encoding {}.'.format(
        name, value, encoding)


@pytest.mark.parametrize('encoding', ALL)
def test_a_step_shorter_than_a_row_is_refused(encoding):
    needed = 8 * BYTES_PER_PIXEL.get(encoding, 1)
    rows = {'nv12': 9, 'nv21': 9, 'i420': 9, 'nv24': 18}.get(encoding, 6)
    make_frame(np.zeros(rows * needed, np.uint8), 6, 8, needed, encoding, 0, '')
    short = needed - (2 if encoding == 'i420' else 1)
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros(rows * needed, np.uint8), 6, 8, short, encoding, 0, '')
    assert str(caught.value) == 'image step: got {}, expected at least {} (8 px of {}).'.format(
        short, needed, encoding)


@pytest.mark.parametrize(('encoding', 'step', 'rows'), [
    ('rgb8', 24, 6), ('mono8', 8, 6), ('mono16', 16, 6), ('bayer_rggb8', 8, 6), ('yuyv', 16, 6), ('nv12', 8, 9),
    ('nv21', 8, 9), ('nv24', 8, 18), ('i420', 8, 9)])
def test_data_that_end_too_early_are_refused(encoding, step, rows):
    make_frame(np.zeros(rows * step, np.uint8), 6, 8, step, encoding, 0, '')
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros(rows * step - 1, np.uint8), 6, 8, step, encoding, 0, '')
    assert str(caught.value) == 'image data: got {} bytes, expected {} ({} rows of step {}).'.format(
        rows * step - 1, rows * step, rows, step)


@pytest.mark.parametrize('encoding', sorted(set(ALL) - {'nv24', 'i420'}))
def test_the_last_row_may_lack_its_padding(encoding):
    frame, rgb = frame_of(encoding, padding=6)
    short = make_frame(frame.data.reshape(-1)[:-6], 6, 8, frame.data.shape[1], encoding, 0, '')
    assert short.data.shape == frame.data.shape
    np.testing.assert_array_equal(FrameDecoder().image(short, 'rgb', (6, 8)),
                                  FrameDecoder().image(frame, 'rgb', (6, 8)))
    with pytest.raises(FrameError, match='^image data: got '):
        make_frame(frame.data.reshape(-1)[:-7], 6, 8, frame.data.shape[1], encoding, 0, '')


@pytest.mark.parametrize(('encoding', 'rows'), [('nv12', 9), ('nv21', 9), ('nv24', 18), ('i420', 9)])
def test_rows_of_padding_between_luma_and_chroma_are_refused(encoding, rows):
    make_frame(np.zeros((rows + 1) * 8 - 1, np.uint8), 6, 8, 8, encoding, 0, '')
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros((rows + 2) * 8, np.uint8), 6, 8, 8, encoding, 0, '')
    assert str(caught.value) == (
        'image data: got {} bytes, expected {} ({} rows of step 8) for encoding {}. Turn off the padding between luma '
        'and chroma in the camera driver.'.format((rows + 2) * 8, rows * 8, rows, encoding))


def test_an_odd_step_of_i420_is_refused():
    with pytest.raises(FrameError, match='^image step: got 9, expected an even number for encoding i420[.]$'):
        make_frame(np.zeros(81, np.uint8), 6, 8, 9, 'i420', 0, '')


def test_an_enormous_image_is_refused_whatever_its_message_holds():
    with pytest.raises(FrameError) as caught:
        make_frame(np.zeros(10, np.uint8), 2**20, 2**20, 2**20, 'mono8', 0, '')
    assert str(caught.value) == (
        'image size: got 1048576x1048576, expected at most 33554432 px in all. Reduce the resolution.')


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize(('bits', 'levels'), [
    (8, [0, 0xFF, 0xFF, 0xFF]), (10, [0, 0x3F, 0x40, 0xFF]), (12, [0, 0x0F, 0x10, 0xFF])])
def test_mono16_with_fewer_bits_fills_all_gray_levels(bits, levels, is_bigendian):
    gray = np.array([[0, 0xFF, 0x100, 0x1234]])
    rows = gray.astype('>u2' if is_bigendian else '<u2').view(np.uint8)
    frame = make_frame(np.append(rows, [7, 7]).astype(np.uint8), 1, 4, 10, 'mono16', 3, 'cam', is_bigendian)
    narrow = narrow_mono16(frame, bits)
    assert narrow[1:] == (1, 4, 'mono8', 3, 'cam', False)
    assert narrow.data.tolist() == [levels]


# Sharing and memory.

@pytest.mark.parametrize('encoding', ALL)
def test_a_frame_asked_for_again_is_not_decoded_again(encoding):
    frame, _ = frame_of(encoding)
    decoder = FrameDecoder()
    first = decoder.image(frame, 'gray', (4, 5))
    before = first.copy()
    frame.data[...] = 0  # A second decode would see this.
    again = decoder.image(frame, 'gray', (4, 5))
    assert again is first
    np.testing.assert_array_equal(again, before)


@pytest.mark.parametrize('encoding', ['mono16'] + BAYER + YUV)
def test_images_of_two_sizes_and_colours_share_one_decode(encoding):
    frame, rgb = frame_of(encoding)
    decoder = FrameDecoder()
    decoder.image(frame, 'rgb', (3, 4))
    frame.data[...] = 0  # A second decode would see this.
    assert np.abs(decoder.image(frame, 'bgr', (6, 8)) - np.round(rgb[..., ::-1])).max() <= 1


@pytest.mark.parametrize('color', ['rgb', 'bgr', 'gray'])
@pytest.mark.parametrize('encoding', ALL)
def test_later_frames_use_the_memory_of_the_first(encoding, color):
    decoder = FrameDecoder()
    addresses = {(6, 8): set(), (3, 5): set()}
    for seed in range(4):
        frame, rgb = frame_of(encoding, seed=seed)
        for size in addresses:
            image = decoder.image(frame, color, size)
            wanted = {'rgb': rgb, 'bgr': rgb[..., ::-1], 'gray': gray_of(rgb)}[color]
            assert np.abs(image - bilinear(wanted, size)).max() <= 2.5
            if not np.shares_memory(image, frame.data):
                addresses[size].add(address(image))
    assert len(addresses[3, 5]) == 1
    assert len(addresses[6, 8]) <= 1


@pytest.mark.parametrize(('encoding', 'color'), [
    ('rgb8', 'rgb'), ('bgr8', 'bgr'), ('8UC3', 'bgr'), ('mono8', 'gray'), ('8UC1', 'gray')])
def test_pixels_that_are_right_already_are_not_copied(encoding, color):
    frame, _ = frame_of(encoding, padding=6)
    assert np.shares_memory(FrameDecoder().image(frame, color, (6, 8)), frame.data)


def test_equal_frames_are_not_taken_for_the_same_frame():
    decoder = FrameDecoder()
    for seed in (0, 1):  # Same stamp, size and encoding; other bytes.
        frame, rgb = frame_of('nv12', seed=seed)
        assert np.abs(decoder.image(frame, 'rgb', (6, 8)) - np.round(rgb)).max() <= 1


def test_a_source_that_keeps_changing_its_size_does_not_eat_the_memory():
    decoder = FrameDecoder()
    alive = []
    for width in range(2, 162, 2):
        frame, rgb = frame_of('nv12', 4, width)
        image = decoder.image(frame, 'gray', (4, width))
        assert np.abs(image - gray_of(rgb)).max() <= 2
        alive.append(weakref.ref(image))
        del image
    assert sum(reference() is not None for reference in alive) <= 20


# Resampling.

@settings(max_examples=60, deadline=None)
@given(source=SIZES, size=SIZES, seed=some.integers(0, 99))
def test_images_are_resized_with_pixel_centres_aligned(source, size, seed):
    frame, rgb = frame_of('rgb8', *source, seed=seed)
    image = FrameDecoder().image(frame, 'rgb', size)
    assert image.shape == size + (3,)
    # OpenCV's fixed point: 0.79 grey levels on x86, 1.26 on aarch64.
    assert np.abs(image - bilinear(rgb, size)).max() <= (1.5 if platform.machine() == 'aarch64' else 1)


@settings(max_examples=300, deadline=None)
@given(source=SIZES, target=SIZES, seed=some.integers(0, 99))
def test_labels_come_from_the_nearest_pixel_centre(source, target, seed):
    labels = np.random.RandomState(seed).randint(0, 256, source).astype(np.uint8)
    rows, columns = [[(2 * i + 1) * old // (2 * new) for i in range(new)]  # floor((i + 1/2) * old / new) in integers
                     for old, new in zip(source, target)]
    out = np.empty(target, np.uint8)
    assert NearestResizer(source, target).resize(labels, out) is out
    np.testing.assert_array_equal(out, labels[rows][:, columns])


@settings(max_examples=60, deadline=None)
@given(source=SIZES, size=SIZES, scale=some.tuples(SCALES, SCALES), in_planes=some.booleans(),
       seed=some.integers(0, 99))
def test_flow_is_resized_and_scaled(source, size, scale, in_planes, seed):
    flow = np.random.RandomState(seed).uniform(-9, 9, (2,) + source if in_planes else source + (2,)).astype(np.float32)
    flow = flow.transpose(1, 2, 0) if in_planes else flow
    before = flow.copy()
    out = np.empty(size + (2,), np.float32)
    assert resize_flow(flow, out, scale) is out
    np.testing.assert_allclose(out, bilinear(flow, size) * scale, atol=1e-4 * max(map(abs, scale)), rtol=1e-4)
    np.testing.assert_array_equal(flow, before)


# Files.

def test_a_png_becomes_a_bgr_frame_without_loss():
    image = np.random.RandomState(4).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    frame = decode_compressed(cv2.imencode('.png', image)[1].reshape(-1), 77, 'cam')
    assert frame[1:] == (5, 7, 'bgr8', 77, 'cam', False)
    np.testing.assert_array_equal(FrameDecoder().image(frame, 'bgr', (5, 7)), image)


def test_a_jpeg_becomes_a_bgr_frame():
    image = np.zeros((16, 24, 3), np.uint8)
    image[:, :8], image[:, 8:] = (250, 20, 10), (10, 20, 250)
    frame = decode_compressed(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].reshape(-1), 5, 'cam')
    assert frame[1:] == (16, 24, 'bgr8', 5, 'cam', False)
    decoded = FrameDecoder().image(frame, 'bgr', (16, 24)).astype(int)
    assert np.abs(decoded - image)[:, [0, 1, 2, 3, 4, 5, 16, 17, 20, 23]].max() <= 4


def test_a_gray_png_of_16_bits_becomes_a_mono16_frame():
    gray = np.random.RandomState(4).randint(0, 2**16, (5, 7)).astype(np.uint16)
    frame = decode_compressed(cv2.imencode('.png', gray)[1].reshape(-1), 1, 'cam')
    assert frame[1:4] == (5, 7, 'mono16')
    np.testing.assert_array_equal(FrameDecoder().image(frame, 'gray', (5, 7)), gray >> 8)


@pytest.mark.parametrize('kind', ['uint8', 'uint16'])
def test_a_mosaic_in_a_png_becomes_a_bayer_frame(kind):
    levels = np.random.RandomState(4).randint(0, 256, (6, 8))
    stored = (levels * (257 if kind == 'uint16' else 1)).astype(kind)
    bayer = as_bayer(decode_compressed(cv2.imencode('.png', stored)[1].reshape(-1), 1, 'cam'), 'bayer_gbrg8')
    assert bayer[1:] == (6, 8, 'bayer_gbrg8', 1, 'cam', False)
    np.testing.assert_array_equal(bayer.data, levels)


def test_a_colour_image_is_no_mosaic():
    with pytest.raises(FrameError, match="^image encoding: got 'bayer_rggb8' for a colour image, expected a gray one"):
        as_bayer(frame_from_array(np.arange(72, dtype=np.uint8).reshape(4, 6, 3)), 'bayer_rggb8')


@pytest.mark.parametrize(('channels', 'kind'), [(1, 'uint8'), (4, 'uint8'), (3, 'uint16')])
def test_a_png_of_any_kind_becomes_bgr8(channels, kind):
    levels = np.random.RandomState(4).randint(0, 256, (5, 7, channels))
    stored = (levels * (257 if kind == 'uint16' else 1)).astype(kind)
    frame = decode_compressed(cv2.imencode('.png', stored)[1].reshape(-1), 1, 'cam')
    assert (frame.encoding, frame.data.shape) == ('bgr8', (5, 21))
    expected = np.broadcast_to(levels, (5, 7, 3)) if channels == 1 else levels[..., :3]
    np.testing.assert_array_equal(frame.data.reshape(5, 7, 3), expected)


def _whole(extension, *options, **kwargs):
    width, height = kwargs.get('size', (120, 80))
    noise = np.random.RandomState(4).randint(0, 256, (height // 10, width // 10, 3)).astype(np.uint8)
    return cv2.imencode(extension, cv2.resize(noise, (width, height)), list(options))[1].tobytes()


JPEGS = {'baseline': (), 'progressive': (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
         'with restart markers': (cv2.IMWRITE_JPEG_RST_INTERVAL, 3), 'optimised': (cv2.IMWRITE_JPEG_OPTIMIZE, 1)}


@pytest.fixture(params=['simplejpeg', 'OpenCV alone'])
def jpeg_decoder(request, monkeypatch):
    """Decode JPEGs with each of the libraries that may be there."""
    if request.param == 'OpenCV alone':
        monkeypatch.setattr(compressed, 'simplejpeg', None)
    elif compressed.simplejpeg is None:
        pytest.skip('simplejpeg is not installed')
    return request.param


@pytest.mark.parametrize('kind', JPEGS)
def test_a_jpeg_without_its_end_marker_is_whole(jpeg_decoder, kind):
    whole = _whole('.jpg', *JPEGS[kind])
    expected = decode_compressed(np.frombuffer(whole, np.uint8), 0, '').data
    np.testing.assert_array_equal(expected.reshape(80, 120, 3), cv2.imdecode(np.frombuffer(whole, np.uint8), 1))
    for end in (b'', b'\xff', b'\xff\xff'):
        np.testing.assert_array_equal(
            decode_compressed(np.frombuffer(whole[:-2] + end, np.uint8), 0, '').data, expected)


@pytest.mark.parametrize('kind', JPEGS)
def test_a_jpeg_that_was_cut_is_refused(jpeg_decoder, kind):
    whole = _whole('.jpg', *JPEGS[kind])
    for length in np.linspace(0, len(whole) - 10, 25).astype(int):
        with pytest.raises(FrameError, match='JPEG|compressed image'):
            decode_compressed(np.frombuffer(whole[:length], np.uint8), 0, '')


def test_a_jpeg_that_lost_bytes_in_the_middle_is_refused(jpeg_decoder):
    # A few lost bytes cannot be told from another image: JPEG has no checksum.
    whole = _whole('.jpg', size=(480, 360))
    for at in range(1000, len(whole) - 2000, 1500):
        with pytest.raises(FrameError, match='^JPEG: got '):
            decode_compressed(np.frombuffer(whole[:at] + whole[at + 1000:], np.uint8), 0, '')


@pytest.mark.parametrize('kind', JPEGS)
def test_a_gray_jpeg_that_looks_like_missing_pixels_is_whole(jpeg_decoder, kind):
    gray = np.full((80, 120, 3), 128, np.uint8)
    data = cv2.imencode('.jpg', gray, list(JPEGS[kind]))[1].reshape(-1)
    np.testing.assert_array_equal(decode_compressed(data, 0, '').data.reshape(gray.shape), gray)


def test_a_jpeg_of_unusual_subsampling_is_read():
    if not hasattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR'):
        pytest.skip('this OpenCV writes JPEGs of one subsampling')
    for factor in ('411', '420', '422', '440', '444'):
        data = np.frombuffer(_whole('.jpg', cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                                    getattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR_' + factor)), np.uint8)
        np.testing.assert_array_equal(decode_compressed(data, 0, '').data.reshape(80, 120, 3), cv2.imdecode(data, 1))


def test_pixels_that_are_missing_in_a_sound_png_are_refused():
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data) & 0xFFFFFFFF)
    for rows in (0, 1, 4):
        data = (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 4, 5, 8, 0, 0, 0, 0))
                + chunk(b'IDAT', zlib.compress(b'\0\1\2\3\4' * rows)) + chunk(b'IEND', b''))
        with pytest.raises(FrameError, match='^PNG: got .* whose pixels are damaged or missing, expected 5x4 px'):
            decode_compressed(np.frombuffer(data, np.uint8), 0, '')


def test_a_jpeg_may_be_followed_by_padding():
    whole = np.frombuffer(_whole('.jpg'), np.uint8)
    padded = np.concatenate([whole, np.zeros(37, np.uint8)])
    np.testing.assert_array_equal(decode_compressed(padded, 0, '').data, decode_compressed(whole, 0, '').data)


def test_labels_survive_png():
    labels = np.random.RandomState(5).randint(0, 256, (33, 21)).astype(np.uint8)
    for image in (labels, labels[:, ::2]):
        data = encode_png(image)
        assert data[:8] == b'\x89PNG\r\n\x1a\n'
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decoded.reshape(image.shape), image)


def test_a_image_as_opencv_reads_it_becomes_a_frame_without_a_copy():
    image = np.random.RandomState(6).randint(0, 256, (4, 5, 3)).astype(np.uint8)
    frame = frame_from_array(image, 9, 'cam')
    assert frame[1:] == (4, 5, 'bgr8', 9, 'cam', False)
    assert np.shares_memory(frame.data, image)
    np.testing.assert_array_equal(frame.data, image.reshape(4, 15))

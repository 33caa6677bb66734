import copy
import json
import types

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rig import camera_info, header, image, random_image
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from trt_perception import consumer
from trt_perception.core.data import FlowField, Frame
from trt_perception.core.errors import FrameError
from trt_perception.core.model import LabelClass, LabelSet
from trt_perception.ros import messages
from trt_perception.ros.node_sink import ROS

STAMP_NS = 1_700_000_123 * 10**9 + 987_654_321


def message_of(**fields):
    """Return a 4x6 bgr8 image with 2 bytes of row padding, some of its fields replaced."""
    message = image(random_image(1, (4, 6), 1), STAMP_NS, 'bgr8', 'left_optical', padding=2)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_a_frame_has_every_field_of_its_message():
    message = message_of(is_bigendian=1)
    frame = messages.frame_from_image(message)
    assert isinstance(frame, Frame)
    assert frame[1:] == (4, 6, 'bgr8', STAMP_NS, 'left_optical', True)
    assert frame.data.dtype == np.uint8
    assert frame.data.tobytes() == bytes(message.data)
    assert frame.data.shape == (4, 20)
    assert messages.frame_from_image(message_of()).is_bigendian is False


def test_a_frame_is_a_view_of_its_message():
    message = message_of()
    frame = messages.frame_from_image(message)
    assert np.shares_memory(frame.data, np.frombuffer(message.data, np.uint8))
    message.data[20] = 201
    message.data[21] = 13
    assert frame.data[1, :2].tolist() == [201, 13]


def test_bytes_after_the_last_row_are_ignored():
    message = message_of()
    message.data = bytes(message.data) + b'rest'
    assert messages.frame_from_image(message).data.tobytes() == bytes(message.data[:80])


@pytest.mark.parametrize(('fields', 'text'), [
    ({'encoding': 'yuv999'}, "image encoding: got 'yuv999', expected one of rgb8, bgr8, "),
    ({'encoding': ''}, "image encoding: got '', expected one of "),
    ({'height': 0}, 'image size: got 0x6, expected at least 1x1.'),
    ({'width': 0}, 'image size: got 4x0, expected at least 1x1.'),
    ({'step': 17}, 'image step: got 17, expected at least 18 (6 px of bgr8).'),
    ({'step': 0}, 'image step: got 0, expected at least 18 (6 px of bgr8).'),
    ({'data': b'123'}, 'image data: got 3 bytes, expected 80 (4 rows of step 20).'),
    ({'data': b''}, 'image data: got 0 bytes, expected 80 (4 rows of step 20).'),
    ({'height': 2**32 - 1, 'width': 1, 'step': 2**32 - 1}, 'image size: got 4294967295x1, expected at most '),
    ({'height': 2**20, 'step': 2**32 - 1}, 'image data: got 80 bytes, expected 4503599626321920 '),
    ({'encoding': 'nv12', 'height': 3}, 'image height: got 3, expected an even number for encoding nv12.'),
])
def test_a_message_whose_fields_do_not_fit_is_refused_with_the_reason(fields, text):
    with pytest.raises(FrameError) as caught:
        messages.frame_from_image(message_of(**fields))
    assert text in str(caught.value)


def test_an_empty_message_is_refused():
    with pytest.raises(FrameError, match="image encoding: got ''"):
        messages.frame_from_image(Image())


def test_a_compressed_image_becomes_a_bgr8_frame():
    pixels = random_image(2, (5, 7), 1)
    png = cv2.imencode('.png', pixels)[1].tobytes()
    message = CompressedImage(header=header(STAMP_NS, 'left_optical'), format='png', data=png)
    frame = messages.frame_from_compressed(message)
    assert frame[1:] == (5, 7, 'bgr8', STAMP_NS, 'left_optical', False)
    assert frame.data.tobytes() == pixels.tobytes()


@pytest.mark.parametrize('data', [b'', b'abc', b'\xff\xd8\xff\xe0' + 60 * b'x', b'\x89PNG\r\n\x1a\n' + 60 * b'x'])
def test_bytes_that_are_no_image_are_refused(data):
    with pytest.raises(FrameError, match="^format 'jpeg': .* got {} bytes".format(len(data))):
        messages.frame_from_compressed(CompressedImage(header=header(STAMP_NS), format='jpeg', data=data))


DEPTH = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1000


def compressed(format, pixels, stamp_ns=STAMP_NS):
    data = cv2.imencode('.png', pixels)[1].tobytes()
    return CompressedImage(header=header(stamp_ns), format=format, data=data)


@pytest.mark.parametrize('format', ['16UC1; png compressed ', '32FC1; png compressed', '16UC1; compressedDepth png',
                                    '16UC1; compressedDepth rvl', '; compressedDepth'])
def test_depth_is_refused_compressed_as_it_is_raw(format):
    with pytest.raises(FrameError) as caught:
        messages.frame_from_compressed(compressed(format, DEPTH))
    assert str(caught.value) == ("format {!r}: got depth or raw values, expected colours or gray. Remap to a camera's "
                                 'colour topic.'.format(format))
    with pytest.raises(FrameError, match="^image encoding: got '16UC1'"):
        messages.frame_from_image(message_of(encoding='16UC1'))


@pytest.mark.parametrize('format', ['h264', 'nv12', 'tiff', 'x' * 300])
def test_another_format_is_refused_by_its_name(format):
    message = CompressedImage(header=header(STAMP_NS), format=format, data=b'\0\0\0\1\x67' + bytes(99))
    with pytest.raises(FrameError) as caught:
        messages.frame_from_compressed(message)
    assert str(caught.value) == ('format {!r}: compressed image: got 104 bytes that begin with '
                                 "b'\\x00\\x00\\x00\\x01g\\x00\\x00\\x00', expected a JPEG or PNG file.".format(
                                     format[:80]))


@pytest.mark.parametrize('format', [
    '', 'jpeg', 'jpg', 'png', 'MJPEG', 'bgr8; png compressed bgr8', 'rgb8; jpeg compressed bgr8',
    '8UC3; png compressed', 'bayer_rggb8; png compressed bgr8'])
def test_the_bytes_decide_where_the_format_does_not_speak_of_depth(format):
    pixels = random_image(2, (6, 8), 1)
    frame = messages.frame_from_compressed(compressed(format, pixels))
    assert (frame.encoding, frame.data.tobytes()) == ('bgr8', pixels.tobytes())


def test_a_compressed_mosaic_is_taken_for_one():
    mosaic = random_image(2, (6, 8), 1)[..., 0]
    frame = messages.frame_from_compressed(compressed('bayer_rggb8; png compressed ', mosaic))
    assert (frame.encoding, frame.data.tobytes()) == ('bayer_rggb8', mosaic.tobytes())


@pytest.mark.parametrize(('bits', 'encoding', 'levels'), [
    (16, 'mono16', None), (12, 'mono8', [0, 1, 16, 255]), (10, 'mono8', [0, 4, 64, 255])])
def test_mono16_fills_its_gray_levels_raw_and_compressed(bits, encoding, levels):
    gray = np.array([[0, 16, 256, 4095]], np.uint16)
    raw = Image(header=header(STAMP_NS), height=1, width=4, step=8, encoding='mono16', data=gray.tobytes())
    for frame in (messages.frame_from_image(raw, bits),
                  messages.frame_from_compressed(compressed('mono16; png compressed ', gray), bits)):
        assert frame.encoding == encoding
        assert frame.data.tolist() == ([levels] if levels else [[0, 0, 16, 0, 0, 1, 255, 15]])


@pytest.mark.parametrize('nanosec', [10**9, 1_500_000_000, 2**32 - 1])
def test_a_stamp_with_a_second_too_many_is_refused(nanosec):
    message = message_of()
    message.header.stamp.nanosec = nanosec
    file = compressed('png', random_image(2, (5, 7), 1))
    file.header.stamp.nanosec = nanosec
    for read, each in ((messages.frame_from_image, message), (messages.frame_from_compressed, file)):
        with pytest.raises(FrameError, match='image stamp: got {} ns beside '.format(nanosec)):
            read(each)


# Through cv_bridge.

class Bridge:
    """Stands for cv_bridge.CvBridge: knows rgb16 alone."""

    def imgmsg_to_cv2(self, message, desired_encoding):
        assert desired_encoding == 'bgr8'
        if message.encoding != 'rgb16':
            raise RuntimeError('[{}] is not a color format. but [bgr8] is.'.format(message.encoding))
        pixels = np.frombuffer(message.data, '<u2').reshape(message.height, message.width, 3)
        return (pixels[..., ::-1] // 257).astype(np.uint8)


@pytest.fixture
def bridge(use_cv_bridge):
    use_cv_bridge(types.SimpleNamespace(CvBridge=Bridge))


def rgb16():
    pixels = random_image(3, (4, 6), 1)
    return pixels, Image(header=header(STAMP_NS, 'left'), height=4, width=6, step=36, encoding='rgb16',
                         data=(pixels.astype(np.uint16) * 257).tobytes())


def test_an_encoding_that_only_cv_bridge_knows_goes_through_it(bridge):
    pixels, message = rgb16()
    frame = messages.frame_from_image(message)
    assert frame[1:] == (4, 6, 'bgr8', STAMP_NS, 'left', False)
    assert frame.data.tobytes() == pixels[..., ::-1].tobytes()
    own = message_of()
    assert np.shares_memory(messages.frame_from_image(own).data, np.frombuffer(own.data, np.uint8))


def test_what_cv_bridge_does_not_know_either_is_refused_with_its_reason(bridge):
    with pytest.raises(FrameError) as caught:
        messages.frame_from_image(message_of(encoding='32FC1'))
    assert str(caught.value) == (
        "image encoding: got '32FC1', which cv_bridge cannot convert to bgr8: [32FC1] is not a color format. but "
        '[bgr8] is. Convert in the camera driver.')
    with pytest.raises(FrameError, match='which cv_bridge cannot convert to bgr8: cannot reshape array'):
        messages.frame_from_image(message_of(encoding='rgb16'))
    with pytest.raises(FrameError, match='^image size: got 4294967295x6, expected 1 to 33554432 px in all[.]$'):
        messages.frame_from_image(message_of(encoding='rgb16', height=2**32 - 1))


@pytest.mark.parametrize('module', [None, types.SimpleNamespace(), types.SimpleNamespace(CvBridge=lambda: 1 / 0)])
def test_without_a_cv_bridge_that_works_the_refusal_names_what_is_known(use_cv_bridge, module):
    use_cv_bridge(module)
    with pytest.raises(FrameError, match="^image encoding: got 'rgb16', expected one of rgb8, bgr8, "):
        messages.frame_from_image(rgb16()[1])


@pytest.mark.parametrize(('encoding', 'shape', 'dtype', 'step'), [
    ('mono8', (5, 7), np.uint8, 7), ('rgb8', (5, 7, 3), np.uint8, 21), ('32FC2', (5, 7, 2), np.float32, 56)])
def test_what_is_written_comes_out_of_a_serialised_message(encoding, shape, dtype, step):
    writer = messages.ImageWriter(ROS, encoding)
    content = (np.random.default_rng(3).random(shape) * 255).astype(dtype)
    writer.array(shape, dtype)[...] = content
    received = deserialize_message(serialize_message(writer.stamped(header(STAMP_NS, 'left_optical'))), Image)
    assert received.header == header(STAMP_NS, 'left_optical')
    assert (received.height, received.width, received.step, received.encoding) == (5, 7, step, encoding)
    assert received.is_bigendian == 0
    assert bytes(received.data) == content.tobytes()


def test_an_image_writer_keeps_its_memory_while_the_size_stays():
    writer = messages.ImageWriter(ROS, 'mono8')
    first = writer.array((4, 6), np.uint8)
    first[...] = 9
    second = writer.array((4, 6), np.uint8)
    assert np.shares_memory(first, second)
    assert np.shares_memory(first, np.frombuffer(writer.stamped(header(5)).data, np.uint8))
    first[2, 3] = 200
    writer.stamped(header(STAMP_NS))
    assert writer.message.data[2 * 6 + 3] == 200
    assert writer.message.header == header(STAMP_NS)


def test_an_image_writer_follows_a_change_of_size():
    writer = messages.ImageWriter(ROS, 'rgb8')
    writer.array((4, 6, 3), np.uint8)[...] = 9
    for shape in ((2, 5, 3), (8, 9, 3), (6, 4, 3), (9, 8, 3)):
        writer.array(shape, np.uint8)[...] = shape[0]
        received = deserialize_message(serialize_message(writer.stamped(header(1))), Image)
        assert (received.height, received.width, received.step) == (shape[0], shape[1], 3 * shape[1])
        assert bytes(received.data) == bytes([shape[0]] * shape[0] * shape[1] * 3)


def test_headers_come_back_bit_for_bit():
    rng = np.random.default_rng(4)
    for sec, nanosec in zip(rng.integers(-2**31, 2**31, 500).tolist(), rng.integers(0, 10**9, 500).tolist()):
        original = header(0, 'frame {}'.format(nanosec))
        original.stamp.sec, original.stamp.nanosec = sec, nanosec
        made = messages.header(ROS, messages.stamp_ns(original.stamp), original.frame_id)
        assert serialize_message(made) == serialize_message(original)


@pytest.mark.parametrize(('sec', 'nanosec'), [(0, 0), (2**31 - 1, 10**9 - 1), (-2**31, 0), (-1, 999_999_999)])
def test_the_ends_of_the_stamp_range_come_back(sec, nanosec):
    original = header(0)
    original.stamp.sec, original.stamp.nanosec = sec, nanosec
    assert messages.header(ROS, messages.stamp_ns(original.stamp), 'camera') == original


def blob_centre(pixels):
    """Return the (x, y) of a bright blob, px, pixel centres at integers."""
    weight = pixels.astype(np.float64)
    y, x = np.mgrid[:pixels.shape[0], :pixels.shape[1]]
    return (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()


@pytest.mark.parametrize('target', [(240, 320), (120, 160), (360, 480), (960, 1280), (480, 1280), (600, 400)])
def test_a_point_lands_where_resizing_moves_its_pixel(target):
    source = (480, 640)
    info = CameraInfo(height=480, width=640, k=[500.0, 1.5, 301.25, 0.0, 520.0, 222.75, 0.0, 0.0, 1.0],
                      p=[505.0, 0.5, 300.5, -40.0, 0.0, 515.0, 224.5, 7.0, 0.0, 0.0, 1.0, 0.0])
    scaled = messages.scaled_camera_info(info, source, target, header(1))
    for point in ([0.1, 0.05, 1.0], [-0.9, 0.6, 3.0], [1.1, -0.5, 2.5]):
        for matrix, matrix_of_scaled, vector in (
                (info.k.reshape(3, 3), scaled.k.reshape(3, 3), point),
                (info.p.reshape(3, 4), scaled.p.reshape(3, 4), point + [1.0])):
            x, y, w = matrix.dot(vector)
            rows, columns = np.mgrid[:480, :640]
            blob = np.exp(-((columns - x / w)**2 + (rows - y / w)**2) / (2 * 6.0**2)).astype(np.float32)
            expected = blob_centre(cv2.resize(blob, target[::-1], interpolation=cv2.INTER_LINEAR))
            x, y, w = matrix_of_scaled.dot(vector)
            assert (x / w, y / w) == pytest.approx(expected, abs=0.02)


def test_only_what_the_size_changes_is_changed():
    info = camera_info(48, 64, STAMP_NS, 'left_optical')
    info.roi = RegionOfInterest(x_offset=8, y_offset=6, height=24, width=32, do_rectify=True)
    info.binning_x, info.binning_y = 2, 3
    before = copy.deepcopy(info)
    scaled = messages.scaled_camera_info(info, (48, 64), (24, 16), header(7, 'other'))
    assert scaled.header == header(7, 'other')
    assert (scaled.height, scaled.width) == (24, 16)
    assert (scaled.roi.x_offset, scaled.roi.width, scaled.roi.y_offset, scaled.roi.height) == (2, 8, 3, 12)
    assert scaled.roi.do_rectify is True
    assert scaled.distortion_model == 'plumb_bob'
    assert list(scaled.d) == [0.1, -0.2, 0.003, 0.004, 0.05]
    assert list(scaled.r) == list(before.r)
    assert (scaled.binning_x, scaled.binning_y) == (2, 3)
    assert info == before


def test_without_a_resize_only_the_header_is_new():
    info = camera_info(48, 64, 5)
    scaled = messages.scaled_camera_info(info, (48, 64), (48, 64), header(STAMP_NS, 'left_optical'))
    expected = camera_info(48, 64, 5)
    expected.header = header(STAMP_NS, 'left_optical')
    assert scaled == expected
    assert info == camera_info(48, 64, 5)


def test_an_uncalibrated_camera_stays_uncalibrated():
    scaled = messages.scaled_camera_info(CameraInfo(height=48, width=64), (48, 64), (24, 32), header(1))
    assert scaled == CameraInfo(header=header(1), height=24, width=32)


@pytest.mark.parametrize('size', [(48, 64), (24, 32)])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('name', ['k', 'p', 'd', 'r'])
def test_a_calibration_that_is_not_finite_is_refused(name, value, size):
    info = camera_info(48, 64, 5)
    getattr(info, name)[2] = value
    with pytest.raises(FrameError) as caught:
        messages.scaled_camera_info(info, (48, 64), size, header(1))
    text = str(caught.value)
    assert text.startswith('camera_info {}: got ['.format(name))
    assert repr(value) in text
    assert 'expected finite numbers' in text


@pytest.mark.parametrize(('size', 'roi', 'binning', 'fits'), [
    ((48, 64), None, (0, 0), True), ((48, 64), None, (1, 1), True), ((24, 32), None, (2, 2), True),
    ((20, 30), (4, 2, 20, 30), (1, 1), True), ((10, 15), (4, 2, 20, 30), (2, 2), True),
    ((24, 32), None, (1, 1), False), ((48, 32), None, (2, 1), False), ((64, 48), None, (1, 1), False),
    ((21, 30), (4, 2, 20, 30), (1, 1), False), ((96, 128), None, (2, 2), False)])
def test_a_calibration_of_another_size_than_the_image_is_refused(size, roi, binning, fits):
    info = camera_info(48, 64, STAMP_NS)
    info.binning_y, info.binning_x = binning
    if roi is not None:
        info.roi = RegionOfInterest(y_offset=roi[0], x_offset=roi[1], height=roi[2], width=roi[3])
    if fits:
        assert messages.scaled_camera_info(info, size, size, header(5)).k.tolist() == info.k.tolist()
        return
    with pytest.raises(FrameError) as caught:
        messages.scaled_camera_info(info, size, size, header(5))
    assert str(caught.value).startswith(
        "camera_info: got a calibration of 48x64 px, expected one of the image's {}x{} px.".format(*size))


def test_a_camera_that_does_not_know_its_size_is_believed():
    assert messages.scaled_camera_info(CameraInfo(), (48, 64), (24, 32), header(5)).k.tolist() == [0.0] * 9


@pytest.mark.parametrize('name', ['x_offset', 'y_offset', 'height', 'width'])
def test_a_region_that_no_message_can_hold_once_it_is_scaled_is_refused(name):
    info = camera_info(48, 64, STAMP_NS)
    info.roi = RegionOfInterest(height=48, width=64)
    setattr(info.roi, name, 2**32 - 1)
    with pytest.raises(FrameError) as caught:
        messages.scaled_camera_info(info, (48, 64), (480, 640), header(5))
    assert str(caught.value) == (
        'camera_info: {}: got 4294967295, expected a size in px. Correct the camera driver.'.format(name))


def test_label_info_names_every_id():
    labels = LabelSet('street', (LabelClass(0, 'road', (128, 64, 0)), LabelClass(7, 'sky', (1, 2, 3))))
    assert json.loads(messages.label_info_json('tiny', labels)) == {
        'model': 'tiny', 'label_set': 'street', 'void': 255,
        'classes': [{'id': 0, 'name': 'road', 'color': [128, 64, 0]}, {'id': 7, 'name': 'sky', 'color': [1, 2, 3]}]}


@pytest.mark.parametrize(('grid', 'stamp', 'previous'), [
    ('current', (10, 250_000_000), (9, 750_000_000)), ('previous', (10, 750_000_000), (10, 250_000_000))])
def test_flow_info_tells_both_stamps_whichever_grid_the_flow_lives_on(grid, stamp, previous):
    flow = np.zeros((480, 640, 2), np.float32)
    flow[..., 0], flow[..., 1] = 3.0, -1.5
    flow[:, 320:] = np.nan
    field = FlowField(flow, 10_250_000_000, 'camera', 500_000_000)
    assert json.loads(messages.flow_info_json(field, grid)) == {
        'stamp': {'sec': stamp[0], 'nanosec': stamp[1]}, 'previous_stamp': {'sec': previous[0], 'nanosec': previous[1]},
        'interval_s': 0.5, 'units': 'px per interval', 'grid': grid, 'valid_share': 0.5, 'median_flow': [3.0, -1.5]}


@pytest.mark.parametrize(('grid', 'other', 'source'), [
    ('current', (9, 750_000_000), 'previous image'), ('previous', (10, 750_000_000), 'next image')])
def test_a_time_reference_has_the_stamps_of_both_images(grid, other, source):
    field = FlowField(np.zeros((8, 8, 2), np.float32), 10_250_000_000, 'camera', 500_000_000)
    message = messages.time_reference(ROS, field, grid)
    assert message.header == messages.header(ROS, field.stamp_ns, 'camera')
    assert (message.time_ref.sec, message.time_ref.nanosec) == other
    assert message.source == source
    assert consumer.other_stamp_ns(message) == other[0] * 10**9 + other[1]


@pytest.mark.parametrize('size', [(1, 1), (7, 9), (8, 8), (17, 23)])
def test_the_valid_share_of_small_fields_is_1(size):
    info = json.loads(messages.flow_info_json(FlowField(np.ones(size + (2,), np.float32), 9, 'camera', 1), 'current'))
    assert info['valid_share'] == 1
    assert info['median_flow'] == [1, 1]


def test_a_field_without_valid_pixels_has_no_median():
    field = FlowField(np.full((16, 16, 2), np.nan, np.float32), 9, 'camera', 1)
    text = messages.flow_info_json(field, 'current')
    assert 'NaN' not in text
    assert json.loads(text)['valid_share'] == 0
    assert json.loads(text)['median_flow'] is None

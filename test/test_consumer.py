import json
from types import SimpleNamespace

import numpy as np
import pytest

from trt_perception import consumer
from trt_perception.consumer import CLASSES, FLOW, FLOW_INTERVAL, LABEL_MAP, Join
from trt_perception.core.errors import ConfigError, FrameError

NAMES = {0: 'road', 1: 'car', 2: 'pavement'}


def time(ns):
    return SimpleNamespace(sec=ns // 10**9, nanosec=ns % 10**9)


def header(stamp_ns, frame_id='camera'):
    return SimpleNamespace(stamp=time(stamp_ns), frame_id=frame_id)


def image(pixels, encoding, stamp_ns=1, padding=0, **changes):
    """Return the fields of an Image message as an object."""
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.hstack([rows, np.full((len(rows), padding), 77, np.uint8)])
    message = SimpleNamespace(header=header(stamp_ns), height=pixels.shape[0], width=pixels.shape[1],
                              encoding=encoding, is_bigendian=0, step=rows.shape[1], data=rows.tobytes())
    vars(message).update(changes)
    return message


def labels(stamp_ns=1, value=1):
    return image(np.full((3, 5), value, np.uint8), 'mono8', stamp_ns)


def flow(stamp_ns=1):
    return image(np.full((3, 5, 2), 0.5, np.float32), '32FC2', stamp_ns)


def interval(stamp_ns=1, other_ns=0):
    return SimpleNamespace(header=header(stamp_ns), time_ref=time(other_ns), source='')


def classes():
    return SimpleNamespace(data=json.dumps({'classes': [{'id': i, 'name': name} for i, name in NAMES.items()]}))


@pytest.mark.parametrize('padding', [0, 8])
@pytest.mark.parametrize('order', ['<', '>'])
def test_pixels_are_read_whatever_the_padding_and_the_order_of_bytes(padding, order):
    rng = np.random.default_rng(0) if hasattr(np.random, 'default_rng') else np.random.RandomState(0)
    values = rng.normal(size=(4, 6, 2)).astype(order + 'f4')
    values[1, 2] = np.nan
    found = consumer.flow_of(image(values, '32FC2', padding=padding, is_bigendian=int(order == '>')))
    np.testing.assert_array_equal(found, values)
    ids = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(consumer.labels_of(image(ids, 'mono8', padding=padding)), ids)
    colors = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(consumer.colors_of(image(colors, 'rgb8', padding=padding)), colors)


@pytest.mark.parametrize(('message', 'text'), [
    (labels(), "image encoding: got 'mono8', expected '32FC2'"),
    (image(np.zeros((3, 5, 2), np.float32), '32FC2', height=4), 'image of 4x5 px: got 120 bytes in rows of 40, '
     'expected rows of 40 or more'),
    (image(np.zeros((3, 5, 2), np.float32), '32FC2', step=36), 'rows of 36, expected rows of 40'),
    (image(np.zeros((3, 5, 2), np.float32), '32FC2', step=41, height=2), 'in rows of 41'),
    (image(np.zeros((3, 5, 2), np.float32), '32FC2', width=0), 'image of 3x0 px')])
def test_an_image_that_is_no_flow_field_is_refused(message, text):
    with pytest.raises(FrameError, match=text):
        consumer.flow_of(message)


@pytest.mark.parametrize(('stamp_ns', 'other_ns'), [(10**10, 9 * 10**9 + 10**8), (9 * 10**9 + 10**8, 10**10)])
def test_an_interval_is_positive_whichever_image_the_flow_lives_on(stamp_ns, other_ns):
    results = Join([FLOW_INTERVAL]).add(FLOW_INTERVAL, interval(stamp_ns, other_ns))
    assert results.other_stamp_ns == other_ns
    assert results.interval_s == pytest.approx(0.9)


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(FrameError, match='time_reference: got the same time twice'):
        consumer.other_stamp_ns(interval(5, 5))


@pytest.mark.parametrize('text', [
    '', '[]', '{}', '{"classes": [1]}', '{"classes": [{"id": "x", "name": "a"}]}', '[' * 100000,
    '{"classes": [{"id": 256, "name": "a"}]}', '{"classes": [{"id": -1, "name": "a"}]}',
    '{"classes": [{"id": 1e999, "name": "a"}]}'])
def test_a_text_that_names_no_classes_is_refused(text):
    with pytest.raises(FrameError, match='label_info_json: got '):
        consumer.classes_of(SimpleNamespace(data=text))


def test_a_calibration_of_the_wrong_size_is_refused():
    with pytest.raises(FrameError, match='got 8 and 12 numbers, expected 9 in k and 12 in p'):
        consumer.camera_of(SimpleNamespace(k=[0.0] * 8, p=[0.0] * 12, d=[], height=1, width=1, distortion_model=''))


def test_an_image_is_complete_with_the_last_of_its_topics_whatever_their_order():
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        join = Join([LABEL_MAP, FLOW, FLOW_INTERVAL])
        messages = [(LABEL_MAP, labels(10**9)), (FLOW, flow(10**9)), (FLOW_INTERVAL, interval(10**9, 5 * 10**8))]
        first, second, third = (join.add(*messages[i]) for i in order)
        assert first is second is None
        assert (third.stamp_ns, third.frame_id, third.interval_s) == (10**9, 'camera', 0.5)
        assert (third.labels == 1).all()
        assert (third.velocity() == 1).all()
        assert third.label_confidence is None


def test_messages_of_other_images_are_never_mixed_in():
    join = Join([LABEL_MAP, FLOW])
    assert join.add(LABEL_MAP, labels(1, 1)) is None
    assert join.add(FLOW, flow(2)) is None
    other = flow(1)
    other.header.frame_id = 'another camera'
    assert join.add(FLOW, other) is None
    assert join.add(LABEL_MAP, labels(3, 3)) is None
    assert (join.add(LABEL_MAP, labels(2, 2)).labels == 2).all()
    assert (join.add(FLOW, flow(3)).labels == 3).all()


def test_an_image_older_than_a_complete_one_is_given_up():
    join = Join([LABEL_MAP, FLOW])
    join.add(LABEL_MAP, labels(1))
    join.add(LABEL_MAP, labels(2))
    assert join.add(FLOW, flow(2)).stamp_ns == 2
    assert join.add(FLOW, flow(1)) is None
    assert join.add(LABEL_MAP, labels(1)).stamp_ns == 1  # A bag that starts again.


def test_no_more_images_wait_than_may():
    join = Join([LABEL_MAP, FLOW], waiting=2)
    for stamp_ns in (1, 2, 3):
        join.add(LABEL_MAP, labels(stamp_ns))
    assert join.add(FLOW, flow(1)) is None  # Which gives up image 2, too.
    assert join.add(FLOW, flow(3)).stamp_ns == 3


def test_results_wait_for_the_names_of_the_classes_and_keep_them():
    join = Join([LABEL_MAP, CLASSES])
    assert join.add(LABEL_MAP, labels(1)) is None
    assert join.add(LABEL_MAP, labels(2)) is None
    results = join.add(CLASSES, classes())
    assert (results.stamp_ns, results.classes) == (2, NAMES)
    assert results.ids(['road', 'pavement', 'sky']) == [0, 2]
    assert join.add(LABEL_MAP, labels(3)).classes == NAMES
    assert join.add(CLASSES, classes()) is None


def test_a_message_that_cannot_be_read_leaves_its_image_waiting():
    join = Join([LABEL_MAP, FLOW])
    join.add(LABEL_MAP, labels())
    with pytest.raises(FrameError):
        join.add(FLOW, labels())
    assert join.add(FLOW, flow()) is not None


@pytest.mark.parametrize(('topics', 'text'), [
    (['segmentation/labelmap'], "topic 'segmentation/labelmap': unknown. Did you mean 'segmentation/label_map'"),
    ([], 'topics: got none, expected one with results'), ([CLASSES], 'topics: got segmentation/label_info_json')])
def test_topics_that_cannot_be_joined_are_refused(topics, text):
    with pytest.raises(ConfigError, match=text):
        Join(topics)


def test_messages_of_rosbags_are_read_as_well():
    typesys = pytest.importorskip('rosbags.typesys')
    types = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE).types
    stamp = types['std_msgs/msg/Header'](types['builtin_interfaces/msg/Time'](1, 0), 'camera')
    join = Join([LABEL_MAP, CLASSES, FLOW, FLOW_INTERVAL])
    image_type = types['sensor_msgs/msg/Image']
    assert join.add(LABEL_MAP, image_type(stamp, 2, 3, 'mono8', 0, 3, np.arange(6, dtype=np.uint8))) is None
    values = np.arange(12, dtype=np.float32)
    assert join.add(FLOW, image_type(stamp, 2, 3, '32FC2', 0, 24, values.view(np.uint8))) is None
    assert join.add(CLASSES, types['std_msgs/msg/String'](classes().data)) is None
    results = join.add(FLOW_INTERVAL, types['sensor_msgs/msg/TimeReference'](
        stamp, types['builtin_interfaces/msg/Time'](0, 750000000), 'previous image'))
    assert results.labels.tolist() == [[0, 1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(results.velocity(), values.reshape(2, 3, 2) * 4)
    assert results.classes == NAMES

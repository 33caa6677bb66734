import json

import networks
import numpy as np
import pytest
from obstacle_columns import VOID, Column, obstacle_columns

ROAD, CAR, SIGN = 0, 1, 2
GROUND = [ROAD]


def scene():
    """Return labels of a road with a car at columns 8 - 15 down to row 29, and its velocity, px/s."""
    labels = np.zeros((48, 32), np.uint8)
    labels[10:30, 8:16] = CAR
    velocity = np.zeros((48, 32, 2), np.float32)
    velocity[10:30, 8:16] = (6.0, -3.0)
    return labels, velocity


def columns(labels, velocity, **options):
    return obstacle_columns(labels, velocity, GROUND, count=4, **options)


def test_an_obstacle_has_the_row_of_its_foot_its_class_and_its_speed():
    found = columns(*scene())
    assert found[1] == Column(8, 16, 29, CAR, 6.0, -3.0)


def test_strips_without_an_obstacle_are_free():
    found = columns(*scene())
    assert [found[i] for i in (0, 2, 3)] == [Column(left, left + 8, None, None, None, None) for left in (0, 16, 24)]


def test_the_lowest_obstacle_of_a_strip_counts():
    labels, velocity = scene()
    labels[40:46, 8:16] = SIGN
    assert columns(labels, velocity, depth=6)[1][2:4] == (45, SIGN)


def test_unlabelled_pixels_and_specks_are_no_obstacles():
    labels, velocity = scene()
    labels[:] = VOID
    labels[20, 0:7] = CAR
    assert all(column.bottom is None for column in columns(labels, velocity))
    labels[20, 7] = CAR
    assert columns(labels, velocity)[0].bottom == 20


def test_invalid_flow_is_left_out_and_an_obstacle_without_any_has_no_speed():
    labels, velocity = scene()
    velocity[10:28, 8:16] = np.nan
    assert columns(labels, velocity)[1] == Column(8, 16, 29, CAR, 6.0, -3.0)
    velocity[:] = np.nan
    assert columns(labels, velocity)[1] == Column(8, 16, 29, CAR, None, None)


@pytest.fixture
def ros():
    return pytest.importorskip('rclpy')


def test_the_node_publishes_the_columns_of_an_image_that_has_labels_and_flow(ros, rig, tmp_path):
    from obstacle_columns import make_node
    from rig import image, random_image
    from std_msgs.msg import String
    for name in ('segmentation', 'flow'):
        (tmp_path / name).mkdir()
    found = rig.watch(String, 'obstacle_columns')
    planner = make_node(context=rig.context, use_global_arguments=False,
                        parameter_overrides=[ros.parameter.Parameter('ground', value=['reddish'])])
    rig.executor.add_node(planner)
    try:
        rig.start(['segmentation', 'optical_flow'],
                  '-p', 'segmentation.model:=' + networks.segmentation_model(tmp_path / 'segmentation').path,
                  '-p', 'optical_flow.model:=' + networks.flow_model(tmp_path / 'flow').path)
        for topic in ('segmentation/label_map', 'optical_flow/flow', 'optical_flow/time_reference'):
            rig.watched(topic)
        rig.until(lambda: planner._join._classes, 'the names of the classes')
        pixels = random_image(4)
        for number in range(2):
            rig.show(image(pixels, 10**9 + number * 10**8))
        rig.until(lambda: found, 'the columns')
    finally:
        planner.destroy_node()
    message = json.loads(found[0].data)
    assert message['stamp_ns'] == 1_100_000_000
    labels = pixels.argmax(axis=2)
    for column in message['columns']:
        strip = labels[:, column['left']:column['right']]
        rows = np.flatnonzero((strip != 0).any(axis=1))
        assert column['bottom'] == (rows[-1] if rows.size else None)
        assert column['class_id'] != 0
        assert (column['u'] is None) == (column['bottom'] is None)

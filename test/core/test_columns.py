import numpy as np

from trt_perception.core.columns import Group, group_columns, runs_above

CAR, WALL, ROAD = 8, 1, 3


def test_a_run_reaches_up_to_the_first_other_class():
    labels = np.full((10, 3), ROAD, np.uint8)
    labels[2:7, :] = CAR
    labels[4, 1] = WALL
    runs = runs_above(labels, np.array([6, 6, 9]), np.array([CAR, CAR, CAR]))
    assert runs[:, 0].tolist() == [False, False] + 5 * [True] + 3 * [False]
    assert runs[:, 1].tolist() == 5 * [False] + [True, True] + 3 * [False]
    assert not runs[:, 2].any()  # Three rows of road are between this foot and the car.


def test_a_row_of_another_label_at_the_foot_does_not_end_the_run():
    labels = np.full((10, 1), CAR, np.uint8)
    labels[7:] = 255
    assert runs_above(labels, np.array([7]), np.array([CAR]))[:, 0].tolist() == 7 * [True] + 3 * [False]


def group(ranges, classes=None, flow=None, rows=10, occupied=None):
    width = len(ranges)
    runs = np.ones((rows, width), bool) & (True if occupied is None else np.array(occupied))
    classes = np.full(width, CAR, np.uint8) if classes is None else np.array(classes, np.uint8)
    flow = np.zeros((rows, width, 2)) if flow is None else np.array(flow, float) * np.ones((rows, 1, 2))
    return group_columns(runs, np.array(ranges, np.float32), classes, flow)


def test_neighbours_of_one_class_distance_and_motion_are_one_group():
    assert group([10] * 6) == [Group(0, 6, CAR)]
    assert group([10, 10, 10, 20, 20, 20]) == [Group(0, 3, CAR), Group(3, 6, CAR)]
    assert group([10] * 6, [CAR, CAR, CAR, WALL, WALL, WALL]) == [Group(0, 3, CAR), Group(3, 6, WALL)]
    moving = np.zeros((6, 2))
    moving[3:] = (3, 0)
    assert group([10] * 6, flow=moving) == [Group(0, 3, CAR), Group(3, 6, CAR)]
    assert group([10] * 7, occupied=[1, 1, 1, 0, 1, 1, 1]) == [Group(0, 3, CAR), Group(4, 7, CAR)]


def test_unknown_flow_does_not_part_a_group():
    moving = np.full((6, 2), np.nan)
    moving[:2] = (3, 0)
    assert group([10] * 6, flow=moving) == [Group(0, 6, CAR)]


def test_a_wall_beside_the_way_becomes_several_groups():
    ranges = np.linspace(10, 20, 41)
    groups = group(ranges)
    assert len(groups) > 2
    assert all(ranges[each.right - 1] / ranges[each.left] < 1.31 for each in groups)
    assert [each.right for each in groups[:-1]] == [each.left for each in groups[1:]]


def test_what_is_too_small_is_left_out():
    assert group([10, 10]) == []
    assert group([10] * 4, rows=4) == []
    assert group([]) == []

import numpy as np

from trt_perception.core.class_costs import OBSTACLE, UNSEEN
from trt_perception.core.free_space import FREE, FreeSpace
from trt_perception.core.obstacles import Obstacle
from trt_perception.core.plan_overlay import draw_plan, time_color


def obstacle(box, time, is_moving=False):
    return Obstacle(8, box, np.zeros(2), (1.0, 1.0), 5.0, 0.0, time, None, is_moving, 1.0)


def test_each_column_shows_where_its_ground_ends():
    image = np.zeros((20, 4, 3), np.uint8)
    states = np.uint8([FREE, OBSTACLE, UNSEEN, FREE])
    draw_plan(image, FreeSpace(states, np.array([5, 10, 15, 0]), np.zeros((4, 2)), np.zeros(4), np.zeros(4)), [])
    assert [np.flatnonzero(image[:, column].any(axis=1)).tolist() for column in range(4)] == [
        [4, 5, 6], [9, 10, 11], [15], [0, 1]]
    assert image[5, 0, 1] > 200 > image[10, 1, 1]


def test_boxes_are_drawn_at_the_edge_of_the_image_and_thicker_for_what_moves():
    free = FreeSpace(np.full(30, FREE, np.uint8), np.zeros(30, int), np.zeros((30, 2)), np.zeros(30), np.zeros(30))
    counts = []
    for is_moving in (False, True):
        image = np.zeros((30, 30, 3), np.uint8)
        draw_plan(image, free, [obstacle((10, 12, 30, 30), 1.0, is_moving)])
        assert image[20, 11].tolist() == [255, 0, 0]
        assert not image[20, 20].any()
        counts.append(image[5:].any(axis=2).sum())
    assert counts[1] > 1.5 * counts[0]


def test_colours_go_from_red_over_yellow_to_green():
    assert time_color(0.3) == (255, 0, 0)
    assert time_color(3.5) == (255, 255, 0)
    assert time_color(np.inf) == (0, 255, 0)

import numpy as np
import pytest
from rendered_scene import BUILDING, CAR, CLASSES, Box, Scene, render

from trt_perception.core.class_costs import load_class_costs
from trt_perception.core.free_space import FreeSpaceFinder
from trt_perception.core.ground_plane import GroundPlane, mounting_of
from trt_perception.core.occupancy import GridShape, OccupancyMapper
from trt_perception.core.share import share_path

TABLES = load_class_costs(share_path('config', 'class_costs', 'default.yaml')).tables(CLASSES)
SHAPE = GridShape(16.0, 12.0, 0.2)
SCENE = Scene((Box(CAR, 8, 0, (2, 2, 1.5)), Box(BUILDING, 12, 5.5, (4, 3, 3))),
              mounting=(0.4, 0.2, 1.3, 0.0, 0.1, 0.03), pavement_left=2.5)


def grid_of(scene, labels=None, max_range=30.0, shape=SHAPE):
    plane = GroundPlane(scene.camera, mounting_of(*scene.mounting))
    labels = render(scene).labels if labels is None else labels
    free = FreeSpaceFinder(plane, TABLES, max_range).find(labels)
    return OccupancyMapper(plane, TABLES, shape, max_range).map(labels, free)


def centres(shape=SHAPE):
    rows, columns = shape.cells
    return np.meshgrid((np.arange(columns) + 0.5) * shape.resolution,
                       (np.arange(rows) + 0.5) * shape.resolution - shape.width / 2)


def test_every_cell_of_a_rendered_scene_is_free_costly_lethal_or_unknown_as_it_should_be():
    grid, (x, y) = grid_of(SCENE), centres()
    camera = np.array([0.4, 0.2])
    inside = (x > 7) & (x < 9) & (np.abs(y) < 1) | (x > 10) & (x < 14) & (y > 4) & (y < 7)
    # Behind the car, as seen from the camera: between the rays past its front corners.
    bearing = (y - camera[1]) / (x - camera[0])
    behind = (x > 9.2) & (bearing < (1 - 0.2) / 6.6 - 0.02) & (bearing > (-1 - 0.2) / 6.6 + 0.02)
    assert (grid[behind] == -1).all()
    assert behind.sum() > 100
    assert set(grid[inside]) <= {-1, 100}
    seen = grid >= 0
    ground = seen & ~inside & (grid < 100)
    assert (grid[ground & (y > 2.7)] == 50).all()
    assert (grid[ground & (y < 2.3)] == 0).all()
    assert (ground & (y > 2.7)).sum() > 50
    assert (ground & (y < 2.3)).sum() > 1000
    # Whatever is lethal stands within a cell and a half of a box.
    rows, columns = np.nonzero(grid == 100)
    boxes = [((7, -1), (9, 1)), ((10, 4), (14, 7))]
    for px, py in zip(x[rows, columns], y[rows, columns]):
        assert min(np.hypot(max(low[0] - px, 0, px - high[0]), max(low[1] - py, 0, py - high[1]))
                   for low, high in boxes) < 0.3


def test_the_face_of_a_box_is_a_closed_row_of_lethal_cells():
    grid, (x, y) = grid_of(SCENE), centres()
    front = (x > 6.8) & (x < 7.4)
    for row in np.flatnonzero(np.abs(y[:, 0]) < 0.85):
        assert 100 in grid[row, front[row]], y[row, 0]


def test_cells_outside_the_image_and_beyond_the_range_are_unknown():
    grid, (x, y) = grid_of(SCENE._replace(boxes=()), max_range=10.0), centres()
    assert (grid[(x < 1.5)] == -1).all()
    assert (grid[np.abs(y - 0.2) > x + 0.5] == -1).all()
    assert (grid[np.hypot(x - 0.4, y - 0.2) > 10.1] == -1).all()
    assert (grid[(np.hypot(x, y) < 9) & (np.hypot(x, y) > 5) & (np.abs(y) < 2)] >= 0).all()


def test_unlabelled_ground_is_unknown_and_so_is_what_lies_behind_it():
    labels = render(SCENE._replace(boxes=())).labels
    labels[330:345] = 255
    grid, (x, y) = grid_of(SCENE, labels), centres()
    ahead = np.abs(y) < 0.3
    known = x[ahead & (grid >= 0)]
    assert known.size
    assert known.max() < 7
    assert (grid[ahead & (x > 7)] == -1).all()


@pytest.mark.parametrize('shape', [GridShape(5, 3, 0.1), GridShape(0.1, 0.1, 0.1), GridShape(40, 2, 0.5)])
def test_a_grid_has_the_cells_that_its_sides_say(shape):
    grid = grid_of(SCENE, shape=shape)
    assert grid.shape == (round(shape.width / shape.resolution), round(shape.length / shape.resolution))
    assert grid.dtype == np.int8

import numpy as np
import pytest
from rendered_scene import BUILDING, CAMERA, CAR, CLASSES, PAVEMENT, ROAD, SKY, Box, Scene, render

from trt_perception.core.class_costs import OBSTACLE, UNSEEN, load_class_costs
from trt_perception.core.free_space import FREE, Beams, FreeSpaceFinder
from trt_perception.core.ground_plane import GroundPlane, mounting_of
from trt_perception.core.share import share_path

TABLES = load_class_costs(share_path('config', 'class_costs', 'default.yaml')).tables(CLASSES)
LEVEL = Scene((Box(CAR, 11, 0, (2, 4, 1.5)),), mounting=(0, 0, 1.4, 0, 0, 0))
VOID = 255


def finder_of(scene, **options):
    return FreeSpaceFinder(GroundPlane(scene.camera, mounting_of(*scene.mounting)), TABLES, **options)


def labels_of_rows(*bands):
    """Return a label map of horizontal bands: (class id, first row) each."""
    labels = np.empty(CAMERA.size, np.uint8)
    for label, top in bands:
        labels[top:] = label
    return labels


@pytest.mark.parametrize('mounting', [(0, 0, 1.4, 0, 0, 0), (0.5, 0.3, 1.2, 0.05, 0.15, -0.1)])
def test_the_ground_ends_within_a_tenth_of_a_metre_of_a_face_ten_metres_ahead(mounting):
    scene = Scene((Box(CAR, 11 + mounting[0], 0, (2, 30, 1.5)),), mounting=mounting)
    free = finder_of(scene).find(render(scene).labels)
    assert (free.states == OBSTACLE).all()
    assert (free.classes == CAR).all()
    np.testing.assert_allclose(free.points[:, 0], 10 + mounting[0], atol=0.1)


def test_columns_beside_an_obstacle_are_free_as_far_as_the_plane_is_trusted():
    free = finder_of(LEVEL, max_range=25.0).find(render(LEVEL).labels)
    assert free.states[320] == OBSTACLE
    assert free.states[10] == free.states[630] == FREE
    assert free.classes[10] == 255
    assert free.ranges[10] == pytest.approx(25, abs=0.5)
    assert np.arctan2(*free.points[10]) == pytest.approx(np.arctan2(520, 309.5), abs=1e-3)  # As the column looks.


def test_what_is_beyond_the_longest_range_does_not_end_the_ground():
    free = finder_of(LEVEL, max_range=9.0).find(render(LEVEL).labels)
    assert (free.states == FREE).all()


def test_specks_are_passed_over_and_unlabelled_ground_is_not_seen():
    labels = render(LEVEL._replace(boxes=())).labels
    labels[400:402, 100] = CAR
    labels[400:403, 200] = CAR
    labels[400:430, 300] = VOID
    free = finder_of(LEVEL).find(labels)
    assert [free.states[column] for column in (100, 200, 300)] == [FREE, OBSTACLE, UNSEEN]
    assert [free.rows[column] for column in (200, 300)] == [402, 429]


def test_an_unlabelled_seam_below_an_obstacle_belongs_to_it():
    labels = labels_of_rows((SKY, 0), (BUILDING, 100), (VOID, 300), (ROAD, 310))
    free = finder_of(LEVEL).find(labels)
    assert (free.states == OBSTACLE).all()
    assert (free.classes == BUILDING).all()
    assert (free.rows == 309).all()


def test_classes_of_the_ground_do_not_end_it():
    free = finder_of(LEVEL).find(labels_of_rows((SKY, 0), (PAVEMENT, 240), (ROAD, 350)))
    assert (free.states == FREE).all()


def test_the_vehicle_itself_at_the_bottom_is_left_out():
    labels = labels_of_rows((SKY, 0), (ROAD, 240), (CAR, 432))
    assert (finder_of(LEVEL).find(labels).states == OBSTACLE).all()
    assert (finder_of(LEVEL, crop_bottom=0.1).find(labels).states == FREE).all()


def test_a_camera_that_sees_no_ground_sees_no_free_space():
    up = LEVEL._replace(mounting=(0, 0, 1.4, 0, -0.8, 0))
    finder = finder_of(up)
    free = finder.find(np.full(CAMERA.size, ROAD, np.uint8))
    assert (free.states == UNSEEN).all()
    assert np.isnan(Beams(finder).scan(free)).all()


def test_a_beam_has_the_range_of_what_it_meets_from_the_base_frame():
    scene = Scene((Box(CAR, 11, 2, (2, 3, 1.5)),), mounting=(0.5, 0.3, 1.2, 0.0, 0.1, 0.0))
    finder = finder_of(scene)
    beams = Beams(finder, 100)
    ranges = beams.scan(finder.find(render(scene).labels))
    hits = np.flatnonzero(np.isfinite(ranges))
    x, y = ranges[hits] * np.cos(beams.angles[hits]), ranges[hits] * np.sin(beams.angles[hits])
    assert len(hits) > 15
    np.testing.assert_allclose(x, 10, atol=0.1)
    assert y.min() == pytest.approx(0.5, abs=0.15)
    assert y.max() == pytest.approx(3.5, abs=0.15)
    assert np.isinf(ranges[np.abs(beams.angles + 0.2).argmin()])


def test_the_nearest_of_a_beams_columns_counts_and_an_obstacle_over_what_is_not_seen():
    labels = render(LEVEL._replace(boxes=())).labels
    labels[300:, :] = np.where(np.arange(640) % 3 == 0, VOID, labels[300:])
    labels[350:, ::7] = CAR
    finder = finder_of(LEVEL)
    ranges = Beams(finder, 40).scan(finder.find(labels))
    assert np.isfinite(ranges).all()

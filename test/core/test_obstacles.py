import numpy as np
import pytest
from rendered_scene import CAR, CLASSES, PEDESTRIAN, Box, Scene, render

from trt_perception.core.class_costs import load_class_costs
from trt_perception.core.ground_plane import mounting_of
from trt_perception.core.planner import Planner
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.share import share_path

SETTINGS = {setting.name: setting.default for setting in PLANNER_SETTINGS}
COSTS = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
MOUNTING = (0.5, 0.0, 1.4, 0.0, 0.06, 0.0)


def obstacles_of(*boxes, speed=4.0, noise=0.0, gyro=True, flow=True, **options):
    """Return the obstacles of a scene, from left to right."""
    scene = Scene(boxes, speed=speed, yaw_rate=0.15, mounting=MOUNTING)
    view = render(scene)
    planner = Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, COSTS, dict(SETTINGS, **options))
    field = view.flow + np.random.default_rng(0).normal(0, noise, view.flow.shape).astype(np.float32)
    if not flow:
        field[:] = np.nan
    free, previous = planner.free_space(view.labels), planner.previous_rays(field)
    motion = planner.ego_motion(view.labels, previous, view.turn if gyro else None)
    return planner.obstacles(view.labels, free, previous, motion, 0.1)


@pytest.mark.parametrize('noise', [0.0, 0.3])
def test_a_standing_car_has_place_size_time_and_no_velocity(noise):
    [car] = obstacles_of(Box(CAR, 10, 1, (2, 1.8, 1.5)), noise=noise)
    assert car.class_id == CAR
    np.testing.assert_allclose(car.position, [9, 1], atol=0.15)
    np.testing.assert_allclose(car.size, [1.8, 1.5], atol=0.2)
    assert car.distance == pytest.approx(np.hypot(8.5, 1), abs=0.15)
    assert car.bearing == pytest.approx(np.arctan2(1, 9), abs=0.01)
    assert car.time_to_contact == pytest.approx(8.5 / 4, rel=0.05)
    assert not car.is_moving
    assert np.hypot(*car.velocity) < 0.5
    assert car.confidence > 0.95


@pytest.mark.parametrize(('velocity', 'time'), [
    ((-4.0, 0.0), 11.5 / 8), ((2.0, 0.0), 11.5 / 2), ((4.0, 0.0), np.inf), ((6.0, 0.0), np.inf)])
def test_a_car_that_drives_along_is_seen_to_move_although_its_flow_points_as_if_it_stood(velocity, time):
    [car] = obstacles_of(Box(CAR, 13, -2, (2, 1.8, 1.5), velocity))
    assert car.is_moving
    np.testing.assert_allclose(car.velocity, velocity, atol=0.35)
    assert car.time_to_contact == (pytest.approx(time, rel=0.1) if np.isfinite(time) else np.inf)
    assert car.confidence > 0.9


def test_a_pedestrian_who_crosses_is_seen_to_move():
    [pedestrian] = obstacles_of(Box(PEDESTRIAN, 9, -2, (0.5, 0.5, 1.75), (0.0, 1.4)), noise=0.2)
    assert pedestrian.is_moving
    np.testing.assert_allclose(pedestrian.velocity, [0, 1.4], atol=0.3)


def test_slower_than_the_least_speed_is_not_moving():
    boxes = Box(PEDESTRIAN, 9, -2, (0.5, 0.5, 1.75), (0.0, 1.0)),
    assert obstacles_of(*boxes)[0].is_moving
    assert not obstacles_of(*boxes, **{'obstacles.min_speed': 1.5})[0].is_moving


def test_times_beyond_the_longest_are_infinite():
    [car] = obstacles_of(Box(CAR, 10, 1, (2, 1.8, 1.5)), speed=1.0, **{'obstacles.longest_time': 5.0})
    assert car.time_to_contact == np.inf
    assert car.confidence > 0.9


def test_two_cars_side_by_side_are_two_when_they_move_differently():
    boxes = Box(CAR, 10, 1, (2, 1.8, 1.5)), Box(CAR, 10, -0.8, (2, 1.8, 1.5), (-5.0, 0.0))
    found = [each for each in obstacles_of(*boxes) if each.size[0] > 1]
    assert [each.is_moving for each in found] == [False, True]


def test_without_flow_there_is_a_place_but_no_time():
    for gyro in (True, False):
        [car] = obstacles_of(Box(CAR, 10, 1, (2, 1.8, 1.5)), flow=False, gyro=gyro)
        np.testing.assert_allclose(car.position, [9, 1], atol=0.15)
        assert car.time_to_contact == np.inf
        assert car.confidence == 0
        assert car.velocity is None
        assert not car.is_moving


def test_a_car_whose_foot_is_below_the_image_has_a_time_but_no_velocity():
    [car] = obstacles_of(Box(CAR, 3.4, 0, (2, 1.8, 1.5)))
    assert car.box[3] == 480
    assert car.velocity is None
    assert car.time_to_contact == pytest.approx(1.9 / 4, rel=0.1)


def test_noise_lowers_the_confidence():
    def confidence(noise):
        [car] = obstacles_of(Box(CAR, 23, 0, (2, 1.8, 1.5), (1.0, 0.0)), noise=noise)
        return car.confidence
    assert confidence(0.0) > 0.99 > confidence(1.0)

import numpy as np
import pytest
from rendered_scene import CAR, CLASSES, Box, Scene, camera_pose, render

from trt_perception.core.class_costs import load_class_costs
from trt_perception.core.ego_motion import (
    estimate_ego_motion,
    integrate_gyro,
    motion_jacobian,
    rotation_vector,
    rotation_vector_matrix,
)
from trt_perception.core.ground_plane import mounting_of, rotation_of
from trt_perception.core.planner import Planner
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.share import share_path

SETTINGS = {setting.name: setting.default for setting in PLANNER_SETTINGS}
COSTS = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
SCENE = Scene((Box(CAR, 12, 0, velocity=(-5, 0)),), speed=6.0, yaw_rate=0.4, pitch_rate=-0.1,
              mounting=(0.8, 0.1, 1.4, 0.02, 0.08, 0.0))


def truth(scene, interval_s=0.1):
    """Return rotation and translation of the camera as EgoMotion has them."""
    rotation, position = camera_pose(scene, 0)
    before, earlier = camera_pose(scene, -interval_s)
    return before.T @ rotation, before.T @ (position - earlier)


def motion_of(scene, flow=None, gyro=None, labels=None):
    view = render(scene)
    planner = Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, COSTS, SETTINGS)
    previous = planner.previous_rays(view.flow if flow is None else flow)
    return planner.ego_motion(view.labels if labels is None else labels, previous, gyro)


@pytest.mark.parametrize('has_gyro', [True, False])
def test_exact_flow_gives_the_exact_motion(has_gyro):
    rotation, translation = truth(SCENE)
    motion = motion_of(SCENE, gyro=rotation if has_gyro else None)
    np.testing.assert_allclose(motion.rotation, rotation, atol=1e-6)
    np.testing.assert_allclose(motion.translation, translation, atol=1e-4)
    assert motion.inliers > 0.99
    assert motion.has_gyro == has_gyro


def test_noise_and_a_third_of_wrong_flow_leave_the_motion_within_its_stated_errors():
    rng = np.random.default_rng(0)
    flow = render(SCENE).flow + rng.normal(0, 0.4, (480, 640, 2)).astype(np.float32)
    flow[:, :200] += 12
    motion = motion_of(SCENE, flow)
    rotation, translation = truth(SCENE)
    deviations = np.sqrt(np.diag(motion.covariance))
    assert (np.abs(motion.translation - translation) < 4 * deviations[:3]).all()
    assert (np.abs(rotation_vector(motion.rotation @ rotation.T)) < 4 * deviations[3:]).all()
    assert (deviations[:3] < 0.02).all()


def test_flow_that_is_lost_where_the_ground_is_fast_leaves_the_motion_known():
    flow = render(SCENE).flow.copy()
    fast = np.hypot(flow[..., 0], flow[..., 1]) > 0.08 * SCENE.camera.matrix[0, 0]
    assert fast[240:].mean() > 0.3
    flow[fast] = np.random.default_rng(0).normal(0, 20, (int(fast.sum()), 2))
    motion = motion_of(SCENE, flow)
    rotation, translation = truth(SCENE)
    assert motion.inliers > 0.9
    np.testing.assert_allclose(motion.translation, translation, atol=0.01)
    np.testing.assert_allclose(motion.rotation, rotation, atol=1e-3)


def test_flow_of_0_on_half_the_ground_leaves_the_motion_unknown():
    flow = render(SCENE).flow.copy()
    flow[:, np.arange(640) // 32 % 2 == 0] = 0  # As on plain asphalt, where nothing is found to match.
    assert motion_of(SCENE, flow) is None


def test_standing_still_is_no_motion():
    motion = motion_of(SCENE._replace(speed=0.0, yaw_rate=0.0, pitch_rate=0.0))
    np.testing.assert_allclose(motion.translation, 0, atol=1e-6)
    np.testing.assert_allclose(motion.rotation, np.eye(3), atol=1e-7)


def test_where_the_ground_says_nothing_only_the_gyro_counts():
    rotation, _ = truth(SCENE)
    for labels, flow in ((np.zeros((480, 640), np.uint8), None), (None, np.full((480, 640, 2), np.nan, np.float32)),
                         (None, np.random.default_rng(0).normal(0, 30, (480, 640, 2)).astype(np.float32))):
        assert motion_of(SCENE, flow, None, labels) is None
        motion = motion_of(SCENE, flow, rotation, labels)
        assert motion.inliers == 0
        np.testing.assert_array_equal(motion.rotation, rotation)
        np.testing.assert_array_equal(motion.translation, 0)


def test_the_jacobian_is_that_of_small_differences():
    points, translation = np.array([[1.0, 0.5, 6], [-2, 1, 9]]), np.array([0.1, 0, 0.6])

    def seen(parameters):
        before = points @ rotation_vector_matrix(parameters[3:]).T + translation + parameters[:3]
        return before[:, :2] / before[:, 2:]
    step = 1e-6
    for number, column in enumerate(np.moveaxis(motion_jacobian(points, translation), 2, 0)):
        change = np.eye(6)[number] * step
        np.testing.assert_allclose((seen(change) - seen(-change)) / (2 * step), column, atol=1e-6)


def test_an_even_turn_is_integrated_exactly_also_between_samples():
    velocity = np.array([0.1, -0.2, 0.5])
    samples = [(stamp, velocity) for stamp in range(0, 10**9, 10**7)]
    found = integrate_gyro(samples, 203 * 10**6, 458 * 10**6)
    np.testing.assert_allclose(rotation_vector(found), velocity * 0.255, atol=1e-9)


def test_a_rotation_turns_the_current_frame_into_the_previous_one():
    # Turning left, what is straight ahead now was to the left before.
    found = integrate_gyro([(0, np.array([0, 0, 1.0])), (10**8, np.array([0, 0, 1.0]))], 0, 10**8)
    np.testing.assert_allclose(found, rotation_of(0, 0, 0.1), atol=1e-12)
    np.testing.assert_allclose(found @ [1, 0, 0], [np.cos(0.1), np.sin(0.1), 0])


@pytest.mark.parametrize(('stamps', 'start_ns', 'end_ns'), [
    ([], 0, 1), ([5, 6], 4, 6), ([5, 6], 5, 7), ([0, 10**9], 0, 10**9), ([0], 0, 0)])
def test_samples_that_do_not_cover_the_time_give_no_rotation(stamps, start_ns, end_ns):
    samples = [(stamp, np.zeros(3)) for stamp in stamps]
    found = integrate_gyro(samples, start_ns, end_ns)
    assert found is None or start_ns == end_ns


@pytest.mark.parametrize('vector', [(0, 0, 0), (1e-7, 0, 0), (0.2, -0.3, 0.1), (0, 2.5, 0)])
def test_a_rotation_vector_survives_its_matrix(vector):
    np.testing.assert_allclose(rotation_vector(rotation_vector_matrix(np.array(vector, float))), vector, atol=1e-12)


def test_too_few_points_tell_nothing():
    assert estimate_ego_motion(np.zeros((10, 2)), np.zeros((10, 2)), np.ones(10)) is None

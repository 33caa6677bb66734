import numpy as np
import pytest
from rendered_scene import CAMERA, Scene, camera_pose, render

from trt_perception.core.camera_model import CameraModel, ray_grid, rays_at
from trt_perception.core.ground_plane import GroundPlane, mounting_of, quaternion_rotation, rotation_of

SCENE = Scene(mounting=(0.5, -0.2, 1.3, 0.03, 0.1, 0.2))


@pytest.fixture(scope='module')
def plane():
    return GroundPlane(CAMERA, mounting_of(*SCENE.mounting))


def test_angles_turn_as_ros_says():
    x, y, z = np.eye(3)
    np.testing.assert_allclose(rotation_of(0, 0, np.pi / 2) @ x, y, atol=1e-12)
    np.testing.assert_allclose(rotation_of(0, np.pi / 2, 0) @ x, -z, atol=1e-12)
    np.testing.assert_allclose(rotation_of(np.pi / 2, 0, 0) @ y, z, atol=1e-12)
    np.testing.assert_allclose(quaternion_rotation(0, 0, np.sin(0.3), np.cos(0.3)), rotation_of(0, 0, 0.6), atol=1e-12)
    np.testing.assert_allclose(quaternion_rotation(np.sin(0.2), 0, 0, np.cos(0.2)), rotation_of(0.4, 0, 0), atol=1e-12)


def test_a_level_camera_sees_straight_ahead_and_the_ground_below():
    mounting = mounting_of(0, 0, 2, 0, 0, 0)
    np.testing.assert_allclose(mounting.rotation @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(mounting.down, [0, 1, 0], atol=1e-12)
    plane = GroundPlane(CameraModel((101, 101), np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])), mounting)
    # One pixel centre is at the slope 0.2, another 0.1 to the right.
    np.testing.assert_allclose(plane.ground_points(np.array([[0, 0.2], [0.1, 0.2]])), [[10, 0], [10, -1]])
    np.testing.assert_allclose(plane.edges[70, 50], [2 / 0.205, 0], rtol=1e-6)
    assert np.isnan(plane.edges[49, 50]).all()
    assert plane.ranges[49, 50] == np.inf


def test_depths_and_points_are_those_of_the_renderer(plane):
    view = render(SCENE)
    seen = view.depths < 1e3
    rays = plane.rays.astype(np.float64)
    np.testing.assert_allclose(plane.depths(rays)[seen], view.depths[seen], rtol=1e-4)
    rotation, position = camera_pose(SCENE, 0)
    points = position + np.append(rays[400, 100], 1) @ rotation.T * view.depths[400, 100]
    np.testing.assert_allclose(plane.ground_points(rays[400, 100]), points[:2], atol=1e-5)


def test_points_of_the_ground_come_back_to_their_pixels(plane):
    pixels = np.array([[10.0, 300], [320, 250], [600, 470]])
    rays = rays_at(ray_grid(CAMERA), pixels)
    np.testing.assert_allclose(plane.pixels(plane.ground_points(rays)), pixels, atol=1e-3)
    assert np.isnan(plane.pixels(np.array([-5.0, 0]))).all()


@pytest.mark.parametrize(('model', 'coefficients'), [
    ('plumb_bob', [-0.28, 0.08, 0.001, 0.0005, 0.0]), ('equidistant', [0.02, -0.01, 0.003, -0.001])])
def test_points_come_back_through_a_distorting_lens_as_well(model, coefficients):
    plane = GroundPlane(CAMERA._replace(distortion_model=model, distortion=np.array(coefficients)),
                        mounting_of(*SCENE.mounting))
    pixels = np.array([[60.0, 330], [320, 260], [580, 440]])
    rays = rays_at(plane.rays, pixels)
    np.testing.assert_allclose(plane.pixels(plane.ground_points(rays)), pixels, atol=0.02)


def test_rays_between_and_beside_pixels_are_on_a_straight_line():
    rays = ray_grid(CAMERA)
    pixels = np.array([[10.25, 20.75], [-3.5, 500.0], [np.nan, 1.0]])
    found = rays_at(rays, pixels)
    np.testing.assert_allclose(found[:2], (pixels[:2] - CAMERA.matrix[:2, 2]) / 520, atol=1e-5)
    assert np.isnan(found[2]).all()

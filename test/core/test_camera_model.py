import cv2
import numpy as np
import pytest

from trt_perception.core.camera_model import CameraModel, normalised, rectified
from trt_perception.core.errors import FrameError

MATRIX = np.array([[400.0, 0, 310], [0, 420, 250], [0, 0, 1]])


def pixels():
    columns, rows = np.meshgrid(np.arange(0, 640, 40.0), np.arange(0, 480, 40.0))
    return np.stack([columns, rows], axis=-1)


def test_without_distortion_a_ray_is_the_inverse_of_the_matrix():
    found = normalised(CameraModel((480, 640), MATRIX), pixels())
    points = np.concatenate([found, np.ones(found.shape[:2] + (1,))], axis=-1)
    np.testing.assert_allclose((points @ MATRIX.T)[..., :2], pixels(), atol=1e-9)


@pytest.mark.parametrize(('model', 'coefficients'), [
    ('plumb_bob', [-0.3, 0.09, 0.001, -0.002, 0.01]), ('plumb_bob', [0.1, -0.05, 0.0, 0.0]),
    ('rational_polynomial', [0.2, 0.05, 0.001, 0.001, 0.01, 0.3, 0.08, 0.01])])
def test_distorted_pixels_of_projected_rays_give_these_rays_back(model, coefficients):
    rays = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 9), np.linspace(-0.45, 0.45, 7)), axis=-1)
    points = np.concatenate([rays, np.ones((7, 9, 1))], axis=-1)
    distorted, _ = cv2.projectPoints(points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), MATRIX, np.array(coefficients))
    camera = CameraModel((480, 640), MATRIX, model, np.array(coefficients))
    np.testing.assert_allclose(normalised(camera, distorted.reshape(7, 9, 2)), rays, atol=1e-5)


def test_fisheye_pixels_give_back_their_rays():
    coefficients = np.array([0.02, -0.01, 0.003, -0.001])
    rays = np.stack(np.meshgrid(np.linspace(-1.5, 1.5, 9), np.linspace(-1, 1, 7)), axis=-1)
    length = np.hypot(rays[..., 0], rays[..., 1])
    angle = np.arctan(length)  # The formula of the model, as ROS and OpenCV have it.
    bent = angle * (1 + sum(k * angle**(2 * i + 2) for i, k in enumerate(coefficients)))
    distorted = rays * np.where(length > 0, bent / np.maximum(length, 1e-12), 1)[..., np.newaxis]
    camera = CameraModel((480, 640), MATRIX, 'equidistant', coefficients)
    found = normalised(camera, distorted * [400, 420] + [310, 250])
    np.testing.assert_allclose(found, rays, atol=1e-9)


def test_a_rectified_image_has_the_matrix_of_p_and_no_distortion():
    projection = np.array([[380.0, 0, 320, -40], [0, 380, 240, 0], [0, 0, 1, 0]])
    camera = rectified(CameraModel((480, 640), MATRIX, 'plumb_bob', np.ones(5), projection))
    np.testing.assert_allclose(normalised(camera, np.array([700.0, 240])), [1, 0])


@pytest.mark.parametrize(('camera', 'text'), [
    (CameraModel((1, 1), np.zeros((3, 3))), 'k: got focal lengths 0 and 0'),
    (CameraModel((1, 1), np.full((3, 3), np.nan)), 'k: got focal lengths nan and nan'),
    (CameraModel((1, 1), MATRIX, 'thin prism', np.ones(4)), "distortion_model: got 'thin prism'")])
def test_a_camera_without_a_usable_calibration_is_refused(camera, text):
    with pytest.raises(FrameError, match=text):
        normalised(camera, np.zeros(2))
    with pytest.raises(FrameError, match='p: got focal lengths 0 and 0'):
        rectified(camera)

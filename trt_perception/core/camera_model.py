"""The calibration of a camera: from pixels to rays. Independent of ROS: `consumer` creates it from a CameraInfo."""
from typing import NamedTuple, Tuple

import numpy as np

from .data import Size
from .errors import FrameError


class CameraModel(NamedTuple):
    """Calibration on the pixel grid of a result, as in sensor_msgs/CameraInfo."""

    size: Size
    """(height, width), px."""
    matrix: np.ndarray
    """(3, 3) float64, K: of the raw image."""
    distortion_model: str = ''
    """'plumb_bob', 'rational_polynomial', 'equidistant'; '' = none."""
    distortion: np.ndarray = np.zeros(0)
    """Coefficients in OpenCV's order; none, or all 0 = none."""
    projection: np.ndarray = np.zeros((3, 4))
    """(3, 4) float64, P: of the rectified image; all 0 = the camera is not calibrated for that."""


def rectified(camera: CameraModel) -> CameraModel:
    """Return the calibration of the rectified image (`image_rect`): a pinhole with the matrix of P.

    Raises:
        FrameError: P has no focal length.
    """
    _check_focal(camera.projection[:, :3], 'p')
    return CameraModel(camera.size, camera.projection[:, :3].copy(), projection=camera.projection)


def normalised(camera: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """Return where the rays of pixels meet the plane z = 1 in front of the camera.

    Args:
        pixels: (..., 2) x right and y down, px; the centre of the first pixel is (0, 0).

    Returns:
        (..., 2) float64, x right and y down.

    Raises:
        FrameError: the camera is not calibrated, or its distortion model is unknown.
    """
    matrix = camera.matrix
    _check_focal(matrix, 'k')
    y = (pixels[..., 1] - matrix[1, 2]) / matrix[1, 1]
    x = (pixels[..., 0] - matrix[0, 2] - matrix[0, 1] * y) / matrix[0, 0]
    points = np.stack([x, y], axis=-1)
    if not camera.distortion.any():
        return points
    if camera.distortion_model == 'equidistant':
        return _undistort_equidistant(points, camera.distortion)
    if camera.distortion_model in ('plumb_bob', 'rational_polynomial'):
        return _undistort_polynomial(points, camera.distortion)
    raise FrameError('camera_info: distortion_model: got {!r}, expected plumb_bob, rational_polynomial or equidistant. '
                     'Calibrate with one of these, or rectify the images.'.format(camera.distortion_model))


def _check_focal(matrix: np.ndarray, name: str) -> None:
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise FrameError('camera_info: {}: got focal lengths {:g} and {:g}, expected two above 0. Calibrate the '
                         'camera.'.format(name, matrix[0, 0], matrix[1, 1]))


def _undistort_polynomial(distorted: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Invert Brown's model by fixed-point iteration."""
    points = distorted
    for _ in range(20):
        radial, shift = _brown(points, coefficients)
        points = (distorted - shift) * radial
    return points


def _brown(points: np.ndarray, coefficients: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return Brown's model at undistorted points: distorted = points / radial + shift.

    Coefficients in OpenCV's order: k1, k2, p1, p2, k3, k4, k5, k6.
    """
    k1, k2, p1, p2, k3, k4, k5, k6 = np.concatenate([coefficients, np.zeros(8)])[:8]
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = (1 + r2 * (k4 + r2 * (k5 + r2 * k6))) / (1 + r2 * (k1 + r2 * (k2 + r2 * k3)))
    shift = np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=-1)
    return radial[..., np.newaxis], shift


def _undistort_equidistant(distorted: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Invert the fisheye model of Kannala and Brandt (OpenCV's: k1 ... k4) by Newton's method."""
    k = np.concatenate([coefficients, np.zeros(4)])[:4]
    length = np.sqrt((distorted**2).sum(axis=-1))
    angle = length.copy()
    for _ in range(10):
        square = angle * angle
        value = angle * (1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3]))))
        slope = 1 + square * (3 * k[0] + square * (5 * k[1] + square * (7 * k[2] + square * 9 * k[3])))
        angle = angle - (value - length) / slope
    tangent = np.tan(np.clip(angle, 0, np.pi / 2 - 1e-3))  # Points beside the camera are never in front of it.
    return distorted * np.where(length > 1e-9, tangent / np.maximum(length, 1e-9), 1.0)[..., np.newaxis]


def projected(camera: CameraModel, points: np.ndarray) -> np.ndarray:
    """Return the pixels of points of the plane z = 1: the inverse of `normalised`, in closed form.

    Args:
        points: (..., 2) x right and y down.

    Returns:
        (..., 2) float64, px.
    """
    if camera.distortion.any() and camera.distortion_model == 'equidistant':
        k = np.concatenate([camera.distortion, np.zeros(4)])[:4]
        length = np.sqrt((points**2).sum(axis=-1, keepdims=True))
        angle = np.arctan(length)
        square = angle * angle
        bent = angle * (1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3]))))
        points = points * np.where(length > 1e-9, bent / np.maximum(length, 1e-9), 1.0)
    elif camera.distortion.any():
        radial, shift = _brown(points, camera.distortion)
        points = points / radial + shift
    matrix = camera.matrix
    return np.stack([points[..., 0] * matrix[0, 0] + points[..., 1] * matrix[0, 1] + matrix[0, 2],
                     points[..., 1] * matrix[1, 1] + matrix[1, 2]], axis=-1)


def ray_grid(camera: CameraModel) -> np.ndarray:
    """Return `normalised` of all pixels: (H, W, 2) float32.

    Raises:
        FrameError: as `normalised`.
    """
    height, width = camera.size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return normalised(camera, np.stack([columns, rows], axis=-1)).astype(np.float32)


def rays_at(rays: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return the rays of any pixels from a `ray_grid`, bilinear; beyond its edge linearly extrapolated.

    Args:
        pixels: (N, 2) x and y, px; NaN gives NaN.

    Returns:
        (N, 2) float32.
    """
    height, width = rays.shape[:2]
    valid = np.isfinite(pixels).all(axis=1)
    known = np.where(valid[:, np.newaxis], pixels, 0)
    column = np.clip(known[:, 0].astype(np.intp), 0, width - 2)
    row = np.clip(known[:, 1].astype(np.intp), 0, height - 2)
    x = (known[:, 0] - column)[:, np.newaxis].astype(np.float32)
    y = (known[:, 1] - row)[:, np.newaxis].astype(np.float32)
    first = rays[row, column]
    found = first + x * (rays[row, column + 1] - first) + y * (rays[row + 1, column] - first)
    found[~valid] = np.nan
    return found

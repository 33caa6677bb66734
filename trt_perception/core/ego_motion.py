"""The camera's own motion between two images: rotation from a gyro or the flow, translation from the ground's flow."""
from typing import NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

_LEAST_POINTS = 60
_MOST_POINTS = 1500
"""More points cost time without a gain: the flow of neighbours has the same errors."""
_ITERATIONS = 8
_BLOCK = 0.06
"""Side of a block whose flow has one error, on the plane z = 1: 30 px at a focal length of 500 px."""
_UNKNOWN_FLOW_ERROR = 1e-3
_FITS = 4e-3
"""Largest residual of flow that fits a motion, on the plane z = 1: 2 px at a focal length of 500 px."""
_FOLLOWED = 0.08
"""Ground that a motion moves further, on the plane z = 1, is no evidence for or against it: 40 px at a focal length of
500 px. The ground right before a camera moves by 100 px and more, which flow methods cannot follow."""
_TRIALS = 20
_TRIAL_POINTS = 8
_GOOD_INLIERS = 0.8
_LEAST_INLIERS = 0.6
"""On asphalt without texture, flow may be 0 because nothing matches; half of the ground may then agree on it."""
_LONGEST_GAP_NS = 100 * 10**6


class EgoMotion(NamedTuple):
    """How the camera moved: a static point at X in the optical frame was at rotation @ X + translation before."""

    rotation: np.ndarray
    """(3, 3) float64: current optical frame -> previous one."""
    translation: np.ndarray
    """(3,) float64, position of the camera now in the previous optical frame, m; 0 when unknown."""
    covariance: np.ndarray
    """(6, 6), of translation, m, and rotation, rad, in the previous optical frame; 0 for what is not estimated."""
    inliers: float
    """Share of the ground's flow that fits, without ground too fast for flow, 0 .. 1; 0 when the translation is
    unknown."""
    flow_error: float
    """Standard deviation of the error that neighbouring pixels of the flow share, on the plane z = 1."""
    has_gyro: bool
    """Whether the rotation is from a gyro."""


def rotation_vector_matrix(vector: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation matrix of an angle times an axis, (3,), rad."""
    return cv2.Rodrigues(vector)[0]


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Return angle times axis of a rotation matrix, rad: (3,); for angles well below pi.

    cv2.Rodrigues returns 0 below 1e-5 rad, which adds up.
    """
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = float(np.linalg.norm(axis)) / 2
    angle = float(np.arctan2(sine, (np.trace(rotation) - 1) / 2))
    return axis / 2 * (angle / sine if sine > 1e-9 else 1.0)


def integrate_gyro(samples: Sequence[Tuple[int, np.ndarray]], start_ns: int, end_ns: int) -> Optional[np.ndarray]:
    """Return the rotation between two times from angular velocities: current frame -> previous one, in the gyro's axes.

    Args:
        samples: (stamp in ns, (3,) rad/s) in the order of their stamps.

    Returns:
        (3, 3); None if the samples do not cover the time, or have gaps of more than 0.1 s.
    """
    stamps = np.array([stamp for stamp, _ in samples], np.int64)
    first = int(np.searchsorted(stamps, start_ns, 'right')) - 1
    last = int(np.searchsorted(stamps, end_ns, 'left'))
    if first < 0 or last >= len(stamps) or (np.diff(stamps[first:last + 1]) > _LONGEST_GAP_NS).any():
        return None
    rotation = np.eye(3)
    for (from_ns, before), (to_ns, after) in zip(samples[first:last], samples[first + 1:last + 1]):
        begin, end = max(from_ns, start_ns), min(to_ns, end_ns)
        middle = ((begin + end) / 2 - from_ns) / (to_ns - from_ns)
        rotation = rotation @ rotation_vector_matrix((before + middle * (after - before)) * (end - begin) * 1e-9)
    return rotation


def motion_jacobian(turned: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return how the previous rays of static points change with translation, m, and rotation, rad: (N, 2, 6).

    Args:
        turned: (N, 3), the points in the axes of the previous optical frame, m.
        translation: (3,), or (N, 3).
    """
    before = turned + translation
    inverse = 1 / before[:, 2]
    zero = np.zeros(len(turned))
    shifts = np.stack([np.stack([inverse, zero, -before[:, 0] * inverse**2], axis=1),
                       np.stack([zero, inverse, -before[:, 1] * inverse**2], axis=1)], axis=1)
    return np.concatenate([shifts, np.cross(turned[:, np.newaxis], shifts)], axis=2)


def estimate_ego_motion(rays: np.ndarray, previous: np.ndarray, depths: np.ndarray,
                        gyro: Optional[np.ndarray] = None) -> Optional[EgoMotion]:
    """Return the motion that explains the flow of points of the ground, without outliers.

    Args:
        rays: (N, 2), where points of the ground are seen now, on the plane z = 1.
        previous: (N, 2), where they were seen in the previous image; NaN = no flow.
        depths: (N,) optical z from the ground plane, m.
        gyro: (3, 3), current -> previous optical frame, if known.

    Returns:
        None if the flow does not determine it, and there is no gyro.
    """
    valid = np.isfinite(previous).all(axis=1) & np.isfinite(depths)
    every = max(-(-int(valid.sum()) // _MOST_POINTS), 1)
    rays, previous, depths = rays[valid][::every], previous[valid][::every], depths[valid][::every]
    if len(rays) >= _LEAST_POINTS:
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depths[:, np.newaxis]
        fits, inliers = _best_start(points, previous, gyro)
        if inliers >= _LEAST_INLIERS:
            points, rays, previous = points[fits], rays[fits], previous[fits]
            rotation, translation, inverse = _fit(points, previous, gyro)
            error, alike = _block_error(rays, previous - _seen(points, rotation, translation))
            covariance = np.zeros((6, 6))
            covariance[:len(inverse), :len(inverse)] = inverse * error**2 * alike
            return EgoMotion(rotation, translation, covariance, inliers, error, gyro is not None)
    if gyro is None:
        return None
    return EgoMotion(gyro, np.zeros(3), np.zeros((6, 6)), 0.0, _UNKNOWN_FLOW_ERROR, True)


def _best_start(points: np.ndarray, previous: np.ndarray,
                gyro: Optional[np.ndarray]) -> Tuple[np.ndarray, float]:
    """Find the best of several motions: from all points, or if that is bad, from random ones (RANSAC).

    Returns:
        which points fit it, (N,) bool; and their share of all, or of those that flow can follow if that is more.
    """
    rays = points[:, :2] / points[:, 2:]

    def fitting(chosen: np.ndarray) -> Tuple[np.ndarray, float]:
        rotation, translation, _ = _fit(points[chosen], previous[chosen], gyro)
        seen = _seen(points, rotation, translation)
        fits, followed = np.hypot(*(previous - seen).T) < _FITS, np.hypot(*(seen - rays).T) < _FOLLOWED
        of_followed = float(fits[followed].mean()) if followed.sum() >= _LEAST_POINTS else 0.0
        return fits, max(float(fits.mean()), of_followed)

    best = fitting(np.arange(len(points)))
    random = np.random.RandomState(0)
    for _ in range(_TRIALS if best[1] < _GOOD_INLIERS else 0):
        other = fitting(random.choice(len(points), _TRIAL_POINTS, replace=False))
        if other[0].sum() > best[0].sum():
            best = other
    return best


def _seen(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return the previous rays of points in the current optical frame: (N, 2)."""
    before = points @ rotation.T + translation
    return before[:, :2] / np.where(np.abs(before[:, 2:]) > 1e-3, before[:, 2:], 1e-3)


def _fit(points: np.ndarray, previous: np.ndarray,
         gyro: Optional[np.ndarray]) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rotation, translation and the inverse normal matrix: Gauss-Newton on the projection."""
    rotation, translation = np.eye(3) if gyro is None else gyro, np.zeros(3)
    for iteration in range(_ITERATIONS):
        turned = points @ rotation.T
        before = turned + translation
        ahead = before[:, 2] > 0.05  # Points that a bad step moved behind the camera are ignored.
        before[~ahead] = (0, 0, 1)
        residuals = previous - before[:, :2] / before[:, 2:]
        length = np.hypot(residuals[:, 0], residuals[:, 1])
        scale = max(float(np.median(length)) / 1.1774, 1e-7)  # Of a Rayleigh distribution.
        if iteration < _ITERATIONS - 2:  # Cauchy's weights converge from far; Tukey's exclude outliers.
            weights = ahead / (1 + (length / scale)**2)
        else:
            weights = np.clip(1 - (length / (4.685 * scale))**2, 0, None)**2 * ahead
        columns = motion_jacobian(turned, before - turned)[..., :6 if gyro is None else 3]
        weighted = columns * weights[:, np.newaxis, np.newaxis]
        normal = np.tensordot(weighted, columns, ([0, 1], [0, 1]))
        inverse = np.linalg.pinv(normal, hermitian=True)
        step = inverse @ np.tensordot(weighted, residuals, ([0, 1], [0, 1]))
        translation = translation + step[:3]
        if gyro is None:
            rotation = rotation_vector_matrix(step[3:]) @ rotation
    return rotation, translation, inverse


def _block_error(rays: np.ndarray, residuals: np.ndarray) -> Tuple[float, float]:
    """Return the standard deviation of the mean residual of a block, and how many points a block has on average."""
    cells = np.floor(rays / _BLOCK).astype(np.int64)
    _, blocks = np.unique(cells[:, 0] * 65536 + cells[:, 1], return_inverse=True)
    counts = np.bincount(blocks)
    means = np.stack([np.bincount(blocks, each) for each in residuals.T], axis=1) / counts[:, np.newaxis]
    full = counts >= 3
    if not full.any():
        return _UNKNOWN_FLOW_ERROR, 1.0
    spread = float(np.median(np.hypot(*means[full].T))) / 1.1774
    return max(spread, 1e-6), float(counts.mean())

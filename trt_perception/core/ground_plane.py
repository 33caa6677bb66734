"""The ground as a plane, and where the pixels of a mounted camera meet it. Slopes and kerbs cause undetected errors.

Frames: *base* is the vehicle's (REP 103: x forward, y left, z up; z = 0 is the ground), *optical* the camera's (x
right, y down, z forward).
"""
from typing import NamedTuple

import numpy as np

from .camera_model import CameraModel, normalised, projected, ray_grid

OPTICAL_TO_BODY = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""Rotates vectors from an optical frame to that of a camera's body: x forward, y left, z up."""


class Mounting(NamedTuple):
    """Pose of the camera on the vehicle."""

    rotation: np.ndarray
    """(3, 3) float64: optical -> base."""
    position: np.ndarray
    """(3,) float64, position of the camera in the base frame, m; the third is its height above the ground."""

    @property
    def down(self) -> np.ndarray:
        """(3,) unit vector towards the ground, in the optical frame."""
        return -self.rotation[2]


def rotation_of(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return the (3, 3) rotation matrix of angles as in ROS, rad: about the fixed x, y and z axes, in this order."""
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def quaternion_rotation(x: float, y: float, z: float, w: float) -> np.ndarray:
    """Return the (3, 3) rotation matrix of a unit quaternion."""
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def mounting_of(x: float, y: float, height: float, roll: float, pitch: float, yaw: float) -> Mounting:
    """Return the mounting of a camera that looks forward with all angles 0; pitch > 0 looks down. m, rad."""
    return Mounting(rotation_of(roll, pitch, yaw) @ OPTICAL_TO_BODY, np.array([x, y, height]))


class GroundPlane:
    """Intersections of the pixels of a mounted camera with the ground, computed once.

    Attributes:
        camera, mounting: as given.
        rays: (H, W, 2) float32, of all pixels: see `ray_grid`.
        edges: (H, W, 2) float32, x and y of the ground at the lower edge of each pixel, base frame, m; NaN from the
            horizon up.
        ranges: (H, W) float32, distance of these points from the point below the camera, m; inf from the horizon up.

    Raises:
        FrameError: the camera is not calibrated.
    """

    def __init__(self, camera: CameraModel, mounting: Mounting) -> None:
        self.camera = camera
        self.mounting = mounting
        self.rays = ray_grid(camera)
        height, width = camera.size
        columns, rows = np.meshgrid(np.arange(width), np.arange(height) + 0.5)
        points = self.ground_points(normalised(camera, np.stack([columns, rows], axis=-1)))
        self.edges = points.astype(np.float32)
        ranges = np.hypot(*np.moveaxis(points - mounting.position[:2], -1, 0))
        self.ranges = np.where(np.isfinite(ranges), ranges, np.inf).astype(np.float32)

    def depths(self, rays: np.ndarray) -> np.ndarray:
        """Return the optical z, (...,) m, at which rays, (..., 2), meet the ground; inf from the horizon up."""
        slope = rays @ self.mounting.down[:2] + self.mounting.down[2]
        with np.errstate(divide='ignore'):
            return np.where(slope > 1e-6, self.mounting.position[2] / slope, np.inf)

    def ground_points(self, rays: np.ndarray) -> np.ndarray:
        """Return where rays meet the ground: (..., 2) x and y in the base frame, m; NaN from the horizon up."""
        depths = self.depths(rays)[..., np.newaxis]
        with np.errstate(invalid='ignore'):
            points = (np.concatenate([rays, np.ones(rays.shape[:-1] + (1,))], axis=-1)
                      @ self.mounting.rotation[:2].T * depths + self.mounting.position[:2])
        return np.where(np.isfinite(depths), points, np.nan)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels that show points of the ground: (..., 2) x and y, px; NaN behind the camera.

        Args:
            points: (..., 2) x and y in the base frame, m.
        """
        on_ground = np.concatenate([points, np.zeros(points.shape[:-1] + (1,))], axis=-1)
        optical = (on_ground - self.mounting.position) @ self.mounting.rotation
        depth = optical[..., 2:]
        with np.errstate(divide='ignore', invalid='ignore'):
            return projected(self.camera, np.where(depth > 1e-3, optical[..., :2] / depth, np.nan))

"""A small renderer for the planner's tests: a ground plane with boxes, seen by a mounted camera, with exact truth.

World: x forward, y left, z up, m. Everything moves evenly: boxes by their velocity, the vehicle by speed and yaw rate.
"""
from typing import NamedTuple

import numpy as np

from trt_perception.core.camera_model import CameraModel, ray_grid
from trt_perception.core.ground_plane import mounting_of, rotation_of

CLASSES = {0: 'sky', 1: 'building', 3: 'road', 4: 'pavement', 8: 'car', 9: 'pedestrian'}
SKY, BUILDING, ROAD, PAVEMENT, CAR, PEDESTRIAN = CLASSES
CAMERA = CameraModel((480, 640), np.array([[520.0, 0, 319.5], [0, 520, 239.5], [0, 0, 1]]))


class Box(NamedTuple):
    """A box that stands on the ground."""

    class_id: int
    x: float
    """Of its middle at time 0, m."""
    y: float
    size: tuple = (2.0, 2.0, 1.5)
    """Along x, y and z, m."""
    velocity: tuple = (0.0, 0.0)
    """Over the ground, m/s."""


class Scene(NamedTuple):
    """What there is, and how the vehicle moves through it."""

    boxes: tuple = ()
    speed: float = 0.0
    """m/s, along the vehicle's x."""
    yaw_rate: float = 0.0
    """rad/s, left is positive."""
    pitch_rate: float = 0.0
    """rad/s of the whole vehicle about its y: it nods; at time 0 it is level."""
    mounting: tuple = (0.0, 0.0, 1.4, 0.0, 0.0, 0.0)
    """Of the camera: x, y, height (m), roll, pitch, yaw (rad)."""
    pavement_left: float = np.inf
    """The ground is pavement where y is above, m."""
    camera: CameraModel = CAMERA


class View(NamedTuple):
    """What the camera sees at one time."""

    labels: np.ndarray
    """(H, W) uint8 class ids."""
    flow: np.ndarray
    """(H, W, 2) float32 on this grid since the time before, px."""
    boxes: np.ndarray
    """(H, W) int64, number of the box; -1 = none."""
    depths: np.ndarray
    """(H, W) optical z, m; inf = sky."""
    turn: np.ndarray
    """(3, 3), current optical frame -> previous one: what an ideal gyro says."""
    points: np.ndarray
    """(H, W, 3) in the world, of a box where it was at time 0, m: what a texture sticks to."""


def base_pose(scene, time_s):
    """Return rotation (base -> world) and position of the vehicle: (3, 3), (3,)."""
    yaw = scene.yaw_rate * time_s
    if abs(scene.yaw_rate) > 1e-9:
        radius = scene.speed / scene.yaw_rate
        position = np.array([radius * np.sin(yaw), radius * (1 - np.cos(yaw)), 0])
    else:
        position = np.array([scene.speed * time_s, 0, 0])
    return rotation_of(0, scene.pitch_rate * time_s, yaw), position


def camera_pose(scene, time_s):
    """Return rotation (optical -> world) and position of the camera: (3, 3), (3,)."""
    rotation, position = base_pose(scene, time_s)
    mounting = mounting_of(*scene.mounting)
    return rotation @ mounting.rotation, position + rotation @ mounting.position


def box_bounds(box, time_s):
    """Return the lower and upper corner of a box in the world, m: (3,), (3,)."""
    middle = np.array([box.x + box.velocity[0] * time_s, box.y + box.velocity[1] * time_s, box.size[2] / 2])
    return middle - np.array(box.size) / 2, middle + np.array(box.size) / 2


def render(scene, time_s=0.0, interval_s=0.1):
    """Return the View at a time, with the flow since `interval_s` before; the camera has no distortion."""
    rotation, position = camera_pose(scene, time_s)
    earlier_rotation, earlier_position = camera_pose(scene, time_s - interval_s)
    rays = ray_grid(scene.camera).astype(np.float64)
    rays = np.concatenate([rays, np.ones(rays.shape[:2] + (1,))], axis=-1)
    directions = rays @ rotation.T
    with np.errstate(divide='ignore', invalid='ignore'):
        depths = np.where(directions[..., 2] < 0, -position[2] / directions[..., 2], np.inf)
        number = np.full(depths.shape, -1)
        for index, box in enumerate(scene.boxes):
            low, high = ((corner - position) / directions for corner in box_bounds(box, time_s))
            near, far = np.minimum(low, high).max(axis=-1), np.maximum(low, high).min(axis=-1)
            hit = (near < far) & (near > 0) & (near < depths)
            depths, number = np.where(hit, near, depths), np.where(hit, index, number)
    sky = ~np.isfinite(depths)
    known = np.where(sky, 1e6, depths)  # So far that only the rotation moves it.
    points = position + directions * known[..., np.newaxis]
    anchored = points.copy()
    for index, box in enumerate(scene.boxes):
        anchored[number == index, :2] -= np.array(box.velocity) * time_s
    labels = np.where(points[..., 1] > scene.pavement_left, PAVEMENT, ROAD)
    labels[sky] = SKY
    for index, box in enumerate(scene.boxes):
        labels[number == index] = box.class_id
        points[number == index, :2] -= np.array(box.velocity) * interval_s
    before = (points - earlier_position) @ earlier_rotation
    pixels = before[..., :2] / before[..., 2:] * np.diag(scene.camera.matrix)[:2] + scene.camera.matrix[:2, 2]
    columns, rows = np.meshgrid(np.arange(depths.shape[1]), np.arange(depths.shape[0]))
    flow = np.stack([columns, rows], axis=-1) - pixels
    return View(labels.astype(np.uint8), flow.astype(np.float32), number, depths, earlier_rotation.T @ rotation,
                anchored)


def textured(view, scene, seed=0):
    """Return an image of a view, (H, W) uint8: noise that sticks to the surfaces, of other brightness by box.

    Waves shorter than two pixels are left out, as a lens does.
    """
    lattice = np.random.default_rng(seed).uniform(-1, 1, (256, 256))
    x, y, z = np.moveaxis(view.points, -1, 0)
    u, v = x + 0.37 * z, y + 0.71 * z
    # How long one pixel is on the surface: on the ground, longer by the slope of the ray.
    pixel = view.depths / scene.camera.matrix[0, 0]
    pixel = np.where(view.boxes < 0, pixel * np.maximum(view.depths / scene.mounting[2], 1), pixel)
    total = np.zeros(view.depths.shape)
    for wave in 0.06 * 2.0**np.arange(7):
        a, b = np.nan_to_num(u / wave), np.nan_to_num(v / wave)
        i, j = np.floor(a).astype(np.int64), np.floor(b).astype(np.int64)
        p, q = a - i, b - j
        p, q = p * p * (3 - 2 * p), q * q * (3 - 2 * q)
        near, far = (lattice[i % 256, k % 256] * (1 - p) + lattice[(i + 1) % 256, k % 256] * p for k in (j, j + 1))
        total += (near * (1 - q) + far * q) * np.clip(wave / (2 * pixel) - 0.5, 0, 1)
    base = 110 + 25 * ((view.boxes * 7 + 7) % 5 - 2)
    return np.where(np.isfinite(view.depths), np.clip(base + 45 * total, 0, 255), 235).astype(np.uint8)

"""Poses of a camera and a gyro on the vehicle: from parameters, or from tf."""
import importlib
from typing import Any, Dict, Optional

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from ..core.errors import ConfigError
from ..core.ground_plane import Mounting, mounting_of, quaternion_rotation
from ..core.settings import Settings


class CameraMounting:
    """Looks up frames in the base frame, each once, because they are fixed on a vehicle.

    Raises:
        ConfigError: tf is requested, but tf2_ros is not installed.
    """

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._base = settings['base_frame']
        self._fixed = mounting_of(
            *(settings['camera.' + name] for name in ('x', 'y', 'height', 'roll', 'pitch', 'yaw')))
        self._buffer: Any = None
        self._found: Dict[str, Mounting] = {}
        if settings['mounting'] == 'tf':
            try:
                tf2_ros: Any = importlib.import_module('tf2_ros')  # Not on PyPI.
            except ImportError as error:
                raise ConfigError('parameter mounting: got tf, but tf2_ros cannot be imported ({}). Install it, or set '
                                  'mounting: parameters and camera.height.'.format(error)) from error
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, node)

    def camera(self, frame_id: str) -> Optional[Mounting]:
        """Return the mounting of the camera with this optical frame; None while tf does not have it."""
        return self._fixed if self._buffer is None else self._look_up(frame_id)

    def gyro(self, frame_id: str) -> Optional[np.ndarray]:
        """Return the rotation from a gyro's frame to the base frame, (3, 3): without tf, both have the same axes."""
        if self._buffer is None:
            return np.eye(3)
        found = self._look_up(frame_id)
        return None if found is None else found.rotation

    def _look_up(self, frame_id: str) -> Optional[Mounting]:
        if frame_id not in self._found:
            try:
                transform = self._buffer.lookup_transform(self._base, frame_id, Time()).transform
            except Exception as error:  # Several classes of tf2, which is imported only here.
                self._node.get_logger().warning(
                    'tf has no transform from {!r} to {!r} yet: {}. Publish it, or set mounting: parameters.'.format(
                        frame_id, self._base, error), throttle_duration_sec=10.0)
                return None
            q, p = transform.rotation, transform.translation
            self._found[frame_id] = Mounting(quaternion_rotation(q.x, q.y, q.z, q.w), np.array([p.x, p.y, p.z]))
        return self._found[frame_id]

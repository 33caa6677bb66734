"""The rotation between two images from the angular velocities of a sensor_msgs/Imu topic."""
import collections
from typing import Any, Deque, Optional, Tuple

import numpy as np
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu

from ..consumer import stamp_ns
from ..core.ego_motion import integrate_gyro
from .camera_mounting import CameraMounting

_SAMPLES = 2000
_FASTEST = 100.0
"""No gyro measures more, rad/s."""
# Imu topics come often: those that arrive while an image is in work must not be lost.
_DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)


class Gyro:
    """Subscribes to `imu`, and keeps the last seconds of it.

    Attributes:
        counts: for how many pairs of images the samples `covered` their time, or `missed` it.
    """

    def __init__(self, node: Node, mounting: CameraMounting) -> None:
        self._node = node
        self._mounting = mounting
        self._samples: Deque[Tuple[int, np.ndarray]] = collections.deque(maxlen=_SAMPLES)
        self._subscription: Any = None
        self.counts = {'covered': 0, 'missed': 0}

    def listen(self, wanted: bool) -> None:
        """Subscribe or unsubscribe."""
        if wanted and self._subscription is None:
            self._subscription = self._node.create_subscription(Imu, 'imu', self._take, _DEEP)
        elif not wanted and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            self._samples.clear()

    def rotation(self, start_ns: int, end_ns: int) -> Optional[np.ndarray]:
        """Return the rotation of the vehicle between two times: (3, 3), base frame at the end -> at the start.

        Returns:
            None where the samples do not cover the time.
        """
        if not self._samples:
            return None
        rotation = integrate_gyro(list(self._samples), start_ns, end_ns)
        self.counts['missed' if rotation is None else 'covered'] += 1
        return rotation

    def _take(self, message: Imu) -> None:
        turn = self._mounting.gyro(message.header.frame_id)
        velocity = np.array([message.angular_velocity.x, message.angular_velocity.y, message.angular_velocity.z])
        stamp = stamp_ns(message)
        if message.angular_velocity_covariance[0] == -1 or not (abs(velocity) < _FASTEST).all():  # Nor NaN.
            self._node.get_logger().warning(
                'imu: got angular velocities {} with the covariance {:g} (-1 = not measured), expected rad/s below '
                '{:g}. Correct the IMU driver, or remap imu.'.format(
                    velocity.tolist(), message.angular_velocity_covariance[0], _FASTEST), throttle_duration_sec=30.0)
            return
        if turn is None:
            return
        if self._samples and stamp == self._samples[-1][0]:
            return
        if self._samples and stamp < self._samples[-1][0]:
            self._samples.clear()  # The clock went back: a bag was started again.
        self._samples.append((stamp, turn @ velocity))

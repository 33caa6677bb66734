"""A speed limit for a vehicle, from planner_node: it can stop before what it sees, and brakes for what approaches.

    trt_perception run --image /camera/image_raw & trt_perception run planner -p camera.height:=1.4 &
    python3 examples/speed_limit.py
    ros2 topic echo /speed_limit

`speed_limit` is the rule, on numbers; the node matches scan and obstacles, which have the same stamp.
"""
import contextlib
import json
import math
import sys
from typing import Any, Dict, Sequence

import numpy as np


def speed_limit(angles: np.ndarray, ranges: np.ndarray, obstacles: Sequence[Dict[str, Any]], half_width: float = 1.2,
                deceleration: float = 2.0, margin: float = 1.0, shortest_time: float = 2.0) -> float:
    """Return the speed from which the vehicle stops in time, m/s; 0 = brake now.

    Args:
        angles, ranges: of a laser scan, rad and m; inf = free, NaN = not seen, which counts as free here.
        obstacles: as in planner/obstacles_json.
        half_width: of the lane that must be free, m.
        deceleration: m/s^2.
        margin: to keep to what is ahead, m.
        shortest_time: to contact with what is in the lane, s.
    """
    for each in obstacles:
        time, sure = each['time_to_contact'], each['confidence'] > 0.7
        if sure and time is not None and time < shortest_time and abs(each['position'][1]) < half_width + 1:
            return 0.0
    hits = np.isfinite(ranges)
    x, y = ranges[hits] * np.cos(angles[hits]), ranges[hits] * np.sin(angles[hits])
    distance = float(x[np.abs(y) < half_width].min(initial=math.inf))
    return math.sqrt(2 * deceleration * max(distance - margin, 0.0))


def make_node(**arguments):
    """Return the node; with the arguments of rclpy's Node. Only here is ROS imported."""
    from rclpy.node import Node
    from sensor_msgs.msg import LaserScan
    from std_msgs.msg import Float32, String

    class SpeedLimit(Node):
        """Publishes speed_limit, std_msgs/Float32 in m/s, for each image; inf = nothing in the way."""

        def __init__(self):
            super().__init__('speed_limit', **arguments)
            self._latest = {}
            self._publisher = self.create_publisher(Float32, 'speed_limit', 1)
            self.create_subscription(LaserScan, 'planner/scan', self._take_scan, 1)
            self.create_subscription(String, 'planner/obstacles_json', self._take_obstacles, 1)

        def _take_scan(self, message):
            self._take('scan', (message.header.stamp.sec, message.header.stamp.nanosec), message)

        def _take_obstacles(self, message):
            content = json.loads(message.data)
            self._take('obstacles', (content['stamp']['sec'], content['stamp']['nanosec']), content['obstacles'])

        def _take(self, name, stamp, content):
            self._latest[name] = stamp, content
            if len(self._latest) == 2 and len({stamp for stamp, _ in self._latest.values()}) == 1:
                scan = self._latest['scan'][1]
                ranges = np.array(scan.ranges)
                angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
                self._publisher.publish(Float32(data=speed_limit(angles, ranges, self._latest['obstacles'][1])))

    return SpeedLimit()


def main():
    """Run the node until Ctrl-C."""
    import rclpy
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt):
        rclpy.spin(make_node())
    return 0


if __name__ == '__main__':
    sys.exit(main())

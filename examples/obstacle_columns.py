"""A first step of a planner: obstacles by image column, with their speeds, from label map and optical flow.

    trt_perception run --image /camera/image_raw
    python3 examples/obstacle_columns.py
    ros2 topic echo /obstacle_columns

`obstacle_columns` is the algorithm, on arrays; `trt_perception.consumer` converts the messages of an image to these.
"""
import contextlib
import functools
import json
import sys
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from trt_perception import consumer

VOID = 255
GROUND = ('road', 'pavement', 'sky')


class Column(NamedTuple):
    """The nearest obstacle in a vertical strip of the image."""

    left: int
    """First pixel column of the strip."""
    right: int
    """One past its last pixel column."""
    bottom: Optional[int]
    """Lowest row with an obstacle, px from the top: the larger, the nearer on flat ground. None = the strip is free."""
    class_id: Optional[int]
    """Most frequent class of the obstacle's pixels; None = the strip is free."""
    u: Optional[float]
    """Median speed of the obstacle's pixels to the right, px/s; None = no obstacle, or no valid flow on it."""
    v: Optional[float]
    """Likewise downwards. An obstacle whose bottom moves down fast is coming closer."""


def obstacle_columns(labels: np.ndarray, velocity: np.ndarray, ground: Sequence[int], count: int = 16, depth: int = 24,
                     least: int = 8) -> List[Column]:
    """Return the nearest obstacle of each vertical strip of an image.

    Args:
        labels: (H, W) uint8 class ids, VOID = unlabelled: neither ground nor obstacle.
        velocity: (H, W, 2) float32, px/s on the same grid; NaN = invalid.
        ground: class ids that are not obstacles.
        count: number of strips.
        depth: rows above the lowest obstacle pixel that belong to the obstacle, px.
        least: obstacle pixels that a strip must have there, or else it counts as free.
    """
    obstacle = ~np.isin(labels, list(ground) + [VOID])
    edges = np.linspace(0, labels.shape[1], count + 1).astype(int).tolist()
    columns = []
    for left, right in zip(edges[:-1], edges[1:]):
        rows = np.flatnonzero(obstacle[:, left:right].any(axis=1))
        bottom = int(rows[-1]) if rows.size else 0
        here = (slice(max(bottom + 1 - depth, 0), bottom + 1), slice(left, right))
        mask = obstacle[here]
        if mask.sum() < least:
            columns.append(Column(left, right, None, None, None, None))
            continue
        velocities = velocity[here][mask]
        velocities = velocities[np.isfinite(velocities).all(axis=1)]
        u, v = np.median(velocities, axis=0).tolist() if len(velocities) else (None, None)
        columns.append(Column(left, right, bottom, int(np.bincount(labels[here][mask]).argmax()), u, v))
    return columns


def make_node(**arguments):
    """Return the node; with the arguments of rclpy's Node. Only here is ROS imported."""
    from rclpy.node import Node
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import Image, TimeReference
    from std_msgs.msg import String

    class ObstacleColumns(Node):
        """Publishes obstacle_columns, std_msgs/String with JSON, for each image that has labels and flow."""

        def __init__(self):
            super().__init__('obstacle_columns', **arguments)
            self._ground = self.declare_parameter('ground', list(GROUND)).value
            self._publisher = self.create_publisher(String, 'obstacle_columns', 1)
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            topics = {consumer.LABEL_MAP: (Image, 1), consumer.CLASSES: (String, latched), consumer.FLOW: (Image, 1),
                      consumer.FLOW_INTERVAL: (TimeReference, 1)}
            self._join = consumer.Join(list(topics))
            for topic, (kind, qos) in topics.items():
                self.create_subscription(kind, topic, functools.partial(self._take, topic), qos)

        def _take(self, topic, message):
            results = self._join.add(topic, message)
            if results is not None:
                columns = obstacle_columns(results.labels, results.velocity(), results.ids(self._ground))
                self._publisher.publish(String(data=json.dumps({
                    'stamp_ns': results.stamp_ns, 'frame_id': results.frame_id,
                    'columns': [column._asdict() for column in columns]})))

    return ObstacleColumns()


def main():
    """Run the node until Ctrl-C."""
    import rclpy
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt):
        rclpy.spin(make_node())
    return 0


if __name__ == '__main__':
    sys.exit(main())

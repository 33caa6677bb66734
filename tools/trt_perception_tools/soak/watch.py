"""Observes a node during a run: the times of its results, and its last diagnostics."""
from __future__ import annotations

import bisect
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from trt_perception import consumer

from ..view.status import numbers


class Watch(Node):
    """Subscribes to the results, so that they are computed, and notes when they come.

    Attributes:
        labels_s, flow_s: when each label map and flow field came, on the clock of time.monotonic.
        said: (when, level, text) of the diagnostics, each time that they changed.
        times_ms: the last times of the diagnostics, by 'STAGE STATISTIC'.
        processed: images, as the diagnostics count them.
    """

    def __init__(self) -> None:
        super().__init__('trt_perception_soak')
        self.labels_s: list[float] = []
        self.flow_s: list[float] = []
        self.said: list[tuple[float, int, str]] = []
        self.times_ms: dict[str, float] = {}
        self.processed = 0
        for topic, into in ((consumer.LABEL_MAP, self.labels_s), (consumer.FLOW, self.flow_s)):
            self.create_subscription(Image, topic, lambda _, into=into: into.append(time.monotonic()),
                                     QoSProfile(depth=1), raw=True)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._diagnostics, QoSProfile(depth=10))

    def gap_after(self, moment_s: float) -> float | None:
        """Return how long after a moment the first label map came; None = none yet."""
        place = bisect.bisect_left(self.labels_s, moment_s)
        return self.labels_s[place] - moment_s if place < len(self.labels_s) else None

    def _diagnostics(self, array: Any) -> None:
        for status in array.status:
            if not status.name.startswith('perception'):
                continue
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            if not self.said or self.said[-1][1] != level:
                self.said.append((time.monotonic(), level, status.message))
            for each in status.values:
                for (group, name), value in numbers(each.key, each.value):
                    if group == 'ms':
                        self.times_ms[name] = value
                    elif name == 'frames processed':
                        self.processed = int(value)

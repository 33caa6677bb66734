"""Subscriptions to a camera's topics, with the QoS that its publishers offer and a count of what was lost."""
import time
from typing import Any, Callable, List

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from .qos import AUTOMATIC, checked_overrides, overridable, reliability_override, subscription_events

_DISCOVERY_S = 1.0


def offered(publishers: List[Any], latched: bool = False) -> QoSProfile:
    """Return the strongest profile that all of these publishers fulfil; reliable while there is none.

    Args:
        publishers: TopicEndpointInfo of each.
        latched: whether to ask for the last message that was published before.
    """
    profiles = [publisher.qos_profile for publisher in publishers]
    reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
    kept = latched and bool(profiles) and all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE)


class CameraSubscription:
    """Subscribes to one topic and, in `update`, follows the QoS of its publishers.

    A reliable camera sends lost messages again. A best-effort camera sends nothing to a reliable subscription, and its
    driver complains. Therefore the first `update` that sees a publisher subscribes, or the first after a second without
    any.

    Args:
        topic: with namespace, after remapping.
        callback: called with each message.
        latched: as in `offered`; lost messages are then not counted.

    Attributes:
        publishers: TopicEndpointInfo of the publishers with the topic's type, as of the last `update`.
        qos_profile: the requested profile.
        lost: number of messages lost between the publishers and here; 0 if it is not counted, or not reported by rclpy
            (Foxy).

    Raises:
        ConfigError: the user chose a QoS that does not exist.
    """

    def __init__(self, node: Node, kind: type, topic: str, callback: Callable[[Any], None],
                 latched: bool = False) -> None:
        self.kind = kind
        self.type_name = '{}/msg/{}'.format(kind.__module__.split('.')[0], kind.__name__)
        self.topic_name = topic
        self.publishers: List[Any] = []
        self.qos_profile = offered([])
        self.lost = 0
        self._node = node
        self._callback = callback
        self._latched = latched
        self._reliability = reliability_override(node, topic)
        self._subscription: Any = None
        self._started_s = time.monotonic()

    def update(self) -> None:
        """Check the publishers; subscribe, or subscribe again if they need another QoS."""
        found = self._node.get_publishers_info_by_topic(self.topic_name)
        self.publishers = [publisher for publisher in found if publisher.topic_type == self.type_name]
        wanted = offered(self.publishers, self._latched)
        if self._reliability != AUTOMATIC:
            wanted.reliability = ReliabilityPolicy[self._reliability.upper()]
        if self._subscription is None:
            if not found and time.monotonic() - self._started_s < _DISCOVERY_S:
                return
        elif (wanted.reliability, wanted.durability) == (self.qos_profile.reliability, self.qos_profile.durability):
            return
        else:
            self._node.destroy_subscription(self._subscription)
        self._subscribe(wanted)

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _subscribe(self, profile: QoSProfile) -> None:
        try:
            events = subscription_events(message_lost=self._count_lost) if not self._latched else subscription_events()
        except TypeError:  # Foxy
            events = subscription_events()
        with checked_overrides(self.topic_name):
            self._subscription = self._node.create_subscription(
                self.kind, self.topic_name, self._callback, event_callbacks=events,
                **overridable(profile, with_reliability=False))
        self.qos_profile = self._subscription.qos_profile

    def _count_lost(self, event: Any) -> None:
        self.lost += event.total_count_change

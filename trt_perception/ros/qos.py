"""Quality of service of the topics, with overrides by the user."""
import contextlib
import copy
from typing import Any, Dict, Iterator

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from ..core.errors import ConfigError

try:
    from rclpy.qos import QoSPolicyKind
    from rclpy.qos_overriding_options import QoSOverridingOptions
except ImportError:  # Foxy
    QoSOverridingOptions = None  # type: ignore[assignment,misc]

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Foxy
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
"""By default rclpy would warn of subscribers with an incompatible QoS, which the subscribers do, too. But the executor
polls each event whenever it wakes, which took a quarter of its time for an image: docs/measurements/node.md."""


def subscription_events(**callbacks: Any) -> SubscriptionEventCallbacks:
    """Return callbacks for these events of a subscription, without those of rclpy: see NO_PUBLISHER_EVENTS."""
    return SubscriptionEventCallbacks(use_default_callbacks=False, **callbacks)


AUTOMATIC = 'automatic'
_RELIABILITIES = (AUTOMATIC, 'reliable', 'best_effort')

# Explicit history and depth: SystemDefaults would leave them to the vendor.
BEST_EFFORT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT,
                         durability=DurabilityPolicy.VOLATILE)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.VOLATILE)
LATCHED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


def overridable(profile: QoSProfile, with_reliability: bool = True) -> Dict[str, Any]:
    """Return the arguments of create_publisher / create_subscription for a profile with `qos_overrides` parameters.

    Args:
        with_reliability: False for a subscription whose reliability may change: see `reliability_override`.
    """
    arguments: Dict[str, Any] = {'qos_profile': copy.copy(profile)}  # A copy: rclpy writes the overrides into it.
    if QoSOverridingOptions is not None:
        arguments['qos_overriding_options'] = QoSOverridingOptions.with_default_policies() if with_reliability else \
            QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH))
    return arguments


@contextlib.contextmanager
def checked_overrides(topic: str) -> Iterator[None]:
    """Turn rclpy's errors for wrong `qos_overrides` of a topic into a ConfigError."""
    try:
        yield
    except (RuntimeError, ValueError, ParameterException) as error:
        raise ConfigError('topic {}: {}. Correct its qos_overrides, if it has any.'.format(
            topic, str(error).split(', at /')[0])) from error


def reliability_override(node: Node, topic: str) -> str:
    """Return the user's choice for a subscription: reliable, best_effort, or automatic = as the publishers offer.

    Raises:
        ConfigError: it is something else.
    """
    if QoSOverridingOptions is None:
        return AUTOMATIC
    name = 'qos_overrides.{}.subscription.reliability'.format(topic)
    descriptor = ParameterDescriptor(description='automatic: as the publishers of the topic offer', read_only=True)
    if node.has_parameter(name):  # A managed node has subscribed before.
        value: Any = node.get_parameter(name).value
    else:
        value = node.declare_parameter(name, AUTOMATIC, descriptor).value
    if value not in _RELIABILITIES:
        raise ConfigError('parameter {}: got {!r}, expected one of {}.'.format(
            name, value, ', '.join(_RELIABILITIES)))
    return str(value)

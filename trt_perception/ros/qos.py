"""Quality of service of the topics, and the user's right to override it."""
import copy
from typing import Any, Dict

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

try:
    from rclpy.qos_overriding_options import QoSOverridingOptions
except ImportError:  # Foxy
    QoSOverridingOptions = None  # type: ignore[assignment,misc]

# History and depth in words: SystemDefaults would leave them to the vendor.
BEST_EFFORT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT,
                         durability=DurabilityPolicy.VOLATILE)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.VOLATILE)
LATCHED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


def overridable(profile: QoSProfile) -> Dict[str, Any]:
    """Return the arguments of create_publisher / create_subscription for a profile with `qos_overrides` parameters."""
    arguments: Dict[str, Any] = {'qos_profile': copy.copy(profile)}  # A copy: rclpy writes the overrides into it.
    if QoSOverridingOptions is not None:
        arguments['qos_overriding_options'] = QoSOverridingOptions.with_default_policies()
    return arguments

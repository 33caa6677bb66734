"""Declares the settings table as ROS parameters, and accepts or refuses changes at run time."""
import sys
from typing import Callable, Iterable, List

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..core.camera_node_settings import CAMERA_NODE_SETTINGS
from ..core.errors import ConfigError, did_you_mean
from ..core.parameter_file import last_given
from ..core.planner_settings import PLANNER_SETTINGS
from ..core.setting import Setting
from ..core.settings import Settings, find_setting, settings_for


def declare_settings(node: Node, table: Iterable[Setting]) -> Settings:
    """Declare settings and return their values; warn of parameters that no node of this package has.

    Raises:
        ConfigError: a value from the command line or a parameter file is wrong.
    """
    settings = {}
    given = last_given(sys.argv, node.get_fully_qualified_name())
    for setting in table:
        try:
            value = node.declare_parameter(setting.name, setting.default, _descriptor(setting)).value
        except ParameterException as error:
            raise ConfigError('parameter {}: {} Expected {}.'.format(setting.name, error, setting.expected)) from error
        settings[setting.name] = setting.check(value)
        last = given.get(setting.name, value)
        if setting.check(last) != settings[setting.name] and type(last) is not type(value):
            raise ConfigError('parameter {}: got {!r} after {!r}, which ROS keeps, as it is of another type. Give both '
                              'in the same type: 1.0, not 1.'.format(setting.name, last, value))
    _warn_of_unknown(node)
    return settings


def on_change(node: Node, settings: Settings, changed: Callable[[], None]) -> None:
    """Let run-time parameters change `settings`, then call `changed`; refuse wrong values with the reason.

    Args:
        changed: may raise ConfigError for values that do not fit the model; they are then reverted.
    """
    def callback(parameters: List[Parameter]) -> SetParametersResult:
        try:
            values = {p.name: find_setting(p.name).check(p.value) for p in parameters if p.name in settings}
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        before = {name: settings[name] for name in values}
        settings.update(values)
        try:
            changed()
        except ConfigError as error:
            settings.update(before)
            changed()
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(callback)


def _warn_of_unknown(node: Node) -> None:
    """Warn of parameters from the command line or a file that the node does not have.

    This is no error: a file with parameters for all nodes (`/**`) has those of others, too.
    """
    names = [setting.name for setting in settings_for() + list(CAMERA_NODE_SETTINGS + PLANNER_SETTINGS)]
    # From Foxy to Kilted, rclpy has no public method for them. Those for QoS are declared when topics are created.
    for name in sorted(getattr(node, '_parameter_overrides', {})):
        if name not in names and not node.has_parameter(name) and not name.startswith('qos_overrides.'):
            node.get_logger().warning('parameter {}: this node has none of that name{}'.format(
                name, did_you_mean(name, names)))


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=setting.name, type=Parameter.Type.from_parameter_value(setting.default).value,
        read_only=not setting.runtime,
        description=setting.description + ('' if setting.runtime else ' (read-only: set it at start)'),
        additional_constraints=setting.expected)
    # The table checks types itself, since YAML writes 1 for 1.0 and a fixed type would refuse it. Foxy fixes no types.
    if hasattr(descriptor, 'dynamic_typing'):
        descriptor.dynamic_typing = True
    if setting.limits is not None and not setting.is_list:
        low, high = setting.limits
        if setting.kind is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor

"""planner_node, for the nodes of perception.launch.py: start both in the same namespace."""
import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from trt_perception.core.share import share_path

# Empty means: as the parameter file says.
ARGUMENTS = (
    ('namespace', '', 'namespace of the node and its topics: that of the perception nodes'),
    ('params_file', share_path('config', 'planner.yaml'), 'parameter file'),
    ('imu', 'imu', 'sensor_msgs/Imu topic with the angular velocity of the vehicle'),
    ('base_frame', '', 'frame of the results, with its origin on the ground'),
    ('mounting', '', "parameters or tf: source of the camera's pose"),
    ('camera_height', '', 'height of the camera above the ground, m'),
    ('camera_pitch', '', 'pitch of the camera, > 0 = looks down, rad'),
    ('class_costs', '', 'YAML with the classes that are ground, and the costs of classes'),
    ('use_sim_time', '', 'true: take the time from /clock, as for a replayed bag'),
)
TEXTS = ('base_frame', 'mounting', 'class_costs')
NUMBERS = {'camera_height': 'camera.height', 'camera_pitch': 'camera.pitch'}


def number(name, text):
    """Return the number that an argument's text means."""
    try:
        return float(text)
    except ValueError as error:
        raise RuntimeError('{}: got {!r}, expected a number.'.format(name, text)) from error


def truth(name, text):
    """Return the bool that an argument's text means."""
    if text.lower() not in ('true', 'false'):
        raise RuntimeError('{}: got {!r}, expected true or false.'.format(name, text))
    return text.lower() == 'true'


def node(context):
    """Return the node action for the arguments' values."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    value['params_file'] = os.path.expanduser(value['params_file'])
    if not os.path.isfile(value['params_file']):
        raise RuntimeError('params_file: {} is not there. Give an existing YAML file.'.format(value['params_file']))
    # Typed as strings: launch would turn a frame named 12 into a number.
    overrides = {name: ParameterValue(value[name], value_type=str) for name in TEXTS if value[name]}
    overrides.update((parameter, number(name, value[name])) for name, parameter in NUMBERS.items() if value[name])
    overrides.update((name, truth(name, value[name])) for name in ('use_sim_time',) if value[name])
    return [Node(package='trt_perception', executable='planner_node', name='planner', namespace=value['namespace'],
                 parameters=[value['params_file'], overrides], remappings=[('imu', value['imu'])], output='screen')]


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
        + [OpaqueFunction(function=node)])

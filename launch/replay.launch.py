"""Play a bag, with its clock, for the nodes of perception.launch.py; takes their arguments, too; ends with the bag."""
import os

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from trt_perception.core.share import share_path

BOOLS = ['true', 'false', 'True', 'False']
ARGUMENTS = (
    ('bag', 'folder of a ROS 2 bag, or a .mcap or .bag file', None, None),
    ('rate', 'speed relative to the recording', '1.0', None),
    ('loop', 'start again at the end of the bag', 'false', BOOLS),
    ('decompress', 'publish TOPIC/compressed as raw images on TOPIC', 'false', BOOLS),
    ('use_sim_time', 'the nodes follow the clock of the bag', 'true', None),
)


def player(context):
    """Return the action that plays the bag."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _, _ in ARGUMENTS}
    flags = ['--' + name for name in ('loop', 'decompress') if value[name].lower() == 'true']
    # The nodes subscribe only once they are up: wait, or the first images are lost.
    node = Node(package='trt_perception', executable='replay', output='screen',
                arguments=[os.path.expanduser(value['bag']), '--rate', value['rate'], '--wait', '30'] + flags)
    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)), node]


def ended(event, context):
    """Return the action that ends the launch with the bag; a replay that failed gives it the exit status 1."""
    if event.returncode != 0 and not context.is_shutdown:
        text = 'the replay has failed (exit status {}): the launch ends.'.format(event.returncode)
        context.emit_event_sync(Shutdown(reason=text))  # As in perception.launch.py.
        raise RuntimeError(text)
    return [EmitEvent(event=Shutdown(reason='the replay has ended'))]


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription(
        [DeclareLaunchArgument(name, description=text, default_value=default, choices=choices)
         for name, text, default, choices in ARGUMENTS]
        + [IncludeLaunchDescription(PythonLaunchDescriptionSource(share_path('launch', 'perception.launch.py'))),
           OpaqueFunction(function=player)])

"""perception.launch.py with the settings of a Jetson TX2: TensorRT, FP16. Takes the same arguments."""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from trt_perception.core.share import share_path


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription([
        DeclareLaunchArgument('params_file', default_value=share_path('config', 'tx2.yaml'),
                              description='parameter file'),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(share_path('launch', 'perception.launch.py'))),
    ])

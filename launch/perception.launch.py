"""Segmentation and optical flow of one camera: in one process, or each in its own."""
import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from trt_perception.core.share import share_path
from trt_perception.transport import profile_environment

# Empty means: as the parameter file says.
ARGUMENTS = (
    ('image', 'image', 'image topic to subscribe to'),
    ('namespace', '', 'namespace of the nodes and their topics: one per camera'),
    ('params_file', share_path('config', 'perception.yaml'), 'parameter file'),
    ('processes', 'one', "'one': both tasks share one subscription and one decode; 'two': a process per task"),
    ('segmentation_model', '', 'name in config/models, or path of a YAML'),
    ('optical_flow_model', '', 'name in config/models, or path of a YAML'),
    ('engine', '', 'auto, or the name of an inference runtime'),
    ('precision', '', 'fp32, fp16, bf16 or int8'),
    ('build_only', '', 'true: end as soon as the engines are built'),
    ('image_transport', '', 'raw or compressed'),
    ('use_sim_time', 'false', 'take the time from /clock (a replayed bag)'),
)
OVERRIDES = {'segmentation_model': 'segmentation.model', 'optical_flow_model': 'optical_flow.model',
             'engine': 'engine', 'precision': 'precision', 'image_transport': 'image_transport'}


def nodes(context):
    """Return the node actions for the arguments' values."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    if not os.path.isfile(value['params_file']):
        raise RuntimeError('params_file: {} is not there. Give an existing YAML file.'.format(value['params_file']))
    executables = {'one': ['perception'], 'two': ['segmentation', 'optical_flow']}.get(value['processes'])
    if executables is None:
        raise RuntimeError("processes: got {!r}, expected 'one' or 'two'.".format(value['processes']))
    # Typed as strings: launch would turn a model named 12 into a number.
    overrides = {parameter: ParameterValue(value[name], value_type=str)
                 for name, parameter in OVERRIDES.items() if value[name]}
    if value['build_only']:
        overrides['build_only'] = value['build_only'].lower() == 'true'
    overrides['use_sim_time'] = value['use_sim_time'].lower() == 'true'
    return [Node(package='trt_perception', executable=name + '_node', name=name, namespace=value['namespace'],
                 parameters=[value['params_file'], overrides], remappings=[('image', value['image'])],
                 output='screen') for name in executables]


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
        + [SetEnvironmentVariable(name, value) for name, value in profile_environment().items()]
        + [OpaqueFunction(function=nodes)])

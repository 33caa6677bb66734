"""Segmentation and optical flow of one camera: in one process, or each in its own."""
import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from trt_perception.core.share import share_path

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
    ('respawn', 'false', 'true: start a node that has ended again, after two seconds'),
    ('image_transport', '', 'raw or compressed'),
    ('use_sim_time', '', 'true: take the time from /clock (a replayed bag)'),
)
OVERRIDES = {'segmentation_model': 'segmentation.model', 'optical_flow_model': 'optical_flow.model',
             'engine': 'engine', 'precision': 'precision', 'image_transport': 'image_transport'}


def truth(name, text):
    """Return the bool that an argument's text means."""
    words = {'true': True, '1': True, 'yes': True, 'on': True, 'false': False, '0': False, 'no': False, 'off': False}
    if text.lower() not in words:
        raise RuntimeError('{}: got {!r}, expected true or false.'.format(name, text))
    return words[text.lower()]


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
    overrides.update((name, truth(name, value[name])) for name in ('build_only', 'use_sim_time') if value[name])
    return [Node(package='trt_perception', executable=name + '_node', name=name, namespace=value['namespace'],
                 parameters=[value['params_file'], overrides], remappings=[('image', value['image'])],
                 respawn=truth('respawn', value['respawn']), respawn_delay=2.0, output='screen')
            for name in executables]


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
        + [OpaqueFunction(function=nodes)])

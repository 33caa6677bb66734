"""Segmentation and optical flow of one camera: in one process, or each in its own; with the camera, if asked for."""
import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from trt_perception.core.model import PRECISIONS
from trt_perception.core.share import share_path
from trt_perception.engines import BACKENDS

# Name, default, description, choices. Empty means: as the parameter file says.
ARGUMENTS = (
    ('image', 'image', 'image topic to subscribe to', None),
    ('namespace', '', 'namespace of the nodes and their topics: one per camera', None),
    ('params_file', share_path('config', 'perception.yaml'), 'parameter file', None),
    ('processes', 'one', "'one': both tasks share one subscription and one decode; 'two': a process per task",
     ('one', 'two')),
    ('segmentation_model', '', 'name in config/models, or path of a YAML', None),
    ('optical_flow_model', '', 'name in config/models, or path of a YAML', None),
    ('engine', '', 'inference runtime', ('', 'auto') + tuple(BACKENDS)),
    ('precision', '', 'arithmetic of the networks', ('',) + tuple(PRECISIONS)),
    ('build_only', '', 'true: end as soon as the engines are built', None),
    ('autostart', '', "false: the nodes wait for configure and activate, as of Nav2's lifecycle manager", None),
    ('start_paused', '', 'true: open the engines, and take no images before ~/enable', None),
    ('respawn', 'false', 'true: start a node that has ended again, after two seconds', None),
    ('on_exit', '', "'shutdown': end the launch when a node has died (exit status not 0)", ('', 'shutdown')),
    ('image_transport', '', 'how the images come', ('', 'raw', 'compressed')),
    ('image_reliability', '', 'of the image subscription; automatic: as the camera offers',
     ('', 'automatic', 'reliable', 'best_effort')),
    ('camera_source', '', 'also start camera_node, which publishes `image`, with this source: /dev/video0, csi:0, the '
     'path of a video, or test', None),
    ('camera_info_url', '', 'calibration of that camera: a path, file:// or package://', None),
    ('use_sim_time', '', 'true: take the time from /clock (a replayed bag)', None),
)
OVERRIDES = {'segmentation_model': 'segmentation.model', 'optical_flow_model': 'optical_flow.model',
             'engine': 'engine', 'precision': 'precision', 'image_transport': 'image_transport'}
FLAGS = ('build_only', 'autostart', 'start_paused', 'use_sim_time')


def truth(name, text):
    """Return the bool that an argument's text means."""
    words = {'true': True, '1': True, 'yes': True, 'on': True, 'false': False, '0': False, 'no': False, 'off': False}
    if text.lower() not in words:
        raise RuntimeError('{}: got {!r}, expected true or false.'.format(name, text))
    return words[text.lower()]


def text_parameter(value):
    """Return a parameter that stays a string: launch would turn a model named 12 into a number."""
    return ParameterValue(value, value_type=str)


def reliability(value):
    """Return the parameters that choose the reliability of the image subscription."""
    topic = '/' + '/'.join(part.strip('/') for part in (value['namespace'], value['image']) if part.strip('/'))
    if value['image'].startswith('/'):
        topic = value['image']
    return {'qos_overrides.{}.subscription.reliability'.format(name): text_parameter(value['image_reliability'])
            for name in (topic, topic + '/compressed') if value['image_reliability']}


def end_with(node):
    """Return the action that ends the launch when a node has died by itself."""
    def ended(event, context):
        if event.returncode == 0 or context.is_shutdown:
            return []
        text = '{} has died (exit status {}): the launch ends.'.format(event.process_name, event.returncode)
        return [LogInfo(msg=text), EmitEvent(event=Shutdown(reason=text))]
    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))


def actions(context):
    """Return the actions for the arguments' values: the nodes, and what follows their end."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _, _ in ARGUMENTS}
    if not os.path.isfile(value['params_file']):
        raise RuntimeError('params_file: {} is not there. Give an existing YAML file.'.format(value['params_file']))
    respawn = truth('respawn', value['respawn'])
    if respawn and value['on_exit']:
        raise RuntimeError('on_exit: got {!r} with respawn: true, expected one of the two. Leave one out.'.format(
            value['on_exit']))
    flags = {name: truth(name, value[name]) for name in FLAGS if value[name]}
    overrides = {parameter: text_parameter(value[name]) for name, parameter in OVERRIDES.items() if value[name]}
    overrides.update(flags, **reliability(value))
    programs = [(name, overrides) for name in (
        ['perception'] if value['processes'] == 'one' else ['segmentation', 'optical_flow'])]
    if value['camera_source']:
        camera = {'source': text_parameter(value['camera_source'])}
        if value['camera_info_url']:
            camera['camera_info_url'] = text_parameter(value['camera_info_url'])
        camera.update((name, flags[name]) for name in ('use_sim_time',) if name in flags)
        programs.append(('camera', camera))
    nodes = [Node(package='trt_perception', executable=name + '_node', name=name, namespace=value['namespace'],
                  parameters=[value['params_file'], parameters], remappings=[('image', value['image'])],
                  respawn=respawn, respawn_delay=2.0, output='screen')
             for name, parameters in programs]
    return [end_with(node) for node in nodes if value['on_exit']] + nodes


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=default, description=text, choices=choices and list(choices))
         for name, default, text, choices in ARGUMENTS]
        + [OpaqueFunction(function=actions)])

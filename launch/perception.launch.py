"""Segmentation and optical flow of one or several cameras: in one process, or each in its own."""
import os
from typing import List

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from trt_perception.core.errors import did_you_mean
from trt_perception.core.model import PRECISIONS
from trt_perception.core.parameter_file import last_given
from trt_perception.core.share import share_path
from trt_perception.core.tasks import TASKS
from trt_perception.engines import BACKENDS

# Name, default, description, choices. Empty means: as the parameter file says.
ARGUMENTS = (
    ('image', 'image', 'image topic to subscribe to; with `cameras`, relative to the name of each, or with {camera} '
     'for that name: /sensors/{camera}/image_raw', None),
    ('namespace', '', 'namespace of the nodes and their topics', None),
    ('cameras', '', 'names of the cameras that one node serves: front,rear,left', None),
    ('params_file', share_path('config', 'perception.yaml'), 'parameter file', None),
    ('processes', 'one', "'one': all tasks share one subscription and one decode; 'two': a process per task",
     ('one', 'two')),
    *((task + '_model', '', 'name in config/models, or path of a YAML', None) for task in TASKS),
    ('engine', '', 'inference runtime', ('', 'auto') + tuple(BACKENDS)),
    ('precision', '', 'arithmetic of the networks', ('',) + tuple(PRECISIONS)),
    ('build_only', '', 'true: exit when the engines have been built', None),
    ('autostart', '', "false: the nodes wait for configure and activate, e.g. from Nav2's lifecycle manager", None),
    ('start_paused', '', 'true: open the engines, but take no images until ~/enable is called', None),
    ('respawn', 'false', 'true: restart a node that has ended, after two seconds', None),
    ('on_exit', '', "'shutdown': end the launch when a node dies (exit status other than 0)", ('', 'shutdown')),
    ('image_transport', '', 'type of the image topic', ('', 'raw', 'compressed')),
    ('image_reliability', '', 'reliability of the image subscription; automatic: that of the camera',
     ('', 'automatic', 'reliable', 'best_effort')),
    ('camera_source', '', 'also start camera_node, which publishes `image`, with this source: /dev/video0, csi:0, '
     'the path of a video, or test', None),
    ('camera_info_url', '', 'calibration of that camera: a path, file:// or package://', None),
    ('use_sim_time', '', 'true: take the time from /clock, as for a replayed bag', None),
)
OVERRIDES = dict({task + '_model': task + '.model' for task in TASKS},
                 engine='engine', precision='precision', image_transport='image_transport')
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


def camera_names(value):
    """Return the names of the cameras; [] = as the parameter file says."""
    return [name.strip() for name in value['cameras'].split(',') if name.strip()]


def image_topics(value):
    """Return for each image topic of the node, by the name that it has there, which topic that is."""
    names, image = camera_names(value), value['image']
    if not names:
        return {'image': image}
    if '{camera}' not in image:
        if image.startswith('/') and len(names) > 1:
            raise RuntimeError("image: got {!r} for {} cameras, expected a topic of each. Put '{{camera}}' where their "
                               'names are.'.format(image, len(names)))
        image = image if image.startswith('/') else '{camera}/' + image
    return {name + '/image': image.replace('{camera}', name) for name in names}


def reliability(value):
    """Return the parameters that choose the reliability of the image subscriptions."""
    topics = [topic if topic.startswith('/') else '/' + '/'.join(
        part.strip('/') for part in (value['namespace'], topic) if part.strip('/'))
        for topic in image_topics(value).values()]
    return {'qos_overrides.{}.subscription.reliability'.format(name): text_parameter(value['image_reliability'])
            for topic in topics for name in (topic, topic + '/compressed') if value['image_reliability']}


def end_with(node):
    """Return the action that ends the launch with exit status 1 when a node has died by itself."""
    def ended(event, context):
        if event.returncode != 0 and not context.is_shutdown:  # Shutdown without an error would give the status 0.
            text = '{} has died (exit status {}): the launch ends.'.format(event.process_name, event.returncode)
            context.emit_event_sync(Shutdown(reason=text))  # Foxy's launch prints the error, but goes on.
            raise RuntimeError(text)
    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))


def misspelt(given):
    """Return a line for each of the names that is nearly an argument: launch takes any name without a word."""
    known = [name for name, _, _, _ in ARGUMENTS]
    hints = [(name, did_you_mean(name, known)) for name in given if name not in known]
    return ['{}: no such argument{}'.format(name, hint) for name, hint in hints if hint != '.']


def actions(context):
    """Return the actions for the arguments' values: the nodes, and what follows their end."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _, _ in ARGUMENTS}
    value['params_file'] = os.path.expanduser(value['params_file'])
    if not os.path.isfile(value['params_file']):
        raise RuntimeError('params_file: {} is not there. Give an existing YAML file.'.format(value['params_file']))
    respawn = truth('respawn', value['respawn'])
    if respawn and value['on_exit']:
        raise RuntimeError('on_exit: got {!r} with respawn: true, expected one of the two. Leave one out.'.format(
            value['on_exit']))
    flags = {name: truth(name, value[name]) for name in FLAGS if value[name]}
    overrides = {parameter: text_parameter(value[name]) for name, parameter in OVERRIDES.items() if value[name]}
    overrides.update(flags, **reliability(value))
    if value['cameras']:
        overrides['cameras'] = ParameterValue(camera_names(value), value_type=List[str])
    programs = [(name, overrides) for name in (
        ['perception'] if value['processes'] == 'one' else TASKS)]
    topics = image_topics(value)
    if value['camera_source'] and len(topics) > 1:
        raise RuntimeError('camera_source: got {!r} for {} cameras, expected one camera. Start a camera_node for each, '
                           'with its namespace.'.format(value['camera_source'], len(topics)))
    if value['camera_source']:
        camera = {'source': text_parameter(value['camera_source'])}
        if value['camera_info_url']:
            camera['camera_info_url'] = text_parameter(value['camera_info_url'])
        camera.update((name, flags[name]) for name in ('use_sim_time',) if name in flags)
        programs.append(('camera', camera))
    nodes = [Node(package='trt_perception', executable=name + '_node', name=name, namespace=value['namespace'],
                  parameters=[value['params_file'], parameters],
                  remappings=[('image', topic) for topic in topics.values()] if name == 'camera' else topics.items(),
                  respawn=respawn, respawn_delay=2.0, output='screen')
             for name, parameters in programs]
    # A launch file that includes this one hands down its own argument of that name, unless it gives another.
    names = ['/' + '/'.join(part for part in value['namespace'].split('/') + [name] if part) for name, _ in programs]
    texts = misspelt(context.launch_configurations)
    if not any(last_given(('--params-file', value['params_file']), name) for name in names):
        texts.append('params_file: {} has no parameters for {}: these have their defaults.'.format(
            value['params_file'], ', '.join(names)))
    return [LogInfo(msg=text) for text in texts] + [end_with(node) for node in nodes if value['on_exit']] + nodes


def generate_launch_description():
    """Describe the launch."""
    return LaunchDescription(
        [DeclareLaunchArgument(name, default_value=default, description=text, choices=choices and list(choices))
         for name, default, text, choices in ARGUMENTS]
        + [OpaqueFunction(function=actions)])

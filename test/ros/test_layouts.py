"""The layouts for RViz and Foxglove and the aggregator's configuration fit what the nodes really publish."""
import json
import re

import networks
import yaml
from diagnostic_msgs.msg import DiagnosticArray

from trt_perception.core.share import share_path


def rviz_topics():
    """Return topic -> kind of display, and check what RViz needs to open the file."""
    with open(share_path('config', 'perception.rviz')) as file:
        layout = yaml.safe_load(file)
    displays = layout['Visualization Manager']['Displays']
    for display in displays:
        assert display['Class'].startswith('rviz_default_plugins/')
        assert display['Topic']['Reliability Policy'] == 'Reliable'
        assert isinstance(display['Enabled'], bool)
    names = [display['Name'] for display in displays]
    assert len(set(names)) == len(names)
    return {display['Topic']['Value']: display['Class'].split('/')[1] for display in displays}


def foxglove():
    with open(share_path('config', 'foxglove.json')) as file:
        return json.load(file)


def panels_of(node):
    return [node] if isinstance(node, str) else panels_of(node['first']) + panels_of(node['second'])


def test_every_panel_of_the_foxglove_layout_is_configured_and_shown():
    layout = foxglove()
    assert sorted(panels_of(layout['layout'])) == sorted(layout['configById'])
    assert {panel.split('!')[0] for panel in layout['configById']} == {'Image', 'DiagnosticSummary', 'Plot'}


def test_the_layouts_show_topics_that_the_node_publishes(rig, tmp_path):
    rig.start(networks.TASKS, *networks.ros_arguments(tmp_path))
    published = dict(rig.node.get_publisher_names_and_types_by_node('perception', '/'))
    for topic, display in rviz_topics().items():
        assert published[topic] == ['sensor_msgs/msg/' + display]
    configs = foxglove()['configById']
    for panel, config in configs.items():
        if panel.startswith('Image!'):
            assert published[config['imageMode']['imageTopic']] == ['sensor_msgs/msg/Image']
        if panel.startswith('Plot!'):
            for path in config['paths']:
                topic, field = path['value'].split('.')
                assert published[topic][0].split('/')[-1].startswith('Float64')
                assert field == 'data'
    assert published[configs['DiagnosticSummary!status']['topicToRender']] == ['diagnostic_msgs/msg/DiagnosticArray']


def test_the_aggregator_finds_the_statuses_of_all_nodes(rig, tmp_path):
    with open(share_path('config', 'diagnostics_aggregator.yaml')) as file:
        parameters = yaml.safe_load(file)['analyzers']['ros__parameters']
    for name, analyzer in parameters.items():
        if name != 'path':
            assert analyzer['type'] == 'diagnostic_aggregator/GenericAnalyzer'
    [pattern] = parameters['nodes']['regex']
    arrays = rig.watch(DiagnosticArray, '/diagnostics')
    rig.start(networks.TASKS, '-p', "cameras:=['front','rear']", *networks.ros_arguments(tmp_path), namespace='robot',
              kind=None)
    rig.until(lambda: arrays, 'diagnostics')
    names = [status.name for status in arrays[0].status]
    assert len(names) == 3
    assert all(re.match(pattern, name) for name in names)
    for name in ('segmentation: perception', parameters['nodes']['expected'][0]):
        assert re.match(pattern, name)
    assert not re.match(pattern, 'camera: camera')
    [cameras] = parameters['cameras']['regex']
    assert re.match(cameras, 'front/camera: camera')

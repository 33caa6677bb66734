"""The layouts for RViz and Foxglove and the aggregator's configuration fit what the nodes really publish."""
import json
import re

import networks
import yaml
from diagnostic_msgs.msg import DiagnosticArray

from trt_perception.core.share import share_path
from trt_perception.ros.planner_node import PlannerNode

RVIZ = {'Image': 'sensor_msgs/msg/Image', 'LaserScan': 'sensor_msgs/msg/LaserScan',
        'Map': 'nav_msgs/msg/OccupancyGrid', 'MarkerArray': 'visualization_msgs/msg/MarkerArray'}
"""Displays of rviz_default_plugins/plugins_description.xml with a topic, and the type that each takes."""
WITHOUT_TOPIC = {'Grid'}
PANELS = {'3D', 'Image', 'DiagnosticSummary', 'Plot'}
"""Of Foxglove, and of its open fork Lichtblick: packages/suite-base/src/panels/index.ts."""
IN_3D = {'sensor_msgs/msg/LaserScan', 'nav_msgs/msg/OccupancyGrid', 'visualization_msgs/msg/MarkerArray'}


def rviz_topics():
    """Return topic -> type that its display takes, and check what RViz needs to open the file."""
    with open(share_path('config', 'perception.rviz')) as file:
        layout = yaml.safe_load(file)
    displays = layout['Visualization Manager']['Displays']
    for display in displays:
        package, kind = display['Class'].split('/')
        assert package == 'rviz_default_plugins'
        assert kind in WITHOUT_TOPIC or kind in RVIZ
        assert kind in WITHOUT_TOPIC or display['Topic']['Reliability Policy'] == 'Reliable'
        assert isinstance(display['Enabled'], bool)
    names = [display['Name'] for display in displays]
    assert len(set(names)) == len(names)
    return {display['Topic']['Value']: RVIZ[display['Class'].split('/')[1]]
            for display in displays if 'Topic' in display}


def foxglove():
    with open(share_path('config', 'foxglove.json')) as file:
        return json.load(file)


def panels_of(node):
    return [node] if isinstance(node, str) else panels_of(node['first']) + panels_of(node['second'])


def test_every_panel_of_the_foxglove_layout_is_configured_and_shown():
    layout = foxglove()
    assert sorted(panels_of(layout['layout'])) == sorted(layout['configById'])
    assert {panel.split('!')[0] for panel in layout['configById']} == PANELS


def test_the_layouts_show_topics_that_the_nodes_publish(rig, tmp_path):
    rig.start(networks.TASKS, *networks.ros_arguments(tmp_path))
    published = rig.named(rig.node.get_publisher_names_and_types_by_node, [p.topic_name for p in rig.node.publishers])
    planner = PlannerNode(context=rig.context, use_global_arguments=False)
    try:
        published.update(rig.named(planner.get_publisher_names_and_types_by_node,
                                   [p.topic_name for p in planner.publishers], node='planner'))
    finally:
        planner.destroy_node()
    for topic, kind in rviz_topics().items():
        assert published[topic] == [kind]
    configs = foxglove()['configById']
    for panel, config in configs.items():
        if panel.startswith('Image!'):
            assert published[config['imageMode']['imageTopic']] == ['sensor_msgs/msg/Image']
        for topic in config.get('topics', ()):
            assert set(published[topic]) <= IN_3D
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

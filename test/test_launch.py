"""The launch files with the real launch and launch_ros, where they are installed (they are not on PyPI)."""
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2, not with pip')
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import Node

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / 'launch'


def described(name, **arguments):
    """Return what a launch file describes, after its arguments are set, with included files and functions expanded."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    pending = list(PythonLaunchDescriptionSource(str(LAUNCH / name)).get_launch_description(context).entities)
    found = []
    while pending:
        entity = pending.pop(0)
        found.append(entity)
        if isinstance(entity, (DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction)):
            pending = list(entity.execute(context) or []) + pending
        elif hasattr(entity, 'entities'):
            pending = list(entity.entities) + pending
    return context, found


def nodes(name, **arguments):
    """Return the context and the executables that a launch file starts."""
    context, found = described(name, **arguments)
    commands = [node.cmd[0][0] for node in found if isinstance(node, Node)]
    return context, {perform_substitutions(context, command.executable) for command in commands}


def test_one_process_has_both_tasks_and_two_have_one_each():
    assert nodes('perception.launch.py')[1] == {'perception_node'}
    assert nodes('perception.launch.py', processes='two')[1] == {'segmentation_node', 'optical_flow_node'}


def test_tx2_takes_its_own_parameter_file_and_the_same_arguments():
    context, commands = nodes('tx2.launch.py', namespace='front')
    assert commands == {'perception_node'}
    assert Path(context.launch_configurations['params_file']) == ROOT / 'config' / 'tx2.yaml'


def test_replay_plays_the_bag_into_the_nodes_on_its_clock():
    context, commands = nodes('replay.launch.py', bag='some.mcap', loop='true')
    assert commands == {'perception_node', 'replay'}
    assert context.launch_configurations['use_sim_time'] == 'true'


@pytest.mark.parametrize(('arguments', 'text'), [
    ({'processes': 'three'}, "processes: got 'three', expected 'one' or 'two'"),
    ({'params_file': '/not/there.yaml'}, 'params_file: /not/there.yaml is not there'),
])
def test_wrong_arguments_are_refused_by_name(arguments, text):
    with pytest.raises(RuntimeError, match=text):
        nodes('perception.launch.py', **arguments)


def test_missing_bag_is_asked_for():
    context, found = LaunchContext(), PythonLaunchDescriptionSource(str(LAUNCH / 'replay.launch.py'))
    arguments = found.get_launch_description(context).get_launch_arguments()
    assert [a.name for a in arguments if a.default_value is None] == ['bag']


@pytest.mark.skipif(shutil.which('ros2') is None, reason='no `ros2` command here')
def test_replayed_street_comes_out_as_label_maps_and_flow_with_its_own_stamps(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(random.randrange(1, 100)))
    for network in ('swiftnet_camvid', 'tinypwc'):
        if not (ROOT / 'models' / (network + '.onnx')).exists():
            pytest.skip('models/{}.onnx is not there: make models'.format(network))
    import rclpy
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image
    rclpy.init()
    node = rclpy.create_node('listener')
    stamps = {}
    for topic in ('segmentation/label_map', 'optical_flow/flow'):
        node.create_subscription(Image, '/front/' + topic, lambda m, topic=topic: stamps.setdefault(topic, []).append(
            (m.header.stamp.sec, m.header.stamp.nanosec, m.header.frame_id)), QoSProfile(depth=10))
    launched = subprocess.Popen(
        ['ros2', 'launch', str(LAUNCH / 'replay.launch.py'), 'bag:={}'.format(ROOT / 'demo' / 'street'),
         'decompress:=true', 'image:=/camera/image', 'namespace:=front', 'processes:=two', 'loop:=true'],
        env=dict(os.environ))
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and (len(stamps) < 2 or min(map(len, stamps.values())) < 20):
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        launched.send_signal(signal.SIGINT)
        launched.wait(20)
        node.destroy_node()
        rclpy.shutdown()
    assert min(map(len, stamps.values())) >= 20
    assert {frame for seen in stamps.values() for _, _, frame in seen} == {'camera_optical_frame'}
    assert {(sec - 1700000000 < 8, nanosec % 100000000) for seen in stamps.values() for sec, nanosec, _ in seen} == {
        (True, 0)}

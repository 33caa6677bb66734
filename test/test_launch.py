"""The launch files with the real launch and launch_ros, where they are installed (they are not on PyPI)."""
import os
import random
import runpy
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2, not with pip')
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import Node
from launch_ros.utilities import evaluate_parameters

from trt_perception.core.errors import ConfigError

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
    ({'processes': 'three'}, r'"processes" provided value "three" is not valid. Valid options are: \[.one., .two.\]'),
    ({'engine': 'cuda'}, r'"engine" provided value "cuda" is not valid. Valid options are: .*onnxruntime'),
    ({'precision': 'fp8'}, '"precision" provided value "fp8" is not valid'),
    ({'on_exit': 'restart'}, '"on_exit" provided value "restart" is not valid'),
    ({'image_reliability': 'good'}, '"image_reliability" provided value "good" is not valid'),
    ({'start_paused': 'maybe'}, "start_paused: got 'maybe', expected true or false"),
    ({'on_exit': 'shutdown', 'respawn': 'true'}, "on_exit: got 'shutdown' with respawn: true"),
    ({'cameras': 'front,rear', 'image': '/image'}, "image: got '/image' for 2 cameras, expected a topic of each"),
    ({'cameras': 'front,rear', 'camera_source': 'test'}, "camera_source: got 'test' for 2 cameras, expected one"),
    ({'params_file': '/not/there.yaml'}, 'params_file: /not/there.yaml is not there'),
])
def test_wrong_arguments_are_refused_by_name(arguments, text):
    with pytest.raises(RuntimeError, match=text):
        nodes('perception.launch.py', **arguments)


def lines_of(context, found):
    """Return the lines that a launch file logs."""
    return [perform_substitutions(context, entity.msg) for entity in found if isinstance(entity, LogInfo)]


@pytest.mark.parametrize(('node', 'namespace', 'said'), [
    ('controller', '', True), ('5', '', True), ('/front/camera', 'front', True), ('/**', 'a/b', False),
    ('/front/perception', 'front', False), ('/front/perception', '/front/', False), ('/front/perception', '', True),
    ('perception', '', False), ('perception', 'front', True), ('/*/perception', '', True),
    ('/*/perception', 'front', False), ('/**/perception', '', False), ('/front/*', 'front', False)])
def test_a_parameter_file_for_other_nodes_is_noticed(tmp_path, node, namespace, said):
    path = tmp_path / 'params.yaml'
    path.write_text('{}:\n  ros__parameters: {{lazy: false}}\n'.format(node))
    lines = lines_of(*described('perception.launch.py', params_file=str(path), namespace=namespace))
    node = '/' + namespace.strip('/') + '/' * bool(namespace) + 'perception'
    assert lines == ['params_file: {} has no parameters for {}: these have their defaults.'.format(path, node)] * said


def test_a_parameter_file_may_nest_namespaces_and_an_empty_one_is_noticed(tmp_path):
    path = tmp_path / 'params.yaml'
    for text, said in (('front: {perception: {ros__parameters: {lazy: false}}}', 0),
                       ('front: {perception: {ros__parameters: {}}}', 1), ('', 1), ('[a, b]', 1)):
        path.write_text(text)
        assert len(lines_of(*described('perception.launch.py', params_file=str(path), namespace='front'))) == said


def test_a_misspelt_argument_is_named_and_one_of_another_launch_file_is_not():
    context, found = described('perception.launch.py', params_fle='mine.yaml', robot_model='tank')
    assert lines_of(context, found) == ["params_fle: no such argument. Did you mean 'params_file'?"]


@pytest.mark.parametrize(('content', 'text'), [
    (b'{[', 'not valid YAML: '), (b'\x7fELF\xd0', 'got a binary file, expected a YAML'), (b'a: &b [*b]', 'alias ')])
def test_a_parameter_file_that_cannot_be_read_is_named(tmp_path, content, text):
    (tmp_path / 'params.yaml').write_bytes(content)
    with pytest.raises(ConfigError, match='{}/params.yaml: {}'.format(tmp_path, text)):
        nodes('perception.launch.py', params_file=str(tmp_path / 'params.yaml'))


@pytest.mark.parametrize('name', ['perception.launch.py', 'planner.launch.py'])
def test_the_home_folder_is_found_though_launch_has_no_shell(monkeypatch, tmp_path, name):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'mine.yaml').write_text('/**: {ros__parameters: {}}')
    context, found = described(name, params_file='~/mine.yaml')
    [node] = [each for each in found if isinstance(each, Node)]
    assert str(evaluate_parameters(context, node._Node__parameters)[0]) == str(tmp_path / 'mine.yaml')


def test_a_loop_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(RuntimeError, match='"loop" provided value "perhaps" is not valid'):
        nodes('replay.launch.py', bag='some.mcap', loop='perhaps')


def test_missing_bag_is_asked_for():
    context, found = LaunchContext(), PythonLaunchDescriptionSource(str(LAUNCH / 'replay.launch.py'))
    arguments = found.get_launch_description(context).get_launch_arguments()
    assert [a.name for a in arguments if a.default_value is None] == ['bag']


def test_a_camera_is_started_only_when_it_is_asked_for():
    assert nodes('perception.launch.py', camera_source='test')[1] == {'perception_node', 'camera_node'}
    assert nodes('tx2.launch.py', camera_source='csi:0', processes='two')[1] == {
        'segmentation_node', 'optical_flow_node', 'camera_node'}


def test_the_planner_gets_its_parameters_with_their_types():
    context, found = described('planner.launch.py', camera_height='2', mounting='tf', use_sim_time='true')
    [node] = [each for each in found if isinstance(each, Node)]
    assert perform_substitutions(context, node.cmd[0][0].executable) == 'planner_node'
    _, overrides = evaluate_parameters(context, node._Node__parameters)
    assert overrides == {'camera.height': 2.0, 'mounting': 'tf', 'use_sim_time': True}


@pytest.mark.parametrize(('arguments', 'text'), [
    ({'params_file': '/not/there.yaml'}, 'params_file: /not/there.yaml is not there'),
    ({'camera_height': 'high'}, "camera_height: got 'high', expected a number"),
    ({'use_sim_time': 'maybe'}, "use_sim_time: got 'maybe', expected true or false")])
def test_wrong_arguments_of_the_planner_are_refused_by_name(arguments, text):
    with pytest.raises(RuntimeError, match=text):
        nodes('planner.launch.py', **arguments)


@pytest.mark.parametrize(('image', 'namespace', 'topic'), [
    ('image', '', '/image'), ('image', 'front', '/front/image'), ('raw/image', '/a/b/', '/a/b/raw/image'),
    ('/camera/image_raw', 'front', '/camera/image_raw')])
def test_the_reliability_is_set_for_the_topic_that_is_subscribed(image, namespace, topic):
    launched = runpy.run_path(str(LAUNCH / 'perception.launch.py'))
    value = {'image': image, 'namespace': namespace, 'cameras': ''}
    parameters = launched['reliability'](dict(value, image_reliability='reliable'))
    assert set(parameters) == {'qos_overrides.{}.subscription.reliability'.format(name)
                               for name in (topic, topic + '/compressed')}
    assert launched['reliability'](dict(value, image_reliability='')) == {}


@pytest.mark.parametrize(('image', 'topics'), [
    ('image', {'front/image': 'front/image', 'rear/image': 'rear/image'}),
    ('image_raw', {'front/image': 'front/image_raw', 'rear/image': 'rear/image_raw'}),
    ('/sensors/{camera}/image_raw', {'front/image': '/sensors/front/image_raw',
                                      'rear/image': '/sensors/rear/image_raw'})])
def test_each_camera_has_a_topic(image, topics):
    launched = runpy.run_path(str(LAUNCH / 'perception.launch.py'))
    value = {'image': image, 'namespace': '', 'cameras': 'front, rear', 'image_reliability': 'reliable'}
    assert launched['image_topics'](value) == topics
    assert len(launched['reliability'](value)) == 4


# With real processes.

class Launched:
    """`ros2 launch` of a file while a node of the test listens; ends with the `with`."""

    def __init__(self, output, name, *arguments):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self.node = rclpy.create_node('listener', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._output = output
        with open(str(output), 'wb') as file:
            self.process = subprocess.Popen(['ros2', 'launch', str(LAUNCH / name)] + list(arguments), stdout=file,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=dict(os.environ))

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    @property
    def output(self):
        return Path(str(self._output)).read_text()

    def listen(self, topic):
        """Return the list that the images on a topic go to."""
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import Image
        messages = []
        self.node.create_subscription(Image, topic, messages.append, QoSProfile(depth=10))
        return messages

    def parameter(self, node, name):
        """Return the value of a bool parameter; None while the node is not there."""
        from rcl_interfaces.srv import GetParameters
        client = self.node.create_client(GetParameters, node + '/get_parameters')
        try:
            self.until(client.service_is_ready, 'parameters of ' + node)
            future = client.call_async(GetParameters.Request(names=[name]))
            self.until(future.done, name)
            return future.result().values[0].bool_value
        finally:
            self.node.destroy_client(client)

    def until(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, 'waited for {}; {}'.format(what, self.output)
            self._executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def launch(domain, tmp_path):
    """Give a function that starts a launch file with small networks."""
    if shutil.which('ros2') is None:
        pytest.skip('no `ros2` command here')
    import networks
    for task, make in (('segmentation', networks.segmentation_model), ('optical_flow', networks.flow_model)):
        (tmp_path / task).mkdir()
        make(tmp_path / task)
    models = ['{0}_model:={1}/{0}/tiny.yaml'.format(task, tmp_path) for task in ('segmentation', 'optical_flow')]
    return lambda *arguments, file='perception.launch.py': Launched(
        tmp_path / 'output', file, *(models + list(arguments)))


def test_a_camera_source_feeds_the_nodes_of_its_namespace(launch):
    with launch('camera_source:=test', 'namespace:=front', 'image:=raw') as launched:
        labels, flows = launched.listen('/front/segmentation/label_map'), launched.listen('/front/optical_flow/flow')
        launched.until(lambda: len(labels) > 2 and len(flows) > 2, 'label maps and flow')
        assert {(message.height, message.width, message.header.frame_id) for message in labels + flows} == {
            (480, 640, 'camera_optical_frame')}
        assert launched.node.count_publishers('/front/raw') == 1


@pytest.mark.parametrize('names', ['front,rear', 'front'])
def test_named_cameras_share_one_node(launch, names):
    topics = ['/rig/{}/segmentation/label_map'.format(name) for name in names.split(',')]
    with launch('cameras:=' + names, 'namespace:=rig', 'image:=/sensors/{camera}/image_raw') as launched:
        node = launched.node
        launched.until(lambda: all(node.get_publishers_info_by_topic(topic) for topic in topics), 'the outputs')
        launched.until(lambda: all(node.get_subscriptions_info_by_topic('/sensors/{}/image_raw'.format(name))
                                   for name in names.split(',')), 'the subscriptions')
        launched.until(lambda: ('perception', '/rig') in node.get_node_names_and_namespaces(), 'the one node')


def test_a_node_that_dies_ends_the_launch_when_asked_to(launch):
    with launch('camera_source:=/dev/video99', 'on_exit:=shutdown') as launched:
        launched.until(lambda: launched.process.poll() is not None, 'the launch to end by itself')
        assert 'source: /dev/video99 is not there' in launched.output
        assert 'has died (exit status 1): the launch ends.' in launched.output
        assert launched.process.returncode == 1


def test_a_node_that_dies_leaves_the_others_alone_by_default(launch):
    with launch('camera_source:=/dev/video99') as launched:
        launched.until(lambda: 'source: /dev/video99 is not there' in launched.output, 'the camera to fail')
        launched.until(lambda: ('perception', '/') in launched.node.get_node_names_and_namespaces(), 'the other node')
        assert launched.process.poll() is None
        assert 'the launch ends' not in launched.output


def test_a_node_that_dies_is_started_again_when_asked_to(launch):
    with launch('camera_source:=/dev/video99', 'respawn:=true') as launched:
        launched.until(lambda: launched.output.count('source: /dev/video99 is not there') > 1, 'the second start')


def test_ctrl_c_with_on_exit_is_no_death(launch):
    with launch('camera_source:=test', 'on_exit:=shutdown') as launched:
        labels = launched.listen('/segmentation/label_map')
        launched.until(lambda: labels, 'a label map')
        launched.process.send_signal(signal.SIGINT)
        launched.until(lambda: launched.process.poll() is not None, 'the end')
        assert 'has died' not in launched.output
        assert launched.process.returncode == 0


@pytest.mark.parametrize('reliability', ['reliable', 'best_effort'])
def test_the_images_are_asked_for_with_the_reliability_of_the_argument(launch, reliability):
    with launch('image:=/camera/image_raw', 'image_reliability:=' + reliability) as launched:
        def asked():
            return [info.qos_profile.reliability.name.lower()
                    for info in launched.node.get_subscriptions_info_by_topic('/camera/image_raw')]
        launched.until(asked, 'the subscription')
        assert asked() == [reliability]


def test_a_node_that_starts_paused_waits_for_enable(launch):
    from std_srvs.srv import SetBool
    with launch('camera_source:=test', 'start_paused:=true') as launched:
        labels = launched.listen('/segmentation/label_map')
        client = launched.node.create_client(SetBool, '/perception/enable')
        launched.until(lambda: 'segmentation: tiny on onnxruntime' in launched.output, 'the engines')
        launched.until(lambda: client.service_is_ready() and launched.node.count_publishers('/image'), 'the nodes')
        end = time.monotonic() + 1
        launched.until(lambda: time.monotonic() > end, 'a second')
        assert labels == []
        client.call_async(SetBool.Request(data=True))
        launched.until(lambda: labels, 'a label map')


def test_a_node_without_autostart_is_driven_by_the_lifecycle_command(launch):
    with launch('camera_source:=test', 'autostart:=false') as launched:
        labels = launched.listen('/segmentation/label_map')
        launched.until(lambda: ('perception', '/') in launched.node.get_node_names_and_namespaces(), 'the node')

        def lifecycle(*arguments):
            done = subprocess.run(['ros2', 'lifecycle'] + list(arguments) + ['--no-daemon', '--spin-time', '5'],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                                  timeout=60, check=False)
            if 'invalid choice' in done.stdout:
                pytest.skip('no ros2lifecycle here')
            return done.stdout.strip()
        assert lifecycle('get', '/perception').startswith('unconfigured')
        assert lifecycle('set', '/perception', 'configure') == 'Transitioning successful'
        assert lifecycle('get', '/perception').startswith('inactive')
        assert labels == []
        assert lifecycle('set', '/perception', 'activate') == 'Transitioning successful'
        launched.until(lambda: labels, 'a label map')


@pytest.mark.parametrize(('arguments', 'text'), [
    (['bag:=/no/such/bag'], 'bag /no/such/bag: no such file or folder.'),
    (['bag:={}'.format(ROOT / 'demo' / 'street'), 'rate:=0'], '--rate: got 0, expected a number above 0.')])
def test_a_replay_that_fails_ends_the_launch_with_an_error(launch, arguments, text):
    with launch(*arguments, file='replay.launch.py') as launched:
        launched.until(lambda: launched.process.poll() is not None, 'the launch to end by itself')
        assert text in launched.output
        assert 'the replay has failed (exit status 2): the launch ends.' in launched.output
        assert launched.process.returncode == 1


def test_the_launch_ends_with_its_bag_whose_other_topics_nobody_waits_for(launch, tmp_path):
    from bags import images, write_bag
    sent = sorted(images(20, '/front/image_raw') + images(20, '/rear/image_raw'), key=lambda each: each[2])
    with launch('bag:=' + write_bag(tmp_path / 'bag', sent), 'image:=/front/image_raw', 'rate:=0.2',
                file='replay.launch.py') as launched:
        labels = launched.listen('/segmentation/label_map')
        launched.until(lambda: launched.process.poll() is not None, 'the launch to end by itself')
        assert 'Nobody has subscribed to /rear/image_raw.' in launched.output
        assert launched.process.returncode == 0
        assert labels


PARENT = """
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import SetParameter
def generate_launch_description():
    return LaunchDescription([{before}IncludeLaunchDescription(
        PythonLaunchDescriptionSource({file!r}), launch_arguments={given!r}.items())])
"""


@pytest.mark.parametrize(('before', 'arguments'), [
    ('', {'params_file': '{folder}/simtime.yaml'}), ("SetParameter('use_sim_time', True), ", {}),
    ('', {'use_sim_time': '1'})], ids=['parameter file', 'parent', 'argument'])
def test_sim_time_comes_from_wherever_it_is_set(launch, tmp_path, before, arguments):
    (tmp_path / 'simtime.yaml').write_text('/**:\n  ros__parameters:\n    use_sim_time: true\n')
    given = {name: value.format(folder=tmp_path) for name, value in arguments.items()}
    (tmp_path / 'parent.launch.py').write_text(
        PARENT.format(before=before, given=given, file=str(LAUNCH / 'perception.launch.py')))
    with launch(file=str(tmp_path / 'parent.launch.py')) as launched:
        launched.until(lambda: launched.parameter('/perception', 'use_sim_time') is True, 'use_sim_time to be true')


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
        # So slow that no image is too old, however busy the machine is.
        ['ros2', 'launch', str(LAUNCH / 'replay.launch.py'), 'bag:={}'.format(ROOT / 'demo' / 'street'),
         'decompress:=true', 'image:=/camera/image', 'namespace:=front', 'processes:=two', 'rate:=0.1', 'loop:=true'],
        env=dict(os.environ))
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and (len(stamps) < 2 or min(map(len, stamps.values())) < 3):
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        launched.send_signal(signal.SIGINT)
        launched.wait(20)
        node.destroy_node()
        rclpy.shutdown()
    assert min(map(len, stamps.values())) >= 3
    assert {frame for seen in stamps.values() for _, _, frame in seen} == {'camera_optical_frame'}
    assert {(sec - 1700000000 < 8, nanosec % 100000000) for seen in stamps.values() for sec, nanosec, _ in seen} == {
        (True, 0)}

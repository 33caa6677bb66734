import sys

import networks
import pytest
import rclpy
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rig import image, random_image, stamp_of
from sensor_msgs.msg import Image

from trt_perception.core.errors import ConfigError
from trt_perception.core.settings import defaults, settings_for
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.ros.parameters import declare_settings, on_change

RUNTIME = {setting.name for setting in settings_for() if setting.runtime}


@pytest.fixture
def node_of(domain):
    """Return a function that makes a plain node with ROS arguments."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    nodes = []

    def make(*arguments):
        nodes.append(Node('plain', context=context, use_global_arguments=False,
                          cli_args=['--ros-args'] + list(arguments)))
        return nodes[-1]
    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_without_arguments_everything_is_at_its_default(node_of):
    node = node_of()
    settings = declare_settings(node, settings_for(TASKS))
    assert settings == defaults()
    assert {name: node.get_parameter(name).value for name in settings} == settings


@pytest.mark.parametrize(('task', 'foreign'), [(SEGMENTATION, 'optical_flow.'), (OPTICAL_FLOW, 'segmentation.')])
def test_a_node_has_only_the_parameters_of_its_task(node_of, task, foreign):
    node = node_of()
    settings = declare_settings(node, settings_for([task]))
    assert task + '.model' in settings
    assert not [name for name in settings if name.startswith(foreign)]
    assert not node.get_parameters_by_prefix(foreign[:-1])
    assert ('max_pair_gap' in settings) == node.has_parameter('flow_grid') == (task == OPTICAL_FLOW)


def test_a_yaml_file_overrides_defaults_and_may_write_1_for_1_0(node_of, tmp_path):
    path = networks.write_yaml(tmp_path / 'mine.yaml', {'/**': {'ros__parameters': {
        'max_frame_age': 1, 'max_pair_gap': 0.25, 'segmentation': {'model': 'other', 'overlay_alpha': 0},
        'optical_flow': {'color_max': 20}, 'num_threads': 3, 'lazy': False, 'precision': 'fp16'}}})
    settings = declare_settings(node_of('--params-file', path), settings_for(TASKS))
    expected = {'max_frame_age': 1.0, 'max_pair_gap': 0.25, 'segmentation.model': 'other',
                'segmentation.overlay_alpha': 0.0, 'optical_flow.color_max': 20.0, 'num_threads': 3, 'lazy': False,
                'precision': 'fp16'}
    assert {name: settings[name] for name in expected} == expected
    assert [type(settings[name]) for name in expected] == [type(value) for value in expected.values()]
    assert settings['output_size'] == 'camera'


@pytest.mark.parametrize(('argument', 'text'), [
    ('flow_grid:=next', "parameter flow_grid: got 'next', expected one of current, previous."),
    ('image_transport:=theora', "parameter image_transport: got 'theora', expected one of raw, compressed."),
    ('output_size:=half', "parameter output_size: got 'half', expected one of camera, network."),
    ('precision:=fp8', "parameter precision: got 'fp8', expected one of '', fp32, fp16, bf16, int8."),
    ('lazy:=1', 'parameter lazy: got 1, expected true or false.'),
    ('max_frame_age:=soon', "parameter max_frame_age: got 'soon', expected a number from 0 to 3600."),
    ('max_frame_age:=true', 'parameter max_frame_age: got True, expected a number from 0 to 3600.'),
    ('max_frame_age:=-1', 'parameter max_frame_age: got -1.0, expected a number from 0 to 3600.'),
    ('num_threads:=1.5', 'parameter num_threads: got 1.5, expected a number from 0 to 256.'),
    ('engine:=[a, b]', "parameter engine: got ['a', 'b'], expected a string."),
    ('segmentation.model:=7', 'parameter segmentation.model: got 7, expected a string.'),
])
def test_a_wrong_value_stops_with_the_allowed_ones(node_of, argument, text):
    with pytest.raises(ConfigError) as caught:
        declare_settings(node_of('-p', argument), settings_for(TASKS))
    assert str(caught.value) == text


@pytest.mark.parametrize(('first', 'then', 'text'), [
    ('0.2', 'soon', "got 'soon', expected a number from 0 to 3600."), ('1', 'soon', "got 'soon', expected a number"),
    ('1', '0.5', 'got 0.5 after 1, which ROS keeps, as it is of another type. Give both in the same type: 1.0, not 1.'),
    ('true', '0.5', 'got True, expected a number from 0 to 3600.')])
def test_a_value_that_ros_ignores_because_of_its_type_stops_the_node(monkeypatch, node_of, tmp_path, first, then, text):
    path = tmp_path / 'mine.yaml'
    path.write_text('/**: {{ros__parameters: {{max_frame_age: {}}}}}'.format(first))
    arguments = ['--params-file', str(path), '-p', 'max_frame_age:=' + then]
    monkeypatch.setattr(sys, 'argv', ['perception_node', '--ros-args'] + arguments)
    with pytest.raises(ConfigError) as caught:
        declare_settings(node_of(*arguments), settings_for(TASKS))
    assert str(caught.value).startswith('parameter max_frame_age: ' + text)


@pytest.mark.parametrize(('first', 'then', 'age'), [('0.2', '1', 1.0), ('1', '2', 2.0), ('0.2', '1e-01', 0.1)])
def test_a_later_value_of_a_type_that_ros_takes_wins(monkeypatch, node_of, tmp_path, first, then, age):
    path = tmp_path / 'mine.yaml'
    path.write_text('/**: {{ros__parameters: {{max_frame_age: {}}}}}'.format(first))
    arguments = ['--params-file', str(path), '-p', 'max_frame_age:=' + then]
    monkeypatch.setattr(sys, 'argv', ['perception_node', '--ros-args'] + arguments)
    assert declare_settings(node_of(*arguments), settings_for(TASKS))['max_frame_age'] == age


@pytest.mark.parametrize(('argument', 'name', 'limits'), [
    ('max_frame_age:=-0.5', 'max_frame_age', '0 to 3600'), ('max_pair_gap:=1e9', 'max_pair_gap', '0 to 3600'),
    ('segmentation.overlay_alpha:=1.01', 'segmentation.overlay_alpha', '0 to 1'),
    ('num_threads:=-1', 'num_threads', '0 to 256'), ('max_frame_age:=.nan', 'max_frame_age', '0 to 3600')])
def test_a_value_outside_the_range_stops_with_the_range(node_of, argument, name, limits):
    with pytest.raises(ConfigError) as caught:
        declare_settings(node_of('-p', argument), settings_for(TASKS))
    assert str(caught.value).startswith('parameter {}: '.format(name))
    assert 'xpected a number from {}.'.format(limits) in str(caught.value)


def test_descriptors_say_what_may_change_and_how(node_of):
    node = node_of()
    settings = declare_settings(node, settings_for(TASKS))
    descriptors = {name: node.describe_parameter(name) for name in settings}
    assert {name for name, d in descriptors.items() if not d.read_only} == RUNTIME
    for setting in settings_for():
        descriptor = descriptors[setting.name]
        assert descriptor.description.startswith(setting.description)
        assert descriptor.description.endswith(' (read-only: set it at start)') == descriptor.read_only
        assert descriptor.additional_constraints == setting.expected
    assert descriptors['flow_grid'].additional_constraints == 'one of current, previous'
    ranges = descriptors['max_frame_age'].floating_point_range
    assert [(r.from_value, r.to_value, r.step) for r in ranges] == [(0.0, 3600.0, 0.0)]
    ranges = descriptors['num_threads'].integer_range
    assert [(r.from_value, r.to_value, r.step) for r in ranges] == [(0, 256, 0)]
    assert not descriptors['lazy'].integer_range
    assert not descriptors['engine'].floating_point_range
    assert descriptors['max_frame_age'].type == ParameterType.PARAMETER_DOUBLE
    assert descriptors['num_threads'].type == ParameterType.PARAMETER_INTEGER
    assert descriptors['lazy'].type == ParameterType.PARAMETER_BOOL
    assert descriptors['engine'].type == ParameterType.PARAMETER_STRING


@pytest.fixture
def changeable(node_of):
    """Return a node whose parameters may change, its settings, and the list of what they were at every change."""
    node, changes = node_of(), []
    settings = declare_settings(node, settings_for(TASKS))
    on_change(node, settings, lambda: changes.append(dict(settings)))
    return node, settings, changes


@pytest.mark.parametrize(('name', 'value', 'expected'), [
    ('segmentation.overlay_alpha', 0.75, 0.75), ('segmentation.min_confidence', 1, 1.0),
    ('optical_flow.color_max', 12, 12.0), ('max_pair_gap', 0.0, 0.0),
    ('max_frame_age', 3, 3.0), ('lazy', False, False)])
def test_a_runtime_parameter_changes(changeable, name, value, expected):
    node, settings, changes = changeable
    before = dict(settings)
    [result] = node.set_parameters([Parameter(name, value=value)])
    assert result.successful
    assert settings == dict(before, **{name: expected})
    assert type(settings[name]) is type(before[name])
    assert changes == [settings]
    assert node.get_parameter(name).value == value


@pytest.mark.parametrize('name', sorted({s.name for s in settings_for()} - RUNTIME))
def test_the_other_parameters_are_read_only(changeable, name):
    node, settings, changes = changeable
    before = dict(settings)
    [result] = node.set_parameters([Parameter(name, value=before[name])])
    assert not result.successful
    assert 'read-only parameter: ' + name in result.reason
    assert settings == before
    assert changes == []


@pytest.mark.parametrize(('name', 'value', 'reason'), [
    ('lazy', 'yes', "parameter lazy: got 'yes', expected true or false."),
    ('max_frame_age', 'soon', "parameter max_frame_age: got 'soon', expected a number from 0 to 3600."),
    ('max_frame_age', -1, 'parameter max_frame_age: got -1.0, expected a number from 0 to 3600.'),
    ('max_pair_gap', None, 'parameter max_pair_gap: got None, expected a number from 0 to 3600.'),
    ('segmentation.overlay_alpha', 2.0, 'Min: 0.0, Max: 1.0, value: 2.0'),
    ('max_pair_gap', float('nan'), 'Min: 0.0, Max: 3600.0, value: nan')])
def test_a_wrong_change_is_refused_with_the_reason(changeable, name, value, reason):
    node, settings, changes = changeable
    before = dict(settings)
    [result] = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert settings == before
    assert changes == []
    assert node.get_parameter(name).value == before[name]


@pytest.mark.parametrize('wrong', [Parameter('lazy', value=3), Parameter('engine', value='auto')])
def test_a_change_of_several_parameters_is_made_whole_or_not_at_all(changeable, wrong):
    node, settings, changes = changeable
    before = dict(settings)
    result = node.set_parameters_atomically([Parameter('max_frame_age', value=1.5), wrong])
    assert not result.successful
    assert settings == before
    assert changes == []
    assert node.get_parameter('max_frame_age').value == 0.2


def test_a_change_that_does_not_fit_the_model_is_taken_back(node_of):
    node = node_of()
    settings, seen = declare_settings(node, settings_for(TASKS)), []

    def refuse():
        seen.append(settings['max_pair_gap'])
        if settings['max_pair_gap'] > 1:
            raise ConfigError('max_pair_gap: too long for this model.')

    on_change(node, settings, refuse)
    [result] = node.set_parameters([Parameter('max_pair_gap', value=2.0)])
    assert (result.successful, result.reason) == (False, 'max_pair_gap: too long for this model.')
    assert settings['max_pair_gap'] == node.get_parameter('max_pair_gap').value == 0.5
    assert seen == [2.0, 0.5]


def test_parameters_that_are_not_ours_may_change(changeable):
    node, settings, changes = changeable
    before = dict(settings)
    [result] = node.set_parameters([Parameter('use_sim_time', value=True)])
    assert result.successful
    assert settings == before


def test_a_change_through_the_service_reaches_the_flow_pipeline(rig, tmp_path):
    networks.flow_model(tmp_path)
    fields = rig.watch(Image, 'optical_flow/flow')
    rig.start([OPTICAL_FLOW], '-p', 'optical_flow.model:={}/tiny.yaml'.format(tmp_path), '-p', 'max_pair_gap:=0.5')
    rig.watched('optical_flow/flow')
    client = AsyncParameterClient(rig.outside, 'perception')
    rig.until(client.services_are_ready, 'the parameter services')

    def set_gap(seconds):
        answer = client.set_parameters([Parameter('max_pair_gap', value=seconds)])
        rig.until(answer.done, 'the parameter service')
        return answer.result().results[0]
    for number in range(4):
        if number == 2:
            assert set_gap(0.3).successful
        if number == 3:
            refused = set_gap(-1.0)
            assert not refused.successful
            assert 'Min: 0.0, Max: 3600.0, value: -1.0' in refused.reason
        rig.show(image(random_image(number), 10**9 + number * 400 * 10**6))
    assert set_gap(0.4).successful
    rig.show(image(random_image(4), 10**9 + 4 * 400 * 10**6))
    rig.until(lambda: len(fields) >= 2, 'the flow')
    rig.work(0.1)
    assert [stamp_of(field) for field in fields] == [1_400_000_000, 2_600_000_000]


def test_a_parameter_that_no_node_has_is_named_with_the_one_that_was_meant(rig, tmp_path, capfd):
    networks.segmentation_model(tmp_path)
    rig.start([SEGMENTATION], '-p', 'segmentation.model:={}/tiny.yaml'.format(tmp_path), '-p', 'max_frameage:=0.7',
              '-p', 'optical_flow.color_max:=3.0', '-p', 'use_sim_time:=false', '-p', 'zzz:=1',
              '-p', 'qos_overrides./image.subscription.depth:=2')
    warned = [line.partition(']: ')[2] for line in capfd.readouterr().err.splitlines() if ' parameter ' in line]
    assert warned == ["parameter max_frameage: this node has none of that name. Did you mean 'max_frame_age'?",
                      'parameter zzz: this node has none of that name.']

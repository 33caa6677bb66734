import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.parameter_file import last_given, means, read_parameter, read_parameters
from trt_perception.core.settings import defaults
from trt_perception.core.share import share_path


def test_the_shipped_parameter_file_says_the_defaults():
    assert read_parameters(share_path('config', 'perception.yaml')) == defaults()


SECTIONS = ('perception:\n  ros__parameters:\n    max_pair_gap: 2\n',
            '/**:\n  ros__parameters:\n    use_sim_time: true\n    max_pair_gap: 1.0\n'
            '    segmentation: {min_confidence: 0.5}\n',
            'camera:\n  ros__parameters:\n    exposure: 3\n')


@pytest.mark.parametrize(('order', 'gap'), [((0, 1, 2), 1.0), ((2, 1, 0), 2.0)])
def test_of_several_sections_for_the_node_the_last_wins_as_in_ros(tmp_path, order, gap):
    path = tmp_path / 'mine.yaml'
    path.write_text(''.join(SECTIONS[number] for number in order))
    assert read_parameters(str(path)) == {'max_pair_gap': gap, 'segmentation.min_confidence': 0.5}


def test_what_ros_arguments_give_a_node_is_the_last_of_each_parameter(tmp_path):
    first, second = tmp_path / 'a.yaml', tmp_path / 'b.yaml'
    first.write_text('/**: {ros__parameters: {a: 1, b: {c: [x, y], d: no}}}')
    second.write_text('front: {perception: {ros__parameters: {a: 1e-05}}}\n/rear/perception: {ros__parameters: {e: 1}}')
    arguments = ['--ros-args', '-r', 'a:=b', '--params-file', str(first), '-p', 'f:=yes', '--params-file', str(second),
                 '--param', 'perception:b.d:=5', '-p']
    assert last_given(arguments, '/front/perception') == {'a': 1e-05, 'b.c': ['x', 'y'], 'b.d': False, 'f': True}
    assert last_given(arguments, '/perception') == {'a': 1, 'b.c': ['x', 'y'], 'b.d': 5, 'f': True}


@pytest.mark.parametrize(('name', 'node', 'right'), [
    ('/**', '/a', True), ('/**', '/a/b', True), ('/*', '/a', True), ('/*', '/a/b', False), ('/*/b', '/a/b', True),
    ('/*/b', '/b', False), ('/**/b', '/b', True), ('/**/b', '/c/a/b', True), ('b', '/b', True), ('b', '/a/b', False),
    ('/a/*', '/a/b', True), ('/a/b', '/a/bc', False), ('/a/b', '/a', False)])
def test_a_name_in_a_parameter_file_means_the_nodes_that_it_means_to_ros(name, node, right):
    assert means(name, node) is right


@pytest.mark.parametrize(('text', 'expected'), [
    ('', 'got no parameters of a node, expected a section /** or perception'),
    ('- 1', 'got no parameters of a node'),
    ('/**:\n  max_pair_gap: 1.0', 'got no parameters of a node'),
    ('/**:\n  ros__parameters:\n    max_pear_gap: 1.0',
     "parameter max_pear_gap: unknown. Did you mean 'max_pair_gap'?"),
    ('/**:\n  ros__parameters:\n    max_pair_gap: far',
     "parameter max_pair_gap: got 'far', expected a number from 0 to")])
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, expected):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_parameters(str(path))
    assert str(caught.value).startswith('{}: '.format(path))
    assert expected in str(caught.value)


@pytest.mark.parametrize(('text', 'expected'), [
    ('max_pair_gap:=1', ('max_pair_gap', 1.0)), ('precision:=int8', ('precision', 'int8')),
    ('precision:=', ('precision', '')),
    ('lazy:=false', ('lazy', False))])
def test_a_parameter_has_the_type_of_its_default(text, expected):
    name, value = read_parameter(text)
    assert (name, value) == expected
    assert type(value) is type(expected[1])


@pytest.mark.parametrize(('text', 'expected'), [
    ('max_pair_gap=1', '-p max_pair_gap=1: expected NAME:=VALUE.'), ('nothing:=1', 'parameter nothing: unknown.'),
    ('lazy:=3', 'parameter lazy: got 3, expected true or false.'), ('lazy:={', '-p lazy:={: not valid YAML: ')])
def test_what_is_wrong_with_a_parameter_is_named(text, expected):
    with pytest.raises(ConfigError) as caught:
        read_parameter(text)
    assert str(caught.value).startswith(expected)

import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.parameter_file import read_parameter, read_parameters
from trt_perception.core.settings import defaults
from trt_perception.core.share import share_path


def test_the_shipped_parameter_file_says_the_defaults():
    assert read_parameters(share_path('config', 'perception.yaml')) == defaults()


def test_the_section_of_the_node_wins_over_that_of_all_nodes(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('perception:\n  ros__parameters:\n    max_pair_gap: 2\n'
                    '/**:\n  ros__parameters:\n    use_sim_time: true\n    max_pair_gap: 1.0\n'
                    '    segmentation: {min_confidence: 0.5}\n'
                    'camera:\n  ros__parameters:\n    exposure: 3\n')
    assert read_parameters(str(path)) == {'max_pair_gap': 2.0, 'segmentation.min_confidence': 0.5}


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

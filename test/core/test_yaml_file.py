import os
import time

import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.limits import MAX_YAML_BYTES, MAX_YAML_DEPTH, MAX_YAML_NODES, MAX_YAML_TEXT
from trt_perception.core.yaml_file import read_yaml, yaml_text


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file and returns its path."""
    def write(content):
        path = tmp_path / 'some.yaml'
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)
    return write


def growing(levels=9, aliases=9):
    lines = ['a0: &a0 [{}]'.format(', '.join(['x'] * aliases))]
    lines += ['a{0}: &a{0} [{1}]'.format(n, ', '.join(['*a{}'.format(n - 1)] * aliases)) for n in range(1, levels)]
    return '\n'.join(lines)


def test_what_people_write_is_read(file):
    assert read_yaml(file('mean: &m [1, 2.5]\nstd: *m\ntext: "é"\nmore: {a: true, b: null}\n')) == {
        'mean': [1, 2.5], 'std': [1, 2.5], 'text': 'é', 'more': {'a': True, 'b': None}}
    assert read_yaml(file('')) is None
    assert read_yaml(file('[1e-05, -9.8E-5, 1e3, 1.e2, 1e, e5]')) == [1e-5, -9.8e-5, 1000.0, 100.0, '1e', 'e5']
    assert read_yaml(file('base: &b {a: 1}\nmine: {<<: *b, c: 2}')) == {'base': {'a': 1}, 'mine': {'a': 1, 'c': 2}}


def test_a_text_that_looks_like_a_number_is_written_so_that_it_is_read_as_a_text(file):
    values = {'b': ['1e3', '-9.8E-5', '1', 'e5'], 'a': [1e3, 1e-5, 1]}
    text = yaml_text(values)
    assert read_yaml(file(text)) == values
    assert text.splitlines()[:2] == ['a:', '- 1000.0']
    assert yaml_text(values, default_flow_style=True).startswith('{a: [1000.0,')


@pytest.mark.parametrize(('content', 'text'), [
    ('a: [b', 'not valid YAML: while parsing'),
    (b'\xff\xfe', 'got a binary file, expected a YAML. If it is a network, `trt_perception_tools import-model`'),
    ('task: 2001-99-99', 'not valid YAML: month must be in 1..12'),
    ('task: 0b_', 'not valid YAML: invalid literal'),
    ('task: !!int x', 'not valid YAML: invalid literal'),
    ('task: !!float abc', 'not valid YAML: could not convert'),
    ('task: !!python/object/apply:os.system ["true"]', 'not valid YAML: could not determine a constructor'),
    ('? [a]\n: b', 'not valid YAML: '),
    ('<<: 1', 'not valid YAML: '),
    ('task: a\0b', 'not valid YAML: unacceptable character'),
    ('&a [*a]', 'alias *a stands for what is around it, or for nothing.'),
    ('a: *b', 'alias *b stands for what is around it, or for nothing.'),
    (growing(), 'got more than {} values or {} levels'.format(MAX_YAML_NODES, MAX_YAML_DEPTH)),
    ('[' * 3000 + ']' * 3000, 'got more than {} values or {} levels'.format(MAX_YAML_NODES, MAX_YAML_DEPTH)),
    ('{a: ' * 500 + '1' + '}' * 500, 'got more than {} values or {} levels'.format(MAX_YAML_NODES, MAX_YAML_DEPTH)),
    ('a: ' + '9' * 20000, 'got a text of 20000 characters, expected at most {}.'.format(MAX_YAML_TEXT)),
    ('#' * (MAX_YAML_BYTES + 1), 'larger than {} bytes. Give a YAML file.'.format(MAX_YAML_BYTES))],
    ids=lambda value: repr(value[:20]))
def test_whatever_is_wrong_is_refused_with_the_place_in_one_line(file, content, text):
    path = file(content)
    began_s = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(path + ': ')
    assert text in str(caught.value)
    assert '\n' not in str(caught.value)
    assert time.process_time() - began_s < 5


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    for path in (tmp_path, tmp_path / 'pipe', '/dev/zero'):
        with pytest.raises(ConfigError, match='not a regular file. Give a YAML file.'):
            read_yaml(str(path))
    with pytest.raises(ConfigError, match='No such file or directory. Give a YAML file.'):
        read_yaml(str(tmp_path / 'missing.yaml'))

"""Reads parameters of the nodes without ROS: ROS parameter files, and NAME:=VALUE."""
from typing import Any, Dict, Iterator, Tuple

from .errors import ConfigError
from .settings import find_setting
from .yaml_file import parse_yaml, read_yaml

_NODES = ('/**', 'perception', '/perception', '/**/perception')
"""Sections of a parameter file for the node; later ones override earlier ones."""
_OTHERS = ('use_sim_time',)
"""Parameters of every ROS node, which have no effect without ROS."""


def read_parameters(path: str) -> Dict[str, Any]:
    """Return the checked parameters in a file, by name.

    Raises:
        ConfigError: no such file, not a parameter file, or a parameter is unknown or wrong.
    """
    content = read_yaml(path)
    sections = [content[name] for name in _NODES if name in content] if isinstance(content, dict) else []
    if not sections or not all(isinstance(each, dict) and isinstance(each.get('ros__parameters'), dict)
                               for each in sections):
        raise ConfigError('{}: got no parameters of a node, expected a section /** or perception, and in it '
                          'ros__parameters.'.format(path))
    values = {name: value for section in sections for name, value in _flat(section['ros__parameters'])}
    try:
        return {name: find_setting(name).check(value) for name, value in values.items() if name not in _OTHERS}
    except ConfigError as error:
        raise ConfigError('{}: {}'.format(path, error)) from error


def read_parameter(text: str) -> Tuple[str, Any]:
    """Return name and checked value of NAME:=VALUE.

    Raises:
        ConfigError: it is something else, or the parameter is unknown or wrong.
    """
    name, rule, value = text.partition(':=')
    if not rule:
        raise ConfigError('-p {}: expected NAME:=VALUE.'.format(text))
    parsed = parse_yaml(value, '-p ' + text)
    return name, find_setting(name).check('' if parsed is None else parsed)


def _flat(values: Dict[Any, Any], prefix: str = '') -> Iterator[Tuple[str, Any]]:
    """Yield dotted names with their values."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, '{}{}.'.format(prefix, name))
        else:
            yield '{}{}'.format(prefix, name), value

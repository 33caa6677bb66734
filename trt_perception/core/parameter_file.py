"""Reads parameters of the nodes without ROS: ROS parameter files, and NAME:=VALUE."""
import re
from typing import Any, Dict, Iterator, Sequence, Tuple

from .errors import ConfigError
from .settings import find_setting
from .yaml_file import parse_yaml, read_yaml


def read_parameters(path: str) -> Dict[str, Any]:
    """Return the checked parameters in a file, by name.

    Raises:
        ConfigError: no such file, not a parameter file, or a parameter is unknown or wrong.
    """
    values = last_given(('--params-file', path), '/perception')
    if not values:
        raise ConfigError('{}: got no parameters of a node, expected a section /** or perception, and in it '
                          'ros__parameters.'.format(path))
    try:
        return {name: find_setting(name).check(value) for name, value in values.items() if name != 'use_sim_time'}
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


def last_given(arguments: Sequence[str], node: str) -> Dict[str, Any]:
    """Return what ROS arguments, as of the command line, give the parameters of a node: the last value of each.

    Args:
        node: its name, with its namespace.
    """
    given: Dict[str, Any] = {}
    for option, text in zip(arguments, arguments[1:]):
        if option == '--params-file':
            for path, value in _flat(read_yaml(text)):
                section, _, name = path.rpartition('.ros__parameters.')
                if means(section.replace('.', '/'), node):
                    given[name] = value
        elif option in ('-p', '--param'):
            name, _, value = text.partition(':=')
            owner, _, name = name.rpartition(':')
            if not owner or means(owner, node):
                given[name] = parse_yaml(value, text)
    return given


def means(name: str, node: str) -> bool:
    """Return whether a name in a parameter file means a node; ** is any namespace, * one part of it."""
    parts = [{'**': '(/[^/]+)*', '*': '/[^/]+'}.get(part, '/' + re.escape(part)) for part in name.split('/') if part]
    return re.fullmatch(''.join(parts), node) is not None


def _flat(values: Any, prefix: str = '') -> Iterator[Tuple[str, Any]]:
    """Yield dotted names with their values; nothing if it is no mapping."""
    for name, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict):
            yield from _flat(value, '{}{}.'.format(prefix, name))
        else:
            yield '{}{}'.format(prefix, name), value

"""Reads external YAML files within limits, turning every fault into a ConfigError; and writes values as YAML."""
import re
from typing import Any, Dict, List, Optional, Tuple

import yaml

from .errors import ConfigError
from .limits import MAX_YAML_BYTES, MAX_YAML_DEPTH, MAX_YAML_NODES, MAX_YAML_TEXT
from .regular_file import read_regular


def read_yaml(path: str) -> Any:
    """Return the content of a YAML file: mappings, lists, texts, numbers, bools, None, dates.

    Raises:
        ConfigError: no readable file, not valid YAML, or beyond limits.MAX_YAML_*.
    """
    try:
        text = read_regular(path, MAX_YAML_BYTES).decode('utf-8')
    except OSError as error:
        raise ConfigError('{}: {}. Give a YAML file.'.format(path, error.strerror)) from error
    except UnicodeDecodeError as error:
        raise ConfigError('{}: got a binary file, expected a YAML. If it is a network, `trt_perception_tools '
                          'import-model` makes the YAML.'.format(path)) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, where: str) -> Any:
    """Return the content of a YAML text; see `read_yaml`.

    Args:
        where: its origin, for the texts of errors.
    """
    try:
        _check_growth(where, text)
        return _Loader(text).get_single_data()
    except ConfigError:
        raise
    except Exception as error:  # Besides its own errors, PyYAML raises any error for invalid dates and numbers.
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise ConfigError('{}: not valid YAML: {}'.format(where, reason)) from error


class _Loader(yaml.SafeLoader):
    """Reads 1e-05 as the number that ROS, C++ and YAML 1.2 take it for."""


class _Dumper(yaml.SafeDumper):
    """Quotes a text that _Loader would take for such a number."""


for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(
        'tag:yaml.org,2002:float', re.compile(r'[-+]?\d+(\.\d*)?[eE][-+]?\d+$'), list('-+0123456789'))


def yaml_text(value: Any, default_flow_style: Optional[bool] = False, **style: Any) -> str:
    """Return a value as YAML that `read_yaml` reads back, mappings sorted: equal values give equal text.

    Args:
        default_flow_style, style: options of yaml.dump.
    """
    return str(yaml.dump(value, Dumper=_Dumper, default_flow_style=default_flow_style, **style))


def _check_growth(path: str, text: str) -> None:
    """Refuse YAML that becomes enormous in memory: deep nesting, and aliases that multiply their anchors."""
    sizes: Dict[str, int] = {}
    nodes = 0
    open_nodes: List[Tuple[str, int]] = []  # (anchor, nodes before it) of each collection around the event.
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ConfigError('{}: alias *{} stands for what is around it, or for nothing.'.format(
                    path, event.anchor))
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if len(event.value) > MAX_YAML_TEXT:
                raise ConfigError('{}: got a text of {} characters, expected at most {}.'.format(
                    path, len(event.value), MAX_YAML_TEXT))
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor or '', nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > MAX_YAML_NODES or len(open_nodes) > MAX_YAML_DEPTH:
            raise ConfigError('{}: got more than {} values or {} levels, aliases counted as what they stand '
                              'for.'.format(path, MAX_YAML_NODES, MAX_YAML_DEPTH))

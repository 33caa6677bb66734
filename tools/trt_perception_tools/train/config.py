"""Converts the mappings of a training recipe to checked dataclasses. Has no fields of its own."""
from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trt_perception.core.errors import ConfigError, did_you_mean

T = TypeVar('T')


def checked(kind: type[T], values: object, where: str) -> T:
    """Build the dataclass `kind` from a mapping; fields may be dataclasses, tuples, Literal, Path and `X | None`.

    A ValueError of its `__post_init__` ('lr: got -1, expected ...') becomes a ConfigError that begins with `where`.

    Raises:
        ConfigError: a field is unknown, missing or of another type; the text names it.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise ConfigError(f'{where}: got {values!r}, expected a mapping of {", ".join(fields)}.')
    for name in values:
        if name not in fields:
            raise ConfigError(f'{where}: unknown field {name!r}{did_you_mean(str(name), fields)} '
                              f'Known: {", ".join(fields)}.')
    hints = get_type_hints(kind)
    found = {}
    for name, field in fields.items():
        if name in values:
            found[name] = _converted(hints[name], values[name], f'{where}: {name}')
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f'{where}: {name}: missing, expected {_described(hints[name])}.')
    try:
        return kind(**found)
    except ValueError as error:
        raise ConfigError(f'{where}: {error}') from error


def _converted(hint: Any, value: object, where: str) -> object:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(each for each in get_args(hint) if each is not type(None))
    if dataclasses.is_dataclass(hint):
        return checked(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        if len(kinds) == len(value):
            return tuple(_converted(each, item, where) for each, item in zip(kinds, value, strict=True))
    elif get_origin(hint) is Literal and value in get_args(hint):
        return value
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint in (int, str, bool, dict) and type(value) is hint:
        return value
    # PyYAML reads 1e-3 as text.
    hint_of_yaml = ' Write 1.0e-3 for 1e-3.' if hint is float and isinstance(value, str) else ''
    raise ConfigError(f'{where}: got {value!r}, expected {_described(hint)}.{hint_of_yaml}')


def _described(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    if dataclasses.is_dataclass(hint):
        return 'a mapping of ' + ', '.join(field.name for field in dataclasses.fields(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return 'a list of ' + ('' if kinds[-1] is Ellipsis else f'{len(kinds)} x ') + _described(kinds[0])
    if get_origin(hint) is Literal:
        return 'one of ' + ', '.join(map(str, get_args(hint)))
    return {int: 'an integer', float: 'a number', str: 'text', bool: 'true or false', Path: 'a path',
            dict: 'a mapping'}[hint]

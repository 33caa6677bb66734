"""What a module offers, as plain JSON: its classes, functions with their signatures, properties and constants.

Compiled functions are read from what pybind11 writes into their docstrings, Python's own with `inspect`. As a script
it describes the module named on the command line, under any Python from 3.6 on.

A surface is a dict name -> entry, an entry one of
    {'kind': 'class', 'bases': [name], 'members': surface with all that is inherited}; no `__init__`: cannot be made
    {'kind': 'function', 'static': bool, 'signatures': [[[parameter], type that comes back]]}; without self
    {'kind': 'property', 'writable': bool, 'type': name}
    {'kind': 'value', 'type': name}
and a parameter [name, how it is passed: 'position', 'any', 'keyword', '*' or '**', whether it must be, type].
"""
import ast
import enum
import importlib
import inspect
import json
import re
import sys
import textwrap
import types

ANYTHING = [['args', '*', False, ''], ['kwargs', '**', False, '']]
"""The parameters of a function of which nothing is known."""
_SIGNATURE = re.compile(r'^(?:\d+\. )?(?P<name>\w*)\((?P<parameters>.*)\) -> (?P<returns>.*)$')
_MODULE = re.compile(r'\btensorrt\w*\.(?:tensorrt\.)?(?=\w)')
_CLOSING = {'(': ')', '[': ']', '{': '}', '<': '>'}
_PASSED = {'POSITIONAL_ONLY': 'position', 'POSITIONAL_OR_KEYWORD': 'any', 'KEYWORD_ONLY': 'keyword',
           'VAR_POSITIONAL': '*', 'VAR_KEYWORD': '**'}
_NOT_PUBLIC = re.compile(r'_(?!_)|__.*(?<!__)$|__(del|getstate|setstate|hash|pybind11\w*|entries|members)__$|'
                         r'__(annotate|annotations|annotations_cache|firstlineno|static_attributes|signature)\w*__$')
_OF_EVERY_CLASS = set(dir(object)) | {'__dict__', '__module__', '__qualname__', '__slots__', '__weakref__'}
_ROOTS = ('builtins', 'pybind11_builtins')


def describe(module):
    """Return the surface of a module: all public names that are no modules."""
    return {name: _entry(value) for name, value in sorted(vars(module).items())
            if not name.startswith('_') and not isinstance(value, types.ModuleType)}


def _entry(value):
    if inspect.isclass(value):
        if issubclass(value, enum.Enum):
            return _namespace(value.__members__)
        bases = [base.__name__ for base in value.__mro__[1:] if base.__module__ not in _ROOTS]
        return {'kind': 'class', 'bases': bases, 'members': _members(value)}
    if isinstance(value, types.SimpleNamespace):
        return _namespace(vars(value))
    if isinstance(value, property):
        return {'kind': 'property', 'writable': value.fset is not None, 'type': _property_type(value)}
    if callable(value):
        return {'kind': 'function', 'static': False, 'signatures': _signatures(value)}
    return {'kind': 'value', 'type': type(value).__name__}


def _namespace(members):
    return {'kind': 'class', 'bases': [], 'members': {name: {'kind': 'value', 'type': ''} for name in members}}


def _members(cls):
    members = {}
    for owner in reversed(cls.__mro__):
        if owner.__module__ in _ROOTS:
            continue
        for name, value in sorted(vars(owner).items()):
            if name == '__init__' or name not in _OF_EVERY_CLASS and not _NOT_PUBLIC.match(name):
                member = _member(value)
                members[name] = member
                for attribute in _assigned(value):
                    members.setdefault(attribute, {'kind': 'property', 'writable': True, 'type': ''})
    # pybind11 gives every class an __init__; without a signature it only says that there is no constructor.
    if members.get('__init__', {}).get('signatures') == [[ANYTHING, '']]:
        del members['__init__']
    return members


def _member(value):
    if isinstance(value, staticmethod):
        return dict(_entry(value.__func__), static=True)
    entry = _entry(value)
    if isinstance(value, classmethod):
        entry = dict(_entry(value.__func__), static=True)
    if entry['kind'] == 'function':
        entry['signatures'] = [[parameters[1:], returns] for parameters, returns in entry['signatures']]
    return entry


def _assigned(function):
    """Return the public attributes that a Python method gives its object."""
    if not inspect.isfunction(function):
        return []
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return sorted(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                  and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == 'self'
                  and not node.attr.startswith('_'))


def _property_type(value):
    found = _SIGNATURE.match((value.fget.__doc__ or '').split('\n')[0]) if value.fget else None
    return _MODULE.sub('', found.group('returns')) if found else ''


def _signatures(function):
    name = getattr(function, '__name__', '')
    if not inspect.isfunction(function):
        found = [_SIGNATURE.match(line) for line in (function.__doc__ or '').split('\n')]
        found = [line for line in found if line and line.group('name') == name]
        if found:
            return [[[_parameter(text) for text in _split(line.group('parameters'))],
                     _MODULE.sub('', line.group('returns'))] for line in found]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [[ANYTHING, '']]
    return [[[[p.name, _PASSED[p.kind.name], p.default is p.empty and 'VAR' not in p.kind.name, '']
              for p in parameters], '']]


def _split(parameters):
    """Split at the commas that are in no bracket."""
    closing, start, parts = [], 0, []
    for index, char in enumerate(parameters):
        if char in _CLOSING:
            closing.append(_CLOSING[char])
        elif closing and char == closing[-1] and parameters[index - 1] != '-':
            closing.pop()
        elif char == ',' and not closing:
            parts.append(parameters[start:index].strip())
            start = index + 1
    return [part for part in parts + [parameters[start:].strip()] if part]


def _parameter(text):
    """Read 'name: type = default'. pybind11 calls what can only be passed by position arg0, arg1, ..."""
    name, _, rest = text.partition(':')
    kind, _, default = rest.partition('=')
    if name.startswith('*'):
        return [name.strip('*'), '*' * name.count('*'), False, '']
    return [name.strip(), 'position' if re.match(r'(arg\d+|self)$', name) else 'any', not default,
            _MODULE.sub('', kind.strip())]


if __name__ == '__main__':
    json.dump(describe(importlib.import_module(sys.argv[1])), sys.stdout, indent=1)

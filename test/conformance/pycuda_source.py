"""The surface of pycuda, read from its source: without CUDA it can be neither built nor imported."""
import ast
import functools
import os
import re

import pytest

from .install import INSTALLED, PYCUDA_FILES

RELEASES = ('2020.1', '2022.1', '2026.1')
"""The first with `retain_primary_context`, the last for Python 3.6 (both: TX2), and the newest."""

_UNKNOWN = [['args', '*', False, '']]
# What Boost.Python exposes, in the order of the source; the text up to the next one tells the parameters.
_TOKEN = re.compile(
    r'py::class_<[^"]*?"(?P<class>\w+)"|py::enum_<[^"]*?"(?P<enum>\w+)"|DECLARE_EXC\((?!NAME)(?P<error>\w+)'
    r'|py::def\("(?P<function>\w+)"|DEF_SIMPLE_FUNCTION(?:_WITH_ARGS)?\((?P<simple>\w+)'
    r'|\.(?:def\("|DEF_SIMPLE_METHOD(?:_WITH_ARGS)?\()(?P<method>\w+)|\.def\((?P<init>py::init)\b'
    r'|\.staticmethod\("(?P<static>\w+)"'
    r'|\.(?P<how>add_property|def_readonly|def_readwrite)\("(?P<property>\w+)"'
    r'|\.value\("(?P<value>\w+)"|cls\.attr\("(?P<attribute>\w+)"\)|py::scope\(\)\.attr\("(?P<constant>\w+)"\)')
_NAMES = re.compile(r'(?:py::args?|^\s*,)\s*\(("\w+"(?:,\s*"\w+")*)\)\s*(=?)')
# Boost.Python does not tell what comes back.
_RETURNS = {'retain_primary_context': 'Context', 'mem_alloc': 'DeviceAllocation', 'get_function': 'Function',
            'record': 'Event'}


@functools.lru_cache(maxsize=None)
def surfaces(release):
    """Return name of a module -> surface (see surface.py) of a release; skip the test where it is not fetched."""
    texts = []
    for name in PYCUDA_FILES:
        path = os.path.join(INSTALLED, 'pycuda', release, name)
        if not os.path.exists(path):
            pytest.skip('the source of pycuda {} is not here: run `make bindings`'.format(release))
        with open(path, encoding='utf-8') as file:
            texts.append(file.read())
    compiled, driver, compiler = texts
    surface = _compiled_surface(compiled[compiled.index('BOOST_PYTHON_MODULE'):])
    surface.update(_python_surface(ast.parse(driver), surface))
    return {'pycuda.driver': surface, 'pycuda.compiler': _python_surface(ast.parse(compiler), {})}


def _compiled_surface(text):
    surface, owner, python_names = {}, None, {}
    tokens = list(_TOKEN.finditer(text))
    for token, following in zip(tokens, tokens[1:] + [None]):
        kind = token.lastgroup
        name = token.group(kind)
        rest = text[token.end():following.start() if following else None]
        if kind in ('class', 'enum', 'error'):
            bases = [python_names[base] for base in re.findall(r'py::bases<(\w+)', token.group())]
            if kind == 'error':
                bases = ['Exception'] if name == 'Error' else ['Error']
            owner = {member: entry for base in bases if base in surface
                     for member, entry in surface[base]['members'].items()}
            surface[name] = {'kind': 'class', 'bases': bases, 'members': owner}
            python_names.update((alias, name) for alias in re.findall(r'typedef (\w+) cl;', text[:token.start()])[-1:])
            if kind == 'error' or 'no_init' not in rest.split(';')[0]:
                owner['__init__'] = _function(_UNKNOWN if kind == 'error' else _parameters(rest, []))
        elif kind in ('function', 'simple'):
            surface[name] = _function(_parameters(rest, _UNKNOWN), _RETURNS.get(name, ''))
        elif kind == 'constant':
            surface[name] = {'kind': 'value', 'type': ''}
        elif kind in ('method', 'init'):
            name = '__init__' if kind == 'init' else name
            owner[name] = _function(_parameters(rest, _UNKNOWN), _RETURNS.get(name, ''))
        elif kind == 'static':
            owner[name]['static'] = True
        elif kind == 'property':
            owner[name] = {'kind': 'property', 'writable': token.group('how') == 'def_readwrite', 'type': ''}
        else:
            owner[name] = {'kind': 'value', 'type': ''}
    return surface


def _function(parameters, returns=''):
    return {'kind': 'function', 'static': False, 'signatures': [[parameters, returns]]}


def _parameters(text, unknown):
    """Read py::args("a", "b") and py::arg("c")=0; `unknown` where there are none."""
    parameters = []
    for found in _NAMES.finditer(text.split(';')[0]):
        required = not found.group(2) and 'py::optional' not in text
        parameters += [[name, 'any', required, ''] for name in re.findall(r'\w+', found.group(1)) if name != 'self']
    return parameters or unknown


def _python_surface(tree, compiled):
    """Return the classes and functions of a Python module, and add to `compiled` classes what it gives them."""
    surface = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            surface[node.name] = _function(_python_parameters(node))
        elif isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != 'object']
            members = {}
            for base in reversed(bases):
                members.update({**compiled, **surface}[base]['members'])
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    members[method.name] = _function(_python_parameters(method)[1:], _RETURNS.get(method.name, ''))
            members.setdefault('__init__', _function([]))
            surface[node.name] = {'kind': 'class', 'bases': bases, 'members': members}
    for patch in [node for node in tree.body if getattr(node, 'name', '') == '_add_functionality']:
        functions = {node.name: node for node in ast.walk(patch) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(patch):    # Class.method = function
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in functions \
                    and not node.value.id.endswith('_pre_v4'):    # CUDA before 4
                owner, _, name = ast.unparse(node.targets[0]).partition('.')
                compiled[owner]['members'][name] = _function(_python_parameters(functions[node.value.id])[1:])
    return {name: entry for name, entry in surface.items() if not name.startswith('_')}


def _python_parameters(node):
    """Read the parameters of a function; its `**kwargs` are the keywords that it pops."""
    arguments = node.args
    required = len(arguments.args) - len(arguments.defaults)
    parameters = [[each.arg, 'any', number < required, ''] for number, each in enumerate(arguments.args)]
    if arguments.vararg:
        parameters.append([arguments.vararg.arg, '*', False, ''])
    if arguments.kwarg:
        parameters += [[each.args[0].value, 'keyword', False, ''] for each in ast.walk(node)
                       if isinstance(each, ast.Call) and ast.unparse(each.func) == arguments.kwarg.arg + '.pop']
    return parameters

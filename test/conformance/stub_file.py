"""Write a surface (see surface.py) as a type stub, so that mypy checks code against it."""
import keyword
import re

_CALIBRATOR = {'get_batch_size', 'get_batch', 'read_calibration_cache', 'write_calibration_cache'}
ABSTRACT = {'ILogger': {'log'}, 'IInt8Calibrator': _CALIBRATOR, 'IInt8EntropyCalibrator2': _CALIBRATOR,
            'IProgressMonitor': {'phase_start', 'step_complete', 'phase_finish'}}
"""Class -> what a Python class must override, which the bindings do not tell: theirs do nothing."""

ANYTHING = 'from typing import Any\ndef __getattr__(name: str) -> Any: ...\n'
"""A stub of a module of which nothing is known."""

# tensorrt.bool and others hide what is built in.
_HEADER = """\
from builtins import bool as _bool, bytes as _bytes, float as _float, int as _int, object as _object, str as _str
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Dict, Iterator, List, Optional, Sequence, Tuple, overload
"""
_PYTHON = dict({name: name for name in ('None', 'Dict', 'List', 'Optional', 'Sequence', 'Tuple')}, dict='Dict',
               list='List', tuple='Tuple', SupportsInt='_int', SupportsFloat='_float',
               **{name: '_' + name for name in ('bool', 'bytes', 'float', 'int', 'object', 'str')})
# A C++ name of a class that has another in Python.
_CPP = {'IEngineInspector': 'EngineInspector', 'IParserError': 'ParserError'}


def stub(surface):
    """Return the text of a .pyi file. Types that are neither Python's nor in the surface become Any."""
    types = {name: name for name, entry in surface.items() if entry['kind'] == 'class'}
    for owner in sorted(types, reverse=True):
        types.update((name, owner + '.' + name) for name, entry in surface[owner]['members'].items()
                     if entry['kind'] == 'class')
    lines = [_HEADER, '__version__: str']
    for name, entry in surface.items():
        if entry['kind'] == 'class':
            bases = [base for base in entry['bases'] if base in surface or base == 'Exception']
            inherited = {name: member for base in bases if base in surface
                         for name, member in surface[base]['members'].items() if name not in ABSTRACT.get(base, ())}
            own = {name: member for name, member in entry['members'].items() if inherited.get(name) != member}
            lines += _class_lines(name, bases, own, types)
        else:
            lines += _lines(name, entry, types)
    return '\n'.join(lines) + '\n'


def _class_lines(name, bases, members, types):
    lines = []
    for member, entry in sorted(members.items(), key=lambda item: item[1]['kind']):  # Nested classes first.
        if entry['kind'] == 'class':
            lines += _class_lines(member, [], entry['members'], types)
        elif member in ('__init__', '__call__') or not member.startswith('__'):
            lines += _lines(member, entry, types, name)
    if '__init__' not in members and not bases:
        lines.append('def __init__(self, *, there_is_no_constructor: Any) -> None: ...')
    if '__getitem__' in members:
        lines += ['def __len__(self) -> _int: ...', 'def __getitem__(self, index: Any) -> Any: ...',
                  'def __iter__(self) -> Iterator[Any]: ...']
    if name == 'IHostMemory':
        lines += ['def __buffer__(self, flags: _int) -> memoryview: ...']
    if '__int__' in members:
        lines += ['def __int__(self) -> _int: ...', 'def __index__(self) -> _int: ...']
    return ['class {}({}):'.format(name, ', '.join(bases[:1]) or 'ABC')] + ['    ' + line for line in lines or ['...']]


def _lines(name, entry, types, owner=None):
    if keyword.iskeyword(name) or not name.isidentifier():  # Nobody can write it.
        return []
    if entry['kind'] == 'function':
        return _function_lines(name, entry, types, owner)
    kind = _type(entry['type'], types)
    if entry['kind'] == 'value':
        return ['{}: {}'.format(name, 'ClassVar[{}]'.format(kind) if owner else kind)]
    lines = ['@property', 'def {}(self) -> {}: ...'.format(name, kind)]
    if entry['writable']:
        lines += ['@{}.setter'.format(name), 'def {}(self, value: {}) -> None: ...'.format(name, kind)]
    return lines


def _function_lines(name, entry, types, owner):
    lines = []
    for parameters, returns in entry['signatures']:
        if any(keyword.iskeyword(parameter[0]) for parameter in parameters):
            continue  # Nobody can write it.
        if len(entry['signatures']) > 1:
            lines.append('@overload')
        if entry['static']:
            lines.append('@staticmethod')
        if name in ABSTRACT.get(owner, ()):
            lines.append('@abstractmethod')
            # Called by TensorRT: pybind11 converts more than its docstrings say.
            parameters, returns = [each[:3] + [''] for each in parameters], ''
        lines.append('def {}({}) -> {}: ...'.format(
            name, ', '.join((['self'] if owner and not entry['static'] else []) + _parameters(parameters, types)),
            'None' if name == '__init__' else _type(returns, types)))
    return lines


def _parameters(parameters, types):
    texts = []
    # In Python, none without a default may follow one that has it.
    last_required = max((number for number, each in enumerate(parameters) if each[2]), default=0)
    for number, (name, passed, required, kind) in enumerate(parameters):
        if passed == 'keyword' and not any(each.startswith('*') for each in texts):
            texts.append('*')
        texts.append('{}{}: {}{}'.format(
            passed if '*' in passed else '__' if passed == 'position' else '', name, _type(kind, types),
            '' if required or number < last_required or '*' in passed else ' = ...'))
    return texts


def _type(text, types):
    """Translate a type as pybind11 writes it."""
    text = re.sub(r'\b(?:typing|collections\.abc)\.', '', re.sub(r'\w+::', '', text))
    if not text or '::' in text or re.search(r'[^\w\[\], .]', text):
        return 'Any'

    def translate(found):
        word = _CPP.get(found.group(), found.group()).split('.')[-1]
        return _PYTHON.get(word) or types.get(word, 'Any')

    return re.sub(r'[\w.]+', translate, text)

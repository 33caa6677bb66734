"""Reading a surface off a Python module; off docstrings of the real bindings: test_bindings.py."""
import functools
import types

from conformance import surface


def test_what_says_nothing_takes_anything():
    module = types.SimpleNamespace(read=functools.partial(getattr))  # Compiled, and its docstring is not its own.
    assert surface.describe(module)['read']['signatures'] == [[surface.ANYTHING, '']]


def test_a_python_class_tells_its_methods_properties_and_attributes():
    class Base:
        def inherited(self):
            pass

    class Config(Base):
        level = 1
        _hidden = 2

        def __init__(self, logger):
            self.given = logger

        @property
        def size(self):
            return 0

        @staticmethod
        def make(a, *, b=1):
            pass

    members = surface.describe(types.SimpleNamespace(Config=Config))['Config']['members']
    assert members == {
        '__init__': {'kind': 'function', 'static': False, 'signatures': [[[['logger', 'any', True, '']], '']]},
        'given': {'kind': 'property', 'writable': True, 'type': ''},
        'inherited': {'kind': 'function', 'static': False, 'signatures': [[[], '']]},
        'level': {'kind': 'value', 'type': 'int'},
        'make': {'kind': 'function', 'static': True,
                 'signatures': [[[['a', 'any', True, ''], ['b', 'keyword', False, '']], '']]},
        'size': {'kind': 'property', 'writable': False, 'type': ''}}

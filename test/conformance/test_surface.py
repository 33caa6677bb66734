"""Reading a surface off docstrings, and off a Python module."""
import types

from conformance import surface


class Compiled:
    """A callable with no Python signature, as pybind11 makes them."""

    def __init__(self, name, doc):
        self.__name__ = name
        self.__doc__ = doc

    __signature__ = 'none'

    def __call__(self):
        pass


def signatures(name, doc):
    return surface.describe(types.SimpleNamespace(**{name: Compiled(name, doc)}))[name]['signatures']


def test_a_docstring_tells_names_types_and_defaults():
    doc = 'parse(self: tensorrt.tensorrt.OnnxParser, model: buffer, path: str = None) -> bool\n\nText.'
    assert signatures('parse', doc) == [[[['self', 'position', True, 'OnnxParser'], ['model', 'any', True, 'buffer'],
                                          ['path', 'any', False, 'str']], 'bool']]


def test_every_overload_is_read():
    doc = ('get(*args, **kwargs)\nOverloaded function.\n\n1. get(arg0: int) -> tensorrt_bindings.tensorrt.ITensor\n\n'
           '    A tensor.\n\n2. get(name: str) -> ITensor\n')
    assert signatures('get', doc) == [[[['arg0', 'position', True, 'int']], 'ITensor'],
                                      [[['name', 'any', True, 'str']], 'ITensor']]


def test_commas_in_types_and_defaults_separate_nothing():
    doc = ("set(pairs: List[Tuple[int, str]] = [(1, 'a, b')], kind: Kind = <Kind.A: 0>, "
           'to: Callable[[int], int] = None, last: int) -> Dict[str, int]')
    parameters, returns = signatures('set', doc)[0]
    assert parameters == [['pairs', 'any', False, 'List[Tuple[int, str]]'], ['kind', 'any', False, 'Kind'],
                          ['to', 'any', False, 'Callable[[int], int]'], ['last', 'any', True, 'int']]
    assert returns == 'Dict[str, int]'


def test_what_says_nothing_takes_anything():
    assert signatures('run', 'Run it.') == [[surface.ANYTHING, '']]


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

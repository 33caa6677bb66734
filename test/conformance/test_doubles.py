"""The doubles of TensorRT and pycuda have nothing that the real ones lack."""
import copy
import sys
import types

import pytest
from conformance import bindings, doubles, pycuda_source, surface
from pycuda_double import Gpu, make_pycuda
from tensorrt_double import make_tensorrt


@pytest.mark.parametrize('generation', bindings.GENERATIONS)
def test_the_double_of_tensorrt_has_nothing_of_its_own(generation):
    real = bindings.surface(generation)
    double = surface.describe(make_tensorrt(generation))
    assert {'ICudaEngine', 'Runtime'} <= set(double)
    assert ('Builder' in double) == (generation != '11.4'), 'that of 11 is the real one'
    assert doubles.faults(double, real) == []


@pytest.mark.skipif(sys.version_info < (3, 9), reason='needs ast.unparse to read the source of pycuda')
@pytest.mark.parametrize('release', pycuda_source.RELEASES)
def test_the_double_of_pycuda_has_nothing_of_its_own(release):
    real = pycuda_source.surfaces(release)
    modules = make_pycuda(Gpu())
    found = {name: doubles.faults(surface.describe(modules[name]), real[name]) for name in real}
    assert found == {'pycuda.driver': [], 'pycuda.compiler': []}


def test_a_name_of_another_generation_is_found():
    found = doubles.faults(surface.describe(make_tensorrt('8.6')), bindings.surface('10.0'))
    assert 'ICudaEngine.num_bindings: the real module has no such name' in found
    assert 'IExecutionContext.execute_async_v2: the real module has no such name' in found
    assert 'ICudaEngine.num_io_tensors: the real module has no such name' not in found


# Stands for a real module, so that faults can be planted in a double of it.

class Config:
    limit = property(lambda self: 1, lambda self, value: None)

    def set_flag(self, flag, value=1):
        pass

    @staticmethod
    def count():
        pass


class Flag:
    FP16 = 1


def load(data, path=''):
    pass


REAL = types.SimpleNamespace(Config=Config, Flag=Flag, load=load)


def test_a_double_that_is_poorer_passes():
    double = surface.describe(REAL)
    config = double['Config']['members']
    del config['count'], double['load']
    config['set_flag']['signatures'][0][0].pop()
    assert doubles.faults(double, surface.describe(REAL)) == []


def parameter(name, required=True, passed='any'):
    return [name, passed, required, '']


FAULTS = {
    'Builder: the real module has no such name': lambda it: it.update(Builder=it['Config']),
    'Flag.FP8: the real module has no such name':
        lambda it: it['Flag']['members'].update(FP8=it['Flag']['members']['FP16']),
    'Config.set_flags: the real module has no such name':
        lambda it: it['Config']['members'].update(set_flags=it['Config']['members']['set_flag']),
    'Config.set_flag: takes (flag, value, more=...), but really (flag, value=...)':
        lambda it: set_parameters(it, [parameter('flag'), parameter('value'), parameter('more', False)]),
    'Config.set_flag: takes (flags, value=...), but really (flag, value=...)':
        lambda it: set_parameters(it, [parameter('flags'), parameter('value', False)]),
    'Config.set_flag: takes (flag=...), but really (flag, value=...)':
        lambda it: set_parameters(it, [parameter('flag', False)]),
    'Config.set_flag: takes (), but really (flag, value=...)': lambda it: set_parameters(it, []),
    'Config.set_flag: takes (*args, **kwargs), but really (flag, value=...)':
        lambda it: set_parameters(it, surface.ANYTHING),
    'Config.count: static here or there, not both': lambda it: it['Config']['members']['count'].update(static=False),
    'Config.set_flag: a property, but really a function':
        lambda it: it['Config']['members'].update(set_flag=it['Config']['members']['limit']),
    'load: takes (data, name=...), but really (data, path=...)':
        lambda it: it['load']['signatures'][0][0][1].__setitem__(0, 'name'),
}


def set_parameters(surface_of_double, parameters):
    surface_of_double['Config']['members']['set_flag']['signatures'][0][0] = parameters


@pytest.mark.parametrize('fault', FAULTS)
def test_a_planted_fault_is_found(fault):
    real = surface.describe(REAL)
    double = copy.deepcopy(real)
    FAULTS[fault](double)
    assert doubles.faults(double, real) == [fault]

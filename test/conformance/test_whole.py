"""Our use of TensorRT against whole releases of 8.5 and 8.6: nightly, see `make tensorrt-8`."""
import json
import os
import sys

import pytest
from conformance import bindings, doubles, surface, whole
from tensorrt_double import make_tensorrt

ON_THE_TX2S_PYTHON = '8.5.1.7'


@pytest.mark.parametrize('release', whole.RELEASES)
@pytest.mark.parametrize('generation', ['8.2', '8.6'])
def test_the_doubles_have_nothing_that_the_whole_release_lacks(release, generation):
    real = whole.surface(release)
    found = doubles.faults(surface.describe(make_tensorrt(generation)), real)
    later = {'8.5': {'DataType.FP8: the real module has no such name'}}
    assert set(found) - later.get(release[:3] if generation == '8.6' else '', set()) == set()


@pytest.mark.skipif(sys.version_info < (3, 9), reason='needs ast.unparse')
@pytest.mark.parametrize('release', whole.RELEASES)
def test_our_code_asks_nothing_that_the_whole_release_lacks(release, tmp_path):
    pytest.importorskip('mypy')
    from conformance import pycuda_source, usage
    from conformance.test_usage import sources
    case = usage.Case(sources(), dict(pycuda_source.surfaces('2022.1'), tensorrt=whole.surface(release)))
    assert usage.faults({'whole': case}, str(tmp_path))['whole'] == []


@pytest.mark.parametrize('release', ['8.6.0'])
def test_the_bindings_without_their_libraries_are_those_of_the_whole_release(release):
    real, alone = whole.surface(release), bindings.surface('8.6')
    assert {name for name in alone if name[0].isupper()} - set(real) == {'OnnxParserFlag'}  # 8.6.1 brought it.
    for name in ('IExecutionContext', 'IBuilderConfig', 'Builder', 'Runtime', 'INetworkDefinition', 'ILayer'):
        assert real[name] == alone[name]
    assert set(real['ICudaEngine']['members']) == set(alone['ICudaEngine']['members'])


def test_a_whole_tensorrt_on_the_tx2s_python_is_used_up_to_the_driver():
    found = json.loads(whole.run(ON_THE_TX2S_PYTHON, [os.path.join(bindings.HERE, 'without_a_driver.py')]))
    assert found['version'] == ON_THE_TX2S_PYTHON
    assert (found['weakly typed'], found['flags'], found['plugins']) == (True, 1, True)
    assert found['obeying'] == 'BuilderFlag.OBEY_PRECISION_CONSTRAINTS'
    assert 'DataType.UINT8' in found['types']
    assert {'ScatterND', 'InstanceNormalization_TRT'} <= set(found['registered'])
    assert found['runtime'].startswith('TensorRT 8.5.1.7 cannot start: ')
    assert 'CUDA initialization failure with error: 35' in found['runtime']
    assert 'error: 35' in found['builder']

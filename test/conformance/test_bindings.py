"""The real bindings of every generation, without their libraries: what they have, and how they call us."""
import json
import os

import pytest
from conformance import bindings
from conformance.install import ROOT

BINDINGS = sorted(set(bindings.GENERATIONS.values()))


def members(generation, name):
    return bindings.surface(generation)[name]['members']


@pytest.mark.parametrize(('generation', 'by_index', 'by_name', 'weakly_typed'), [
    ('8.2', True, False, True), ('8.6', True, True, True), ('10.0', False, True, True), ('10.16', False, True, True),
    ('11.4', False, True, False)])
def test_generations_differ_as_our_code_expects(generation, by_index, by_name, weakly_typed):
    assert ('num_bindings' in members(generation, 'ICudaEngine')) == by_index
    assert ('num_io_tensors' in members(generation, 'ICudaEngine')) == by_name
    assert ('FP16' in members(generation, 'BuilderFlag')) == weakly_typed
    assert ('IInt8EntropyCalibrator2' in bindings.surface(generation)) == weakly_typed


def test_signatures_are_read_with_their_overloads():
    assert members('8.6', 'ICudaEngine')['get_binding_shape']['signatures'] == [
        [[['index', 'any', True, 'int']], 'Dims'], [[['name', 'any', True, 'str']], 'Dims']]
    assert members('8.6', 'Builder')['create_network']['signatures'][0][0] == [['flags', 'any', False, 'int']]
    pairs = 'List[Tuple[List[int], bool]]'  # Its commas separate no parameters.
    assert members('8.6', 'OnnxParser')['supports_model']['signatures'] == [
        [[['model', 'any', True, 'buffer'], ['path', 'any', False, 'str']], 'Tuple[bool, {}]'.format(pairs)]]
    assert members('8.6', 'SubGraphCollection')['__init__']['signatures'][1] == [
        [['arg0', 'position', True, pairs]], 'None']


def test_what_only_tensorrt_can_make_has_no_constructor():
    assert '__init__' not in members('8.6', 'ICudaEngine')
    assert '__init__' in members('8.6', 'Runtime')


@pytest.fixture(params=BINDINGS)
def called(request):
    """Give what came of TensorRT calling our logger, calibrator and progress monitor."""
    return json.loads(bindings.run(request.param, [os.path.join(bindings.HERE, 'callbacks.py')]))


def test_the_bindings_call_what_we_override(called):
    with open(os.path.join(ROOT, 'requirements', 'tensorrt', '{}.txt'.format(
            '.'.join(called['version'].split('.')[:2]))), encoding='utf-8') as file:
        assert '==' + called['version'] in file.read()
    assert called['log'] == ['out of memory'] + 2 * ['pybind11::init(): factory function returned nullptr']
    assert called.get('calibrator') == (None if called['version'].startswith('11.') else 1)
    assert called.get('monitor') == (
        None if called['version'].startswith('8.') else [['tactics 0/2', 'tactics 1/2'], True, None])

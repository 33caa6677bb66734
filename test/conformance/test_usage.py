"""What our code asks of TensorRT and pycuda, against every API generation."""
import ast
import copy
import os
import re
import sys
from glob import glob

import pytest

if sys.version_info < (3, 9):
    pytest.skip('needs ast.unparse', allow_module_level=True)
pytest.importorskip('mypy')

from conformance import bindings, pycuda_source, usage
from conformance.install import ROOT


def sources():
    """Return name -> text of all modules in engines/tensorrt that import TensorRT, pycuda or each other."""
    texts = {}
    for path in glob(os.path.join(ROOT, 'trt_perception', 'engines', 'tensorrt', '[!_]*.py')):
        with open(path, encoding='utf-8') as file:
            texts[os.path.basename(path)[:-3]] = file.read()
    found = {'tensorrt', 'pycuda'}
    while True:
        pattern = r'^\s*(import|from) (\.?({0})\b|\. import .*\b({0})\b)'.format('|'.join(found))
        more = {name for name, text in texts.items() if re.search(pattern, text, re.M)} - found
        if not more:
            assert {'cuda', 'build', 'callbacks', 'engine', 'file', 'context', 'log'} <= found
            return {name: text for name, text in texts.items() if name in found}
        found |= more


def case(generation):
    return usage.Case(sources(), dict(pycuda_source.surfaces('2022.1'), tensorrt=bindings.surface(generation)))


def identifier(text):
    return 'v' + text.replace('.', '_')


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    cases = {identifier(generation): case(generation) for generation in bindings.GENERATIONS
             if bindings.installed(generation)}
    cases.update({identifier(release): usage.Case({'cuda': sources()['cuda']}, pycuda_source.surfaces(release))
                  for release in pycuda_source.RELEASES})
    if bindings.installed('10.0'):
        cases['poorer'] = case('10.0')
        cases['poorer'].surfaces['tensorrt'] = copy.deepcopy(bindings.surface('10.0'))
        del cases['poorer'].surfaces['tensorrt']['ICudaEngine']['members']['create_execution_context']
    return usage.faults(cases, str(tmp_path_factory.mktemp('usage')))


@pytest.mark.parametrize('generation', bindings.GENERATIONS)
def test_all_that_is_used_exists_in_this_generation(found, generation):
    assert bindings.surface(generation)
    assert found[identifier(generation)] == []


@pytest.mark.parametrize('release', pycuda_source.RELEASES)
def test_all_that_is_used_exists_in_this_release_of_pycuda(found, release):
    assert found[identifier(release)] == []


def test_a_name_that_one_generation_lacks_is_found(found):
    assert bindings.surface('10.0')
    assert {fault.code for fault in found['poorer']} - {fault.code for fault in found[identifier('10.0')]} == {
        'context = engine.create_execution_context()'}


@pytest.mark.parametrize('generation', bindings.GENERATIONS)
def test_what_an_object_is_asked_with_hasattr_tells_its_class(generation):
    surface = bindings.surface(generation)
    calls = [node for text in sources().values() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    asked = {call.args[1].value for call in calls if ast.unparse(call.func) in ('hasattr', 'getattr')
             and not ast.unparse(call.args[0]).startswith('trt') and isinstance(call.args[1], ast.Constant)}
    assert 'num_io_tensors' in asked
    for name in asked:
        classes = [cls for cls, entry in surface.items() if name in entry.get('members', {})]
        assert len(classes) <= 1, (name, classes)


# Code -> what is wrong with it in TensorRT 11.4, or None.
PIECES = {
    'engine.get_tensor_name(0)': None,
    'engine.get_tensor_name("x")': 'incompatible type "str"',
    'engine.num_io_tensors = 3': 'read-only',
    'engine.names': 'has no attribute "names"',
    'config.set_flag(trt.LayerType.QUANTIZE)': 'incompatible type "LayerType"',
    'config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, pool_size=1)': None,
    'config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE)': 'Missing positional argument',
    'config.max_workspace_size = 1': 'has no attribute',
    'if not hasattr(config, "set_memory_pool_limit"):\n        config.max_workspace_size = 1': None,
    'if hasattr(config, "set_memory_pool_limit"):\n        return\n    config.max_workspace_size = 1': None,
    'trt.BuilderFlag.FP16 if hasattr(trt.BuilderFlag, "FP16") else trt.BuilderFlag.TF32': None,
    'trt.BuilderFlag.FP16 if not hasattr(trt.BuilderFlag, "FP16") else trt.BuilderFlag.TF32': 'no attribute "FP16"',
    'getattr(config, "int8_calibrator", 1)': None,
    '_old(config) if hasattr(config, "max_workspace_size") else _new(config)': None,
    '_old(config)': 'has no attribute "max_workspace_size"',
    'trt.ICudaEngine()': 'there_is_no_constructor',
    '_Half()': 'Cannot instantiate abstract class',
    'unknown.enqueue_v3(1)': 'no class has enqueue_v3',
    'unknown.execute_async_v3(1, 2)': 'no execute_async_v3 takes these arguments',
    'unknown.num_io_tensors = 1': 'no num_io_tensors can be set',
}
AROUND = """
import tensorrt as trt
class _Half(trt.IProgressMonitor):
    def phase_start(self, phase_name, parent_phase, num_steps): ...
def use(engine: trt.ICudaEngine, config: trt.IBuilderConfig, unknown):
    {}
"""
TWO_WAYS = """
def _old(config: trt.IBuilderConfig):
    config.max_workspace_size = 1
def _new(config: trt.IBuilderConfig):
    config.reset()
"""


@pytest.fixture(scope='module')
def pieces(tmp_path_factory):
    cases = {}
    for number, code in enumerate(PIECES):
        text = AROUND.format(code) + (TWO_WAYS if '_old(' in code else '')
        cases['piece{}'.format(number)] = usage.Case({'piece': text}, {'tensorrt': bindings.surface('11.4')})
    found = usage.faults(cases, str(tmp_path_factory.mktemp('pieces')))
    return dict(zip(PIECES, found.values()))


@pytest.mark.parametrize('code', PIECES)
def test_a_piece_of_code_is_judged(pieces, code):
    problems = [fault.problem for fault in pieces[code]]
    if PIECES[code] is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert PIECES[code] in problems[0]


# A test that finds nothing is believed only when it finds what is planted: here, a fault at every use of the API.

class _Planter(ast.NodeTransformer):
    def __init__(self, names, change):
        self._names = names
        self._change = change

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if node.attr in self._names:
            self._change(node)
        return node

    def visit_Call(self, node):
        if ast.unparse(node.func) in ('getattr', 'hasattr'):    # They choose the way; what is on it is to be planted.
            return node
        self.generic_visit(node)
        if getattr(node.func, 'attr', '') in self._names:
            self._change(node)
        return node


def misspelled(node):
    if isinstance(node, ast.Attribute):
        node.attr = 'planted_' + node.attr


def an_argument_too_much(node):
    if isinstance(node, ast.Call):
        node.args += [ast.Constant('planted')] * 9


def an_unknown_keyword(node):
    if isinstance(node, ast.Call):
        node.keywords.append(ast.keyword('planted', ast.Constant(None)))


ENDS = ('8.2', '11.4')    # The two ways of naming tensors, and of choosing precisions.
PLANTS = [misspelled, an_argument_too_much, an_unknown_keyword]


def plant(generation, change):
    """Return a case with a fault at every use of the API, and the names that this generation sees them at."""
    it = case(generation)
    names = (set(it.members) | {name for surface in it.surfaces.values() for name in surface}) - it.own
    if change is not misspelled:    # Of some functions of pycuda it is not known what they take.
        functions = list(it.members.items())
        for surface in it.surfaces.values():
            functions += [(name, [entry['members'].get('__init__', {}) if 'members' in entry else entry])
                          for name, entry in surface.items()]
        names -= {name for name, entries in functions for entry in entries
                  for parameters, _ in entry.get('signatures', ()) if '*' in {each[1] for each in parameters}}
    planted = set()
    for module, text in it.sources.items():
        it.sources[module] = ast.unparse(_Planter(names, change).visit(ast.parse(text)))
        for node in ast.walk(usage.as_seen('', it, ast.parse(it.sources[module]))):
            if isinstance(node, ast.Attribute) and node.attr.startswith('planted_'):
                planted.add(node.attr)
            elif isinstance(node, ast.Call) and 'planted' in [each.arg for each in node.keywords] + [
                    each.value for each in node.args if isinstance(each, ast.Constant)]:
                planted.add(node.func.attr)
    return it, planted


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
    cases = {(generation, change): plant(generation, change) for generation in ENDS if bindings.installed(generation)
             for change in PLANTS}
    names = {key: 'planted{}'.format(number) for number, key in enumerate(cases)}
    found = usage.faults({names[key]: it for key, (it, _) in cases.items()},
                         str(tmp_path_factory.mktemp('planted')), planted=True)
    return {key: (planted, found[names[key]]) for key, (_, planted) in cases.items()}


@pytest.mark.parametrize('change', PLANTS)
@pytest.mark.parametrize('generation', ENDS)
def test_a_fault_at_any_use_is_found(planted, generation, change):
    assert bindings.surface(generation)
    names, found = planted[generation, change]
    problems = [fault.problem for fault in found]
    assert len(names) > 30
    assert [name for name in sorted(names) if not any(name in problem for problem in problems)] == []

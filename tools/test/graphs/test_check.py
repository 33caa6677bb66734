from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trt_perception_tools import cli
from trt_perception_tools.graphs.check import Finding, check, report
from trt_perception_tools.graphs.tensorrt_support import GENERATIONS


def graph(text: str, opset: int = 13) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{text}')
    for number, node in enumerate(model.graph.node):
        node.name = f'/part/part.{number}/{node.op_type}'
    return model


def faults(model: onnx.ModelProto, generation: str = '8.2') -> list[str]:
    return [finding.text for finding in check(model, generation) if finding.fault]


CLEAN = """g (float[1, 4, 6, 6] x) => (int32[1, 6, 6] labels, float[1, 4, 12, 12] y)
<float[8] roi = {0, 0, 0, 0, 0, 0, 0, 0}, float[4] scales = {1, 1, 2, 2}, float[4, 4, 1, 1] w = {
 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}> {
  c = Conv(x, w)
  a = ArgMax<axis = 1, keepdims = 0>(c)
  labels = Cast<to = 6>(a)
  y = Resize<mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel">(c, roi, scales)
}"""


@pytest.mark.parametrize('generation', GENERATIONS)
def test_a_plain_graph_passes_every_generation(generation: str):
    assert check(graph(CLEAN), generation) == []


@pytest.mark.parametrize(('text', 'fault', 'passing'), [
    ("""g (float[1, 3, 8, 8] x, float[1, 8, 8, 2] grid) => (float[1, 3, 8, 8] y) { y = GridSample(x, grid) }""",
     'operator GridSample', ('8.6', '10', '11')),
    ('g (uint8[1, 8] x) => (float[1, 8] y) { y = Cast<to = 1>(x) }', 'input of type UINT8', ('8.6', '10', '11')),
    ('g (float[1, 8] x) => (uint8[1, 8] y) { y = Cast<to = 2>(x) }', 'output of type UINT8', ('8.6', '10', '11')),
    ('g (uint8[1, 8] x) => (float[8, 1] y) { t = Transpose(x)  y = Cast<to = 1>(t) }', 'Transpose of type UINT8', ()),
    ('g (double[1, 8] x) => (double[1, 8] y) { y = Relu(x) }', None, tuple(GENERATIONS)),
    ('g (int64[1, 8] x) => (int64[1, 8] y) { y = Abs(x) }', None, tuple(GENERATIONS)),
    ('g (int32[1, 8] x) => (int64[1] y) { y = ArgMax<axis = 1, keepdims = 0>(x) }', 'ArgMax of type INT32',
     ('8.6', '10', '11')),
    ('g (bool[1, 8] c, bool[1, 8] x) => (bool[1, 8] y) { y = Where(c, x, c) }', 'Where of type BOOL',
     ('8.6', '10', '11')),
    ('g (float[2, 3] x, float[3, 2] z) => (float[2, 2] y) { y = Einsum<equation = "ij,jk->ik">(x, z) }', None,
     tuple(GENERATIONS)),
    ('g (float[2, 3] x, float[3, 2] z) => (float[2, 2] y) { y = Einsum<equation = "...j,jk->...k">(x, z) }',
     'Einsum with an ellipsis', ('10', '11')),
    ('g (float[3, 3] x) => (float[3] y) { y = Einsum<equation = "ii->i">(x) }', 'Einsum with a diagonal',
     ('10', '11')),
    ('g (float[2, 3] x, float[1, 2] z) => (float[2, 2] y) { y = Einsum<equation = "ij,jk->ik">(x, z) }',
     'Einsum with broadcasting', ('10', '11')),
    ('g (float[N, 8] x) => (float[N, 8] y) { y = Relu(x) }', 'input of dynamic shape Nx8', ()),
    ('g (float[1, 8] x, float[8] lowest) => (float[1, 8] y) { y = Clip(x, lowest) }',
     'Clip whose input 1 is not an initialiser', ('8.6', '10', '11')),
    ('g (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y) <float[4] s = {1, 1, 2, 2}>'
     '{ y = Resize<mode = "cubic">(x, , s) }', 'Resize with mode cubic', ('11',)),
    ('g (float[1, 1, 4, 4] x) => (float[1, 1, 2, 2] y, int64[1, 1, 2, 2] i)'
     '{ y, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }', 'MaxPool with indices', ()),
])
def test_a_planted_fault_is_found_where_it_is_one(text: str, fault: str | None, passing: tuple[str, ...]):
    opset = 16 if 'GridSample' in text else 13
    expected = [generation for generation in GENERATIONS if generation not in passing]
    found = {generation: faults(graph(text, opset), generation) for generation in GENERATIONS}
    for generation in expected:
        assert fault in found[generation], generation
    for generation in passing:
        assert found[generation] == [], generation


def test_uint8_may_be_an_input_or_output_but_nothing_between():
    model = graph('g (float[1, 8] x) => (float[1, 8] y) { b = Cast<to = 2>(x)  y = Cast<to = 1>(b) }')
    assert faults(model) == ['Cast of type UINT8'] * 2
    for generation in ('8.6', '10', '11'):
        assert faults(model, generation) == ['Cast gives UINT8 inside the graph']


def test_the_opset_must_be_one_that_the_parser_reads():
    text = 'g (float[1, 8] x) => (float[1, 8] y) { y = Relu(x) }'
    assert faults(graph(text, 17)) == ['opset 17, expected 7 to 13']
    assert faults(graph(text, 17), '8.6') == []
    assert faults(graph(text, 20), '8.6') == ['opset 20, expected 7 to 17']
    assert faults(graph(text, 8), '10') == ['opset 8, expected 9 to 20']


def test_a_large_int64_constant_is_a_fault_but_a_note_as_the_end_of_a_slice():
    text = """g (int64[4] x, float[9] z) => (int64[4] y, float[8] s)
    <int64[1] big = {5000000000}, int64[1] one = {1}, int64[1] end = {9223372036854775807}> {
      y = Add(x, big)
      s = Slice(z, one, end)
    }"""
    found = [finding for finding in check(graph(text), '8.6') if 'constant' in finding.text]
    assert [(finding.fault, finding.node, finding.text) for finding in found] == [
        (True, '/part/part.0/Add', 'INT64 constant big is clamped to INT32'),
        (False, '/part/part.1/Slice', 'INT64 constant end is clamped to INT32')]
    assert check(graph(text), '10') == []


def test_int64_inputs_and_outputs_are_noted_before_tensorrt_10():
    model = graph('g (int64[1, 8] x) => (int64[1, 8] y) { y = Abs(x) }')
    assert [(finding.fault, finding.text, finding.output) for finding in check(model, '8.2')] == [
        (False, 'input of type INT64 becomes INT32', 'x'), (False, 'output of type INT64 becomes INT32', 'y')]


def test_operators_of_other_domains_need_a_plugin():
    model = graph('g (float[1, 8] x) => (float[1, 8] y) { y = Relu(x) }')
    model.graph.node[0].domain, model.graph.node[0].op_type = 'com.microsoft', 'Gelu'
    model.opset_import.append(onnx.helper.make_opsetid('com.microsoft', 1))
    assert faults(model, '11') == ['operator com.microsoft:Gelu needs a plugin']


def test_the_bodies_of_conditions_are_checked_too():
    body = onnx.helper.make_graph([onnx.helper.make_node('Hardmax', ['x'], ['z'], name='/a/Hardmax')], 'b', [], [
        onnx.helper.make_tensor_value_info('z', 1, [1, 8])])
    model = graph('g (float[1, 8] x, bool c) => (float[1, 8] y) { y = Identity(x) }')
    model.graph.node[0].CopyFrom(onnx.helper.make_node('If', ['c'], ['y'], then_branch=body, else_branch=body))
    assert faults(model) == ['operator Hardmax'] * 2
    assert faults(model, '10') == []


def test_quantisation_must_be_symmetric():
    zero = onnx.numpy_helper.from_array(np.array(3, np.int8), 'zero')
    model = graph('g (float[1, 8] x) => (float[1, 8] y) <float scale = {0.5}> {'
                  ' q = QuantizeLinear(x, scale, zero)  y = DequantizeLinear(q, scale, zero) }')
    model.graph.initializer.append(zero)
    assert faults(model, '8.6') == ['QuantizeLinear with a zero point other than 0',
                                    'DequantizeLinear with a zero point other than 0']


def test_a_finding_names_node_tensor_and_torch_module():
    finding = Finding('8.2', True, 'operator X', '/network/layer1/layer1.0/conv/Conv', 'c')
    assert finding.module == 'network.layer1.0.conv'
    assert report([finding]) == ('  fault: operator X\n    node /network/layer1/layer1.0/conv/Conv, tensor c, '
                                 'module network.layer1.0.conv')


def test_the_command_fails_on_faults_and_names_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    onnx.save(graph(CLEAN), str(tmp_path / 'clean.onnx'))
    onnx.save(graph('g (uint8[1, 8] x) => (float[1, 8] y) { y = Cast<to = 1>(x) }'), str(tmp_path / 'bytes.onnx'))
    assert cli.main(['check-onnx', str(tmp_path / 'clean.onnx')]) == 0
    assert '8.2: no faults by the tables of onnx-tensorrt 8.2-GA' in capsys.readouterr().out
    assert cli.main(['check-onnx', str(tmp_path / 'bytes.onnx'), '--tensorrt', '8.6']) == 0
    assert cli.main(['check-onnx', str(tmp_path / 'bytes.onnx'), '--tensorrt', '8.2']) == 1
    assert 'fault: input of type UINT8\n    tensor x\n' in capsys.readouterr().out
    (tmp_path / 'no.onnx').write_text('no')
    assert cli.main(['check-onnx', str(tmp_path / 'no.onnx')]) == 2

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools import cli
from trt_perception_tools.graphs.slim import batch_norm_text, batch_norms_left, keep_outputs, simplify

TWO_HEADS = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1, 2, 4, 4] x, float[1, 2, 4, 4] unused) => (float[1, 2, 4, 4] y, float[1, 2, 4, 4] z)
<float[2, 2, 1, 1] w = {1, 2, 3, 4}, float[2, 2, 1, 1] v = {5, 6, 7, 8}> {
  c = Conv(x, w)
  y = Relu(c)
  sum = Add(c, unused)
  z = Conv(sum, v)
}"""


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, feeds)


def normalised(maker: str, weights: str) -> onnx.ModelProto:
    """Return a graph of a Conv or ConvTranspose, batch normalisation, and one behind an Add."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[1, 2, 4, 4] x) => (float[1, 3, h, w] y) {{
      c = {maker}(x, w)
      n = BatchNormalization(c, s, b, m, v)
      r = Relu(n)
      two = Identity(r)
      a = Add(n, two)
      y = BatchNormalization(a, s, b, m, v)
    }}""")
    random = np.random.default_rng(1)
    arrays = {'w': random.normal(size=(2, 3, 2, 2) if 'Transpose' in maker else (3, 2, 1, 1)),
              's': random.uniform(0.5, 2, 3), 'b': random.normal(size=3), 'm': random.normal(size=3),
              'v': random.uniform(0.5, 2, 3)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array.astype(np.float32), name)
                                   for name, array in arrays.items())
    return model


@pytest.mark.parametrize('maker', ['Conv', 'ConvTranspose<strides = [2, 2]>'])
def test_batch_normalisation_goes_into_the_convolution_before_it_and_stays_behind_an_add(maker: str):
    model = normalised(maker, 'w')
    image = np.random.default_rng(2).normal(size=(1, 2, 4, 4)).astype(np.float32)
    slim = simplify(model)
    onnx.checker.check_model(slim, full_check=True)
    assert [node.op_type for node in slim.graph.node] == [maker.split('<')[0], 'Relu', 'Add', 'BatchNormalization']
    assert batch_norms_left(model) == {maker.split('<')[0]: 1, 'Add': 1}
    assert batch_norms_left(slim) == {'Add': 1}
    assert batch_norm_text(slim).startswith('1 batch normalisations left, behind Add (1):')
    np.testing.assert_allclose(run(slim, x=image)[0], run(model, x=image)[0], rtol=1e-4, atol=1e-5)


def test_without_folding_only_what_does_nothing_goes():
    slim = simplify(normalised('Conv', 'w'), fold=False)
    assert [node.op_type for node in slim.graph.node] == ['Conv', 'BatchNormalization', 'Relu', 'Add',
                                                         'BatchNormalization']


def test_a_convolution_that_others_read_keeps_its_batch_normalisation():
    model = normalised('ConvTranspose<strides = [2, 2]>', 'w')
    model.graph.output.append(onnx.helper.make_tensor_value_info('c', 1, [1, 3, 8, 8]))
    assert batch_norms_left(simplify(model)) == {'ConvTranspose': 1, 'Add': 1}


def test_simplifying_keeps_opset_metadata_and_names():
    model = normalised('Conv', 'w')
    model.graph.node[4].name = '/head/Add'
    onnx.helper.set_model_props(model, {'model': 'mine'})
    slim = simplify(model)
    assert [(opset.domain, opset.version) for opset in slim.opset_import] == [('', 13)]
    assert (slim.ir_version, slim.metadata_props[0].value) == (8, 'mine')
    assert '/head/Add' in [node.name for node in slim.graph.node]


def test_only_the_outputs_asked_for_stay_with_what_they_need():
    model = onnx.parser.parse_model(TWO_HEADS)
    slim = keep_outputs(model, ['y'])
    onnx.checker.check_model(slim, full_check=True)
    assert [node.op_type for node in slim.graph.node] == ['Conv', 'Relu']
    assert [value.name for value in slim.graph.input] == ['x']
    assert [tensor.name for tensor in slim.graph.initializer] == ['w']
    image = np.random.default_rng(3).normal(size=(1, 2, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(run(slim, x=image)[0], run(model, x=image, unused=image)[0])
    assert [value.name for value in model.graph.output] == ['y', 'z']
    with pytest.raises(ConfigError, match=r"outputs: got 'q', expected one of y, z"):
        keep_outputs(model, ['q'])


def test_the_command_writes_the_smaller_graph_and_prints_both_sizes(tmp_path: Path,
                                                                    capsys: pytest.CaptureFixture[str]):
    onnx.save(onnx.parser.parse_model(TWO_HEADS), str(tmp_path / 'a.onnx'))
    assert cli.main(['slim-onnx', str(tmp_path / 'a.onnx'), '--output', str(tmp_path / 'b.onnx'), '--keep', 'y']) == 0
    assert [value.name for value in onnx.load(str(tmp_path / 'b.onnx')).graph.output] == ['y']
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['parameters', 'GFLOPs', 'layers', 'convolutions', 'batch', 'norms']
    assert lines[1].split()[1:] == ['8', '0.00', '4', '2', '0']
    assert lines[2].split()[1:] == ['4', '0.00', '2', '1', '0']

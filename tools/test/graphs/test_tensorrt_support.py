"""The tables of TensorRT 11 against NVIDIA's own parser and builder, operator by operator and type by type."""
import json
import os
import subprocess
import sys
from pathlib import Path

import onnx.parser
import operator_graphs
import pytest

from trt_perception_tools.graphs import tensorrt_rtx
from trt_perception_tools.graphs.check import check
from trt_perception_tools.graphs.tensorrt_support import GENERATIONS
from trt_perception_tools.graphs.trial_build import build

LACK = tensorrt_rtx.why_not()
pytestmark = pytest.mark.skipif(bool(LACK), reason=f'no TensorRT for RTX: {LACK}')

IN_PLUGINS = {'DeformConv', 'NonZero', 'RoiAlign'}
"""They are in TensorRT's library of plugins, which TensorRT for RTX has not."""

NO_KERNEL = {'Attention FP32', 'NonMaxSuppression FP32', 'NonMaxSuppression FP16'}
"""The parser takes them; without a GPU the builder for RTX has nothing to run them with."""

UNTRIED = {'If', 'Loop', 'Scan',  # Their bodies are graphs of their own.
           'ImageScaler', 'ParametricSoftplus', 'ScaledTanh', 'Scatter', 'Upsample',  # Not in ONNX any more.
           'MeanVarianceNormalization'}  # A function of other operators, without types of its own.


def operator_faults(model: onnx.ModelProto) -> list[str]:
    return [finding.text for finding in check(model, '11') if finding.fault and 'dynamic shape' not in finding.text]


@pytest.fixture(scope='module')
def built() -> dict[str, list[str]]:
    """Return 'operator type' -> who refused it, and why."""
    script = Path(__file__).with_name('build_operators.py')
    result = subprocess.run([sys.executable, str(script), *IN_PLUGINS], capture_output=True, text=True,
                            env=dict(os.environ, PYTHONPATH=str(script.parent)))
    assert result.returncode == 0, result.stderr[-2000:]
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_the_tables_say_what_the_parser_and_the_builder_do(built: dict[str, list[str]]):
    differing = {}
    for operator, dtype, model in operator_graphs.graphs():
        if operator in IN_PLUGINS:
            continue
        refused, why = built[f'{operator} {dtype}']
        if f'{operator} {dtype}' in NO_KERNEL:
            assert refused == 'builder'
            refused = ''
        if bool(refused) != bool(operator_faults(model)):
            differing[f'{operator} {dtype}'] = why or operator_faults(model)
    assert differing == {}
    assert len(built) > 700


def test_every_operator_of_the_tables_is_tried():
    tried = {operator for operator, _, _ in operator_graphs.graphs()}
    assert set(GENERATIONS['11'].operators) - tried == UNTRIED
    assert tried - set(GENERATIONS['11'].operators) >= {'Det', 'Unique', 'BitShift'}


def test_a_planted_error_in_the_tables_is_found(built: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch):
    operators = GENERATIONS['11'].operators
    monkeypatch.setitem(operators, 'Relu', frozenset({'FP32'}))
    monkeypatch.setitem(operators, 'Unique', frozenset({'FP32'}))
    with pytest.raises(AssertionError) as caught:
        test_the_tables_say_what_the_parser_and_the_builder_do(built)
    assert "'Relu FP16': ['Relu of type FP16']" in str(caught.value)
    assert 'Unique FP32' in str(caught.value)


ENLARGED = 'g (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y) <float[4] s = {1, 1, 2, 2}>'
VARIANTS = [
    *[ENLARGED + f'{{ y = Resize<mode = "{mode}">(x, , s) }}' for mode in ('nearest', 'linear', 'cubic')],
    *[ENLARGED + f'{{ y = Resize<mode = "linear", coordinate_transformation_mode = "{mode}">(x, , s) }}' for mode in (
        'half_pixel', 'half_pixel_symmetric', 'pytorch_half_pixel', 'asymmetric', 'align_corners')],
    *[ENLARGED + f'{{ y = Resize<mode = "nearest", nearest_mode = "{mode}">(x, , s) }}' for mode in (
        'floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil')],
    ENLARGED + '{ y = Resize<mode = "linear", antialias = 1>(x, , s) }',
    'g (float[1, 1, 4, 4] x, float[4] s) => (float[1, 1, 8, 8] y) { y = Resize<mode = "linear">(x, , s) }',
    *[f'g (float[2, 3] x, float[3, 2] z) => (float[2, 2] y) {{ y = Einsum<equation = "{equation}">(x, z) }}'
      for equation in ('ij,jk->ik', '...j,jk->...k', 'IJ,JK->IK')],
    'g (float[3, 3] x) => (float[3] y) { y = Einsum<equation = "ii->i">(x) }',
    'g (float[2, 3] x, float[1, 2] z) => (float[2, 2] y) { y = Einsum<equation = "ij,jk->ik">(x, z) }',
    *[f'g (float[1, 1, 8, 8] x) => (float[1, 1, 6, 6] y) {{ y = {pool}<kernel_shape = [2, 2], dilations = [2, 2]>(x) }}'
      for pool in ('MaxPool', 'AveragePool', 'LpPool')],
    'g (float[1, 1, 4, 4] x) => (float[1, 1, 2, 2] y, int64[1, 1, 2, 2] i)'
    '{ y, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }',
    *['g (float[1, 8] x) => (float[1, 8] y) <float s = {0.5}, int8 zero = {' + zero + '}> {'
      ' q = QuantizeLinear(x, s, zero)  y = DequantizeLinear(q, s, zero) }' for zero in '03'],
    *['g (float[4] x, float[2] z) => (float[4] y) <int64[2, 1] i = {0, 1}>'
      f'{{ y = ScatterND<reduction = "{kind}">(x, i, z) }}' for kind in ('none', 'add', 'max')],
    *['g (float[4] x, float[2] z) => (float[4] y) <int64[2] i = {0, 1}>'
      f'{{ y = ScatterElements<reduction = "{kind}">(x, i, z) }}' for kind in ('none', 'add', 'mul')],
    'g (float[2, 4, 3] x) => (float[2, 4, 3] y) <float[4] s = {1, 1, 1, 1}>'
    '{ y, m, v = BatchNormalization<training_mode = 1>(x, s, s, s, s) }',
    'g (float[2, 4] x) => (float[2, 4] y) { y, m = Dropout(x) }',
    'g (float[2, 4] x) => (float[2, 4] y) <float r = {0.5}, bool t = {1}> { y, m = Dropout(x, r, t) }',
    'g (float[1, 8] x, int64[1] a) => (float[1, 8] y) { y = ReduceSum(x, a) }',
    'g (float[1, 8] x, int64[1] a) => (float[8] y) { y = Squeeze(x, a) }',
    'g (int64[4] x, int64 d, float[2] v) => (float[4, 3] y) { y = OneHot(x, d, v) }',
    'g (float[1, 8] x, float low) => (float[1, 8] y) { y = Clip(x, low) }',
    'g (float[1, 4, 6, 6] x, float[4, 4, 3, 3] w) => (float[1, 4, 4, 4] y) { y = Conv(x, w) }',
    'g (float[N, 8] x) => (float[N, 8] y) { y = Relu(x) }',
    'g (uint8[1, 8] x) => (float[1, 8] y) { y = Cast<to = 1>(x) }',
    'g (float[1, 8] x) => (uint8[1, 8] y) { y = Cast<to = 2>(x) }',
    'g (float[1, 8] x) => (float[1, 8] y) { b = Cast<to = 2>(x)  y = Cast<to = 1>(b) }',
    'g (double[1, 8] x) => (double[1, 8] y) { y = Relu(x) }',
    'g (int16[1, 8] x) => (int16[1, 8] y) { y = Identity(x) }',
    'g (int64[4] x) => (int64[4] y) <int64[1] big = {5000000000}> { y = Add(x, big) }',
]


@pytest.mark.parametrize('text', VARIANTS)
def test_attributes_and_constants_count_as_the_parser_counts_them(text: str):
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 20]>\n{text}')
    found, trial = [finding.text for finding in check(model, '11') if finding.fault], build(model.SerializeToString())
    assert bool(found) == bool(trial.faults), (found, trial.faults)

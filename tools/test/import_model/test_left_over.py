from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from trt_perception_tools.import_model.reader import read_network

VALUES = np.linspace(-4, 4, 33, dtype=np.float32)


@pytest.mark.parametrize(('node', 'right'), [
    ('Erfc', math.erfc), ('TFL_GELU', lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
    ('TFL_GELU <approximate = 0>', lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
    ('TFL_GELU <approximate = 1>',
     lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2)])
def test_an_operator_that_tf2onnx_left_is_computed_by_those_of_onnx(tmp_path: Path, node: str, right):
    text = f'<ir_version: 8, opset_import: ["" : 13]>\nnet (float[33] x) => (float[33] y) {{ y = {node} (x) }}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / 'net.onnx')
    network = read_network(tmp_path / 'net.onnx')
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=['CPUExecutionProvider'])
    [found] = session.run(None, {'x': VALUES})
    np.testing.assert_allclose(found, [right(float(each)) for each in VALUES], atol=1e-6)

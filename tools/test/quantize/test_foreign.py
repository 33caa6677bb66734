"""Quantising what import-model made of third-party files."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from trt_perception_tools import cli

IMAGES = np.random.default_rng(3).integers(0, 256, (4, 24, 40, 3), np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> str:
    (tmp_path / 'images').mkdir()
    for number, image in enumerate(IMAGES):
        cv2.imwrite(str(tmp_path / 'images' / f'{number}.png'), image)
    return str(tmp_path / 'images')


def imported(folder: Path, text: str, **constants: np.ndarray) -> str:
    network = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]>\n'
        f'net (float[1, 3, 24, 40] x) => (float[1, 3, 24, 40] y) {{ {text} }}')
    constants = {'w': np.eye(3, dtype=np.float32)[:, :, None, None], **constants}
    network.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    onnx.save(network, folder / 'net.onnx')
    arguments = ['--color', 'rgb', '--normalise', 'signed', '--license', 'MIT', '--class-names', 'a', 'b', 'c']
    assert cli.main(['import-model', str(folder / 'net.onnx'), '--task', 'segmentation', '--output',
                     str(folder / 'out'), *arguments]) == 0
    return str(folder / 'out' / 'net.yaml')


@pytest.mark.parametrize('method', ['entropy', 'percentile', 'minmax'])
@pytest.mark.parametrize('factor', [0.0, 1e-42, 1e-36])
def test_a_tensor_of_almost_nothing_is_quantised(tmp_path: Path, images: str, method: str, factor: float,
                                                 capsys: pytest.CaptureFixture[str]):
    model = imported(tmp_path, """c = Conv (x, w)
        t = Mul (c, f)
        u = Conv (t, w)
        s = Add (u, c)
        y = Conv (s, w)""", f=np.array(factor, np.float32))
    file = tmp_path / 'int8.onnx'
    assert cli.main(['quantize', model, '--precision', 'int8', '--images', images, '--calibration', method,
                     '--output', str(file)]) == 0
    assert 'QuantizeLinear' in {node.op_type for node in onnx.load(file).graph.node}
    assert 'against FP32' in capsys.readouterr().out


def test_a_node_that_takes_one_constant_twice_becomes_fp16(tmp_path: Path):
    # tf2onnx gives Resize one empty constant for roi and scales.
    model = imported(tmp_path, """a = Conv (x, w)
        b = Resize <mode = "linear"> (a, empty, empty, half)
        c = Conv (b, w)
        d = Resize <mode = "linear"> (c, empty, empty, full)
        y = Conv (d, w)""", empty=np.zeros(0, np.float32), half=np.array([1, 3, 12, 20]), full=np.array([1, 3, 24, 40]))
    assert cli.main(['quantize', model, '--precision', 'fp16', '--output', str(tmp_path / 'fp16.onnx')]) == 0
    raw = ['quantize', str(tmp_path / 'net.onnx'), '--precision', 'fp16', '--output', str(tmp_path / 'raw.onnx')]
    assert cli.main(raw) == 0
    names = [each.name for each in onnx.load(tmp_path / 'raw.onnx').graph.initializer]
    assert len(names) == len(set(names))


@pytest.mark.parametrize('precision', ['fp16', 'int8'])
def test_the_imported_file_for_tensorrt_is_quantised_for_tensorrt(tmp_path: Path, images: str, precision: str,
                                                                  capsys: pytest.CaptureFixture[str]):
    imported(tmp_path, 'a = Conv (x, w)\nb = Relu (a)\ny = Conv (b, w)')
    capsys.readouterr()
    arguments = ['--images', images, '--model', str(tmp_path / 'out' / 'net.yaml')] if precision == 'int8' else []
    file = tmp_path / 'out' / 'net_tensorrt.onnx'
    assert cli.main(['quantize', str(file), '--precision', precision, '--output', str(tmp_path / 'q.onnx'),
                     *arguments]) == 0
    assert 'for tensorrt' in capsys.readouterr().out
    assert cli.main(['check-onnx', str(tmp_path / 'q.onnx'), '--tensorrt', '8.2']) == 0

"""Counting, estimating and slimming files that others made: fixed, open, and with sizes that they compute."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trt_perception_tools import cli

COMPUTED = """net (float[{sides}] x) => (float[{open}] y) {{
    shape = Shape (x)
    c = Conv (x, w)
    flat = Reshape (c, list)
    y = Reshape (flat, shape)
}}"""


def write(folder: Path, sides: str, result: str = 'A, B, C, D') -> Path:
    network = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 13]>'
                                      + COMPUTED.format(sides=sides, open=result))
    kernel = np.ones((3, 3, 1, 1), np.float32)
    network.graph.initializer.extend([onnx.numpy_helper.from_array(kernel, 'w'),
                                      onnx.numpy_helper.from_array(np.array([-1]), 'list')])
    onnx.save(network, folder / 'net.onnx')
    return folder / 'net.onnx'


@pytest.mark.parametrize(('sides', 'size'), [('1, 3, 100, 200', ()), ('N, 3, 100, 200', ()),
                                             ('N, 3, H, W', ('100', '200')), ('N, 3, H, W', ('100x200',))])
def test_a_foreign_file_is_counted(tmp_path: Path, sides: str, size: tuple[str, ...],
                                   capsys: pytest.CaptureFixture[str]):
    pytest.importorskip('torch')
    file = write(tmp_path, sides)
    option = ('--size', *size) if size else ()
    assert cli.main(['describe-network', str(file), *option]) == 0
    # 9 multiply-adds, 18 operations for each of 20,000 pixels: 0.00036 GFLOPs; 9 parameters.
    assert capsys.readouterr().out.splitlines()[1].split()[1:3] == ['9', '0.00']
    assert cli.main(['estimate', str(file), '--board', 'tx2', *option]) == 0
    assert '| 100x200 |' in capsys.readouterr().out.replace('  ', ' ').replace('  ', ' ')


@pytest.mark.parametrize('verb', ['estimate', 'describe-network'])
def test_an_open_size_is_asked_for(tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip('torch')
    assert cli.main([verb, str(write(tmp_path, 'N, 3, H, W'))]) == 2
    assert 'input x: got the open sides (?, 3, ?, ?), expected fixed ones. Give the size of the image with --size H W' \
        in capsys.readouterr().err


def test_a_file_of_open_size_is_slimmed_without_being_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, slim = write(tmp_path, 'N, 3, H, W'), tmp_path / 'slim.onnx'
    assert cli.main(['slim-onnx', str(file), '--output', str(slim)]) == 0
    assert 'nodes; not counted:' in capsys.readouterr().out
    assert cli.main(['slim-onnx', str(file), '--output', str(slim), '--size', '16', '24']) == 0
    assert 'Shape' not in {node.op_type for node in onnx.load(slim).graph.node}


@pytest.mark.parametrize('words', [('100',), ('100', '200', '300'), ('a', 'b'), ('0', '5'), ('100x200x3',)])
def test_other_sizes_are_refused(tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert cli.main(['slim-onnx', 'a', '--output', 'b', '--size', *words]) == 2
    assert 'expected a height and a width in px, e.g. 480 640 or 480x640' in capsys.readouterr().err

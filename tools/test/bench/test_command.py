import json
from pathlib import Path

import pytest

pytest.importorskip('torch')

from trt_perception_tools.cli import main

QUICK = ['--iterations', '2', '--warm-up', '1', '--block', '2', '--threads', '1', '--camera', '96x64']


def export(folder: Path, network: str) -> Path:
    output = folder / 'random.onnx'
    assert main(['export', network, '--weights', 'random:1', '--size', '64', '96', '--output', str(output)]) == 0
    return output.with_suffix('.yaml')


@pytest.mark.parametrize(('network', 'agreement'), [('swiftnet,width=0.125', ' % equal'), ('tinypwc', ' px apart')])
def test_torch_runs_under_the_same_pipeline(tmp_path: Path, network: str, agreement: str):
    model = export(tmp_path, network)
    assert main(['bench', str(model), '--torch', 'random:1', '--network', network, '--json', str(tmp_path / 'j'),
                 *QUICK]) == 0
    data = json.loads((tmp_path / 'j').read_text())
    assert f'--torch random:1 --network {network}' in data['command']
    ours, torch = data['pipelines']
    assert torch['contender'] == 'random torch fp32'
    assert set(torch['stages_ms']) == set(ours['stages_ms']) == {'read', 'preprocess', 'infer', 'decode'}
    value, unit = torch['agreement_with_first'].split(' ', 1)
    assert ' ' + unit == agreement
    assert float(value) > 99.9 if 'equal' in unit else float(value) < 1e-2


def test_torch_needs_a_network_of_the_models_task_and_no_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = str(export(tmp_path, 'swiftnet,width=0.125'))
    assert main(['bench', model, '--torch', 'random:1', '--network', 'tinypwc']) == 2
    assert 'got task segmentation with 3 channels, but tinypwc is for optical_flow' in capsys.readouterr().err
    assert main(['bench', model, '--torch', 'random:1', '--node']) == 2
    assert '--torch: got --node as well' in capsys.readouterr().err


def test_without_torch_it_is_the_bench_of_the_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = str(export(tmp_path, 'swiftnet,width=0.125'))
    assert main(['bench', model, *QUICK]) == 0
    assert 'random onnxruntime fp32' in capsys.readouterr().out

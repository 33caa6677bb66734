"""Graphs that the tools write, and planted wrong ones, in the hands of NVIDIA's own parser and builder."""
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_model
from trt_perception_tools import cli
from trt_perception_tools.graphs import tensorrt_rtx, trial_build
from trt_perception_tools.graphs.trial_build import build

LACK = tensorrt_rtx.why_not()
needs_tensorrt = pytest.mark.skipif(bool(LACK), reason=f'no TensorRT for RTX: {LACK}')


def one_node(file: Path, operator: str, inputs: int = 1, dtype: int = TensorProto.FLOAT, opset: int = 17) -> Path:
    """Write a graph of one operator and return its file."""
    values = [helper.make_tensor_value_info(name, dtype, [1, 4, 6, 6]) for name in 'abc'[:inputs]]
    node = helper.make_node(operator, [value.name for value in values], ['y'], name='/part/part.0/' + operator)
    output = helper.make_tensor_value_info('y', dtype, [1, 4, 6, 6])
    graph = helper.make_graph([node], 'g', values, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8), str(file))
    return file


@needs_tensorrt
@pytest.mark.parametrize('name', ['swiftnet_camvid', 'tinypwc'])
def test_a_shipped_network_is_built(name: str):
    file = Path(load_model(name).network_file('tensorrt', 'fp32'))
    trial = build(file)
    assert trial.faults == ()
    assert trial.layers > len(onnx.load(str(file), load_external_data=False).graph.output)
    assert trial.plan_bytes > file.stat().st_size


@needs_tensorrt
@pytest.mark.parametrize('network', ['swiftnet,width=0.25', 'espnet', 'tinypwc', 'nanoflownet', 'flownets', 'pwcnet'])
def test_a_network_of_the_tools_is_built_in_every_precision(network: str, measurements: str, tmp_path: Path):
    import tensorrt_builds
    file = tensorrt_builds.random_network(network, (64, 128), tmp_path)
    built = {precision: build(graph) for precision, graph in tensorrt_builds.graphs(
        file, file.with_suffix('.yaml'), tmp_path)}
    assert {precision: trial.faults for precision, trial in built.items()} == {'fp32': (), 'fp16': (), 'int8': ()}
    assert built['int8'].layers > built['fp32'].layers, 'Q and DQ are layers'


@needs_tensorrt
def test_an_imported_network_is_built(tmp_path: Path):
    nodes = [helper.make_node('Conv', ['x', 'w'], ['scores'], name='conv')]
    weights = helper.make_tensor('w', TensorProto.FLOAT, [3, 3, 1, 1], [1, 0, 0, 0, 1, 0, 0, 0, 1])
    graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 3, 32, 48])],
                              [helper.make_tensor_value_info('scores', TensorProto.FLOAT, [1, 3, 32, 48])], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8),
              str(tmp_path / 'theirs.onnx'))
    assert cli.main(['import-model', str(tmp_path / 'theirs.onnx'), '--task', 'segmentation', '--output', str(tmp_path),
                     '--name', 'ours', '--tensorrt', '--color', 'rgb', '--normalise', 'none', '--class-names', 'a', 'b',
                     'c', '--license', 'none', '--description', 'identity']) == 0
    assert build(tmp_path / 'ours_tensorrt.onnx').faults == ()


@needs_tensorrt
def test_a_network_for_the_cpu_is_refused_in_nvidias_words():
    [fault] = build(Path(load_model('swiftnet_camvid').network_file('onnxruntime', 'int8'))).faults
    assert fault.operator == 'DequantizeLinear'
    assert fault.text.startswith('INVALID_NODE: ')
    assert 'must have type FP8, FP4, Int4, Int8, or UInt8' in fault.text
    assert 'cudaError' not in fault.text


@needs_tensorrt
def test_planted_faults_are_refused(tmp_path: Path):
    unsupported = build(one_node(tmp_path / 'unsupported.onnx', 'Det'))
    assert (unsupported.faults[0].text, unsupported.faults[0].node) == ('UNSUPPORTED_NODE: false', '/part/part.0/Det')
    wrong_type = build(one_node(tmp_path / 'type.onnx', 'Relu', dtype=TensorProto.INT32))
    assert 'Found unsupported input type of INT32' in wrong_type.faults[0].text
    (tmp_path / 'bad.onnx').write_bytes(b'not an ONNX file')
    assert 'Failed to parse the ONNX model' in build(tmp_path / 'bad.onnx').faults[0].text
    dangling = onnx.load(str(one_node(tmp_path / 'dangling.onnx', 'Relu')))
    dangling.graph.node[0].input[0] = 'nobody'
    assert build(dangling.SerializeToString()).faults
    assert build(one_node(tmp_path / 'good.onnx', 'Relu')).faults == ()


@needs_tensorrt
def test_the_command_builds_and_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, bad = one_node(tmp_path / 'good.onnx', 'Relu', opset=13), one_node(tmp_path / 'bad.onnx', 'Det', opset=13)
    assert cli.main(['check-onnx', str(good), '--tensorrt', '8.2', '--build']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f'{good}, TensorRT 8.2: no faults')
    assert lines[1].startswith(f'{good}, TensorRT for RTX 1.7.1: built 1 layers in ')
    assert lines[1].endswith(' MB')
    assert cli.main(['check-onnx', str(bad), '--tensorrt', '11', '--build']) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f'{bad}, TensorRT for RTX 1.7.1: its parser refuses the graph', '  fault: UNSUPPORTED_NODE: false',
        '    node /part/part.0/Det (Det)']


@needs_tensorrt
def test_what_only_a_plugin_can_do_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    node = helper.make_node('RoiAlign', ['x', 'rois', 'batch'], ['y'], name='roi')  # Its plugin is not there.
    graph = helper.make_graph([node], 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 4, 6, 6])], [
        helper.make_tensor_value_info('y', TensorProto.FLOAT, [2, 4, 1, 1])], [
        helper.make_tensor('rois', TensorProto.FLOAT, [2, 4], [0, 0, 1, 1] * 2),
        helper.make_tensor('batch', TensorProto.INT64, [2], [0, 0])])
    file = tmp_path / 'roi.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 16)], ir_version=8), str(file))
    assert cli.main(['check-onnx', str(file), '--tensorrt', '11', '--build']) == 1
    assert 'ROIAlign plugin was not found' in capsys.readouterr().out


def test_without_the_packages_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensorrt_rtx.importlib.util, 'find_spec', lambda name: None)
    tensorrt_rtx.load.cache_clear()
    with pytest.raises(ConfigError, match=r'tensorrt_bindings is not installed. Run: pip install '
                                          r'"trt_perception_tools\[tensorrt\]"'):
        tensorrt_rtx.load()
    assert trial_build.Trial('TensorRT', ()).layers == 0

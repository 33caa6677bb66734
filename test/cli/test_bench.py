import json

import numpy as np
import pytest
from networks import flow_fields, flow_model, logits_network, segmentation_model, write_yaml

from trt_perception.bench.node import measure
from trt_perception.cli import main
from trt_perception.core.share import share_path

QUICK = ['--iterations', '4', '--warm-up', '2', '--block', '2', '--threads', '1']


@pytest.fixture
def model(tmp_path):
    return segmentation_model(tmp_path, (24, 32)).path


@pytest.fixture
def logits(tmp_path):
    """Write a network whose scores are its input."""
    return logits_network(tmp_path / 'logits.onnx')


def other_model(tmp_path):
    folder = tmp_path / 'flow'
    folder.mkdir()
    return flow_model(folder, (24, 32), fields=flow_fields()).path


def test_models_and_cameras_are_measured_and_reported(capsys, tmp_path, model, logits):
    files = {name: tmp_path / ('bench.' + name) for name in ('json', 'markdown')}
    arguments = [word for name, path in files.items() for word in ('--' + name, str(path))]
    assert main(['bench', model, '--tutorial', logits, '--camera', '64x48', '32x24'] + QUICK + arguments) == 0
    output = capsys.readouterr()
    assert output.err == ''
    data = json.loads(files['json'].read_text())
    assert [(each['camera'], each['contender']) for each in data['pipelines']] == [
        ('64x48', 'tiny onnxruntime fp32'), ('64x48', 'tutorial'),
        ('32x24', 'tiny onnxruntime fp32'), ('32x24', 'tutorial')]
    assert all(len(each['samples_ms']) == 4 and min(each['samples_ms']) > 0 for each in data['pipelines'])
    # Without a resize, both give the same labels.
    assert data['pipelines'][3]['agreement_with_first'] == '100.00 % equal'
    assert data['machine']['numpy'] == np.__version__
    assert data['command'].startswith('trt_perception bench {} --engine auto --threads 1 --tutorial '.format(model))
    assert '--camera 64x48 32x24 --seed 0 --iterations 4' in data['command']
    assert 'Camera 32x24: ms per frame' in output.out
    assert 'Camera 32x24: ms per frame' in files['markdown'].read_text()
    assert 'Camera 32x24: ms per frame' in [table['title'] for table in data['tables']]


def test_two_flow_models_are_compared_on_the_frames_of_a_bag(capsys, tmp_path):
    pytest.importorskip('rosbags')
    model = other_model(tmp_path)
    assert main(['bench', model, model, '--frames', share_path('demo', 'street'), '--json', str(tmp_path / 'j')]
                + QUICK) == 0
    first, second = json.loads((tmp_path / 'j').read_text())['pipelines']
    assert first['camera'].endswith('street (80 frames)')
    assert second['agreement_with_first'] == '0.000 px apart'
    assert first['stages_ms']['read']['p50'] > 0


def test_the_limit_is_said_in_the_report(capsys, model):
    assert main(['bench', model, '--limit', '0.000001'] + QUICK) == 0
    assert 'Camera 640x480: stopped after 2 of 4 frames each, because of --limit 1e-06.' in capsys.readouterr().out


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--iterations', '0'], '--iterations: got 0, expected at least 1.'),
    (['--camera', '640*480'], "--camera: got '640*480', expected WIDTHxHEIGHT in px, e.g. 640x480."),
    (['--camera', '64x48', '--frames', 'x.mcap'], '--camera: got 64x48 and --frames as well'),
    (['--frames', 'no.mcap'], 'bag no.mcap: no such file or folder'),
    (['--engine', 'onnxrutime'], "engine: got 'onnxrutime'"),
    (['--engine', 'onnxruntime:int8'], 'files.onnxruntime: no int8 network, only fp32'),
    (['--engine', 'onnxruntime:'], "--engine: got 'onnxruntime:', expected ENGINE or ENGINE:PRECISION"),
    (['--threads', '-1'], '--threads: got -1'),
    (['--rate', '0'], '--rate: got 0'),
    (['--bare'], '--bare: got no --node, expected both'),
    (['--node', '--engine', 'onnxruntime', 'auto'], '--node: got 1 models on 2 engines, expected one on one'),
    (['--tutorial', 'no.onnx'], '--tutorial no.onnx: ONNX Runtime'),
    (['--html', 'x.html'], '--html: pages are made by the tools, from numbers. Write --json bench.json here, then run: '
                           'trt_perception_tools report bench.json -o x.html'),
    (['--json', '/no/such/folder/x.json', '--camera', '64x48'] + QUICK,
     '/no/such/folder/x.json: /no/such/folder is no folder that can be written to.'),
    (['--json', '/tmp', '--camera', '64x48'] + QUICK, '/tmp: got a folder, expected a file.')])
def test_nonsense_is_refused(capsys, model, arguments, message):
    assert main(['bench', model] + arguments) == 2
    assert message in capsys.readouterr().err


def test_models_of_different_tasks_are_not_compared(capsys, tmp_path, model):
    assert main(['bench', model, other_model(tmp_path)]) == 2
    assert 'models: got tiny (segmentation), tiny (optical_flow) side by side, expected models of one task' \
        in capsys.readouterr().err


def test_a_bag_with_several_cameras_asks_which(capsys, monkeypatch, model):
    from trt_perception import bag
    from trt_perception.bench import frames

    class TwoCameras:
        def __init__(self, path, topics):
            self.types = dict.fromkeys(topics or ['/left', '/right'], bag.IMAGE)

        def messages(self):
            return iter(())
    monkeypatch.setattr(frames, 'Bag', TwoCameras)
    assert main(['bench', model, '--frames', 'x.mcap']) == 2
    assert '--frames x.mcap: got 2 image topics: /left, /right. Choose one with --topic.' in capsys.readouterr().err
    assert main(['bench', model, '--frames', 'x.mcap', '--topic', '/left']) == 2
    assert '--frames x.mcap: no image on /left.' in capsys.readouterr().err


def test_the_whole_ros_path_is_measured_between_processes(capsys, monkeypatch, domain, tmp_path, model, logits):
    monkeypatch.setattr(measure, '_STREAM_S', 0.4)
    assert main(['bench', model, '--node', '--bare', '--tutorial', logits, '--camera', '64x48',
                 '--json', str(tmp_path / 'j')] + QUICK) == 0
    ours, bare, tutorial = json.loads((tmp_path / 'j').read_text())['nodes']
    for each in (ours, bare, tutorial):
        assert len(each['samples_ms']) == 4
        assert min(each['samples_ms']) > each['engine_ms']['p50'] > 0
        assert each['overhead']['turns'] == 2
        assert each['stream']['missed'] < each['stream']['sent'] >= 13
    assert 'segmentation publish' in ours['stages']
    assert (bare['node'], tutorial['node']) == ('bare node', 'tutorial node')
    assert bare['stages'] == tutorial['stages'] == {}


def test_compressed_frames_and_flow_go_the_whole_path_too(capsys, monkeypatch, domain, tmp_path):
    pytest.importorskip('rosbags')
    monkeypatch.setattr(measure, '_STREAM_S', 0.4)
    assert main(['bench', other_model(tmp_path), '--node', '--bare', '--frames', share_path('demo', 'street'),
                 '--json', str(tmp_path / 'j')] + QUICK) == 0
    flow, bare = json.loads((tmp_path / 'j').read_text())['nodes']
    assert len(flow['samples_ms']) == len(bare['samples_ms']) == 4
    assert 'optical_flow decode' in flow['stages']


def test_a_node_that_does_not_start_is_named_with_what_it_printed(capsys, monkeypatch, domain, tmp_path, model):
    write_yaml(tmp_path / 'broken.yaml', 'task: segmentation')
    monkeypatch.setattr('trt_perception.bench.run.node_spec', lambda model, *rest: node_spec(
        model._replace(path=str(tmp_path / 'broken.yaml')), *rest))
    from trt_perception.bench.ros_path import node_spec
    assert main(['bench', model, '--node'] + QUICK) == 2
    error = capsys.readouterr().err
    assert 'ConfigError: tiny node: it ended with status 1. It printed: ' in error
    assert 'broken.yaml: description: missing' in error

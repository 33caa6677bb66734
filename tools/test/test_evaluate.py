import json
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_model
from trt_perception_tools import cli
from trt_perception_tools.datasets import flow_pairs, labelled_pictures
from trt_perception_tools.evaluate import evaluate_flow, evaluate_segmentation, table

ROAD, CAR = 3, 8
HEIGHT, WIDTH = 8, 16
SEGMENTATION = """
task: segmentation
description: says road everywhere
license: none
files: {onnxruntime: {fp32: road.onnx}}
labels: camvid
input: {names: [image], color: bgr}
output: {labels: labels}
"""
FLOW = """
task: optical_flow
description: says (1, -0.5) px of a picture of half the size
license: none
files: {onnxruntime: {fp32: shift.onnx}}
input: {names: [first, second], color: gray}
output: {flow: flow}
"""


def write_constant_network(path: Path, inputs: dict[str, list[int]], output: str, value: np.ndarray) -> None:
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node('Identity', ['value'], [output])], 'constant',
        [helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)],
        [onnx.numpy_helper.from_array(value, 'value')])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), path)


@pytest.fixture
def road(tmp_path: Path) -> Path:
    write_constant_network(tmp_path / 'road.onnx', {'image': [1, HEIGHT, WIDTH, 3]}, 'labels',
                           np.full((1, HEIGHT, WIDTH), ROAD, np.uint8))
    (tmp_path / 'road.yaml').write_text(SEGMENTATION)
    return tmp_path / 'road.yaml'


@pytest.fixture
def shift(tmp_path: Path) -> Path:
    write_constant_network(tmp_path / 'shift.onnx', dict.fromkeys(('first', 'second'), [1, HEIGHT // 2, WIDTH // 2, 1]),
                           'flow', np.tile(np.float32([1, -0.5]), (1, HEIGHT // 2, WIDTH // 2, 1)))
    (tmp_path / 'shift.yaml').write_text(FLOW)
    return tmp_path / 'shift.yaml'


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    folder = tmp_path / 'camvid'
    (folder / 'test').mkdir(parents=True)
    (folder / 'testannot').mkdir()
    truth = np.full((HEIGHT, WIDTH), ROAD, np.uint8)
    truth[:, WIDTH // 2:] = CAR
    truth[HEIGHT // 2:] = 11
    for name in ('a', 'b'):
        cv2.imwrite(str(folder / 'test' / f'{name}.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        cv2.imwrite(str(folder / 'testannot' / f'{name}.png'), truth)
    (folder / 'test.txt').write_text('a\nb\n')
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for name, flow in (('exact', (2, -1)), ('off', (2, 3))):
        folder = tmp_path / 'pairs' / name
        folder.mkdir(parents=True)
        for stem in ('frame10', 'frame11'):
            cv2.imwrite(str(folder / f'{stem}.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        (folder / 'flow10.flo').write_bytes(struct.pack('<fii', 202021.25, WIDTH, HEIGHT)
                                            + np.tile(np.float32(flow), (HEIGHT, WIDTH, 1)).tobytes())
    return tmp_path / 'pairs'


def test_a_network_that_says_road_everywhere_gets_the_roads_share(road: Path, camvid: Path):
    score = evaluate_segmentation(load_model(str(road)), labelled_pictures(camvid, 'test'))
    assert score.parts['road'] == 0.5
    assert score.parts['car'] == 0
    assert [name for name, iou in score.parts.items() if not np.isnan(iou)] == ['road', 'car']
    assert (score.total, score.secondary) == (0.25, 0.5)
    assert (score.engine, score.precision, score.input_size) == ('onnxruntime', 'fp32', (HEIGHT, WIDTH))
    assert score.milliseconds > 0


def test_flow_is_scored_in_pixels_of_the_picture_on_the_first_ones_grid(shift: Path, pairs: Path):
    score = evaluate_flow(load_model(str(shift)), flow_pairs(pairs))
    assert score.parts == {'exact': 0.0, 'off': 4.0}
    assert (score.total, score.secondary) == (2.0, 0.5)


def test_the_table_has_a_column_per_model_and_shares_in_percent(road: Path, camvid: Path):
    score = evaluate_segmentation(load_model(str(road)), labelled_pictures(camvid, 'test'))
    lines = table([score, score._replace(model='other', total=0.5)]).splitlines()
    assert lines[0].split() == ['IoU,', '%', 'road', 'other']
    assert ['road', '50.00', '50.00'] in [line.split() for line in lines]
    assert ['mean', 'IoU', '25.00', '50.00'] in [line.split() for line in lines]
    assert len({len(line) for line in lines}) == 1


def test_the_command_writes_json_and_fails_under_the_limit(road: Path, camvid: Path, tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]):
    arguments = ['evaluate', str(road), '--data', str(camvid), '--json', str(tmp_path / 'scores.json'), '--fail-under']
    assert cli.main([*arguments, '0.25']) == 0
    [score] = json.loads((tmp_path / 'scores.json').read_text())
    assert (score['model'], score['total'], score['parts']['road'], score['parts']['sky']) == ('road', 0.25, 0.5, None)
    assert cli.main([*arguments, '0.26']) == 1
    assert 'road: 0.2500 misses the limit 0.26' in capsys.readouterr().out


def test_the_command_fails_above_the_limit_for_flow(shift: Path, pairs: Path):
    arguments = ['evaluate', str(shift), '--data', str(pairs), '--fail-above']
    assert cli.main([*arguments, '2']) == 0
    assert cli.main([*arguments, '1.9']) == 1


@pytest.mark.parametrize(('arguments', 'message'), [
    (['road.yaml', '--data', 'none'], 'none: no such folder'),
    (['road.yaml', '--data', 'empty'], r'test\.txt: no such file'),
    (['road.yaml', '--data', 'camvid', '--split', 'val'], r'val\.txt: no such file'),
    (['road.yaml', '--data', 'pairs'], 'does segmentation, but pairs holds flow pairs'),
    (['shift.yaml', '--data', 'camvid'], 'does optical flow, but camvid holds labelled pictures'),
    (['shift.yaml', '--data', 'empty'], 'empty: no flow pairs'),
    (['road.yaml', 'shift.yaml', '--data', 'camvid'], r'shift\.yaml: task: got optical_flow, but road does segment'),
    (['two.yaml', '--data', 'camvid'], "labels: two has 2 classes, expected CamVid's 11"),
    (['road.yaml', '--data', 'camvid', '--fail-above', '1'], '--fail-above: not a limit for segmentation'),
    (['shift.yaml', '--data', 'pairs', '--fail-under', '1'], '--fail-under: not a limit for optical_flow'),
    (['road.yaml', '--data', 'camvid', '--engine', 'onnx'], "engine: got 'onnx'"),
    (['road.yaml', '--data', 'camvid', '--precision', 'fp8'], "precision: got 'fp8'"),
    (['rod', '--data', 'camvid'], "no 'rod'"),
])
def test_what_cannot_be_scored_is_refused_in_one_line(
        arguments: list[str], message: str, road: Path, shift: Path, camvid: Path, pairs: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'two_labels').mkdir()
    (tmp_path / 'two_labels' / 'two.yaml').write_text(
        'classes: [{id: 0, name: a, color: [0, 0, 0]}, {id: 1, name: b, color: [1, 1, 1]}]')
    (tmp_path / 'two.yaml').write_text(SEGMENTATION.replace('camvid', 'two_labels/two.yaml'))
    assert cli.main(['evaluate', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert error.startswith('trt_perception_tools evaluate: ConfigError: ')
    assert re.search(message, error), error


def test_truth_of_another_size_and_a_pair_of_two_sizes_are_refused(road: Path, shift: Path, camvid: Path, pairs: Path):
    cv2.imwrite(str(camvid / 'testannot' / 'b.png'), np.zeros((HEIGHT, 4), np.uint8))
    with pytest.raises(ConfigError, match=r'b\.png: got 8x4, expected the size of its picture, 8x16'):
        evaluate_segmentation(load_model(str(road)), labelled_pictures(camvid, 'test'))
    cv2.imwrite(str(pairs / 'off' / 'frame11.png'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ConfigError, match=r'frame11\.png: got another size than .*frame10\.png'):
        evaluate_flow(load_model(str(shift)), flow_pairs(pairs))


@pytest.fixture(scope='session')
def exported(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip('torch')
    folder = tmp_path_factory.mktemp('exported')
    for name, weights in (('espnet_camvid', 'weights_espnet/espnet_p_2_q_8_camvid.pth'),
                          ('nanoflownet', 'weights_nanoflownet/nanoflownet.npz')):
        (folder / f'{name}.yaml').write_text(Path(load_model(name).path).read_text())
        assert cli.main(['export', name, '--weights', str(data / weights), '--output', f'{folder}/{name}.onnx']) == 0
    return folder


def test_espnet_reaches_its_accuracy_on_the_camvid_test_pictures(exported: Path, data: Path):
    pictures = labelled_pictures(data / 'camvid', 'test')
    assert len(pictures) == 233
    score = evaluate_segmentation(load_model(str(exported / 'espnet_camvid.yaml')), pictures)
    assert score.total >= 0.565
    assert score.secondary >= 0.87
    assert score.parts['road'] >= 0.92


def test_nanoflownet_reaches_its_accuracy_on_middlebury(exported: Path, data: Path):
    score = evaluate_flow(load_model(str(exported / 'nanoflownet.yaml')), flow_pairs(data / 'flow_middlebury'))
    assert list(score.parts) == ['Dimetrodon', 'Hydrangea', 'RubberWhale', 'Venus']
    assert score.parts['RubberWhale'] <= 0.55
    assert score.total <= 0.75

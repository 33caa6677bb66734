import json
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from random_images import random_image, write_image

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.engines import EngineOptions
from trt_perception_tools import cli
from trt_perception_tools.evaluate.data import Sample, open_dataset, open_video
from trt_perception_tools.evaluate.report import table
from trt_perception_tools.evaluate.scorer import Score
from trt_perception_tools.evaluate.scoring import corrupted, evaluate

ROAD, CAR = 3, 8
HEIGHT, WIDTH = 8, 16
ROAD_YAML = """
task: segmentation
description: says road everywhere
license: none
files: {onnxruntime: {fp32: road.onnx, int8: half.onnx}}
labels: camvid
input: {names: [image], color: bgr}
output: {labels: labels}
"""
SHIFT_YAML = """
task: optical_flow
description: says (1, -0.5) px of an image of half the size
license: none
files: {onnxruntime: {fp32: shift.onnx, fp16: shorter.onnx}}
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
    half = np.full((1, HEIGHT, WIDTH), ROAD, np.uint8)
    half[..., WIDTH // 2:] = CAR
    write_constant_network(tmp_path / 'half.onnx', {'image': [1, HEIGHT, WIDTH, 3]}, 'labels', half)
    (tmp_path / 'road.yaml').write_text(ROAD_YAML)
    return tmp_path / 'road.yaml'


@pytest.fixture
def shift(tmp_path: Path) -> Path:
    for name, u in (('shift', 1), ('shorter', 0.5)):
        write_constant_network(tmp_path / f'{name}.onnx',
                               dict.fromkeys(('first', 'second'), [1, HEIGHT // 2, WIDTH // 2, 1]),
                               'flow', np.tile(np.float32([u, -0.5]), (1, HEIGHT // 2, WIDTH // 2, 1)))
    (tmp_path / 'shift.yaml').write_text(SHIFT_YAML)
    return tmp_path / 'shift.yaml'


SURE_YAML = """
task: segmentation
description: says road everywhere, surely on the left, and with a confidence of 0.2 on the right
license: none
files: {onnxruntime: {fp32: sure.onnx}}
labels: camvid
input: {names: [image], color: bgr}
output: {labels: labels, confidence: confidence}
"""
BRIGHT_YAML = """
task: segmentation
description: says car where red is brighter than 100, else road
license: none
files: {onnxruntime: {fp32: bright.onnx}}
labels: camvid
input: {names: [image], color: rgb}
output: {labels: labels}
"""


@pytest.fixture
def sure(tmp_path: Path) -> Path:
    confidence = np.full((1, HEIGHT, WIDTH), 255, np.uint8)
    confidence[..., WIDTH // 2:] = 51
    text = f"""<ir_version: 8, opset_import: ["" : 13]>
        sure (uint8[1,{HEIGHT},{WIDTH},3] image)
            => (uint8[1,{HEIGHT},{WIDTH}] labels, uint8[1,{HEIGHT},{WIDTH}] confidence) {{
        labels = Identity (label) confidence = Identity (level) }}"""
    network = onnx.parser.parse_model(text)
    network.graph.initializer.extend([
        onnx.numpy_helper.from_array(np.full((1, HEIGHT, WIDTH), ROAD, np.uint8), 'label'),
        onnx.numpy_helper.from_array(confidence, 'level')])
    onnx.save(network, tmp_path / 'sure.onnx')
    (tmp_path / 'sure.yaml').write_text(SURE_YAML)
    return tmp_path / 'sure.yaml'


def write_bright(folder: Path, height: int, width: int) -> Path:
    onnx.save(onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 13]>
        bright (uint8[1,{height},{width},3] image) => (uint8[1,{height},{width}] labels)
            <int64[1] from = {{0}}, int64[1] to = {{1}}, int64[1] axis = {{3}}, float limit = {{100}},
             uint8 car = {{{CAR}}}, uint8 road = {{{ROAD}}}> {{
        red = Slice (image, from, to, axis) plane = Squeeze (red, axis) level = Cast <to = 1> (plane)
        brighter = Greater (level, limit) labels = Where (brighter, car, road) }}"""), folder / 'bright.onnx')
    (folder / 'bright.yaml').write_text(BRIGHT_YAML)
    return folder / 'bright.yaml'


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


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / 'images'
    folder.mkdir()
    for name in ('a', 'b', 'c'):
        cv2.imwrite(str(folder / f'{name}.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return folder


def score_of(model: Path, data: Path, *precisions: str, split: str = 'test') -> list[Score]:
    loaded = load_model(str(model))
    return evaluate([(loaded, EngineOptions(precision=precision)) for precision in precisions or ('',)],
                    open_dataset(data, loaded.task, split, '', 256)).scores


def test_a_network_that_says_road_everywhere_gets_the_roads_share(road: Path, camvid: Path):
    [score] = score_of(road, camvid)
    assert score.parts['road'] == 0.5
    assert score.parts['car'] == 0
    assert [name for name, iou in score.parts.items() if not np.isnan(iou)] == ['road', 'car']
    assert (score.total, score.measures['pixel_accuracy']) == (0.25, 0.5)
    confusion = score.details['confusion']
    assert confusion[CAR][ROAD] == confusion[ROAD][ROAD] == 2 * HEIGHT // 2 * WIDTH // 2
    assert np.sum(confusion) == 2 * HEIGHT // 2 * WIDTH
    assert (score.engine, score.precision, score.input_size) == ('onnxruntime', 'fp32', (HEIGHT, WIDTH))
    assert score.frames == 2
    assert score.milliseconds > 0


def test_flow_is_scored_in_pixels_of_the_image_on_the_first_ones_grid(shift: Path, pairs: Path):
    [score] = score_of(shift, pairs)
    assert score.parts == {'exact': 0.0, 'off': 4.0}
    assert (score.total, score.measures['fl_all']) == (2.0, 0.5)
    assert score.measures['s0-10'] == 2.0
    assert np.isnan([score.measures['s10-40'], score.measures['s40+']]).all()
    # (2, -1, 1) and the true (2, 3, 1) are 73.9 degrees apart, the other pair 0.
    assert score.measures['angular_deg'] == pytest.approx(np.degrees(np.arccos((4 - 3 + 1) / np.sqrt(6 * 14))) / 2)


def test_the_confidence_is_compared_with_the_share_of_right_labels(sure: Path, camvid: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]):
    [score] = score_of(sure, camvid)
    # The left half is road, said with 1; the right half is car, called road with 0.2.
    assert score.measures['ece'] == pytest.approx(0.1)
    assert score.measures['worst_class_ece'] == pytest.approx(0.1)
    assert score.measures['auroc'] == 1
    road = score.details['reliability']['road']
    assert (road.confidence, road.right, road.pixels) == (pytest.approx(0.6), 0.5, 2 * HEIGHT // 2 * WIDTH)
    assert score.details['reliability']['car'].pixels == 0
    page = tmp_path / 'page.html'
    assert cli.main(['evaluate', str(sure), '--data', str(camvid), '--html', str(page), '--json',
                     str(tmp_path / 'scores.json'), '--worst', '0']) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['ECE', '0.1000'] in lines
    assert ['road', '0.600', '0.500', '0.100'] in lines
    assert ['car', '-', '-', '-'] in lines
    text = page.read_text()
    assert 'Reliability of the confidence' in text
    assert text.count('src="data:image/svg') == 2  # IoU and reliability.
    [stored] = json.loads((tmp_path / 'scores.json').read_text())
    assert stored['details']['reliability']['road']['right'] == 0.5
    assert stored['details']['reliability']['car']['ece'] is None


def test_a_network_without_confidence_has_no_reliability(road: Path, camvid: Path):
    [score] = score_of(road, camvid)
    assert set(score.measures) == {'pixel_accuracy'}
    assert 'ECE' not in table([score])


def test_corruptions_are_scored_at_three_strengths_and_over_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / 'grey'
    write_image(folder / 'test' / 'a.png', np.full((HEIGHT, WIDTH, 3), 150, np.uint8))
    write_image(folder / 'testannot' / 'a.png', np.full((HEIGHT, WIDTH), CAR, np.uint8))
    (folder / 'test.txt').write_text('a\n')
    model = write_bright(tmp_path, HEIGHT, WIDTH)
    arguments = ['evaluate', str(model), '--data', str(folder)]
    assert cli.main([*arguments, '--corrupt', 'dark', 'warm', '--json', str(tmp_path / 'scores.json'),
                     '--html', str(tmp_path / 'page.html')]) == 0
    [score] = json.loads((tmp_path / 'scores.json').read_text())
    # 150 is car as long as it stays above 100: at half the strength of dark, it is 106, then 75 and 53.
    assert score['total'] == 1
    assert score['robustness'] == {'totals': {'dark': [1.0, 0.0, 0.0], 'warm': [1.0, 1.0, 1.0]},
                                   'mean': [1.0, 0.5, 0.5], 'worst': [1.0, 0.0, 0.0]}
    header = next(line for line in capsys.readouterr().out.splitlines() if 'clean' in line)
    assert header.split()[3:6] == ['clean', 'dark', 'warm']
    assert 'On corrupted images' in (tmp_path / 'page.html').read_text()
    assert cli.main([*arguments, '--limit', '1', '--corrupt']) == 0
    assert ' rain ' in capsys.readouterr().out


def test_both_frames_of_a_pair_have_one_colour_cast_but_noise_of_their_own():
    grey = frame_from_array(np.full((32, 48, 3), 120, np.uint8))
    for corruption, equal in (('gains', True), ('fog', True), ('noise', False), ('rain', False)):
        first, second = corrupted(Sample((grey, grey), None), corruption, 1.0, seed=4).frames
        assert (first.data == second.data).all() == equal, corruption
        again = corrupted(Sample((grey, grey), None), corruption, 1.0, seed=4).frames
        assert (first.data == again[0].data).all()


def test_labels_that_stay_in_place_flicker_where_the_scene_moves(road: Path, tmp_path: Path):
    texture = np.kron(random_image(1, 3, (30, 60)), np.ones((4, 4, 1), np.uint8))
    for number in range(3):
        write_image(tmp_path / 'moving' / f'{number}.png', texture[:, 40 - 4 * number:200 - 4 * number])
    video = open_video(tmp_path / 'moving', '', None)
    model = load_model(str(road))
    steady, moving = evaluate([(model, EngineOptions(precision=each)) for each in ('fp32', 'int8')], None,
                              video=video).scores
    assert steady.steadiness.flicker == 0
    assert steady.frames == 3
    # Of each row, 156 of 160 pixels have a past; the 4 that crossed the middle change from road to car.
    assert moving.steadiness.flicker == pytest.approx(4 / 156, rel=0.1)
    assert moving.steadiness.flicker_by_class['road'] == pytest.approx(4 / 80, rel=0.1)
    assert moving.steadiness.flicker_by_class['car'] == 0
    assert moving.steadiness.followed == pytest.approx(156 / 160, rel=0.03)


def test_labels_that_move_with_the_scene_do_not_flicker(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    texture = np.kron(random_image(1, 3, (30, 60)), np.ones((4, 4, 1), np.uint8))
    writer = cv2.VideoWriter(str(tmp_path / 'moving.avi'), cv2.VideoWriter.fourcc(*'FFV1'), 10, (160, 120))
    if not writer.isOpened():
        pytest.skip('this OpenCV cannot write FFV1')
    for number in range(4):
        writer.write(np.ascontiguousarray(texture[:, 40 - 4 * number:200 - 4 * number]))
    writer.release()
    arguments = ['evaluate', str(write_bright(tmp_path, 120, 160)), '--video', str(tmp_path / 'moving.avi'), '--json',
                 str(tmp_path / 'scores.json'), '--html', str(tmp_path / 'page.html')]
    assert cli.main(arguments) == 0
    [score] = json.loads((tmp_path / 'scores.json').read_text())
    assert (score['frames'], score['parts'], score['total']) == (4, {}, None)
    assert score['steadiness']['flicker'] < 0.003
    assert score['steadiness']['consistency'] > 0.99
    assert 'labels that change, %' in capsys.readouterr().out
    assert 'In the video' in (tmp_path / 'page.html').read_text()
    assert cli.main([*arguments, '--limit', '3']) == 0
    assert json.loads((tmp_path / 'scores.json').read_text())[0]['frames'] == 3


def test_labels_carried_along_the_flow_are_compared_with_the_models_own(tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str]):
    texture = np.kron(random_image(1, 3, (30, 60)), np.ones((4, 4, 1), np.uint8))
    for number in range(6):
        write_image(tmp_path / 'moving' / f'{number}.png', texture[:, 40 - 4 * number:200 - 4 * number])
    arguments = ['evaluate', str(write_bright(tmp_path, 120, 160)), '--video', str(tmp_path / 'moving'), '--json',
                 str(tmp_path / 'scores.json'), '--html', str(tmp_path / 'page.html'), '--propagate', '2', '3']
    assert cli.main(arguments) == 0
    [score] = json.loads((tmp_path / 'scores.json').read_text())
    carried = score['steadiness']['carried']
    assert list(carried) == ['2', '3']
    for each in carried.values():
        assert each['agreement'] > 0.8
        assert each['time'] > 0
    text = capsys.readouterr().out
    agreement = 100 * carried['3']['agreement']
    assert re.search(rf'every 3\. segmented: agreement of the carried labels, % +{agreement:.2f}', text)
    assert 'every 3. segmented' in (tmp_path / 'page.html').read_text()


def test_labels_that_stay_in_place_are_carried_away_with_the_scene(road: Path, tmp_path: Path):
    texture = np.kron(random_image(1, 3, (30, 60)), np.ones((4, 4, 1), np.uint8))
    for number in range(3):
        write_image(tmp_path / 'moving' / f'{number}.png', texture[:, 40 - 4 * number:200 - 4 * number])
    [score] = evaluate([(load_model(str(road)), EngineOptions(precision='int8'))], None,
                       video=open_video(tmp_path / 'moving', '', None), propagate=[3]).scores
    # The border between two halves of 80 columns moves by 4, then by 8: IoU 76 / 80 and 80 / 84, 72 / 80 and 80 / 88.
    assert score.steadiness.carried[3].agreement == pytest.approx(0.928, abs=0.015)


def test_precisions_of_a_model_are_compared_with_its_fp32(road: Path, shift: Path, camvid: Path, pairs: Path):
    plain, small = score_of(road, camvid, 'fp32', 'int8')
    assert (plain.reference, small.reference) == ('', 'road onnxruntime fp32')
    assert np.isnan(plain.agreement)
    assert (small.agreement, small.total) == (0.5, 1.0)
    half, plain = score_of(shift, pairs, 'fp16', 'fp32')
    assert (half.reference, half.agreement) == ('shift onnxruntime fp32', 1.0)
    assert np.isnan(plain.agreement)


def test_a_model_without_fp32_is_compared_with_the_first_fp32_of_all(road: Path, camvid: Path, tmp_path: Path):
    other = tmp_path / 'other.yaml'
    other.write_text(ROAD_YAML)
    models = [(load_model(str(path)), EngineOptions(precision=precision))
              for path, precision in ((other, 'int8'), (road, 'fp32'))]
    scores = evaluate(models, open_dataset(camvid, SEGMENTATION, 'test', '', 256)).scores
    assert [score.reference for score in scores] == ['road onnxruntime fp32', '']


def test_images_without_truth_give_agreement_only(road: Path, shift: Path, images: Path):
    plain, small = score_of(road, images, 'fp32', 'int8')
    assert (plain.parts, small.agreement, small.frames) == ({}, 0.5, 3)
    text = table([plain, small])
    assert ['labels', 'as', 'in', 'FP32,', '%', '-', '50.00'] in [line.split() for line in text.splitlines()]
    assert 'mean IoU' not in text
    _, half = score_of(shift, images, 'fp32', 'fp16')
    assert (half.agreement, half.frames) == (1.0, 2)


def test_a_bag_is_a_source_of_images_too(road: Path):
    pytest.importorskip('rosbags')
    bag = Path(__file__).parents[3] / 'demo' / 'street'
    dataset = open_dataset(bag, SEGMENTATION, 'test', '', 3)
    assert len(dataset.names) == 3
    frame = dataset.read(2).frames[0]
    assert (frame.height, frame.width) == (480, 640)
    model = load_model(str(road))
    _, small = evaluate([(model, EngineOptions(precision=each)) for each in ('fp32', 'int8')], dataset).scores
    assert small.agreement == 0.5


def test_cityscapes_ids_become_its_19_classes(road: Path, tmp_path: Path):
    folders = [tmp_path / 'cityscapes' / kind / 'val' / 'town' for kind in ('leftImg8bit', 'gtFine')]
    for folder in folders:
        folder.mkdir(parents=True)
    cv2.imwrite(str(folders[0] / 'a_leftImg8bit.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    cv2.imwrite(str(folders[1] / 'a_gtFine_labelIds.png'), np.full((HEIGHT, WIDTH), 7, np.uint8))
    dataset = open_dataset(tmp_path / 'cityscapes', SEGMENTATION, 'val', '', 256)
    assert (dataset.classes[0], len(dataset.classes)) == ('road', 19)
    assert (dataset.read(0).truth == 0).all()
    with pytest.raises(ConfigError, match="camvid has 11 classes, expected Cityscapes val's 19"):
        score_of(road, tmp_path / 'cityscapes', split='val')


def test_some_images_are_spread_over_all_of_them(camvid: Path, images: Path):
    dataset = open_dataset(images, OPTICAL_FLOW, 'test', '', 256)
    assert dataset.names == ['b', 'c']
    assert open_dataset(images, SEGMENTATION, 'test', '', 256).some(2).names == ['a', 'c']
    assert open_dataset(camvid, SEGMENTATION, 'test', '', 256).some(9).names == ['a', 'b']


def test_images_of_one_drive_are_chosen_by_the_beginning_of_their_names(camvid: Path):
    dataset = open_dataset(camvid, SEGMENTATION, 'test', '', 256)
    only = dataset.named('b')
    assert only.names == ['b']
    np.testing.assert_array_equal(only.read(0).truth, dataset.read(1).truth)
    with pytest.raises(ConfigError, match="CamVid test: no image has a name that begins with 'x', as a does with 'a'"):
        dataset.named('x')


def test_the_table_has_a_column_per_contender_and_shares_in_percent(road: Path, camvid: Path):
    [score] = score_of(road, camvid)
    lines = table([score, score._replace(model='other', total=0.5, precision='int8')]).splitlines()
    assert lines[0].split() == ['IoU,', '%', 'road', 'other']
    assert ['road', '50.00', '50.00'] in [line.split() for line in lines]
    assert ['mean', 'IoU,', '%', '25.00', '50.00'] in [line.split() for line in lines]
    assert ['precision', 'fp32', 'int8'] in [line.split() for line in lines]
    assert len({len(line) for line in lines}) == 1


def test_the_command_writes_json_and_fails_under_the_limit(road: Path, camvid: Path, tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]):
    arguments = ['evaluate', str(road), '--data', str(camvid), '--json', str(tmp_path / 'scores.json'), '--fail-under']
    assert cli.main([*arguments, '0.25']) == 0
    [score] = json.loads((tmp_path / 'scores.json').read_text())
    assert (score['model'], score['total'], score['parts']['road'], score['parts']['sky']) == ('road', 0.25, 0.5, None)
    assert (score['agreement'], score['details']['confusion'][CAR][ROAD]) == (None, 64)
    assert cli.main([*arguments, '0.26']) == 1
    assert 'road onnxruntime fp32: 0.2500 misses the limit 0.26' in capsys.readouterr().out


def test_the_command_fails_above_the_limit_for_flow(shift: Path, pairs: Path):
    arguments = ['evaluate', str(shift), '--data', str(pairs), '--fail-above']
    assert cli.main([*arguments, '2']) == 0
    assert cli.main([*arguments, '1.9']) == 1


def test_without_truth_the_limits_are_of_the_agreement(road: Path, shift: Path, images: Path):
    arguments = ['--data', str(images), '--engine', 'onnxruntime:fp32']
    assert cli.main(['evaluate', str(road), *arguments, 'onnxruntime:int8', '--fail-under', '0.5']) == 0
    assert cli.main(['evaluate', str(road), *arguments, 'onnxruntime:int8', '--fail-under', '0.51']) == 1
    assert cli.main(['evaluate', str(shift), *arguments, 'onnxruntime:fp16', '--fail-above', '1.0']) == 0
    assert cli.main(['evaluate', str(shift), *arguments, 'onnxruntime:fp16', '--fail-above', '0.9']) == 1


def test_the_page_shows_every_contender_and_its_worst_results_first(road: Path, shift: Path, camvid: Path, pairs: Path,
                                                                   tmp_path: Path):
    cv2.imwrite(str(camvid / 'testannot' / 'b.png'), np.full((HEIGHT, WIDTH), CAR, np.uint8))
    page = tmp_path / 'page.html'
    assert cli.main(['evaluate', str(road), '--data', str(camvid), '--engine', 'onnxruntime:fp32', 'onnxruntime:int8',
                     '--html', str(page)]) == 0
    text = page.read_text()
    assert text.count('<h3>') == 2
    assert text.index('b: 100.0% of the labels off the truth') < text.index('a: 50.0% of the labels off the truth')
    assert 'http' not in re.sub('http://www.w3.org[^"]*', '', text)
    assert 'pedestrian' in text
    assert cli.main(['evaluate', str(shift), '--data', str(pairs), '--html', str(page), '--worst', '1']) == 0
    text = page.read_text()
    assert 'off: 4.00 px off the truth' in text
    assert text.count('src="data:image/svg') == 2  # IoU and reliability.


@pytest.mark.parametrize(('arguments', 'message'), [
    (['road.yaml', '--data', 'none'], 'none: no such folder or bag'),
    (['road.yaml', '--data', 'empty'], 'empty: nothing to evaluate on'),
    (['road.yaml', '--data', 'camvid', '--split', 'val'], r'val\.txt: no such file'),
    (['road.yaml', '--data', 'pairs'], 'pairs: holds flow pairs, but the model does segmentation'),
    (['shift.yaml', '--data', 'camvid'], 'camvid: holds labelled images, but the model does optical_flow'),
    (['shift.yaml', '--data', 'empty'], 'empty: nothing to evaluate on'),
    (['shift.yaml', '--data', 'one'], 'one, 1 images: got one image, expected at least two'),
    (['road.yaml', '--data', 'one/a.png'], r'a\.png: got a file, expected a folder or a bag'),
    (['road.yaml', '--data', 'one'], 'has no truth, and there is no other contender in FP32'),
    (['road.yaml', '--data', 'one', '--engine', 'onnxruntime:int8', 'onnxruntime:int8'], 'no other contender in FP32'),
    (['road.yaml', 'renamed.yaml', '--data', 'one'], "class 3 of renamed is 'street', expected 'road' as in road"),
    (['renamed.yaml', '--data', 'camvid'], "class 3 of renamed is 'street', expected 'road' as in CamVid test"),
    (['road.yaml', '--data', 'camvid', '--limit', '-1'], '--limit: got -1'),
    (['road.yaml', '--data', 'camvid', '--engine', 'onnxruntime:'], "--engine: got 'onnxruntime:'"),
    (['road.yaml', 'shift.yaml', '--data', 'camvid'], r'shift\.yaml: task: got optical_flow, but road does segment'),
    (['two.yaml', '--data', 'camvid'], "labels: two has 2 classes, expected CamVid test's 11"),
    (['road.yaml', '--data', 'camvid', '--fail-above', '1'], '--fail-above: not a limit for segmentation'),
    (['road.yaml', '--data', 'camvid', '--fail-under', 'nan'], '--fail-under: got nan, expected a share, 0..1.'),
    (['road.yaml', '--data', 'camvid', '--fail-under', '65'], '--fail-under: got 65, expected a share, 0..1.'),
    (['shift.yaml', '--data', 'pairs', '--fail-above', '-1'], '--fail-above: got -1, expected a length in px'),
    (['road.yaml', '--data', 'camvid', '--json', '/no/such/x'], '/no/such/x: /no/such is no folder that can be'),
    (['road.yaml', '--data', 'camvid', '--html', 'camvid'], 'camvid: got a folder, expected a file.'),
    (['shift.yaml', '--data', 'pairs', '--fail-under', '1'], '--fail-under: not a limit for optical_flow'),
    (['road.yaml', '--data', 'camvid', '--engine', 'onnx'], "engine: got 'onnx'"),
    (['road.yaml', '--data', 'camvid', '--precision', 'fp8'], "precision: got 'fp8'"),
    (['rod', '--data', 'camvid'], "no 'rod'"),
    (['road.yaml'], '--data: missing, expected a dataset'),
    (['road.yaml', '--data', 'one', '--corrupt'], '--corrupt: one, 1 images: has no truth'),
    (['road.yaml', '--video', 'two', '--corrupt'], '--corrupt: no --data: has no truth'),
    (['road.yaml', '--video', 'none'], 'none: no such file, folder or bag'),
    (['road.yaml', '--data', 'camvid', '--propagate', '3'], '--propagate 3: no --video'),
    (['road.yaml', '--video', 'two', '--propagate', '3', '1'], '--propagate: got 1, expected 2 or more'),
    (['road.yaml', '--video', 'one'], 'one: got 1 images, expected at least two'),
    (['road.yaml', '--video', 'road.onnx'], r'road\.onnx: no video that OpenCV can read'),
    (['shift.yaml', '--video', 'two'], '--video: shift does optical_flow, expected a model that gives labels'),
])
def test_what_cannot_be_scored_is_refused_in_one_line(
        arguments: list[str], message: str, road: Path, shift: Path, camvid: Path, pairs: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'two_labels').mkdir()
    (tmp_path / 'two_labels' / 'two.yaml').write_text(
        'classes: [{id: 0, name: a, color: [0, 0, 0]}, {id: 1, name: b, color: [1, 1, 1]}]')
    (tmp_path / 'two.yaml').write_text(ROAD_YAML.replace('camvid', 'two_labels/two.yaml'))
    camvid_labels = Path(__file__).parents[3] / 'config' / 'labels' / 'camvid.yaml'
    (tmp_path / 'two_labels' / 'renamed.yaml').write_text(camvid_labels.read_text().replace('road', 'street'))
    (tmp_path / 'renamed.yaml').write_text(ROAD_YAML.replace('camvid', 'two_labels/renamed.yaml'))
    (tmp_path / 'one').mkdir()
    cv2.imwrite(str(tmp_path / 'one' / 'a.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for name in ('a', 'b'):
        write_image(tmp_path / 'two' / f'{name}.png', np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert cli.main(['evaluate', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert error.startswith('trt_perception_tools evaluate: ConfigError: ')
    assert re.search(message, error), error


def test_truth_of_another_size_and_a_pair_of_two_sizes_are_refused(road: Path, shift: Path, camvid: Path, pairs: Path):
    cv2.imwrite(str(camvid / 'testannot' / 'b.png'), np.zeros((HEIGHT, 4), np.uint8))
    with pytest.raises(ConfigError, match=r'b\.png: got 8x4, expected the size of its image, 8x16'):
        score_of(road, camvid)
    cv2.imwrite(str(pairs / 'off' / 'frame11.png'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ConfigError, match=r'frame11\.png: got another size than .*frame10\.png'):
        score_of(shift, pairs)


@pytest.fixture(scope='session')
def exported(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip('torch')
    folder = tmp_path_factory.mktemp('exported')
    for name, weights in (('espnet_camvid', 'weights_espnet/espnet_p_2_q_8_camvid.pth'),
                          ('nanoflownet', 'weights_nanoflownet/nanoflownet.npz')):
        (folder / f'{name}.yaml').write_text(Path(load_model(name).path).read_text())
        assert cli.main(['export', name, '--weights', str(data / weights), '--output', f'{folder}/{name}.onnx']) == 0
    return folder


def test_espnet_reaches_its_accuracy_on_the_camvid_test_images(exported: Path, data: Path):
    [score] = score_of(exported / 'espnet_camvid.yaml', data / 'camvid')
    assert score.frames == 233
    assert score.total >= 0.565
    assert score.measures['pixel_accuracy'] >= 0.87
    assert score.parts['road'] >= 0.92


def test_nanoflownet_reaches_its_accuracy_on_middlebury(exported: Path, data: Path):
    [score] = score_of(exported / 'nanoflownet.yaml', data / 'flow_middlebury')
    assert list(score.parts) == ['Dimetrodon', 'Hydrangea', 'RubberWhale', 'Venus']
    assert score.parts['RubberWhale'] <= 0.55
    assert score.total <= 0.75

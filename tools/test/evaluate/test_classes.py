"""Truth and models of any label set: ids and names on paper, then through evaluate."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest
import yaml

from trt_perception.core.data import VOID
from trt_perception.core.errors import ConfigError
from trt_perception.core.model import Model, load_model
from trt_perception_tools import cli
from trt_perception_tools.evaluate.classes import read_classes


def model(folder: Path, *names: str) -> Model:
    """Return a model whose label is the grey level divided by 10, of these classes."""
    network = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 13]>
        net (uint8[1, 8, 8, 1] image) => (uint8[1, 8, 8] labels) {
        ten = Constant <value = float {10}> ()
        level = Cast <to = 1> (image)
        tenth = Div (level, ten)
        all = Cast <to = 2> (tenth)
        axis = Constant <value = int64[1] {3}> ()
        labels = Squeeze (all, axis)
    }""")
    onnx.save(network, folder / 'm.onnx')
    (folder / 'm_labels.yaml').write_text(yaml.safe_dump({'classes': [
        {'id': number, 'name': name, 'color': [number, 0, 0]} for number, name in enumerate(names)]}))
    (folder / 'm.yaml').write_text(yaml.safe_dump({
        'task': 'segmentation', 'description': 'd', 'license': 'l', 'files': {'onnx': {'fp32': 'm.onnx'}},
        'labels': 'm_labels.yaml', 'input': {'names': ['image'], 'color': 'gray'}, 'output': {'labels': 'labels'}}))
    return load_model(str(folder / 'm.yaml'))


def camvid(folder: Path, levels: np.ndarray, ids: np.ndarray) -> Path:
    """Write one image and its annotation in CamVid's layout."""
    data = folder / 'data'
    for name, array in (('test', levels), ('testannot', ids)):
        (data / name).mkdir(parents=True)
        cv2.imwrite(str(data / name / 'a.png'), array.astype(np.uint8))
    (data / 'test.txt').write_text('a\n')
    return data


def scores(path: str, data: Path, folder: Path, *arguments: str) -> dict:
    assert cli.main(['evaluate', path, '--data', str(data), '--json', str(folder / 's.json'), *arguments]) == 0
    [score] = json.loads((folder / 's.json').read_text())
    return score


HALVES = np.repeat([[0] * 4 + [1] * 4], 8, 0)
"""(8, 8): class 0 on the left, 1 on the right."""


def test_two_classes_of_ones_own_in_camvids_layout_are_scored(tmp_path: Path):
    levels = HALVES * 10
    levels[:2, :4] = 10  # A quarter of the left is taken for the right.
    ids = HALVES.copy()
    ids[7, 7] = 2  # Void.
    score = scores(model(tmp_path, 'ground', 'rest').path, camvid(tmp_path, levels, ids), tmp_path)
    assert score['parts'] == {'ground': pytest.approx(24 / 32), 'rest': pytest.approx(31 / 39)}


def test_a_mapping_joins_classes_of_truth_and_model(tmp_path: Path):
    # The model tells car (1) and truck (2) apart, the truth has vehicle (5); it has 9 besides, which does not count.
    levels = HALVES * 10
    levels[:4, 4:] = 20
    ids = np.where(HALVES == 1, 5, 3)
    ids[0] = 9
    (tmp_path / 'map.yaml').write_text('truth: {3: road, 5: vehicle}\nmodel: {car: vehicle, truck: vehicle}\n')
    path = model(tmp_path, 'road', 'car', 'truck').path
    data = camvid(tmp_path, levels, ids)
    score = scores(path, data, tmp_path, '--classes', str(tmp_path / 'map.yaml'), '--html', str(tmp_path / 'p.html'))
    assert score['parts'] == {'road': 1.0, 'vehicle': 1.0}


def test_camvids_truth_is_not_taken_for_another_label_set_of_its_size(tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]):
    path = model(tmp_path, *(f'c{number}' for number in range(11))).path
    assert cli.main(['evaluate', path, '--data', str(camvid(tmp_path, HALVES, HALVES))]) == 2
    assert 'Say which is which with --classes' in capsys.readouterr().err


def test_a_label_set_says_what_the_ids_are(tmp_path: Path):
    classes = read_classes('camvid')
    assert classes.names[:2] == ('sky', 'building')
    table = classes.truth_table()
    assert table[:11].tolist() == list(range(11))
    assert (table[11:] == VOID).all()
    own = model(tmp_path, 'ROAD', 'sky', 'lane')
    assert classes.model_table(own)[:4].tolist() == [classes.names.index('road'), 0, VOID, VOID]


@pytest.mark.parametrize(('text', 'message'), [
    ('truth: {0: road}\nmodel: {car: vehicle}', "model: got the scored class 'vehicle', expected one of truth"),
    ('truth: {300: road}', 'expected ids 0..255'), ('truth: []', 'truth: got'),
    ('truth: {0: road}\nlabels: 1', 'labels'),
    ('truth: {0: road}\nmodel: [1]', 'model: got'), ('truth: {0: road', 'not valid YAML')])
def test_a_mapping_that_is_none_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / 'map.yaml').write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_classes(str(tmp_path / 'map.yaml'))


def test_a_model_without_any_scored_class_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='expected some of the scored classes'):
        read_classes('camvid').model_table(model(tmp_path, 'nothing'))

from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import VOID, LabelClass, LabelSet, load_labels
from trt_perception_tools.import_model.model_card import (
    Interview,
    ask_normalisation,
    card_text,
    class_color,
    flow_scale,
    image_size,
    label_set,
    labels_text,
    numbers,
    read_label_set,
)


def normalisation(color: str, preset: str) -> tuple[list[float], list[float]]:
    values = ask_normalisation(Interview(terminal=False), color, preset, None, None)
    return list(values.mean), list(values.std)


def test_presets_follow_the_colour_order():
    assert normalisation('rgb', 'imagenet') == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert normalisation('bgr', 'imagenet') == ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395])
    assert normalisation('bgr', 'caffe') == ([103.939, 116.779, 123.68], [1, 1, 1])
    assert normalisation('rgb', 'unit') == ([0, 0, 0], [255, 255, 255])
    assert normalisation('gray', 'signed') == ([127.5], [127.5])
    assert normalisation('gray', 'none') == ([0], [1])


def test_presets_of_colours_are_not_for_grey_images():
    with pytest.raises(ConfigError, match=r"got 'imagenet', expected one of unit, signed, none"):
        normalisation('gray', 'imagenet')


def test_half_of_the_numbers_asks_for_the_other_half():
    with pytest.raises(ConfigError, match='^--std: missing'):
        ask_normalisation(Interview(terminal=False), 'rgb', None, ['1', '2', '3'], None)


def test_one_number_stands_for_all_channels():
    assert numbers(3)('127.5') == (127.5, 127.5, 127.5)
    assert numbers(3)('1, 2 -3e1') == (1, 2, -30)


@pytest.mark.parametrize('text', ['', '1 2', 'nan', 'a b c', '1 2 inf'])
def test_other_counts_and_values_are_refused(text: str):
    with pytest.raises(ValueError, match='^3 numbers$'):
        numbers(3)(text)


def test_sizes_and_scales_are_read_as_people_write_them():
    assert image_size('360 480') == image_size('360x480') == (360, 480)
    assert flow_scale('20') == 20
    assert flow_scale('1/4.554') == pytest.approx(0.219587, abs=1e-6)


@pytest.mark.parametrize('text', ['0', '1/0', '0/3', 'x', '', '1/2/3', 'inf'])
def test_a_scale_that_is_no_number_is_refused(text: str):
    with pytest.raises(ValueError, match='a number other than 0'):
        flow_scale(text)


def test_class_colours_are_those_of_pascal_voc_and_all_differ():
    assert [class_color(number) for number in range(5)] == [
        (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert class_color(19) == (0, 64, 128)
    colors = {class_color(number) for number in range(VOID)}
    assert len(colors) == VOID
    assert (0, 0, 0) not in colors


def test_a_label_set_is_written_as_it_is_read(tmp_path: Path):
    labels = LabelSet('own', (LabelClass(0, 'road: wet', (1, 2, 3)), LabelClass(9, 'Straße', (4, 5, 6)),
                              LabelClass(3, 'no', (0, 0, 255))))
    (tmp_path / 'own.yaml').write_text(labels_text(labels), encoding='utf-8')
    assert load_labels(str(tmp_path / 'own.yaml')) == labels


def test_class_names_come_from_the_lines_of_a_file(tmp_path: Path):
    (tmp_path / 'names').write_text('traffic light\n\n  sky \n')
    assert read_label_set(str(tmp_path / 'names'), 'own') == label_set(['traffic light', 'sky'], 'own')
    assert read_label_set('camvid', 'own').name == 'camvid'


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / 'names').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='one class name per line'):
        read_label_set(str(tmp_path / 'names'), 'own')


def test_the_card_is_yaml_with_its_source_above():
    card = {'task': 'segmentation', 'input': {'names': ['image'], 'mean': [1.5, 2.0]}, 'license': 'MIT: free'}
    text = card_text(card, 'net.onnx')
    assert text.startswith('# Written by trt_perception_tools import-model from net.onnx.\ntask: segmentation\n')
    assert yaml.safe_load(text) == card


# What people type: anything that can be printed. A name may look like a number, a date, a comment or YAML itself.
LINES = strategies.text(strategies.characters(categories=('L', 'M', 'N', 'P', 'S', 'Zs')), min_size=1, max_size=40).map(
    str.strip).filter(bool)


@given(strategies.lists(LINES | strategies.sampled_from(['no', '1e3', '~', '2026-11-27', '- a: b', '#', "'", '{']),
                        min_size=1, max_size=8, unique=True))
def test_a_label_set_is_read_as_it_was_written_whatever_its_names(tmp_path_factory: pytest.TempPathFactory,
                                                                  names: list[str]):
    labels = label_set(names, 'these')
    path = tmp_path_factory.mktemp('labels') / 'these.yaml'
    path.write_text(labels_text(labels), encoding='utf-8')
    assert load_labels(str(path)) == labels


@given(LINES, LINES, strategies.floats(allow_nan=False, allow_infinity=False))
def test_a_card_keeps_text_and_numbers(description: str, license: str, scale: float):
    fields = {'description': description, 'license': license, 'output': {'flow': 'flow', 'flow_scale': scale}}
    assert yaml.safe_load(card_text(fields, 'net.onnx')) == fields

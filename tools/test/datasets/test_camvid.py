from pathlib import Path

import numpy as np
import pytest
from random_images import write_image

from trt_perception.core.errors import ConfigError
from trt_perception_tools.datasets.camvid import labelled_images, read_annotation


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for number, name in enumerate(('b', 'a')):
        write_image(tmp_path / 'test' / f'{name}.png', np.full((4, 6, 3), number, np.uint8))
        write_image(tmp_path / 'testannot' / f'{name}.png', np.full((4, 6), number, np.uint8))
    (tmp_path / 'test.txt').write_text('b\n/SegNet/CamVid/test/a.png /SegNet/CamVid/testannot/a.png\n\n')
    return tmp_path


def test_images_come_in_the_order_of_the_list(camvid: Path):
    assert [(p.name, p.image.name, p.annotation.parent.name) for p in labelled_images(camvid, 'test')] == [
        ('b', 'b.png', 'testannot'), ('a', 'a.png', 'testannot')]


def test_a_missing_list_or_image_is_named(camvid: Path):
    with pytest.raises(ConfigError, match=r"val\.txt: no such file.*'val'"):
        labelled_images(camvid, 'val')
    (camvid / 'testannot' / 'a.png').unlink()
    with pytest.raises(ConfigError, match=r'test\.txt: a: no test/a\.\* with a testannot/a\.png'):
        labelled_images(camvid, 'test')
    (camvid / 'test.txt').write_text('\n')
    with pytest.raises(ConfigError, match='names no image'):
        labelled_images(camvid, 'test')


def test_void_annotation_becomes_255(tmp_path: Path):
    write_image(tmp_path / 'x.png', np.array([[0, 10, 11]], np.uint8))
    assert read_annotation(tmp_path / 'x.png').tolist() == [[0, 10, 255]]


def test_annotation_with_a_foreign_id_or_in_colour_is_refused(tmp_path: Path):
    write_image(tmp_path / 'x.png', np.array([[0, 12]], np.uint8))
    with pytest.raises(ConfigError, match=r'x\.png: got class id 12, expected 0\.\.10, or 11 for void'):
        read_annotation(tmp_path / 'x.png')
    write_image(tmp_path / 'x.png', np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ConfigError, match='one channel'):
        read_annotation(tmp_path / 'x.png')


@pytest.mark.parametrize('name', ['a b', 'a.b', 'ü', 'a.png.b'])
@pytest.mark.parametrize('line', ['{}', '{}.png\r\n', '\ufeff{}.png\n', 'SegNet/test/{}.png'])
def test_names_are_listed_as_people_write_them(tmp_path: Path, name: str, line: str):
    write_image(tmp_path / 'test' / f'{name}.png', np.zeros((4, 6, 3), np.uint8))
    write_image(tmp_path / 'testannot' / f'{name}.png', np.zeros((4, 6), np.uint8))
    (tmp_path / 'test.txt').write_text(line.format(name), encoding='utf-8')
    assert [(each.name, each.image.name) for each in labelled_images(tmp_path, 'test')] == [(name, f'{name}.png')]


@pytest.mark.parametrize('encoding', ['utf-16', 'latin-1'])
def test_a_list_that_is_no_utf_8_is_refused(camvid: Path, encoding: str):
    (camvid / 'test.txt').write_text('ä\n', encoding=encoding)
    with pytest.raises(ConfigError, match=r"test\.txt: got 'utf-8' codec.*Save it so"):
        labelled_images(camvid, 'test')

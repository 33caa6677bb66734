import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from random_images import random_image, write_image

from trt_perception.core.errors import ConfigError
from trt_perception_tools.datasets.images import read_ids, read_image


def test_a_file_that_is_no_image_is_refused(tmp_path: Path):
    (tmp_path / 'x.png').write_text('no image')
    with pytest.raises(ConfigError, match=r'x\.png: no image'):
        read_image(tmp_path / 'x.png')


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.webp', '.tiff'])
def test_an_image_is_read_as_opencv_reads_it(tmp_path: Path, suffix: str):
    image = random_image(1, size=(24, 32))
    for name, pixels in (('color', image), ('gray', image[..., 0])):
        path = write_image(tmp_path / f'{name} ü{suffix}', pixels) or tmp_path / f'{name} ü{suffix}'
        assert np.array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR))


@pytest.mark.parametrize(('suffix', 'cut'), [('.jpg', 400), ('.jpg', 900), ('.png', 10), ('.png', 900)])
def test_an_image_whose_pixels_are_cut_is_refused(tmp_path: Path, suffix: str, cut: int):
    path = tmp_path / f'x{suffix}'
    path.write_bytes(cv2.imencode(suffix, random_image(1, size=(48, 64)))[1].tobytes()[:-cut])
    for read in (read_image, lambda path: read_ids(path, 'class ids')):
        with pytest.raises(ConfigError, match=rf'x\{suffix}: (JPEG|PNG): got '):
            read(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'folder.png').mkdir()
    for name in ('pipe.png', 'folder.png'):
        for read in (read_image, lambda path: read_ids(path, 'class ids')):
            with pytest.raises(ConfigError, match=rf'{name}: not a regular file. Restore the file.'):
                read(tmp_path / name)


@pytest.mark.parametrize(('ids', 'got'), [
    (np.zeros((2, 3, 3), np.uint8), '3 channels of 8 bits'), (np.zeros((2, 3), np.uint16), '1 channels of 16 bits')])
def test_ids_in_colours_or_more_bits_are_refused_with_what_they_are(tmp_path: Path, ids: np.ndarray, got: str):
    cv2.imwrite(str(tmp_path / 'x.png'), ids)
    with pytest.raises(ConfigError, match=f'got {got}, expected an 8-bit image of one channel, the class ids'):
        read_ids(tmp_path / 'x.png', 'class ids')

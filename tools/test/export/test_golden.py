from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tensorrt_rig import flow_model, segmentation_model

from trt_perception.engines.tensorrt import golden
from trt_perception_tools import cli


def save(path: Path, seed: int) -> np.ndarray:
    """Write an image of random pixels and return it, BGR."""
    image = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return image


def test_a_image_and_its_labels_are_stored_beside_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = segmentation_model(tmp_path)
    image = save(tmp_path / 'a.png', 1)
    assert cli.main(['golden', model.path, str(tmp_path / 'a.png')]) == 0
    found = golden.read(str(tmp_path / 'tiny.golden.npz'))
    assert np.array_equal(found.images['image'], image[..., ::-1])
    assert np.array_equal(found.outputs['labels'][0], image[..., ::-1].argmax(axis=2))
    assert found.source == 'ONNX Runtime'
    assert capsys.readouterr().out.startswith(f'{tmp_path}/tiny.golden.npz: ')


def test_flow_takes_two_images(tmp_path: Path):
    model = flow_model(tmp_path)
    for seed, name in enumerate('ab'):
        save(tmp_path / f'{name}.png', seed)
    output = tmp_path / 'mine.npz'
    assert cli.main(['golden', model.path, str(tmp_path / 'a.png'), str(tmp_path / 'b.png'), '--output',
                     str(output)]) == 0
    found = golden.read(str(output))
    for channel, name in enumerate(('first', 'second')):
        assert np.array_equal(found.outputs['flow'][0, channel], found.images[name][..., 0])


@pytest.mark.parametrize(('images', 'text'), [
    (['a.png', 'a.png'], 'got 2 images, expected 1: image.'), (['none.png'], 'No such file or directory'),
    (['no_image.png'], 'expected a JPEG or PNG file')])
def test_what_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], images: list[str],
                                      text: str):
    model = segmentation_model(tmp_path)
    save(tmp_path / 'a.png', 1)
    (tmp_path / 'no_image.png').write_bytes(b'x')
    assert cli.main(['golden', model.path, *(str(tmp_path / name) for name in images)]) == 2
    assert text in capsys.readouterr().err

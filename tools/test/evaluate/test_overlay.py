from pathlib import Path

import cv2
import networks
import numpy as np
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import LabelClass, LabelSet
from trt_perception_tools import cli
from trt_perception_tools.evaluate import overlay


def write(path: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(path), image)
    return path


def test_the_labels_are_painted_over_the_image_with_their_meaning_below(tmp_path: Path,
                                                                        capsys: pytest.CaptureFixture[str]):
    model = networks.segmentation_model(tmp_path)
    image = write(tmp_path / 'a.png', np.full((60, 320, 3), 40, np.uint8))
    out = tmp_path / 'out.png'
    assert cli.main(['overlay', str(image), model.path, '-o', str(out), '--alpha', '1']) == 0
    drawn = cv2.imread(str(out))[..., ::-1]
    [line] = capsys.readouterr().out.splitlines()
    assert model.labels is not None
    name, share = line.split(': ')[2].split(';')[0].split(',')[0].rsplit(' ', 1)
    color = next(each.color for each in model.labels.classes if each.name == name)
    painted = (np.abs(drawn[:60].astype(int) - color) <= 1).all(-1).mean()
    assert f'{painted:.0%}' == share
    assert drawn.shape[0] > 60
    assert (np.abs(drawn[64:76, 4:14].astype(int) - color) <= 1).all() or len(line.split(', ')) > 1


def test_flow_takes_two_images_and_a_folder_gives_one_less(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = networks.flow_model(tmp_path)
    frames = tmp_path / 'frames'
    frames.mkdir()
    for number in range(3):
        write(frames / f'{number}.png', np.full((40, 60, 3), 50 * number, np.uint8))
    assert cli.main(['overlay', str(frames), model.path, '-o', str(tmp_path / 'out')]) == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['1.png', '2.png']
    assert 'median' in capsys.readouterr().out
    assert cli.main(['overlay', str(frames / '0.png'), model.path, '-o', str(tmp_path / 'out.png')]) == 2
    assert 'got 1 image, expected 2 successive ones' in capsys.readouterr().err
    assert cli.main(['overlay', str(frames), model.path, '-o', str(tmp_path / 'out.png')]) == 2
    assert 'got 2 results, expected a folder' in capsys.readouterr().err


def test_two_images_of_different_sizes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = networks.flow_model(tmp_path)
    first = write(tmp_path / 'a.png', np.zeros((40, 60, 3), np.uint8))
    second = write(tmp_path / 'b.png', np.zeros((40, 61, 3), np.uint8))
    assert cli.main(['overlay', str(first), str(second), model.path, '-o', str(tmp_path / 'o.png')]) == 2
    assert 'got images of 40x60 and 40x61, expected a pair of one size' in capsys.readouterr().err


def test_shares_name_classes_void_and_ids_without_a_class():
    labels = np.array([[0, 0, 1, 255], [0, 7, 1, 255]], np.uint8)
    classes = LabelSet('x', (LabelClass(0, 'road', (1, 2, 3)), LabelClass(1, 'sky', (4, 5, 6))))
    assert overlay.label_shares(labels, classes) == {'road': 3 / 8, 'sky': 1 / 4, 'id 7': 1 / 8, 'no class': 1 / 4}


def test_the_wheel_shows_right_as_red_and_left_as_cyan():
    legend = overlay.flow_legend(5.0, 200)
    middle = legend.shape[0] // 2
    right, left = legend[middle, legend.shape[0] - 6].astype(int), legend[middle, 5].astype(int)
    assert right[0] > 200 > 120 > right[2]
    assert left[0] < 120 < 150 < left[2]


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='got no image'):
        overlay.find_images([tmp_path], 1)
    with pytest.raises(ConfigError, match='no such file or folder'):
        overlay.find_images([tmp_path / 'none.png'], 1)


def test_results_never_replace_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = networks.segmentation_model(tmp_path)
    images = [str(write(tmp_path / name, np.zeros((6, 8, 3), np.uint8))) for name in ('a.png', 'a.jpg', 'b.png')]
    assert cli.main(['overlay', *images, model.path, '-o', str(tmp_path / 'out')]) == 2
    assert 'ConfigError: a: got 2 images of this name' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('longest', ['nan', '-1', 'inf'])
def test_a_length_that_cannot_be_is_refused(tmp_path: Path, longest: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(['overlay', 'a.png', 'b.png', 'dis_fast', '-o', str(tmp_path / 'o.png'), '--longest', longest]) == 2
    assert f'--longest: got {longest}, expected px' in capsys.readouterr().err

import sys
from pathlib import Path

import cv2
import networks
import numpy as np
import pytest

from trt_perception.core.model import model_names
from trt_perception_tools import cli


@pytest.mark.parametrize('verb', ['export', 'evaluate'])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, '--help'])
    assert stop.value.code == 0
    help_text = capsys.readouterr().out
    assert ', '.join(model_names()) in ' '.join(help_text.split())
    assert '--' + {'export': 'weights', 'evaluate': 'fail-under'}[verb] in help_text


def test_no_verb_lists_them_all(capsys: pytest.CaptureFixture[str]):
    assert cli.main([]) == 2
    listed = capsys.readouterr().out
    assert all(f'\n    {verb}' in listed and entry.help.split()[0] in listed for verb, entry in cli.VERBS.items())


def test_an_expected_error_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip('torch')
    assert cli.main(['export', 'espnet_camvid', '--weights', 'none.npz', '--output', 'x.onnx']) == 2
    assert capsys.readouterr().err == ('trt_perception_tools export: ConfigError: none.npz: no such file. '
                                       'Give the published weights with --weights.\n')


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name in [name for name in sys.modules if name.startswith('trt_perception_tools.')
                 and name != 'trt_perception_tools.cli']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert cli.main(['export', 'espnet_camvid', '--weights', 'w.npz', '--output', 'x.onnx']) == 2
    assert 'ConfigError: needs the Python package torch, which is not installed' in capsys.readouterr().err


def test_what_the_file_system_refuses_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = networks.segmentation_model(tmp_path).path
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((6, 8, 3), np.uint8))
    for output, reason in ((model, 'File exists'), (f'{model}/x', 'Not a directory')):
        assert cli.main(['overlay', str(tmp_path / 'a.png'), model, '-o', output]) == 2
        assert capsys.readouterr().err == (f'trt_perception_tools overlay: ConfigError: {output}: {reason}. Give a '
                                           'path that can be read, or written, with enough space.\n')


def test_a_full_disk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = networks.segmentation_model(tmp_path).path
    for name in ('test', 'testannot'):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / 'test' / 'a.png'), np.zeros((6, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'testannot' / 'a.png'), np.zeros((6, 8), np.uint8))
    (tmp_path / 'test.txt').write_text('a')
    assert cli.main(['evaluate', model, '--data', str(tmp_path), '--json', '/dev/full']) == 2
    assert 'ConfigError: output: No space left on device. Give a path' in capsys.readouterr().err

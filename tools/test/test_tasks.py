"""The table of tasks, and a third task that only this test knows: depth."""
import json
from pathlib import Path

import depth_task
import networks
import numpy as np
import pytest
from random_images import write_image

from trt_perception.core import tasks as runtime_tasks
from trt_perception.core.errors import ConfigError
from trt_perception_tools import cli, tasks


@pytest.fixture
def depth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make depth a task of the runtime and of the tools: one line in each table."""
    monkeypatch.setitem(runtime_tasks.TASKS, 'depth', depth_task.TASK)
    monkeypatch.setitem(tasks.TASKS, 'depth', tasks.ToolTask(scorer='depth_scorer:DepthScorer'))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give two images whose depth is half the sum of their levels, 90 m, and a truth that is 2 m and 12 m farther."""
    for name, farther in (('a', 2), ('b', 12)):
        write_image(tmp_path / 'data' / f'{name}.png', np.full((6, 8, 3), 60, np.uint8))
        np.save(tmp_path / 'data' / f'{name}.npy', np.full((6, 8), 90.0 + farther))
    return tmp_path / 'data'


def test_a_third_task_is_scored_by_its_own_file_and_one_line(depth: None, folder: Path, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]):
    model = depth_task.depth_model(tmp_path)
    arguments = ['evaluate', model.path, '--data', str(folder), '--json', str(tmp_path / 'scores.json')]
    assert cli.main([*arguments, '--html', str(tmp_path / 'page.html'), '--corrupt', 'dark']) == 0
    [score] = json.loads((tmp_path / 'scores.json').read_text())
    assert (score['task'], score['total'], score['parts']) == ('depth', 7.0, {'a': 2.0, 'b': 12.0})
    assert score['measures'] == {'within': 0.5}
    # At half the levels, the depth is 45 m: 47 m and 57 m off.
    assert score['robustness']['totals']['dark'][1] == 52.0
    assert score['robustness']['worst'][1] == pytest.approx(52 / 7)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['mean', 'error,', 'm', '7.00'] in lines
    assert ['within', '10', '%,', '%', '50.00'] in lines
    assert 'b: 12.00 m off the truth' in (tmp_path / 'page.html').read_text()
    assert cli.main([*arguments, '--fail-above', '6.9']) == 1
    assert cli.main([*arguments, '--fail-above', '7']) == 0


def test_the_data_of_another_task_are_refused_by_name(depth: None, folder: Path, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]):
    (tmp_path / 'labels').mkdir()
    assert cli.main(['evaluate', networks.segmentation_model(tmp_path / 'labels').path, '--data', str(folder)]) == 2
    assert 'data: holds depth maps, but the model does segmentation. Evaluate a model for depth' in \
        capsys.readouterr().err


@pytest.mark.parametrize(('find', 'known'), [
    (tasks.training_class, 'segmentation, optical_flow'), (tasks.exporter_of, 'segmentation, optical_flow'),
    (tasks.importer_of, 'segmentation, optical_flow'), (tasks.scorer_class, 'segmentation, optical_flow, depth')])
def test_what_the_tools_cannot_do_for_a_task_is_refused(depth: None, find, known: str):
    with pytest.raises(ConfigError, match=f"task: got 'height', expected one of {known}. Add its"):
        find('height')
    if 'depth' not in known:
        with pytest.raises(ConfigError, match="task: got 'depth', expected one of segmentation, optical_flow"):
            find('depth')


def test_every_class_of_the_table_exists():
    pytest.importorskip('torch')
    for name in tasks.TASKS:
        for find in (tasks.scorer_class, tasks.training_class, tasks.exporter_of, tasks.importer_of):
            assert find(name)
        assert tasks.importer_of(name).task == name


def test_the_tools_know_no_task_that_the_runtime_lacks():
    assert set(tasks.TASKS) <= set(runtime_tasks.TASKS)


def test_no_tool_tells_tasks_apart_by_name():
    package = Path(tasks.__file__).parent
    for path in package.rglob('*.py'):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if path.name in ('segmentation.py', 'optical_flow.py'):
                continue
            assert not ('if ' in line and ('SEGMENTATION' in line or 'OPTICAL_FLOW' in line)), f'{path}:{number}'
            assert '== SEGMENTATION' not in line, f'{path}:{number}'
            assert '== OPTICAL_FLOW' not in line, f'{path}:{number}'

"""The table of tasks: what is in it is enough for every place that has to do with tasks."""
import re
from pathlib import Path

import networks
import numpy as np
import pytest
from depth_task import DepthPipeline, HeldDepth, depth_model

import trt_perception
from trt_perception.core.carried_segmentation import CarriedSegmentation
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.pipeline import Pipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.settings import defaults, find_setting, settings_for
from trt_perception.core.tasks import TASKS, carrying_class, find_task, pipeline_class, publishers_class, tasks_of
from trt_perception.engines import open_engine


def code_of(source):
    """Return source without its comments and docstrings."""
    return re.sub(r'(?s)""".*?"""|#.*?$', '', source, flags=re.MULTILINE)


def refusal(call, *args):
    with pytest.raises(ConfigError) as caught:
        call(*args)
    return str(caught.value)


@pytest.mark.parametrize(('task', 'pipeline'), [('segmentation', SegmentationPipeline),
                                                ('optical_flow', OpticalFlowPipeline)])
def test_a_task_is_run_by_its_pipeline(task, pipeline):
    assert pipeline_class(task) is pipeline
    assert issubclass(pipeline, Pipeline)
    assert pipeline.task == task


def test_results_are_carried_where_the_settings_ask_for_it_and_the_task_can(depth):
    carrying = {name: [carrying_class(name, dict(defaults(), propagate=number)) for number in (1, 0, 3)]
                for name in ('segmentation', 'optical_flow', 'depth')}
    assert carrying == {'segmentation': [None, CarriedSegmentation, CarriedSegmentation],
                        'optical_flow': [None, None, None], 'depth': [None, HeldDepth, HeldDepth]}


def test_tasks_may_share_a_setting(depth):
    names = [setting.name for setting in settings_for()]
    assert names.count('propagate') == 1
    assert 'propagate' in [setting.name for setting in settings_for(['depth'])]


def test_each_task_has_a_parameter_for_its_model_and_topics_of_its_own():
    for name, task in TASKS.items():
        assert find_setting(name + '.model') in task.settings
        assert task.result_topic.startswith(name + '/')


def test_only_its_own_files_name_a_task():
    package = Path(trt_perception.__file__).parent
    names = re.compile(r"\b(SEGMENTATION|OPTICAL_FLOW)\b|'(segmentation|optical_flow)'")
    assert {path.relative_to(package).as_posix() for path in package.rglob('*.py')
            if names.search(code_of(path.read_text(encoding='utf-8')))} == {
                'core/tasks.py', 'core/segmentation.py', 'core/optical_flow.py', 'ros/segmentation_publishers.py',
                'ros/optical_flow_publishers.py'}


@pytest.mark.parametrize('call', [find_task, pipeline_class, publishers_class, lambda name: settings_for([name])])
def test_an_unknown_task_is_refused_with_the_known_ones(call):
    assert refusal(call, 'segmentaton') == (
        "task: got 'segmentaton', expected one of {}. Did you mean 'segmentation'?".format(', '.join(TASKS)))
    assert refusal(call, 'sound') == "task: got 'sound', expected one of {}.".format(', '.join(TASKS))


def test_a_model_of_an_unknown_task_is_refused(tmp_path):
    path = networks.write_model(tmp_path, dict(networks.segmentation_fields(), task='sound'))
    assert refusal(load_model, path) == (
        "{}: task: got 'sound', expected one of {}.".format(path, ', '.join(TASKS)))


def test_a_third_task_costs_its_own_files_and_a_line(depth, tmp_path):
    assert find_task('depth') is depth
    assert [setting.name for setting in settings_for(['depth'])][:2] == ['depth.model', 'depth.farthest']
    assert find_setting('depth.farthest').default == 100.0
    model = depth_model(tmp_path)
    assert (model.task, model.output.names, model.labels) == ('depth', {'depth': 'depth'}, None)
    pipeline = pipeline_class(model.task)(open_engine(model), model, {'output_size': 'camera'})
    assert isinstance(pipeline, DepthPipeline)
    image = np.zeros((12, 16, 3), np.uint8)
    image[:, 8:] = (30, 20, 10)
    depths = pipeline.process(frame_from_array(image)).depth
    assert depths.shape == (12, 16)
    assert depths[0, 0] == 0.0
    assert depths[11, 15] == 30.0
    pipeline.configure({'depth.farthest': 25.0})
    assert pipeline.process(frame_from_array(image)).depth[11, 15] == 25.0


@pytest.mark.parametrize(('change', 'text'), [
    ({'depth': 'depth', 'depth_scale': 0}, 'output: depth_scale: got 0, expected a finite number other than 0.'),
    ({}, 'output: depth: missing, expected the name of the depth output.'),
    ({'depth': 'depth', 'labels': 'x'}, "output: unknown field 'labels'. Known: depth, depth_scale.")])
def test_a_third_tasks_models_are_checked_like_others(depth, tmp_path, change, text):
    model = depth_model(tmp_path)
    fields = {'task': 'depth', 'description': 'x', 'license': 'none', 'files': model.files,
              'input': {'names': ['image'], 'color': 'rgb'}, 'output': change}
    path = networks.write_model(tmp_path, fields)
    assert refusal(load_model, path) == '{}: {}'.format(path, text)


def test_a_node_has_the_task_of_its_name_or_all():
    assert tasks_of('perception') == tuple(TASKS)
    assert [tasks_of(name) for name in TASKS] == [(name,) for name in TASKS]

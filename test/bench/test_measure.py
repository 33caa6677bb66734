import itertools

import numpy as np
import pytest
from networks import flow_model, segmentation_model

from trt_perception.bench.contender import Contender, engine_options, open_contender
from trt_perception.bench.frames import synthetic_images
from trt_perception.bench.measure import measure
from trt_perception.bench.request import Plan
from trt_perception.core.engine import Engine
from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.engines import open_engine

IMAGES = synthetic_images((24, 32), count=3)


def quiet(share, text):
    assert 0 <= share <= 1


class Noting(Contender):
    """Writes into a list shared with others who was called, with which image and stamp."""

    def __init__(self, name, calls, task=SEGMENTATION):
        super().__init__(name, task, {})
        self.calls = calls

    def process(self, image, stamp_ns):
        self.calls.append((self.name, [p is image for p in IMAGES].index(True), stamp_ns))
        return {'infer': float(len(self.calls)), 'read': 1.0}

    def result(self):
        return None


def test_contenders_take_turns_on_the_same_images():
    calls = []
    plan = Plan(iterations=5, warm_up=3, block=2)
    series = measure([Noting('a', calls), Noting('b', calls)], IMAGES, plan, quiet)
    turns = [(name, len(list(group))) for name, group in itertools.groupby(call[0] for call in calls)]
    # Warm-up, then turns of one frame that is not measured and up to two that are.
    assert turns == [('a', 3), ('b', 3), ('a', 3), ('b', 3), ('a', 3), ('b', 3), ('a', 2), ('b', 2)]
    stamps = [stamp for _, _, stamp in calls]
    assert sorted(set(stamps)) == stamps
    assert [each.total_ms.size for each in series] == [5, 5]
    assert list(series[0].stages_ms) == ['read', 'infer']
    assert series[0].stages_ms['infer'].tolist() == [8.0, 9.0, 14.0, 15.0, 20.0]
    assert series[1].stages_ms['infer'].tolist() == [11.0, 12.0, 17.0, 18.0, 22.0]


def test_each_contender_sees_the_images_one_after_the_other():
    calls = []
    measure([Noting('a', calls), Noting('b', calls)], IMAGES, Plan(iterations=5, warm_up=2, block=3), quiet)
    for name in 'ab':
        seen = [image for who, image, _ in calls if who == name]
        assert seen == [number % 3 for number in range(len(seen))]


def test_the_limit_ends_a_bench_after_a_whole_round():
    calls = []
    series = measure([Noting('a', calls), Noting('b', calls)], IMAGES,
                     Plan(iterations=1000, warm_up=0, block=4, limit_s=1e-9), quiet)
    assert [each.total_ms.size for each in series] == [4, 4]


@pytest.mark.parametrize(('plan', 'message'), [
    (Plan(iterations=0), '--iterations: got 0, expected at least 1'),
    (Plan(block=0), '--block: got 0'), (Plan(warm_up=-1), '--warm-up: got -1'),
    (Plan(limit_s=-1.0), '--limit: got -1'), (Plan(limit_s=float('nan')), '--limit: got nan')])
def test_a_plan_that_measures_nothing_is_refused(plan, message):
    with pytest.raises(ConfigError, match=message):
        measure([Noting('a', [])], IMAGES, plan, quiet)


def test_contenders_of_different_tasks_are_refused():
    with pytest.raises(ConfigError, match='got tasks optical_flow and segmentation: a, b. Expected models of one task'):
        measure([Noting('a', []), Noting('b', [], OPTICAL_FLOW)], IMAGES, Plan(), quiet)


def test_the_deployed_pipeline_is_what_is_measured(tmp_path):
    model = segmentation_model(tmp_path, (24, 32))
    contender = open_contender(model, 'onnxruntime', 1)
    try:
        series, = measure([contender], IMAGES, Plan(iterations=4, warm_up=0, block=2), quiet)
        assert set(series.stages_ms) == {'read', 'preprocess', 'infer', 'decode'}
        assert (sum(series.stages_ms.values()) <= series.total_ms).all()
        contender.process(IMAGES[1], 10**9)
        frame_labels = contender.result().copy()
    finally:
        contender.close()
    from trt_perception.bench.frames import read_image
    expected = SegmentationPipeline(open_engine(model), model).process(read_image(IMAGES[1], 1)).labels
    assert len(np.unique(expected)) == 3
    assert (frame_labels == expected).all()
    assert contender.facts['engine'] == 'onnxruntime'
    assert contender.facts['threads'] == '1'
    assert contender.facts['network'] == str(tmp_path / 'tiny.onnx')


def test_flow_has_a_result_from_the_second_image_on(tmp_path):
    contender = open_contender(flow_model(tmp_path, (24, 32)), 'onnxruntime', 1)
    contender.process(IMAGES[0], 1)
    assert contender.result() is None
    contender.process(IMAGES[1], 2)
    assert contender.result().shape == (24, 32, 2)
    series, = measure([contender], IMAGES, Plan(iterations=3, warm_up=0), quiet)
    assert 'infer' in series.stages_ms
    contender.close()


@pytest.mark.parametrize('optional', [True, False])
def test_the_confidence_can_be_left_out(tmp_path, monkeypatch, optional):
    asked = []
    real = Engine.infer
    monkeypatch.setattr(Engine, 'infer', lambda self, wanted=None: (asked.append(wanted), real(self, wanted))[1])
    contender = open_contender(segmentation_model(tmp_path, (24, 32)), 'onnxruntime', 1, optional)
    contender.process(IMAGES[0], 1)
    assert list(asked[-1]) == ['labels'] + ['confidence'] * optional
    contender.close()


def test_an_engine_that_tells_its_stages_is_believed(tmp_path, monkeypatch):
    real = Engine.infer

    def infer(self, wanted=None):
        self.stage_ms = {'upload': 0.25, 'preprocess': 0.5, 'infer': 3.0, 'download': 0.125}
        return real(self, wanted)
    monkeypatch.setattr(Engine, 'infer', infer)
    contender = open_contender(segmentation_model(tmp_path, (24, 32)), 'onnxruntime', 1)
    stages = contender.process(IMAGES[0], 1)
    assert {name: stages[name] for name in ('upload', 'preprocess', 'infer', 'download')} == {
        'upload': 0.25, 'preprocess': 0.5, 'infer': 3.0, 'download': 0.125}
    contender.close()


def test_engines_are_asked_for_as_name_and_precision():
    assert engine_options('onnxruntime:int8', 2)[:3] == ('onnxruntime', 'int8', 2)
    assert engine_options('auto', 0)[:3] == ('auto', '', 0)
    for text in (':fp32', 'auto:', ''):
        with pytest.raises(ConfigError, match='expected ENGINE or ENGINE:PRECISION'):
            engine_options(text, 0)


def test_an_unknown_engine_is_named(tmp_path):
    with pytest.raises(ConfigError, match="engine: got 'onnxrutime'.*Did you mean 'onnxruntime'"):
        open_contender(segmentation_model(tmp_path), 'onnxrutime')


def test_a_failing_contender_ends_the_bench(tmp_path, monkeypatch):
    contender = open_contender(segmentation_model(tmp_path, (24, 32)), 'onnxruntime', 1)

    def fail(wanted=None):
        raise EngineError('tiny.onnx: failed')
    monkeypatch.setattr(contender.engine, 'infer', fail)
    with pytest.raises(EngineError, match=r'tiny\.onnx: failed'):
        measure([contender], IMAGES, Plan(iterations=3), quiet)
    contender.close()

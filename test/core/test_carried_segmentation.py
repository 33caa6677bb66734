"""Real engines on a scene that moves by whole pixels: see moving_scene."""
import json
from collections import Counter

import networks
import numpy as np
import pytest
from moving_scene import SIZE, agreement, scene, truth

from trt_perception.core.carried_segmentation import CarriedSegmentation
from trt_perception.core.data import VOID
from trt_perception.core.errors import FrameError
from trt_perception.core.image import FrameDecoder, frame_from_array
from trt_perception.core.label_carrier import DOUBT_PER_IMAGE
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.timing import StageTimer
from trt_perception.engines import EngineOptions, open_engine

PERIOD_NS = 40000000


def frame(number, stamp=None, **changes):
    rgb = scene(number)
    return frame_from_array(rgb, (number if stamp is None else stamp) * PERIOD_NS, 'cam', 'rgb')._replace(**changes)


def flow_model(folder):
    folder.mkdir()
    (folder / 'tiny.json').write_text(json.dumps({'preset': 'medium', 'height': SIZE[0], 'width': SIZE[1]}))
    fields = networks.flow_fields()
    fields.update({'files': {'opencv': {'fp32': 'tiny.json'}}, 'output': {'flow': 'flow', 'confidence': 'confidence'}})
    return load_model(networks.write_model(folder, fields))


class Rig:
    """A pipeline that carries labels, and how often the engines behind it ran."""

    def __init__(self, folder, every=3, wants=lambda role: True, decoder=None, flow_decoder=None, **options):
        self.runs = Counter()
        model = networks.segmentation_model(folder, SIZE)
        self.flow_model = flow_model(folder / 'flow')
        engine = open_engine(model, decoder=decoder)
        flow_engine = open_engine(self.flow_model, EngineOptions('opencv'), flow_decoder)
        for name, each in (('network', engine), ('flow', flow_engine)):
            each.infer = self._counted(name, each.infer)
        self.pipeline = CarriedSegmentation(engine, model, dict({'propagate': every}, **options.pop('settings', {})),
                                            wants=wants, flow_engine=flow_engine, **options)

    def _counted(self, name, infer):
        def counted(*args):
            self.runs[name] += 1
            return infer(*args)
        return counted

    def process(self, *numbers):
        """Return copies of the results for images of the scene."""
        results = []
        for number in numbers:
            result = self.pipeline.process(frame(number))
            results.append(result._replace(labels=result.labels.copy()))
        return results


@pytest.mark.parametrize('every', [2, 3, 5])
def test_every_nth_image_is_segmented_and_labels_move_to_those_in_between(tmp_path, every):
    rig = Rig(tmp_path, every)
    results = rig.process(*range(11))
    for number, result in enumerate(results):
        if number % every == 0:
            np.testing.assert_array_equal(result.labels, truth(number))
        else:
            assert agreement(result.labels, number) > 0.97
            held = results[number - number % every].labels
            assert agreement(result.labels, number) > agreement(held, number) + 0.05
    segmented = len(range(0, 11, every))
    assert rig.pipeline.counts == {'segmented': segmented, 'carried': 11 - segmented}
    assert rig.runs == {'network': segmented, 'flow': 11 - segmented}


def test_every_image_is_segmented_at_1(tmp_path):
    rig = Rig(tmp_path, 1)
    for number, result in enumerate(rig.process(*range(4))):
        np.testing.assert_array_equal(result.labels, truth(number))
    assert rig.runs == {'network': 4}


def test_at_0_images_are_segmented_while_there_is_time(tmp_path):
    has_time, asked = [False], []
    rig = Rig(tmp_path, 0, has_time=lambda: asked.append(True) or has_time[0])
    rig.process(0, 1, 2)
    assert rig.runs['network'] == 1
    assert len(asked) == 2  # Not of the first image, which is segmented anyway.
    has_time[0] = True
    rig.process(3, 4)
    assert rig.runs['network'] == 3


def test_results_have_stamp_and_frame_id_of_the_image_that_the_labels_live_on(tmp_path):
    rig = Rig(tmp_path)
    for number in range(5):
        result = rig.pipeline.process(frame(number, frame_id='cam'))
        assert (result.stamp_ns, result.frame_id) == (number * PERIOD_NS, 'cam')


def test_labels_are_written_where_the_pipeline_was_told_to(tmp_path):
    memory = {}

    def allocate(role, shape, dtype):
        memory[role] = np.empty(shape, dtype)
        return memory[role]

    rig = Rig(tmp_path, allocate=allocate)
    for number in range(4):
        result = rig.pipeline.process(frame(number))
        assert result.labels is memory['labels']
        assert result.confidence is memory['confidence']
    assert memory['labels'].shape == SIZE


# When labels are not carried.

@pytest.mark.parametrize('second', [
    frame(1, stamp=100), frame(1, stamp=-1), frame(1, stamp=0), frame(1, frame_id='rear')],
    ids=['a gap', 'a stamp that goes back', 'the same stamp', 'another camera'])
def test_an_image_to_which_no_flow_leads_is_segmented(tmp_path, second):
    rig = Rig(tmp_path)
    rig.pipeline.process(frame(0))
    np.testing.assert_array_equal(rig.pipeline.process(second).labels, truth(1))
    assert rig.pipeline.counts == {'segmented': 2}
    assert agreement(rig.pipeline.process(second._replace(
        data=frame(2).data, stamp_ns=second.stamp_ns + PERIOD_NS)).labels, 2) > 0.97
    assert rig.pipeline.counts == {'segmented': 2, 'carried': 1}


def test_an_image_of_another_size_is_segmented(tmp_path):
    rig = Rig(tmp_path)
    rig.process(0, 1)
    small = frame_from_array(np.ascontiguousarray(scene(2)[:48, :64]), 2 * PERIOD_NS, 'cam', 'rgb')
    assert rig.pipeline.process(small).labels.shape == (48, 64)
    assert rig.pipeline.counts == {'segmented': 2, 'carried': 1}


def test_the_image_after_a_reset_is_segmented(tmp_path):
    rig = Rig(tmp_path, 10)
    rig.process(0, 1)
    rig.pipeline.reset()
    rig.process(2, 3)
    assert rig.pipeline.counts == {'segmented': 2, 'carried': 2}


class RefusesStamp(FrameDecoder):
    """A decoder that cannot read one frame."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def image(self, frame, color, size):
        if frame.stamp_ns == self.number * PERIOD_NS:
            raise FrameError('planted')
        return super().image(frame, color, size)


def test_labels_are_carried_over_an_image_that_cannot_be_decoded(tmp_path):
    rig = Rig(tmp_path, 10, flow_decoder=RefusesStamp(2))
    rig.process(0, 1)
    with pytest.raises(FrameError, match='planted'):
        rig.process(2)
    (result,) = rig.process(3)
    assert agreement(result.labels, 3) > 0.97
    assert rig.pipeline.counts == {'segmented': 1, 'carried': 2}


def test_labels_are_not_carried_past_an_image_that_could_not_be_segmented(tmp_path):
    rig = Rig(tmp_path, 10, decoder=RefusesStamp(100))
    rig.process(0, 1)
    with pytest.raises(FrameError, match='planted'):
        rig.pipeline.process(frame(2, stamp=100))  # After a gap: to be segmented.
    np.testing.assert_array_equal(rig.pipeline.process(frame(3, stamp=101)).labels, truth(3))
    assert rig.pipeline.counts == {'segmented': 2, 'carried': 1}


# Confidence.

def test_confidence_falls_with_age_and_min_confidence_is_that_of_the_carried_label(tmp_path):
    rig = Rig(tmp_path, 10, settings={'segmentation.min_confidence': 0.7})
    first = rig.pipeline.process(frame(0))
    known = first.labels != VOID
    assert 0.3 < known.mean() < 1
    for age in range(1, 4):
        result = rig.pipeline.process(frame(0, stamp=age))
        most = scene(0).max(axis=2).astype(int) - DOUBT_PER_IMAGE * age
        assert (result.confidence <= np.maximum(most, 0)).all()
        np.testing.assert_array_equal(result.labels[result.confidence < 0.7 * 255], VOID)
        assert (result.labels != VOID).mean() < known.mean()
        known = result.labels != VOID


@pytest.mark.parametrize('wanted', [False, True])
def test_the_confidence_of_its_own_flow_is_never_computed(tmp_path, wanted):
    asked = []
    rig = Rig(tmp_path, wants=lambda role: wanted)
    infer = rig.pipeline._own_flow._engine.infer
    rig.pipeline._own_flow._engine.infer = lambda names: asked.append(list(names)) or infer(names)
    for number in range(3):
        assert (rig.pipeline.process(frame(number)).confidence is not None) == wanted
    assert asked == [['flow'], ['flow']]


def test_a_confidence_wanted_meanwhile_comes_with_the_next_segmented_image(tmp_path):
    wanted = []
    rig = Rig(tmp_path, wants=lambda role: bool(wanted))
    rig.process(0)
    wanted.append(True)
    assert [result.confidence is None for result in rig.process(1, 2, 3, 4)] == [True, True, False, False]


# Flow that is computed anyway.

def test_flow_that_is_there_anyway_is_used(tmp_path):
    other = OpticalFlowPipeline(open_engine(flow_model(tmp_path / 'other'), EngineOptions('opencv')),
                                flow_model(tmp_path / 'again'))
    shared = []
    rig = Rig(tmp_path, 4, shared_flow=lambda: shared.pop() if shared else None)
    rig.process(0, 1)
    assert rig.runs['flow'] == 1
    results = []
    for number in (2, 3, 4):
        shared.append(lambda number=number: other.process(frame(number)))
        results += rig.process(number)
    # The first image that it sees has no flow: it is segmented.
    assert rig.pipeline.counts == {'segmented': 2, 'carried': 3}
    assert rig.runs['flow'] == 1
    assert agreement(results[2].labels, 4) > 0.97
    rig.process(5, 6)
    assert rig.pipeline.counts == {'segmented': 3, 'carried': 4}
    assert rig.runs['flow'] == 2


def test_labels_go_along_flow_that_min_confidence_makes_invalid(tmp_path):
    model = flow_model(tmp_path / 'other')
    other = OpticalFlowPipeline(open_engine(model, EngineOptions('opencv')), model)
    shared = {}
    rig = Rig(tmp_path, 4, shared_flow=lambda: lambda: shared['flow'])
    carried = []
    for least in (0.0, 1.0):
        other.configure({'optical_flow.min_confidence': least})
        for number in range(4):
            shared['flow'] = other.process(frame(number))
            result, = rig.process(number)
        carried.append(result.labels)
        assert (np.isnan(shared['flow'].flow).mean() > 0.2) == bool(least)
        other.reset()
    assert rig.pipeline.counts == {'segmented': 2, 'carried': 6}
    np.testing.assert_array_equal(*carried)
    assert agreement(carried[1], 3) > 0.97


def test_the_stages_are_timed(tmp_path):
    timer = StageTimer()
    Rig(tmp_path, timer=timer).process(0, 1, 2)
    samples = {name: stage.samples for name, stage in timer.summary().items()}
    assert samples['segmentation infer'] == 1
    assert samples['segmentation carry'] == 2
    assert samples['segmentation flow'] == 3

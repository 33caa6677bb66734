import json

import cv2
import networks
import numpy as np
import pytest

from trt_perception.core.errors import EngineError
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions
from trt_perception.engines.opencv_engine import OpenCvEngine

SIZE = (48, 64)


def model(folder, settings=None, **changes):
    """Write a model of the back-end and return it.

    Args:
        settings: content of its file, as text or to become JSON.
        changes: of the YAML's fields.
    """
    if settings is None:
        settings = {'preset': 'fast', 'height': SIZE[0], 'width': SIZE[1]}
    (folder / 'tiny.json').write_text(settings if isinstance(settings, str) else json.dumps(settings))
    fields = networks.flow_fields()
    fields.update({'files': {'opencv': {'fp32': 'tiny.json'}}, 'output': {'flow': 'flow', 'confidence': 'confidence'}})
    fields.update(changes)
    return load_model(networks.write_model(folder, fields))


def opened(folder, *args, **changes):
    return OpenCvEngine(model(folder, *args, **changes), 'fp32', EngineOptions('opencv'), None)


def scene(shift=0, seed=0):
    """Return (H, W) uint8 texture that has moved to the right by whole pixels."""
    noise = np.random.RandomState(seed).randint(0, 256, (SIZE[0] // 4, SIZE[1] // 4 + 8)).astype(np.uint8)
    wide = cv2.resize(noise, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, 16 - shift:16 - shift + SIZE[1]])


def put(engine, first, second):
    engine.put_image('first', frame_from_array(first, color='gray'))
    engine.put_image('second', frame_from_array(second, color='gray'))


@pytest.mark.parametrize('preset', ['ultrafast', 'fast', 'medium'])
def test_the_flow_points_from_first_to_second(tmp_path, preset):
    engine = opened(tmp_path, {'preset': preset, 'height': SIZE[0], 'width': SIZE[1]})
    assert engine.input_size == SIZE
    put(engine, scene(), scene(3))
    flow = engine.infer()['flow'][0]
    np.testing.assert_allclose(np.median(flow[..., 0]), 3, atol=0.2)
    np.testing.assert_allclose(np.median(flow[..., 1]), 0, atol=0.2)


def test_the_flow_is_opencvs_own_whatever_came_before(tmp_path):
    engine = opened(tmp_path)
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    for seed, shift in enumerate((5, -4, 0, 2)):
        put(engine, scene(0, seed), scene(shift, seed))
        expected = method.calc(scene(0, seed), scene(shift, seed), np.zeros(SIZE + (2,), np.float32))
        np.testing.assert_allclose(engine.infer(['flow'])['flow'][0], expected, atol=1e-5)


def test_what_is_in_one_image_only_is_uncertain(tmp_path):
    engine = opened(tmp_path)
    first, second = scene(), scene(3)
    second[12:36, 20:44] = scene(seed=9)[12:36, 20:44]  # Nothing of this is in the first image.
    put(engine, first, second)
    outputs = engine.infer()
    confidence = outputs['confidence'][0]
    right = np.abs(outputs['flow'][0] - (3, 0)).max(axis=2) < 0.2
    assert np.median(confidence[right]) > np.median(confidence[16:32, 22:38]) + 60
    assert (confidence[:, -2:] == 0).all()  # These pixels left the image.


def test_a_motion_that_is_the_same_everywhere_is_certain(tmp_path):
    engine = opened(tmp_path)
    put(engine, scene(), scene(2))
    assert np.median(engine.infer()['confidence']) > 200


def test_swapped_images_give_the_flow_of_the_other_direction_in_the_same_memory(tmp_path):
    engine = opened(tmp_path)
    put(engine, scene(), scene(3))
    flow = engine.infer(['flow'])['flow']
    np.testing.assert_allclose(np.median(flow[..., 0]), 3, atol=0.2)
    engine.swap('first', 'second')
    assert engine.infer(['flow'])['flow'] is flow
    np.testing.assert_allclose(np.median(flow[..., 0]), -3, atol=0.2)
    engine.put_image('second', frame_from_array(scene(), color='gray'))
    engine.put_image('first', frame_from_array(scene(-2), color='gray'))
    np.testing.assert_allclose(np.median(engine.infer(['flow'])['flow'][..., 0]), 2, atol=0.2)


def test_the_confidence_is_computed_only_when_wanted(tmp_path, monkeypatch):
    engine = opened(tmp_path)
    put(engine, scene(), scene(3))
    calls = []
    find = engine._find
    monkeypatch.setattr(engine, '_find', lambda *args: (calls.append(1), find(*args)))
    for wanted, expected in ((['flow'], 1), (['flow', 'confidence'], 2), (None, 2)):
        del calls[:]
        engine.infer(wanted)
        assert len(calls) == expected


def test_a_model_without_confidence_gets_none(tmp_path):
    engine = opened(tmp_path, output={'flow': 'flow'})
    assert [spec.name for spec in engine.outputs] == ['flow']
    assert set(engine.infer()) == {'flow'}


def test_number_of_threads_is_opencvs(tmp_path):
    before = cv2.getNumThreads()
    try:
        OpenCvEngine(model(tmp_path), 'fp32', EngineOptions('opencv', num_threads=1), None)
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


def test_the_finest_scale_of_the_preset_can_be_replaced(tmp_path):
    settings = {'preset': 'ultrafast', 'height': SIZE[0], 'width': SIZE[1]}
    assert opened(tmp_path, settings)._method.getFinestScale() == 2
    assert opened(tmp_path, dict(settings, finest_scale=0))._method.getFinestScale() == 0


def test_blur_averages_both_images_before_they_are_compared(tmp_path):
    rng = np.random.default_rng(3)
    images = [np.clip(scene(shift) + rng.normal(0, 20, SIZE), 0, 255).astype(np.uint8) for shift in (0, 3)]
    settings = {'preset': 'fast', 'height': SIZE[0], 'width': SIZE[1]}
    engine = opened(tmp_path, dict(settings, blur=3))
    put(engine, *images)
    flow = engine.infer(['flow'])['flow'].copy()
    plain = opened(tmp_path, settings)
    put(plain, *(cv2.blur(image, (3, 3)) for image in images))
    np.testing.assert_array_equal(flow, plain.infer(['flow'])['flow'])
    put(plain, *images)
    assert np.abs(flow - plain.infer(['flow'])['flow']).max() > 0.1


@pytest.mark.parametrize(('settings', 'text'), [
    ('{', 'not valid JSON: '),
    ('[1]', r'got \[1\], expected JSON such as \{"preset": "fast", "height": 480, "width": 640\}\.'),
    ({'preset': 'fast', 'height': 48}, '.*expected JSON such as'),
    ({'preset': 'slow', 'height': 48, 'width': 64}, "preset: got 'slow', expected one of ultrafast, fast, medium"),
    ({'preset': 'fast', 'height': 8, 'width': 64}, 'height: got 8, expected an integer from 16 to 16384'),
    ({'preset': 'fast', 'height': 48, 'width': 64.0}, r'width: got 64\.0, expected an integer'),
    ({'preset': 'fast', 'height': 48, 'width': 64, 'size': 1}, '.*expected JSON such as'),
    ({'preset': 'fast', 'height': 48, 'width': 64, 'finest_scale': 5}, 'finest_scale: got 5, expected .* 0 to 4'),
    ({'preset': 'fast', 'height': 48, 'width': 64, 'blur': 0}, 'blur: got 0, expected an integer from 1 to 31'),
    ({'preset': 'fast', 'height': 48, 'width': 64, 'finest_scale': True}, 'finest_scale: got True, expected .* 0 to 4'),
])
def test_wrong_settings_are_named(tmp_path, settings, text):
    with pytest.raises(EngineError, match=r'tiny\.json: ' + text):
        opened(tmp_path, settings)


def test_an_opencv_without_dis_is_named(tmp_path, monkeypatch):
    monkeypatch.delattr(cv2, 'DISOpticalFlow_create')
    with pytest.raises(EngineError, match='has no DIS optical flow, which came with 4.0. Install a newer OpenCV'):
        opened(tmp_path)


def test_a_segmentation_model_is_refused(tmp_path):
    fields = dict(networks.segmentation_fields(), files={'opencv': {'fp32': 'tiny.json'}})
    (tmp_path / 'tiny.json').write_text('{}')
    with pytest.raises(EngineError, match='task: got segmentation, expected optical_flow: OpenCV computes flow only'):
        OpenCvEngine(load_model(networks.write_model(tmp_path, fields)), 'fp32', EngineOptions('opencv'), None)

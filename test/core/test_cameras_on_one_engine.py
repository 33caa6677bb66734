"""Pipelines of several cameras on one engine: each gives what it would give on an engine of its own."""
import json

import networks
import numpy as np
import pytest

from trt_perception.core.carried_segmentation import CarriedSegmentation
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import EngineOptions, open_engine

SIZES = {0: (48, 64), 1: (31, 53), 2: (48, 64)}
TURNS = [0, 1, 2, 2, 0, 1, 1, 0, 2, 0, 0, 1, 2, 1, 2, 0]


def frame(camera, number):
    """Return an image of a camera's scene, which moves by some pixels from image to image."""
    squares = np.random.RandomState(camera).randint(0, 256, (20, 20, 3)).astype(np.uint8)
    scene = np.repeat(np.repeat(squares, 8, axis=0), 8, axis=1)
    height, width = SIZES[camera]
    step = number * (camera + 1)
    return frame_from_array(np.ascontiguousarray(scene[step:step + height, step:step + width]), number * 10**7, 'cam')


def segmentation(folder):
    """Return a model, the class of its pipelines, and a function that opens what they run on."""
    model = networks.segmentation_model(folder)
    return model, SegmentationPipeline, lambda: (open_engine(model), {})


def optical_flow(folder):
    model = networks.flow_model(folder)
    return model, OpticalFlowPipeline, lambda: (open_engine(model), {})


def carried(folder):
    model = networks.segmentation_model(folder, (48, 64))
    (folder / 'flow').mkdir()
    (folder / 'flow' / 'tiny.json').write_text(json.dumps({'preset': 'fast', 'height': 48, 'width': 64}))
    flow_model = load_model(networks.write_model(folder / 'flow', dict(
        networks.flow_fields(), files={'opencv': {'fp32': 'tiny.json'}})))
    return model, CarriedSegmentation, lambda: (open_engine(model), {
        'flow_engine': open_engine(flow_model, EngineOptions('opencv'))})


@pytest.mark.parametrize('case', [segmentation, optical_flow, carried])
def test_results_are_those_of_an_engine_for_each_camera(tmp_path, case):
    model, pipeline, engines = case(tmp_path)
    settings = {'propagate': 3, 'max_pair_gap': 0.0}
    engine, options = engines()
    together = {camera: pipeline(engine, model, settings, camera=camera, **options) for camera in SIZES}
    alone = {}
    for camera in SIZES:
        engine, options = engines()
        alone[camera] = pipeline(engine, model, settings, **options)
    seen = 0
    for number, camera in enumerate(TURNS):
        result, expected = (each[camera].process(frame(camera, number)) for each in (together, alone))
        assert (result is None) == (expected is None)
        if result is not None:
            np.testing.assert_array_equal(result[0], expected[0])
            assert len(np.unique(expected[0])) > 2
            assert result[2:4] == expected[2:4]
            seen += 1
    assert seen >= len(TURNS) - len(SIZES)

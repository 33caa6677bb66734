"""What is shipped under config/ and models/: it loads, it fits together, and the networks do what their YAML says."""
import hashlib
import os
import re
from glob import glob
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from trt_perception.core.data import VOID
from trt_perception.core.image import frame_from_array, make_frame
from trt_perception.core.model import ONNX, PRECISIONS, load_labels, load_model, model_names
from trt_perception.core.optical_flow import CURRENT, PREVIOUS, OpticalFlowPipeline
from trt_perception.core.pipeline import NETWORK
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.settings import defaults, find_setting
from trt_perception.core.share import share_path
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.engines import BACKENDS, EngineOptions, backends, default_model, open_engine
from trt_perception.engines.tensorrt import golden

NOT_SHIPPED = ('espnet_camvid', 'nanoflownet')
MODELS = {task: [name for name in model_names() if load_model(name).task == task]
          for task in (SEGMENTATION, OPTICAL_FLOW)}
CPU = EngineOptions('onnxruntime')


def names_in(kind):
    return sorted(os.path.splitext(os.path.basename(path))[0] for path in glob(share_path('config', kind, '*.yaml')))


def parameters_of(name):
    """Return the parameters of a ROS parameter file for all nodes, nested names joined by dots."""
    with open(share_path('config', name)) as file:
        content = yaml.safe_load(file)
    assert list(content) == ['/**']
    assert list(content['/**']) == ['ros__parameters']
    flat = {}
    for key, value in content['/**']['ros__parameters'].items():
        flat.update({'{}.{}'.format(key, k): v for k, v in value.items()} if isinstance(value, dict) else {key: value})
    return flat


# Models and labels.

@pytest.mark.parametrize('name', names_in('models'))
def test_every_model_loads_with_its_files(name):
    model = load_model(name)
    assert model.name == name
    assert model.description
    assert model.license
    assert model.files
    for backend, by_precision in model.files.items():
        assert backend in list(BACKENDS) + [ONNX], 'a back-end nobody has would never be noticed'
        assert by_precision
        for precision in by_precision:
            assert precision in PRECISIONS
            if name not in NOT_SHIPPED:
                assert os.path.getsize(model.network_file(backend, precision)) > (20 if backend == 'opencv' else 1000)


@pytest.mark.parametrize('name', names_in('labels'))
def test_every_label_set_loads_and_its_names_and_colours_are_distinct(name):
    classes = load_labels(name).classes
    assert len({each.name for each in classes}) == len({each.color for each in classes}) == len(classes)


def test_both_tasks_have_a_model_and_the_defaults_are_among_them():
    assert defaults()['segmentation.model'] in MODELS[SEGMENTATION]
    assert set(TASKS[OPTICAL_FLOW].default_models) <= set(MODELS[OPTICAL_FLOW])


def test_without_a_gpu_the_default_flow_is_opencvs_and_with_one_a_networks(monkeypatch):
    for usable, expected in ((['opencv', 'onnxruntime'], 'dis_medium'), (['tensorrt', 'opencv'], 'tinypwc')):
        monkeypatch.setattr(backends, 'available_backends', lambda names=usable: names)
        assert default_model(OPTICAL_FLOW).name == expected
    assert default_model(OPTICAL_FLOW, 'onnxruntime').name == 'tinypwc'
    assert default_model(OPTICAL_FLOW, 'opencv').name == 'dis_medium'


def test_every_shipped_network_belongs_to_a_model():
    used = {os.path.basename(file) for name in model_names() for files in load_model(name).files.values()
            for file in files.values()}
    there = {os.path.basename(path) for kind in ('*.onnx', '*.json') for path in glob(share_path('models', kind))}
    assert {file for file in used if file.partition('.')[0] not in NOT_SHIPPED} <= there <= used


@pytest.mark.parametrize('card', [os.path.basename(path) for path in glob(share_path('models', '*.md'))])
def test_a_model_card_tells_the_digests_of_its_files(card):
    with open(share_path('models', card), encoding='utf-8') as file:
        told = dict(re.findall('`([^`]+)`[^`]*, sha256 `([0-9a-f]{64})`', file.read()))
    files = [path for path in glob(share_path('models', card[:-2] + '*')) if not path.endswith('.md')]
    assert {os.path.basename(path) for path in files} <= set(told)
    for path in files:
        with open(path, 'rb') as file:
            assert hashlib.sha256(file.read()).hexdigest() == told[os.path.basename(path)], path


# Networks.

def opened(model):
    """Return the engine of a model of ours; third-party ones are skipped where they were not exported."""
    if model.name in NOT_SHIPPED and not os.path.isfile(share_path('models', model.name + '.onnx')):
        pytest.skip('models/{}.onnx is not there: `make models` makes it from published weights'.format(model.name))
    return open_engine(model, EngineOptions('opencv') if 'opencv' in model.files else CPU)


@pytest.mark.parametrize('name', MODELS[SEGMENTATION])
def test_a_segmentation_network_gives_labels_of_its_set(name):
    model = load_model(name)
    pipeline = SegmentationPipeline(opened(model), model, {'output_size': NETWORK})
    height, width = pipeline.process(frame_from_array(np.zeros((48, 64, 3), np.uint8))).labels.shape
    ids = {each.id for each in model.labels.classes} | {VOID}
    random = np.random.RandomState(0)
    texture = np.kron(random.randint(0, 256, (height // 24, width // 24, 3)), np.ones((24, 24, 1))).astype(np.uint8)
    result = pipeline.process(frame_from_array(texture, 5, 'cam'))
    assert set(np.unique(result.labels)) <= ids
    assert len(np.unique(result.labels)) > 1
    assert result.confidence is None or len(np.unique(result.confidence)) > 1


def test_the_default_segmentation_network_labels_the_golden_frame_as_when_it_was_shipped():
    # It does so only with the right colour order and normalisation.
    model = load_model(defaults()['segmentation.model'])
    stored = golden.read(golden.golden_path(model.network_file('tensorrt', 'fp32')))
    [image], expected = stored.images.values(), stored.outputs['labels'][0]
    pipeline = SegmentationPipeline(open_engine(model, EngineOptions('onnxruntime', 'fp32', 1)), model)
    labels, swapped = (pipeline.process(frame_from_array(each, color='rgb')).labels.copy()
                       for each in (image, np.ascontiguousarray(image[..., ::-1])))
    assert (labels == expected).mean() > 0.999
    assert (swapped == expected).mean() < 0.99
    assert len(np.unique(expected)) > 4


@pytest.fixture(scope='module')
def texture():
    """Return (500, 700) uint8, smooth noise of several scales."""
    random = np.random.RandomState(0)
    total = np.zeros((500, 700))
    for cell in (10, 20, 50):
        noise = np.kron(random.rand(500 // cell, 700 // cell), np.ones((cell, cell)))
        for axis in (0, 1):  # A box of the cell's size twice: a tent, without corners.
            for _ in range(2):
                total_of = np.cumsum(noise, axis)
                noise = (np.roll(total_of, -(cell // 2), axis) - np.roll(total_of, cell - cell // 2, axis)) / cell
        total += np.clip(noise, 0, 1)
    return (total / total.max() * 255).astype(np.uint8)


@pytest.mark.parametrize('motion', [(8, 0), (-8, 0), (0, 6), (0, -6)])
@pytest.mark.parametrize('grid', [CURRENT, PREVIOUS])
@pytest.mark.parametrize('name', MODELS[OPTICAL_FLOW])
def test_an_optical_flow_network_sees_which_way_a_image_moves(texture, name, grid, motion):
    u, v = motion
    model = load_model(name)
    pipeline = OpticalFlowPipeline(opened(model), model, {'flow_grid': grid})
    height, width = 384, 512
    for stamp, (x, y) in ((1, (0, 0)), (2, (u, v))):  # The content moves by (u, v): the window by the opposite.
        window = texture[50 - y:50 - y + height, 70 - x:70 - x + width]
        result = pipeline.process(make_frame(window.reshape(-1), height, width, width, 'mono8', stamp, 'cam'))
    assert result.flow.shape == (height, width, 2)
    assert np.median(result.flow, axis=(0, 1)) == pytest.approx([u, v], abs=1.5)


# Parameter files and the transport profile.

def test_the_parameter_file_holds_every_parameter_at_its_default():
    parameters = parameters_of('perception.yaml')
    assert parameters == defaults()
    for name, value in parameters.items():
        assert type(value) is type(defaults()[name]), name
    assert parameters_of('planner.yaml') == {setting.name: setting.default for setting in PLANNER_SETTINGS}


@pytest.mark.parametrize('name', [os.path.basename(path) for path in glob(share_path('config', '*.yaml'))
                                  if not path.endswith(('aggregator.yaml', 'budget.yaml'))])  # Not for the node.
def test_every_parameter_file_has_only_known_parameters_with_allowed_values(name):
    parameters, planner = parameters_of(name), {setting.name: setting for setting in PLANNER_SETTINGS}
    assert parameters
    for key, value in parameters.items():
        (planner.get(key) if name == 'planner.yaml' else find_setting(key)).check(value)


@pytest.mark.parametrize('path', sorted(glob(share_path('config', '*.xml'))))
def test_the_transport_profile_has_room_for_images_and_keeps_the_network(path):
    with open(path) as file:
        root = ElementTree.fromstring(re.sub(' xmlns="[^"]*"', '', file.read(), count=1).partition('?>')[2])

    def texts(path):
        return [element.text for element in root.findall(path)]

    assert texts('.//type') == ['SHM', 'UDPv4']
    assert [int(text) for text in texts('.//segment_size')] >= [32 * 2**20]
    assert texts('.//useBuiltinTransports') == ['false']
    assert texts('.//transport_descriptor/transport_id') == texts('.//userTransports/transport_id')
    assert [profile.get('is_default_profile') for profile in root.findall('participant')] == ['true']

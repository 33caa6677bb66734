import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import networks
import numpy as np
import onnx
import pytest
from onnx import helper
from tensorrt_double import REAL_BUILDER, VERSIONS
from tensorrt_real_builder import needs_real_builder
from tensorrt_rig import children_of, flow_model, segmentation_model

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.engines import EngineOptions, open_engine, prepare_engine
from trt_perception.engines.tensorrt import cache, child_process, golden

REAL = pytest.param(REAL_BUILDER, marks=needs_real_builder)
WEAKLY_TYPED = ['8.2', '8.6', '10.0', '10.16']
GENERATIONS = [*WEAKLY_TYPED, REAL]


def with_files(model, **files):
    """Return the model with other files for TensorRT, also in its YAML."""
    with open(model.path) as file:
        text = file.read()
    fields = {'tensorrt': files}
    text = re.sub(r'(?ms)^files:.*?^(?=\w)', networks.yaml.safe_dump({'files': fields}), text)
    with open(model.path, 'w') as file:
        file.write(text)
    return model._replace(files=fields)


def copy_of(folder, source, target):
    """Copy a network under another name and change one byte that means nothing."""
    model = onnx.load(str(folder / source))
    model.producer_name = target
    onnx.save(model, str(folder / target))


def facts_of(built):
    with open(os.path.splitext(built.path)[0] + '.json') as file:
        return json.load(file)


def refusal(kind, call, *args, **kwargs):
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# Precision.

@pytest.mark.parametrize('generation', GENERATIONS)
@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16', 'int8'])
def test_flags_and_types_of_a_precision_that_has_its_own_network(tensorrt, build, tmp_path, generation, precision):
    tensorrt.use(generation)
    copy_of(tmp_path, os.path.basename(segmentation_model(tmp_path).files['tensorrt']['fp32']), 'own.onnx')
    model = with_files(segmentation_model(tmp_path), **{precision: 'own.onnx'})
    if precision == 'bf16' and generation.startswith('8.'):
        assert 'has no BF16' in refusal(ConfigError, build, model, precision)
        return
    if precision == 'int8':
        quantised_network(tmp_path / 'own.onnx')
    built = build(model, precision)
    assert built.precision == precision
    assert os.path.basename(built.path).startswith('tiny-{}-'.format(precision))
    [asked] = tensorrt.builds
    if generation == REAL_BUILDER:
        assert (asked['flags'], asked['creation']) == ([], ['STRONGLY_TYPED'])
    else:
        assert asked['creation'] == ['EXPLICIT_BATCH']
        assert asked['flags'] == {'fp32': [], 'fp16': ['FP16'], 'bf16': ['BF16'], 'int8': ['FP16', 'INT8']}[precision]
    assert facts_of(built)['network'] == str(tmp_path / 'own.onnx')


def quantised_network(path, size=(6, 8)):
    """Write the segmentation network of the rig with Q/DQ nodes."""
    nodes = [helper.make_node('QuantizeLinear', ['image', 'scale', 'zero'], ['q'], name='q'),
             helper.make_node('DequantizeLinear', ['q', 'scale', 'zero'], ['dq'], name='dq'),
             helper.make_node('ArgMax', ['dq'], ['index'], name='argmax', axis=1, keepdims=0),
             helper.make_node('Cast', ['index'], ['labels'], name='cast', to=6)]
    networks.save_network(path, nodes, [('image', 'float32', [1, 3] + list(size))],
                          [('labels', 'int32', [1] + list(size))],
                          [('scale', np.float32(2.01)), ('zero', np.int8(0))])


@pytest.mark.parametrize('generation', WEAKLY_TYPED)
def test_up_to_10_fp16_is_made_from_the_fp32_network(tensorrt, build, tmp_path, generation):
    tensorrt.use(generation)
    built = build(segmentation_model(tmp_path), 'fp16')
    assert (built.precision, built.warning) == ('fp16', '')
    assert tensorrt.builds[0]['flags'] == ['FP16']


@needs_real_builder
@pytest.mark.parametrize('precision', ['fp16', 'bf16', 'int8'])
def test_11_makes_nothing_from_the_fp32_network_and_says_why(tensorrt, build, tmp_path, precision):
    tensorrt.use(REAL_BUILDER)
    model = segmentation_model(tmp_path)
    assert refusal(ConfigError, build, model, precision) == (
        '{}: files.tensorrt: no {} network, and TensorRT 11.4.0.106 makes none from the fp32 one: its networks are '
        'strongly typed only. Make one with `trt_perception_tools quantize`, or choose another precision.'.format(
            model.path, precision))
    assert tensorrt.builds == []


@pytest.mark.parametrize('generation', ['8.2', '8.6'])
def test_8_has_no_bf16(tensorrt, build, tmp_path, generation):
    tensorrt.use(generation)
    text = refusal(ConfigError, build, segmentation_model(tmp_path), 'bf16')
    assert 'TensorRT {} has no BF16. Choose another precision.'.format(VERSIONS[generation]) in text


def test_fp32_is_never_made_from_less(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    model = with_files(segmentation_model(tmp_path), fp16='tiny.onnx')
    assert 'files.tensorrt: no fp32 network, only fp16.' in refusal(ConfigError, build, model, 'fp32')


def test_a_model_without_tensorrt_networks_is_refused(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    model = segmentation_model(tmp_path)._replace(files={'onnxruntime': {'fp32': 'tiny.onnx'}})
    assert "no network for engine 'tensorrt', only for onnxruntime" in refusal(ConfigError, build, model, 'fp16')


@pytest.mark.parametrize('end', ['engine', 'plan'])
def test_a_ready_engine_is_used_as_it_is(tensorrt, build, tmp_path, end):
    tensorrt.use('8.6')
    (tmp_path / ('mine.' + end)).write_bytes(b'?')
    model = with_files(segmentation_model(tmp_path), fp16='mine.' + end)
    built = build(model, 'fp16')
    assert (built.path, built.precision) == (str(tmp_path / ('mine.' + end)), 'fp16')
    model = with_files(model, fp32='mine.' + end)
    assert 'no fp16 network, only fp32' in refusal(ConfigError, build, model, 'fp16')
    assert tensorrt.builds == []


# FP16 and what must not be FP16.

@pytest.mark.parametrize('generation', WEAKLY_TYPED)
@pytest.mark.parametrize(('precision', 'pinned'), [('fp32', False), ('fp16', True)])
def test_coordinates_stay_fp32(tensorrt, build, tmp_path, generation, precision, pinned):
    tensorrt.use(generation)
    build(flow_model(tmp_path), precision)
    [asked] = tensorrt.builds
    # The cast to integers reads FP32, and its output has no precision; the other layers are TensorRT's to choose.
    assert asked['pinned'] == ([['/warp/coordinates/Concat', 'FLOAT', {'0': 'FLOAT'}],
                                ['/warp/coordinates/Cast', 'FLOAT', {}]] if pinned else [])
    assert ('OBEY_PRECISION_CONSTRAINTS' in asked['flags']) == pinned


def test_without_coordinates_nothing_is_constrained(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    build(segmentation_model(tmp_path), 'fp16')
    assert tensorrt.builds[0]['flags'] == ['FP16']
    assert tensorrt.builds[0]['pinned'] == []


def test_before_8_2_the_constraint_has_another_name(tensorrt, monkeypatch):
    tensorrt.use('8.2')
    module = importlib.import_module('trt_perception.engines.tensorrt.build')
    assert module._obey() is module.trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS

    class Flags:
        FP16, STRICT_TYPES = 0, 1
    monkeypatch.setattr(module.trt, 'BuilderFlag', Flags)
    assert module._obey() == 1


@pytest.mark.parametrize('generation', WEAKLY_TYPED)
def test_the_precision_that_was_built_is_read_back(tensorrt, build, tmp_path, generation):
    tensorrt.use(generation)
    built = build(flow_model(tmp_path), 'fp16')
    assert facts_of(built)['layers'] == {'fp32': 2, 'fp16': 1}
    assert built.summary.startswith('flow asked fp16: 2 of 3 layers fp32, 1 fp16; golden frame: ')


def test_layers_are_counted_by_what_they_read(tensorrt):
    tensorrt.use()
    tensors = ['Row major linear FP32', 'Row major linear FP16 format', 'Half', 'Float', 'BFloat16', 'BF16',
               'Thirty-two wide channel vectorized row major Int8 format', 'Row major linear INT32', 'Bool', 'FP8']
    layers = [{'LayerType': 'conv', 'Inputs': [{'Format/Datatype': text}],
               'Outputs': [{'Format/Datatype': 'Half'}]} for text in tensors]
    layers += [{'LayerType': 'kgen', 'Inputs': [], 'Outputs': [{'Format/Datatype': 'Half'}]},
               {'LayerType': 'Reformat', 'Inputs': [{'Format/Datatype': 'Half'}]}, 'only a name',
               {'LayerType': 'shape call'}]
    module = importlib.import_module('trt_perception.engines.tensorrt.layers')
    assert module.count_precisions(json.dumps({'Layers': layers})) == {
        'fp32': 2, 'fp16': 3, 'bf16': 2, 'int8': 1, 'fp8': 1}
    assert module.count_precisions('{}') == {}


def test_without_an_inspector_the_layers_are_unknown(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    import tensorrt as trt
    del trt.ICudaEngine.create_engine_inspector
    assert build(segmentation_model(tmp_path), 'fp16').summary.startswith('tiny asked fp16: layers unknown; ')


# INT8.

@pytest.fixture
def images(tmp_path):
    """Return a folder of three images of one colour each, and something else."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for number, level in enumerate((10, 20, 40)):
        cv2.imwrite(str(folder / '{}.png'.format(number)), np.full((12, 16, 3), level, np.uint8))
    (folder / 'readme.txt').write_text('not an image')
    return folder


@pytest.mark.parametrize('generation', WEAKLY_TYPED)
def test_int8_is_calibrated_with_images(tensorrt, build, tmp_path, images, generation):
    tensorrt.use(generation)
    told = []
    built = build(segmentation_model(tmp_path), 'int8', told.append, str(images))
    [asked] = tensorrt.builds
    assert asked['flags'] == ['FP16', 'INT8']
    assert json.loads(asked['calibration']) == [[6 * 8 * 3 * level] for level in (10.0, 20.0, 40.0)]
    assert built.precision == 'int8'
    assert facts_of(built)['calibration'] == str(images)
    assert 'building tiny int8: calibrating with image 2 of 3' in told


def test_flow_is_calibrated_with_pairs(tensorrt, build, tmp_path, images):
    tensorrt.use('8.2')
    build(flow_model(tmp_path), 'int8', images=str(images))
    assert json.loads(tensorrt.builds[0]['calibration']) == [[480.0, 960.0], [960.0, 1920.0]]


def test_a_damaged_image_is_left_out(tensorrt, build, tmp_path, images):
    tensorrt.use('8.6')
    (images / '1.png').write_bytes(b'x')
    build(segmentation_model(tmp_path), 'int8', images=str(images))
    assert json.loads(tensorrt.builds[0]['calibration']) == [[1440.0], [5760.0]]


def test_a_later_build_needs_the_table_and_no_images(tensorrt, build, tmp_path, images):
    tensorrt.use('8.6')
    model = segmentation_model(tmp_path)
    build(model, 'int8', images=str(images))
    build(model, 'int8', workspace_bytes=2**20)
    assert [asked['calibration'] for asked in tensorrt.builds] == ['[[1440.0], [2880.0], [5760.0]]'] * 2
    build(model, 'int8')
    assert len(tensorrt.builds) == 2


def test_other_images_calibrate_anew(tensorrt, build, tmp_path, images):
    tensorrt.use('8.6')
    model = segmentation_model(tmp_path)
    build(model, 'int8', images=str(images))
    (images / '0.png').unlink()
    build(model, 'int8', images=str(images))
    build(model, 'int8', rebuild=True)
    assert [len(json.loads(asked['calibration'])) for asked in tensorrt.builds] == [3, 2, 2]


def test_without_images_and_table_int8_says_what_to_do(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    model = segmentation_model(tmp_path)
    text = refusal(ConfigError, build, model, 'int8')
    assert text.startswith('{}: it has no Q/DQ nodes and was never calibrated here.'.format(tmp_path / 'tiny.onnx'))
    assert '`trt_perception_tools quantize`' in text
    assert '--calibration FOLDER_OF_IMAGES' in text


@needs_real_builder
def test_11_takes_no_int8_network_without_q_dq_nodes(tensorrt, build, tmp_path, images):
    tensorrt.use(REAL_BUILDER)
    model = with_files(segmentation_model(tmp_path), int8='tiny.onnx')
    assert refusal(ConfigError, build, model, 'int8', images=str(images)) == (
        '{}: it has no Q/DQ nodes, and TensorRT 11.4.0.106 does not calibrate. Make an int8 network with '
        '`trt_perception_tools quantize`.'.format(tmp_path / 'tiny.onnx'))


def test_a_folder_without_images_is_refused(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    (tmp_path / 'none').mkdir()
    text = refusal(ConfigError, build, segmentation_model(tmp_path), 'int8', images=str(tmp_path / 'none'))
    assert text.startswith('--calibration {}: no .png or .jpg or .jpeg in it'.format(tmp_path / 'none'))


def test_a_quantised_network_needs_no_calibration(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    model = with_files(segmentation_model(tmp_path), int8='quantised.onnx')
    quantised_network(tmp_path / 'quantised.onnx')
    build(model, 'int8')
    assert tensorrt.builds[0]['calibration'] is None
    assert tensorrt.builds[0]['flags'] == ['FP16', 'INT8']


@pytest.mark.parametrize('generation', WEAKLY_TYPED)
def test_a_gpu_without_fast_int8_is_told_why_and_what_instead(tensorrt, build, tmp_path, images, generation):
    tensorrt.use(generation, fast_int8=False)
    assert refusal(ConfigError, build, segmentation_model(tmp_path), 'int8', images=str(images)) == (
        'precision: int8 was asked for, but the GPU NVIDIA Tegra X2 (sm_62) has no fast INT8 (DP4A) instructions: it '
        'would be slower than FP16. Set precision: fp16.')
    assert tensorrt.builds == []
    build(segmentation_model(tmp_path), 'fp16')


# Memory, DLA, timing cache, progress.

@pytest.mark.parametrize(('generation', 'asked', 'pool', 'former'), [
    ('8.2', 0, None, 2**30), ('8.2', 2**20, None, 2**20), ('8.6', 0, None, None), ('8.6', 2**20, 2**20, None),
    ('10.0', 2**20, 2**20, None), ('10.16', 0, None, None), pytest.param(
        REAL_BUILDER, 2**20, 2**20, None, marks=needs_real_builder)])
def test_the_workspace_is_set_as_the_generation_spells_it(tensorrt, build, tmp_path, generation, asked, pool, former):
    tensorrt.use(generation)
    build(segmentation_model(tmp_path), 'fp32', workspace_bytes=asked)
    assert (tensorrt.builds[0]['pool'], tensorrt.builds[0]['max_workspace_size']) == (pool, former)


@pytest.mark.parametrize('generation', WEAKLY_TYPED)
def test_a_dla_core_is_used_with_the_gpu_for_what_it_cannot(tensorrt, build, tmp_path, generation):
    tensorrt.use(generation, gpu={'num_dla_cores': 2})
    model = with_files(segmentation_model(tmp_path), fp32='tiny.onnx', fp16='tiny.onnx')
    build(model, 'fp16', dla_core=1)
    [asked] = tensorrt.builds
    assert (asked['device'], asked['dla_core']) == ('DLA', 1)
    assert 'GPU_FALLBACK' in asked['flags']


def test_a_dla_core_that_is_not_there_is_refused(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    assert refusal(ConfigError, build, segmentation_model(tmp_path), 'fp16', dla_core=0) == (
        'dla_core: got 0, but NVIDIA Tegra X2 has no DLA cores. Set dla_core: -1 for the GPU.')
    tensorrt.use('8.2', gpu={'num_dla_cores': 2})
    assert 'dla_core: got 2, but NVIDIA Tegra X2 has 2 DLA cores.' in refusal(
        ConfigError, build, segmentation_model(tmp_path), 'fp16', dla_core=2)
    assert 'dla_core: got 1 with precision fp32, but a DLA core computes in fp16 and int8 only.' in refusal(
        ConfigError, build, segmentation_model(tmp_path), 'fp32', dla_core=1)
    assert tensorrt.builds == []


def test_what_was_timed_is_not_timed_again(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    build(segmentation_model(tmp_path), 'fp32')
    build(segmentation_model(tmp_path), 'fp16')
    assert [asked['known_timing'] for asked in tensorrt.builds] == ['', 'timing of NVIDIA Tegra X2']
    assert os.path.exists(os.path.join(tensorrt.cache, 'timing-NVIDIA_Tegra_X2-8.6.1.cache'))


@pytest.mark.parametrize('content', [b'damaged', b'timing of another GPU'])
def test_a_timing_cache_that_does_not_fit_is_replaced(tensorrt, build, tmp_path, content):
    tensorrt.use('8.6')
    os.makedirs(tensorrt.cache)
    name = os.path.join(tensorrt.cache, 'timing-NVIDIA_Tegra_X2-8.6.1.cache')
    with open(name, 'wb') as file:
        file.write(content)
    build(segmentation_model(tmp_path), 'fp32')
    assert tensorrt.builds[0]['known_timing'] == ''
    with open(name, 'rb') as file:
        assert file.read() == b'timing of NVIDIA Tegra X2'


# Failures.

@pytest.mark.parametrize(('generation', 'node'), [
    ('8.2', 'node 0'), ('10.0', 'node 0 /head/Mul (Mul)')])
def test_all_that_the_parser_says_is_passed_on(tensorrt, build, tmp_path, generation, node):
    tensorrt.use(generation, unsupported=['Mul', 'Cast'])
    text = refusal(EngineError, build, segmentation_model(tmp_path), 'fp32')
    network = str(tmp_path / 'tiny.onnx')
    assert text.startswith('{}: TensorRT {} cannot read it: {}: UNSUPPORTED_NODE: No importer registered for op: Mul; '
                           'node 2'.format(network, VERSIONS[generation], node))
    assert text.endswith('op: Cast. See what it lacks with `trt_perception_tools check-onnx {}`.'.format(network))


def test_weights_in_another_file_are_found(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    segmentation_model(tmp_path, gain=(1, 2, 3))
    network = onnx.load(str(tmp_path / 'tiny.onnx'))
    onnx.external_data_helper.convert_model_to_external_data(network, location='tiny.weights', size_threshold=0)
    onnx.save(network, str(tmp_path / 'tiny.onnx'))
    model = with_files(segmentation_model(tmp_path, name='other'), fp32='tiny.onnx')
    first = build(model, 'fp32')
    with open(str(tmp_path / 'tiny.weights'), 'r+b') as file:
        file.write(np.float32(7).tobytes())
    second = build(model, 'fp32')
    assert first.path != second.path
    assert len(tensorrt.builds) == 2


# The cache.

def test_what_is_in_the_cache_is_not_built_again(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    model = segmentation_model(tmp_path)
    first = build(model, 'fp16')
    assert build(model, 'fp16') == first
    assert len(tensorrt.builds) == 1
    assert build(model, 'fp16', rebuild=True).path == first.path
    assert len(tensorrt.builds) == 2


@pytest.mark.parametrize('change', [
    {'generation': '8.6'}, {'gpu': {'name': 'NVIDIA Xavier'}}, {'gpu': {'capability': [7, 2]}}])
def test_another_gpu_or_tensorrt_has_another_engine(tensorrt, build, tmp_path, change):
    tensorrt.use('8.2')
    model = segmentation_model(tmp_path)
    first = build(model, 'fp16')
    tensorrt.use(**dict({'generation': '8.2'}, **change))
    assert build(model, 'fp16').path != first.path
    tensorrt.use('8.2')
    assert build(model, 'fp16') == first
    assert len(tensorrt.builds) == 2


def test_a_damaged_engine_is_built_anew(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    model = segmentation_model(tmp_path)
    first = build(model, 'fp16')
    with open(first.path, 'r+b') as file:
        file.write(b'garbage')
    assert build(model, 'fp16').path == first.path
    assert len(tensorrt.builds) == 2
    with open(first.path, 'rb') as file:
        assert file.read(4) == b'ptrt'


def test_the_side_car_file_tells_how_the_engine_came_to_be(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    built = build(segmentation_model(tmp_path), 'fp16', workspace_bytes=2**20)
    facts = facts_of(built)
    key = facts.pop('key')
    assert key.pop('network_sha256') == importlib.import_module(
        'trt_perception.core.network_files').network_sha256(str(tmp_path / 'tiny.onnx'))
    assert key == {'model': 'tiny', 'precision': 'fp16', 'tensorrt': '8.2.1.8', 'gpu': 'NVIDIA Tegra X2, sm_62',
                   'workspace_bytes': 2**20, 'dla_core': -1, 'keep_fp32': '', 'builder': 1}
    assert facts.pop('build_seconds') >= 0
    assert len(facts.pop('engine_sha256')) == 64
    assert facts.pop('summary') == built.summary
    assert facts == {'network': str(tmp_path / 'tiny.onnx'), 'layers': {'fp16': 2}, 'calibration': '', 'golden': {
        'passed': True, 'text': '100.00 % of the labels equal those of ONNX Runtime (at least 99 %)'}}


def test_an_unwritable_cache_is_refused(tensorrt, build, tmp_path):
    tensorrt.use('8.6')
    text = refusal(ConfigError, build, segmentation_model(tmp_path), 'fp16', cache_dir='/dev/null/x')
    assert text.startswith('engine_cache_dir: /dev/null/x cannot be written: Not a directory.')


# The golden frame.

def store_golden(tmp_path, network='tiny'):
    """Store a golden frame in which no label is that of the network of `segmentation_model`."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 1] = 200
    golden.write(str(tmp_path / (network + '.golden.npz')),
                 golden.Golden({'image': image}, {'labels': np.full((1, 6, 8), 2, np.uint8)}, 'a PyTorch run'))


def test_a_stored_golden_frame_goes_before_onnx_runtime(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    store_golden(tmp_path)
    text = refusal(EngineError, build, segmentation_model(tmp_path), 'fp32')
    assert text.startswith('tiny: the fp32 engine of {} is wrong: 0.00 % of the labels equal those of a PyTorch run '
                           '(at least 99.5 %).'.format(tmp_path / 'tiny.onnx'))
    assert [name for name in os.listdir(tensorrt.cache) if name.endswith(('.engine', '.json', '.part'))] == []


def test_a_damaged_golden_frame_is_no_reason_to_do_without(tensorrt, build, tmp_path):
    tensorrt.use('8.2')
    (tmp_path / 'tiny.golden.npz').write_bytes(b'PK')
    assert 'tiny.golden.npz: not a golden frame' in refusal(ConfigError, build, segmentation_model(tmp_path), 'fp32')


def test_the_golden_frame_of_the_fp32_network_is_that_of_the_others(tensorrt, build, tmp_path):
    tensorrt.use('10.0')
    store_golden(tmp_path)
    copy_of(tmp_path, os.path.basename(segmentation_model(tmp_path).files['tensorrt']['fp32']), 'half.onnx')
    model = with_files(segmentation_model(tmp_path), fp32='tiny.onnx', bf16='half.onnx')
    assert 'equal those of a PyTorch run (at least 96 %)' in refusal(EngineError, build, model, 'bf16')


@pytest.mark.parametrize('generation', ['8.2', '10.0'])
def test_in_place_of_a_wrong_fp16_engine_there_is_one_in_fp32_and_a_warning(tensorrt, build, tmp_path, generation):
    segmentation_model(tmp_path, gain=(0, 0, 1), name='wrong')
    tensorrt.use(generation, networks={'FP16': str(tmp_path / 'wrong.onnx')})
    model = segmentation_model(tmp_path)
    built = build(model, 'fp16')
    assert built.precision == 'fp32'
    assert os.path.basename(built.path).startswith('tiny-fp32-')
    assert re.match(r'tiny: the fp16 engine of .*tiny\.onnx is wrong: \d+\.\d\d % of the labels equal those of ONNX '
                    r'Runtime \(at least 99 %\)\. FP32 is used instead\.', built.warning)
    assert [asked['flags'] for asked in tensorrt.builds] == [['FP16'], []]
    assert [name for name in os.listdir(tensorrt.cache) if name.endswith(('.engine', '.part'))] == [
        os.path.basename(built.path)]
    assert build(model, 'fp16') == built
    assert build(model, 'fp32')._replace(warning=built.warning) == built
    assert build(model, 'fp32').warning == ''
    assert len(tensorrt.builds) == 2
    os.remove(built.path)
    assert build(model, 'fp16') == built
    assert len(tensorrt.builds) == 4


def test_without_an_fp32_network_a_wrong_fp16_engine_is_an_error(tensorrt, build, tmp_path):
    segmentation_model(tmp_path, gain=(0, 0, 1), name='wrong')
    tensorrt.use('8.6', networks={'FP16': str(tmp_path / 'wrong.onnx')})
    model = with_files(segmentation_model(tmp_path), fp16='tiny.onnx')
    assert 'tiny: the fp16 engine of ' in refusal(EngineError, build, model, 'fp16')


def test_a_wrong_engine_for_a_dla_core_which_has_no_fp32_is_an_error(tensorrt, build, tmp_path):
    segmentation_model(tmp_path, gain=(0, 0, 1), name='wrong')
    tensorrt.use('8.6', gpu={'num_dla_cores': 1}, networks={'FP16': str(tmp_path / 'wrong.onnx')})
    assert 'tiny: the fp16 engine of ' in refusal(EngineError, build, segmentation_model(tmp_path), 'fp16', dla_core=0)


def test_a_wrong_int8_engine_is_an_error(tensorrt, build, tmp_path, images):
    segmentation_model(tmp_path, gain=(0, 0, 1), name='wrong')
    tensorrt.use('8.6', networks={'INT8': str(tmp_path / 'wrong.onnx')})
    text = refusal(EngineError, build, segmentation_model(tmp_path), 'int8', images=str(images))
    assert 'the int8 engine of' in text
    assert len(tensorrt.builds) == 1


def test_with_nothing_to_compare_with_the_reason_is_kept(tensorrt, build, tmp_path, monkeypatch):
    tensorrt.use('8.6')

    def missing(model, network):
        raise ConfigError('engine: onnxruntime was asked for, but it is not installed.')
    monkeypatch.setattr(golden, 'reference', missing)
    built = build(segmentation_model(tmp_path), 'fp16')
    reason = 'not checked: engine: onnxruntime was asked for, but it is not installed.'
    assert facts_of(built)['golden'] == {'passed': None, 'text': reason}
    assert 'golden frame: ' + reason in built.summary


def test_an_engine_that_cannot_be_run_is_not_kept(tensorrt, build, tmp_path):
    state = tensorrt.use('8.6')
    gpu = sys.modules['the_gpu'].GPU
    assert state is gpu.builder
    gpu.fail('execute', 'broken')
    assert 'TensorRT failed to run it' in refusal(EngineError, build, segmentation_model(tmp_path), 'fp16')
    assert [name for name in os.listdir(tensorrt.cache) if name.endswith(('.engine', '.json'))] == []


def test_the_gpu_is_given_back_after_a_build(tensorrt, build, tmp_path):
    tensorrt.use('8.6', refuses=True)
    gpu = sys.modules['the_gpu'].GPU
    refusal(EngineError, build, segmentation_model(tmp_path), 'fp16')
    gpu.builder.refuses = False
    build(segmentation_model(tmp_path), 'fp16')
    assert {kind: count for kind, count in gpu.live.items() if count} == {}


# The child process.

def options(tensorrt):
    return EngineOptions('tensorrt', 'fp16', cache_dir=tensorrt.cache)


def test_a_child_builds_what_is_then_opened_and_runs(tensorrt, tmp_path):
    state = tensorrt.use('8.2')
    model = segmentation_model(tmp_path)
    told = []
    built = prepare_engine(model, options(tensorrt), told.append)
    assert state.builds == []
    assert len(tensorrt.builds) == 1
    assert all(re.match(r'^building tiny fp16: \d+ s, \w', text) for text in told)
    assert any(text.endswith('trying layers') for text in told)
    engine = open_engine(model, options(tensorrt))
    assert (engine.file, engine.precision) == (built.path, 'fp16')
    assert np.array_equal(golden.record(engine, model, {'image': image()}, '').outputs['labels'][0],
                          image().argmax(axis=2))
    engine.close()
    assert len(tensorrt.builds) == 1


def test_what_needs_no_build_is_not_prepared(tensorrt, tmp_path):
    tensorrt.use('8.2')
    model = segmentation_model(tmp_path)._replace(files={'onnxruntime': {'fp32': 'tiny.onnx'}})
    assert prepare_engine(model, EngineOptions('onnxruntime'), lambda text: None) is None
    assert not os.path.exists(tensorrt.cache)


def image():
    return np.random.RandomState(3).randint(0, 256, (6, 8, 3)).astype(np.uint8)


def test_the_childs_refusal_is_ours(tensorrt, tmp_path):
    tensorrt.use('8.2', fast_int8=False)
    model = segmentation_model(tmp_path)
    assert 'has no fast INT8' in refusal(ConfigError, prepare_engine, model,
                                         options(tensorrt)._replace(precision='int8'), lambda text: None)


def test_a_child_that_waits_for_another_builder_does_not_count_as_stalled(tensorrt, tmp_path, monkeypatch):
    monkeypatch.setattr(child_process, '_STALLED_S', 1.0)
    tensorrt.use('8.2')
    waited_s = []

    def tell(text):
        if text.endswith('waiting for another builder'):
            waited_s.append(time.monotonic())
            if waited_s[-1] - waited_s[0] > 3:
                other.close()
    other = contextlib.ExitStack()
    other.enter_context(cache.EngineCache(tensorrt.cache).lock(lambda: None))
    assert prepare_engine(segmentation_model(tmp_path), options(tensorrt), tell).precision == 'fp16'


def test_the_system_kills_a_build_before_its_parent(tensorrt, tmp_path):
    tensorrt.use('8.2', gate=str(tmp_path / 'never'))
    found = []

    def look(text):
        if text.endswith('trying layers'):
            [child] = children_of(os.getpid())
            with open('/proc/{}/oom_score_adj'.format(child)) as file:
                found.append(int(file.read()))
            raise GiveUpError
    with pytest.raises(GiveUpError):
        prepare_engine(segmentation_model(tmp_path), options(tensorrt), look)
    assert found == [1000]


class GiveUpError(Exception):
    pass


def test_what_progress_raises_ends_the_child(tensorrt, tmp_path):
    tensorrt.use('8.2', gate=str(tmp_path / 'never'))
    children = []

    def give_up(text):
        if text.endswith('trying layers'):
            children.extend(children_of(os.getpid()))
            raise GiveUpError
    with pytest.raises(GiveUpError):
        prepare_engine(segmentation_model(tmp_path), options(tensorrt), give_up)
    assert len(children) == 1
    assert not set(children) & set(children_of(os.getpid()))


PREPARE = """
import sys
from trt_perception.core.model import load_model
from trt_perception.engines import EngineOptions, prepare_engine
built = prepare_engine(load_model(sys.argv[1]), EngineOptions('tensorrt', 'fp16', cache_dir=sys.argv[2]),
                       lambda text: print(text, flush=True))
print('built', built.path, flush=True)
"""


def start(tensorrt, model):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([os.environ['PYTHONPATH'], networks_root()]))
    return subprocess.Popen([sys.executable, '-c', PREPARE, model.path, tensorrt.cache], env=environment,
                            stdout=subprocess.PIPE, universal_newlines=True)


def networks_root():
    return os.path.dirname(os.path.dirname(os.path.abspath(networks.__file__)))


def until(process, text):
    """Read what a process prints until it has said this."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError('it ended without a word of ' + text)


def test_of_two_processes_one_builds_and_the_other_waits_for_it(tensorrt, tmp_path):
    gate = tmp_path / 'gate'
    tensorrt.use('8.2', gate=str(gate))
    model = segmentation_model(tmp_path)
    builds = start(tensorrt, model)
    until(builds, 'trying layers')
    waits = start(tensorrt, model)
    until(waits, 'waiting for another builder')
    gate.touch()
    outputs = [process.communicate()[0].splitlines() for process in (builds, waits)]
    assert len(tensorrt.builds) == 1
    assert outputs[0][-1] == outputs[1][-1]
    assert outputs[0][-1].startswith('built ' + tensorrt.cache)


def test_the_child_ends_with_its_parent(tensorrt, tmp_path):
    tensorrt.use('8.2', gate=str(tmp_path / 'never'))
    parent = start(tensorrt, segmentation_model(tmp_path))
    until(parent, 'trying layers')
    [child] = children_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    end_s = time.monotonic() + 60
    while os.path.exists('/proc/{}/cmdline'.format(child)) and state_of(child) != 'Z':
        assert time.monotonic() < end_s
        time.sleep(0.02)


def state_of(pid):
    try:
        with open('/proc/{}/stat'.format(pid)) as file:
            return file.read().rsplit(')', 1)[1].split()[0]
    except (OSError, IndexError):
        return 'Z'

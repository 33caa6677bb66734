"""The TensorRT engine on doubles of TensorRT and pycuda: content against the ONNX Runtime engine, and every fault.

The kernels are the real ones, compiled for the host; networks run in ONNX Runtime; TensorRT's and pycuda's own code is
what is missing.
"""
import json
import logging

import networks
import numpy as np
import onnx
import pytest
from random_images import frame_showing, random_image
from tensorrt_double import VERSIONS, serialize
from tensorrt_networks import engine_file, flow_model, opened, segmentation_model, tensorrt_engine

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.image import ENCODINGS, make_frame
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.pipeline import CAMERA as OUTPUT_CAMERA
from trt_perception.core.pipeline import NETWORK
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.tasks import SEGMENTATION
from trt_perception.engines import BuiltEngine, EngineOptions, backends, open_engine

GENERATIONS = list(VERSIONS)
OLD, NEW = '8.2', '11.4'
SIZE, CAMERA = (6, 8), (14, 22)


def on_the_cpu(pipeline, make, folder, **options):
    """Return a pipeline for the same network in ONNX Runtime."""
    folder = folder / 'cpu'
    folder.mkdir()
    model = make(folder, **options)
    return pipeline(open_engine(model, EngineOptions('onnxruntime')), model)


def segmentation_on_the_cpu(folder):
    return on_the_cpu(SegmentationPipeline, segmentation_model, folder, labels='uint8', confidence='uint8')


def frame_of(seed, encoding, size=CAMERA, stamp_ns=0, pad=0):
    """Return a frame of random bytes whose rows end in padding."""
    layout = ENCODINGS[encoding]
    step = size[1] * layout.bytes_per_pixel + pad + (pad % 2 if encoding == 'i420' else 0)
    rows = size[0] * layout.planes[0] // layout.planes[1]
    data = np.random.RandomState(seed).randint(0, 256, rows * step).astype(np.uint8)
    return make_frame(data, size[0], size[1], step, encoding, stamp_ns, 'cam')


def error_of(call, *args, **options):
    with pytest.raises(EngineError) as caught:
        call(*args, **options)
    return str(caught.value)


# Contents.

@pytest.mark.parametrize('encoding', sorted(ENCODINGS))
@pytest.mark.parametrize('generation', [OLD, NEW])
def test_labels_equal_those_of_onnx_runtime(tmp_path, use_gpu, generation, encoding):
    use_gpu(generation)
    model = segmentation_model(tmp_path)
    pipeline = SegmentationPipeline(opened(model, generation), model)
    reference = segmentation_on_the_cpu(tmp_path)
    for seed in range(3):
        frame = frame_of(seed, encoding, pad=5)
        result, expected = pipeline.process(frame), reference.process(frame)
        np.testing.assert_array_equal(result.labels, expected.labels)
        np.testing.assert_array_equal(result.confidence, expected.confidence)
        assert result.labels.shape == CAMERA


@pytest.mark.parametrize('output_size', [OUTPUT_CAMERA, NETWORK])
@pytest.mark.parametrize('generation', GENERATIONS)
def test_every_generation_gives_the_same_labels(tmp_path, use_gpu, generation, output_size):
    gpu = use_gpu(generation)
    model = segmentation_model(tmp_path)
    engine = opened(model, generation)
    pipeline = SegmentationPipeline(engine, model, {'output_size': output_size})
    rgb = random_image(1)
    result = pipeline.process(frame_showing(np.repeat(np.repeat(rgb, 2, axis=0), 2, axis=1)))
    expected = rgb.argmax(axis=2)
    if output_size == OUTPUT_CAMERA:
        expected = np.repeat(np.repeat(expected, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(result.labels, expected)
    engine.close()
    assert gpu.all_returned()


@pytest.mark.parametrize('output_layout', ['NHWC', 'NCHW'])
@pytest.mark.parametrize('size', [SIZE, CAMERA])
@pytest.mark.parametrize('generation', [OLD, NEW])
def test_flow_equals_that_of_onnx_runtime(tmp_path, use_gpu, generation, size, output_layout):
    use_gpu(generation)
    options = {'output_layout': output_layout, 'stride': 2}
    model = flow_model(tmp_path, **options)
    pipeline = OpticalFlowPipeline(opened(model, generation), model)
    reference = on_the_cpu(OpticalFlowPipeline, flow_model, tmp_path, **options)
    assert pipeline.process(frame_of(0, 'bgr8', size)) is reference.process(frame_of(0, 'bgr8', size)) is None
    for seed in range(1, 5):
        frame = frame_of(seed, 'bgr8', size, stamp_ns=seed)
        result, expected = pipeline.process(frame), reference.process(frame)
        assert result.flow.shape == size + (2,)
        np.testing.assert_allclose(result.flow, expected.flow, rtol=1e-5, atol=1e-3)
        assert result[1:] == expected[1:]


def test_flow_that_is_no_number_is_invalid(tmp_path, use_gpu):
    use_gpu(OLD)
    model = flow_model(tmp_path, divide=True)
    pipeline = OpticalFlowPipeline(opened(model, OLD), model)
    black = np.zeros(SIZE + (1,), np.uint8)
    white = black.copy()
    white[2, 3] = 255
    pipeline.process(frame_showing(black, 1))
    flow = pipeline.process(frame_showing(white, 2)).flow
    assert np.isnan(flow).all()


@pytest.mark.parametrize('kind', ['float32', 'float16'])
def test_the_network_sees_normalised_values(tmp_path, use_gpu, kind):
    use_gpu(OLD)
    fields = networks.segmentation_fields()
    fields['input'].update(mean=[100, 20, 5], std=[0.5, 2, 4])
    model = segmentation_model(tmp_path, kind=kind, fields=fields)
    engine = opened(model, OLD)
    assert engine.inputs == (TensorSpec('image', (1, 3) + SIZE, np.dtype(kind)),)
    rgb = random_image(7)
    engine.put_image('image', frame_showing(rgb))
    scores = (rgb - np.array([100.0, 20, 5])) / [0.5, 2, 4]  # Exact in binary, also in half precision.
    np.testing.assert_array_equal(engine.infer()['labels'][0], scores.argmax(axis=2))


def test_an_output_of_bytes_is_handed_out_as_it_is(tmp_path, use_gpu):
    use_gpu(NEW)
    model = segmentation_model(tmp_path, labels='int32', confidence='uint8')
    engine = opened(model, NEW)
    assert not engine.resize_output('confidence', CAMERA)
    pipeline = SegmentationPipeline(engine, model)
    reference = segmentation_on_the_cpu(tmp_path)
    frame = frame_of(3, 'bgr8')
    result, expected = pipeline.process(frame), reference.process(frame)
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_array_equal(result.confidence, expected.confidence)


def test_the_cpu_head_runs_too_where_tensorrt_has_bytes(tmp_path, use_gpu):
    use_gpu(NEW)
    model = networks.segmentation_model(tmp_path)
    pipeline = SegmentationPipeline(opened(model, NEW), model)
    reference = segmentation_on_the_cpu(tmp_path)
    for seed in range(3):
        frame = frame_of(seed, 'bgr8')
        np.testing.assert_array_equal(pipeline.process(frame).labels, reference.process(frame).labels)


def test_logits_are_refused_with_the_advice_to_export_the_argmax(tmp_path, use_gpu):
    use_gpu(OLD)
    model = segmentation_model(tmp_path, labels='float32')
    assert 'These look like logits' in error_of(SegmentationPipeline, opened(model, OLD), model)


def test_flow_is_described_channels_last_whatever_the_network_has(tmp_path, use_gpu):
    use_gpu(OLD)
    engine = opened(flow_model(tmp_path, output_layout='NCHW'), OLD)
    assert engine.outputs == (TensorSpec('flow', (1,) + SIZE + (2,), np.dtype(np.float32)),)
    assert engine.infer()['flow'].shape == (1,) + SIZE + (2,)


@pytest.mark.parametrize('name', ['swiftnet_camvid', 'tinypwc'])
def test_the_shipped_heads_for_tensorrt_and_for_the_cpu_agree_on_camera_frames(tmp_path, use_gpu, name):
    use_gpu(OLD)
    model = load_model(name)
    path = str(tmp_path / 'shipped.engine')
    with open(path, 'wb') as file:
        network = onnx.load(model.network_file('tensorrt', 'fp32'))
        file.write(serialize(network.SerializeToString(), {'tensorrt': VERSIONS[OLD]}))
    engines_of_it = [tensorrt_engine().TensorRTEngine(model, path, 'fp32'),
                     open_engine(model, EngineOptions('onnxruntime', 'fp32'))]
    kind = SegmentationPipeline if model.task == SEGMENTATION else OpticalFlowPipeline
    pipelines = [kind(engine, model) for engine in engines_of_it]
    coarse = random_image(0, size=(32, 43))
    soft = np.kron(coarse, np.ones((16, 16, 1), np.uint8))
    for number in range(2):
        view = soft[2 * number:480 + 2 * number, 3 * number:640 + 3 * number]
        result, expected = [pipeline.process(frame_showing(view, number)) for pipeline in pipelines]
    if model.task == SEGMENTATION:
        assert np.mean(result.labels == expected.labels) > 0.9999
        assert np.abs(result.confidence.astype(int) - expected.confidence).max() <= 1
        assert len(np.unique(expected.labels)) > 1  # Else this test could not fail.
    else:
        np.testing.assert_allclose(result.flow, expected.flow, atol=1e-3)
        assert np.abs(expected.flow).mean() > 1


# The order of things.

def test_a_camera_that_changes_its_geometry_is_followed(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    model = segmentation_model(tmp_path)
    pipeline = SegmentationPipeline(opened(model, OLD), model)
    reference = segmentation_on_the_cpu(tmp_path)
    live = []
    for size, encoding, pad in [(CAMERA, 'bgr8', 0), ((6, 8), 'bgr8', 0), (CAMERA, 'nv12', 0), (CAMERA, 'nv12', 6),
                                (CAMERA, 'bgr8', 0), (CAMERA, 'mono16', 0)] * 2:
        frame = frame_of(len(live), encoding, size, pad=pad)
        result, expected = pipeline.process(frame), reference.process(frame)
        np.testing.assert_array_equal(result.labels, expected.labels)
        np.testing.assert_array_equal(result.confidence, expected.confidence)
        live.append(dict(gpu.live))
    assert all(each == live[0] for each in live)


def test_a_geometry_that_changes_while_the_gpu_still_reads_loses_nothing(tmp_path, use_gpu):
    use_gpu(OLD)
    engine = opened(flow_model(tmp_path), OLD)
    engine.put_image('first', frame_showing(random_image(1, 1)))
    engine.put_image('second', frame_showing(np.repeat(random_image(2, 1), 2, axis=0)))
    np.testing.assert_array_equal(engine.infer()['flow'][0], np.dstack([random_image(1, 1), random_image(2, 1)]))


# Several cameras.

def test_cameras_of_different_geometry_take_turns_without_allocating_anything(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    model = segmentation_model(tmp_path)
    engine = opened(model, OLD)
    cameras = [(CAMERA, 'bgr8'), (SIZE, 'nv12'), (CAMERA, 'bgr8'), ((24, 16), 'rgb8')]
    pipelines = [SegmentationPipeline(engine, model, camera=camera) for camera in range(len(cameras))]
    reference = segmentation_on_the_cpu(tmp_path)
    for turn in range(3):
        if turn == 1:
            gpu.counts.clear()
        for camera, (size, encoding) in enumerate(cameras):
            frame = frame_of(10 * turn + camera, encoding, size)
            result, expected = pipelines[camera].process(frame), reference.process(frame)
            np.testing.assert_array_equal(result.labels, expected.labels)
            np.testing.assert_array_equal(result.confidence, expected.confidence)
    assert not {'cuMemAlloc', 'cuMemHostAlloc', 'cuEventCreate', 'cuMemFree', 'cuMemFreeHost'} & set(gpu.counts)
    engine.close()
    assert gpu.all_returned()


def test_of_what_lies_on_the_gpu_a_further_camera_of_the_same_geometry_adds_its_input_alone(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    model = segmentation_model(tmp_path)
    engine = opened(model, OLD)
    live = []
    for camera in range(4):
        pipeline = SegmentationPipeline(engine, model, camera=camera)
        pipeline.process(frame_of(camera, 'bgr8'))
        live.append(dict(gpu.live))
    added = {kind: live[1].get(kind, 0) - live[0].get(kind, 0) for kind in live[1]}
    assert {kind: count for kind, count in added.items() if count} == {'device': 1}
    assert live[3] == {kind: live[0].get(kind, 0) + 3 * added[kind] for kind in live[3]}


def test_what_a_camera_no_longer_needs_is_freed_unless_another_one_does(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    model = segmentation_model(tmp_path)
    engine = opened(model, OLD)
    pipelines = [SegmentationPipeline(engine, model, camera=camera) for camera in range(2)]
    reference = segmentation_on_the_cpu(tmp_path)
    live = []
    for sizes in ([CAMERA, CAMERA], [SIZE, CAMERA], [SIZE, SIZE], [CAMERA, SIZE], [CAMERA, CAMERA]):
        for pipeline, size in zip(pipelines, sizes):
            frame = frame_of(len(live), 'bgr8', size)
            np.testing.assert_array_equal(pipeline.process(frame).labels, reference.process(frame).labels)
        live.append(dict(gpu.live))
    assert live[0] == live[2] == live[4]
    assert live[1] == live[3] != live[0]


# What a frame costs.

@pytest.mark.parametrize('generation', GENERATIONS)
def test_per_frame_the_cameras_bytes_go_up_and_only_labels_come_down(tmp_path, use_gpu, generation):
    gpu = use_gpu(generation)
    model = segmentation_model(tmp_path)
    pipeline = SegmentationPipeline(opened(model, generation), model)
    pipeline.process(frame_of(0, 'bgr8'))
    gpu.counts.clear()
    for seed in range(3):
        pipeline.process(frame_of(seed, 'bgr8'))
    pixels = CAMERA[0] * CAMERA[1]
    assert gpu.counts['bytes up'] == 3 * 3 * pixels
    assert gpu.counts['bytes down'] == 3 * 2 * pixels
    assert gpu.counts['cuStreamSynchronize'] == 3
    assert not {'cuMemAlloc', 'cuMemHostAlloc', 'cuEventCreate', 'cuMemFree', 'cuMemFreeHost'} & set(gpu.counts)


def test_an_output_that_the_model_does_not_name_stays_on_the_gpu(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    fields = networks.segmentation_fields()
    del fields['output']['confidence']
    engine = opened(segmentation_model(tmp_path, fields=fields), OLD)
    gpu.counts.clear()
    assert list(engine.infer()) == ['labels']
    assert gpu.counts['bytes down'] == SIZE[0] * SIZE[1]


@pytest.mark.parametrize('generation', [OLD, NEW])
def test_a_confidence_that_nobody_wants_stays_on_the_gpu(tmp_path, use_gpu, generation):
    gpu = use_gpu(generation)
    model = segmentation_model(tmp_path)
    wanted = []
    pipeline = SegmentationPipeline(opened(model, generation), model, wants=lambda role: bool(wanted))
    reference = segmentation_on_the_cpu(tmp_path)
    for names, images in (([], 1), (['confidence'], 2), ([], 1)):
        wanted[:] = names
        pipeline.process(frame_of(0, 'bgr8'))
        gpu.counts.clear()
        result, expected = (each.process(frame_of(1, 'bgr8')) for each in (pipeline, reference))
        np.testing.assert_array_equal(result.labels, expected.labels)
        assert (result.confidence is None) == (not names)
        if names:
            np.testing.assert_array_equal(result.confidence, expected.confidence)
        assert gpu.counts['bytes down'] == images * CAMERA[0] * CAMERA[1]


def test_what_no_kernel_reads_goes_up_as_the_networks_image(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    engine = opened(segmentation_model(tmp_path), OLD)
    engine.put_image('image', frame_of(0, 'bayer_rggb8'))
    assert gpu.counts['bytes up'] == 3 * SIZE[0] * SIZE[1]


def test_stages_are_measured_only_when_asked(tmp_path, use_gpu):
    use_gpu(OLD)
    model = segmentation_model(tmp_path)
    engine = opened(model, OLD)
    engine.put_image('image', frame_showing(random_image(0)))
    engine.infer()
    assert engine.stage_ms == {}
    engine = opened(model, OLD, profile=True)
    engine.put_image('image', frame_showing(random_image(0)))
    engine.infer()
    assert sorted(engine.stage_ms) == ['download', 'infer', 'preprocess', 'upload']
    assert all(value >= 0 for value in engine.stage_ms.values())


@pytest.mark.parametrize(('slow', 'chosen'), [('copied', 'mapped'), ('mapped', 'copied')])
def test_where_cpu_and_gpu_share_memory_the_faster_way_is_measured(tmp_path, use_gpu, caplog, slow, chosen):
    gpu = use_gpu(OLD, integrated=True)
    gpu.delays_s[slow] = 0.01
    model = segmentation_model(tmp_path)
    with caplog.at_level(logging.INFO):
        pipeline = SegmentationPipeline(opened(model, OLD), model)
        pipeline.process(frame_of(0, 'bgr8'))
    texts = [text for text in caplog.messages if 'using {} memory'.format(chosen) in text]
    assert any(text.startswith('GPU 0 (NVIDIA Tegra X2): {} bytes take '.format(3 * CAMERA[0] * CAMERA[1]))
               for text in texts)
    reference = segmentation_on_the_cpu(tmp_path)
    gpu.counts.clear()
    for seed in range(3):
        np.testing.assert_array_equal(pipeline.process(frame_of(seed, 'bgr8')).labels,
                                      reference.process(frame_of(seed, 'bgr8')).labels)
    assert bool(gpu.counts['bytes up']) == (chosen == 'copied')
    assert bool(gpu.counts['bytes down']) == (chosen == 'copied')


def test_a_gpu_with_memory_of_its_own_always_copies(tmp_path, use_gpu, caplog):
    gpu = use_gpu(OLD)
    gpu.delays_s['copied'] = 0.01
    with caplog.at_level(logging.INFO):
        opened(segmentation_model(tmp_path), OLD).put_image('image', frame_of(0, 'bgr8'))
    assert gpu.counts['bytes up']
    assert 'using' not in caplog.text


# Faults.

@pytest.mark.parametrize('generation', GENERATIONS)
def test_a_failed_execution_raises_with_tensorrts_own_words(tmp_path, use_gpu, generation):
    gpu = use_gpu(generation)
    engine = opened(segmentation_model(tmp_path), generation)
    gpu.fail('execute', '')
    engine.put_image('image', frame_showing(random_image(1)))
    assert error_of(engine.infer) == '{}: TensorRT failed to run it: 1: [convolutionRunner.cpp::executeConv::511] ' \
        'Error Code 1: Cudnn (CUDNN_STATUS_EXECUTION_FAILED)'.format(engine.file)
    gpu.faults.clear()
    np.testing.assert_array_equal(engine.infer()['labels'][0], random_image(1).argmax(axis=2))


def test_a_fault_that_shows_only_while_waiting_raises(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    engine = opened(segmentation_model(tmp_path), OLD)
    gpu.fail('kernel', 'an illegal memory access was encountered', 'LaunchError')
    engine.put_image('image', frame_showing(random_image(1)))
    assert error_of(engine.infer) == 'GPU 0 (NVIDIA Tegra X2): running {}: cuStreamSynchronize failed: an illegal ' \
        'memory access was encountered'.format(engine.file)
    for name in ('cuStreamSynchronize', 'cuMemFree', 'cuMemFreeHost'):  # As after a real one: everything fails.
        gpu.fail(name, 'an illegal memory access was encountered', 'LaunchError')
    engine.close()
    assert gpu.stack == []


def test_a_damaged_file_is_refused_with_tensorrts_own_words(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    model = segmentation_model(tmp_path)
    path = engine_file(model, OLD)
    with open(path, 'r+b') as file:
        file.write(b'damaged')
    with pytest.raises(tensorrt_engine().UnreadableEngineError) as caught:
        tensorrt_engine().TensorRTEngine(model, path, 'fp16')
    assert str(caught.value) == (
        '{}: TensorRT 8.2.1.8 on NVIDIA Tegra X2 cannot open it: 1: [runtime.cpp::parsePlan::314] Error Code 1: '
        'Serialization (Serialization assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.). Run: '
        'trt_perception build-engine tiny'.format(path))
    del caught
    assert gpu.all_returned()


def test_an_engine_of_another_version_names_both_and_the_remedy(tmp_path, use_gpu):
    use_gpu(OLD)
    model = segmentation_model(tmp_path)
    path = engine_file(model, NEW)
    assert 'expecting library version 8.2.1.8 got 11.4.0.106' in error_of(tensorrt_engine().TensorRTEngine, model, path,
                                                                         'fp16')
    networks.write_yaml(tmp_path / 'tiny.json', json.dumps(
        {'key': {'tensorrt': '11.4.0.106', 'gpu': 'Orin, sm_87'}}))
    assert error_of(tensorrt_engine().TensorRTEngine, model, path, 'fp16') == (
        '{} was built by TensorRT 11.4.0.106 on Orin, sm_87; this is TensorRT 8.2.1.8 on NVIDIA Tegra X2. Run: '
        'trt_perception build-engine tiny'.format(path))


def test_a_missing_file_is_named(tmp_path, use_gpu):
    use_gpu(OLD)
    model = segmentation_model(tmp_path)
    assert error_of(tensorrt_engine().TensorRTEngine, model, str(tmp_path / 'none.engine'), 'fp16') == (
        '{}: No such file or directory.'.format(tmp_path / 'none.engine'))


def test_a_context_without_memory_is_an_error(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    gpu.fail('create_execution_context', '')
    model = segmentation_model(tmp_path)
    assert 'OutOfMemory' in error_of(opened, model, OLD)


def test_an_engine_that_finds_no_memory_is_not_taken_for_a_damaged_one(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    gpu.fail('deserialize_cuda_engine', '')
    model = segmentation_model(tmp_path)
    with pytest.raises(EngineError, match=r'OutOfMemory .*\. Close other programs that use the GPU') as caught:
        opened(model, OLD)
    assert not isinstance(caught.value, tensorrt_engine().UnreadableEngineError)


def test_a_library_that_does_not_start_is_an_error(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    gpu.fail('createInferRuntime', '')
    assert error_of(opened, segmentation_model(tmp_path), OLD) == \
        'TensorRT 8.2.1.8 cannot start: CUDA initialization failure with error: 35.'
    assert gpu.all_returned()


@pytest.mark.parametrize('operation', ['cuMemAlloc', 'cuMemHostAlloc', 'cuStreamCreate', 'cuEventCreate'])
@pytest.mark.parametrize('integrated', [False, True])
def test_out_of_memory_at_any_point_is_told_and_gives_everything_back(tmp_path, use_gpu, operation, integrated):
    gpu = use_gpu(OLD, integrated=integrated)
    model = segmentation_model(tmp_path)
    texts = []
    while not texts or texts[-1]:
        gpu.fail(operation, 'out of memory', 'MemoryError', after=len(texts))
        texts.append(error_of_one_frame(model))
        assert gpu.all_returned(), texts
    assert len(texts) > {'cuStreamCreate': 1}.get(operation, 3)
    assert all('{} failed: out of memory. Close other programs that use it, or choose a smaller network or precision '
               'fp16.'.format(operation) in text for text in texts[:-1])


def error_of_one_frame(model):
    """Open, segment one frame, close; return the error's text or ''."""
    engine = None
    try:
        engine = opened(model, OLD)
        SegmentationPipeline(engine, model).process(frame_of(0, 'bgr8'))
        return ''
    except EngineError as error:
        return str(error)
    finally:
        if engine is not None:
            engine.close()


def test_a_network_that_is_not_the_models_gives_everything_back(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    model = segmentation_model(tmp_path)
    other = model._replace(input=model.input._replace(names=('photo',)))
    assert 'inputs are image, but' in error_of(opened, other, OLD)
    assert gpu.all_returned()


def test_a_dynamic_shape_is_refused(tmp_path, use_gpu):
    use_gpu(OLD)
    model = segmentation_model(tmp_path, size=('height', 8))
    assert 'has the dynamic shape [1, 3, -1, 8], expected fixed sizes' in error_of(opened, model, OLD)


def test_a_gpu_that_is_not_there_is_named(tmp_path, use_gpu):
    use_gpu(OLD)
    assert error_of(opened, segmentation_model(tmp_path), OLD, gpu_id=1) == \
        'GPU 1: cuDeviceGet failed: invalid device ordinal'


def test_without_a_cuda_compiler_the_remedy_is_told(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    gpu.fail('compile', "error invoking 'nvcc --version': No such file or directory", 'OSError')
    text = error_of(opened, segmentation_model(tmp_path), OLD)
    assert text.endswith("kernels.cu: nvcc cannot be run: error invoking 'nvcc --version': No such file or directory. "
                         'Install the CUDA toolkit, or put its bin folder into the PATH.')
    assert gpu.all_returned()


def test_a_dla_core_is_chosen_or_refused(tmp_path, use_gpu):
    use_gpu(OLD, num_dla_cores=2)
    model = segmentation_model(tmp_path)
    opened(model, OLD, dla_core=1).close()
    with pytest.raises(ConfigError, match=r'^dla_core: got 2, but this GPU has 2 of them\. Set it to -1'):
        opened(model, OLD, dla_core=2)


def test_messages_of_tensorrt_reach_the_log(tmp_path, use_gpu, caplog):
    use_gpu(OLD)
    model = segmentation_model(tmp_path)
    tensorrt_engine().TensorRTEngine(model, engine_file(model, OLD, gpu='Xavier'), 'fp16')
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ('WARNING', 'TensorRT: Using an engine plan file across different models of devices is not recommended and is '
                    'likely to affect performance or even cause errors.')]


# The end.

@pytest.mark.parametrize('generation', GENERATIONS)
def test_close_gives_everything_back_and_may_come_twice(tmp_path, use_gpu, generation):
    gpu = use_gpu(generation)
    engine = opened(segmentation_model(tmp_path), generation, profile=True)
    engine.put_image('image', frame_showing(random_image(0)))
    engine.close()
    assert gpu.all_returned()
    engine.close()
    assert error_of(engine.infer) == '{}: the engine is closed. Open it again.'.format(engine.file)


def test_engines_of_one_thread_may_be_closed_in_any_order(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    engines = [opened(segmentation_model(tmp_path), OLD) for _ in range(3)]
    engines.pop(0).close()
    engines.pop(1).close()
    engines[0].put_image('image', frame_showing(random_image(1)))
    np.testing.assert_array_equal(engines[0].infer()['labels'][0], random_image(1).argmax(axis=2))
    engines.pop(0).close()
    assert gpu.all_returned()


def test_between_calls_no_context_is_current(tmp_path, use_gpu):
    gpu = use_gpu(OLD)
    engine = opened(segmentation_model(tmp_path), OLD)
    assert gpu.stack == []
    engine.put_image('image', frame_showing(random_image(1)))
    assert gpu.stack == []


# Where the file comes from.

@pytest.fixture
def build(use_gpu, monkeypatch):
    """Give the options that engine_file was called with; each call writes the engine that a test has planted."""
    use_gpu(OLD)
    module = tensorrt_engine()
    calls, files = [], []

    def engine_file_double(model, precision, options):
        calls.append(options)
        return BuiltEngine(files.pop(0)(), precision, '')

    monkeypatch.setattr(module, 'engine_file', engine_file_double)
    return calls, files


def damaged(model):
    path = engine_file(model, OLD)
    with open(path, 'wb') as file:
        file.write(b'no engine')
    return path


def test_a_damaged_engine_of_the_cache_is_rebuilt_once(tmp_path, build, caplog):
    calls, files = build
    fields = networks.segmentation_fields()
    fields['files']['tensorrt'] = {'fp32': 'tiny.onnx'}
    model = segmentation_model(tmp_path, fields=fields)
    files += [lambda: damaged(model), lambda: engine_file(model, OLD)]
    engine = tensorrt_engine().open_engine(model, 'fp16', EngineOptions(), None)
    assert [options.rebuild for options in calls] == [False, True]
    assert 'It is rebuilt.' in caplog.text
    engine.put_image('image', frame_showing(random_image(1)))
    np.testing.assert_array_equal(engine.infer()['labels'][0], random_image(1).argmax(axis=2))
    files += [lambda: damaged(model), lambda: damaged(model)]
    assert 'cannot open it' in error_of(tensorrt_engine().open_engine, model, 'fp16', EngineOptions(), None)


def test_a_damaged_engine_of_the_user_is_not_rebuilt(tmp_path, build):
    calls, files = build
    fields = networks.segmentation_fields()
    fields['files']['tensorrt'] = {'fp32': 'tiny.engine'}
    model = segmentation_model(tmp_path, fields=fields)
    files.append(lambda: damaged(model))
    assert 'cannot open it' in error_of(tensorrt_engine().open_engine, model, 'fp32', EngineOptions(), None)
    assert len(calls) == 1


def test_auto_stays_with_onnx_runtime_where_there_is_no_gpu(tmp_path, use_gpu, monkeypatch):
    use_gpu(OLD)
    monkeypatch.setattr(backends, '_GPU_FILES', ())
    fields = networks.segmentation_fields()
    fields['files']['tensorrt'] = {'fp32': 'tiny.onnx'}
    engine = open_engine(networks.segmentation_model(tmp_path, fields=fields))
    assert engine.backend == 'onnxruntime'
    monkeypatch.setattr(backends, '_GPU_FILES', (str(tmp_path / 'tiny.yaml'),))
    assert backends.resolve(networks.segmentation_model(tmp_path, fields=fields), EngineOptions())[0] == 'tensorrt'


def test_each_engines_errors_are_its_own_although_tensorrt_keeps_one_logger(use_gpu, tmp_path):
    gpu = use_gpu('8.6')
    first = opened(segmentation_model(tmp_path), '8.6')
    second = opened(segmentation_model(tmp_path), '8.6')
    gpu.fail('execute', 'broken')
    for engine in (second, first):
        with pytest.raises(EngineError, match='CUDNN_STATUS_EXECUTION_FAILED'):
            engine.infer()
    first.close()
    with pytest.raises(EngineError, match='CUDNN_STATUS_EXECUTION_FAILED'):
        second.infer()


def test_all_of_tensorrt_in_this_process_gets_one_logger(use_gpu, tmp_path, caplog):
    use_gpu('8.6')
    first, second = (opened(segmentation_model(tmp_path), '8.6') for _ in range(2))
    assert 'differs from one already provided' not in caplog.text
    import tensorrt as trt
    trt.Runtime(trt.Logger())
    assert 'differs from one already provided' in caplog.text

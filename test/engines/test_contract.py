"""What every back-end promises the pipelines, by the same tests; the file of each tests what is its own."""
import importlib
import os
import threading

import networks
import numpy as np
import pytest
import tensorrt_networks
from random_images import frame_showing, random_image
from tensorrt_double import VERSIONS

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import EngineError
from trt_perception.engines import BACKENDS, EngineOptions, open_engine

SIZE = (6, 8)


class Backend:
    """Writes tiny networks for one back-end and opens them."""

    writer = 'networks'
    """Module of the tests that writes them."""
    precision = 'fp32'
    suffix = 'onnx'
    library = ''
    """As error texts call it."""
    handle = ''
    """Attribute of the engine that holds what the runtime is called through."""
    image = TensorSpec('image', (1,) + SIZE + (3,), np.dtype(np.uint8))
    """The input of a segmentation network."""

    def __init__(self, name, folder):
        self.name = name
        self._writer = importlib.import_module(self.writer)
        self._folder = folder

    def model(self, kind):
        """Return a `segmentation_model` or `flow_model`."""
        fields = getattr(networks, kind.replace('model', 'fields'))()
        fields['files'] = {self.name: {'fp32': 'tiny.' + self.suffix}}
        return getattr(self._writer, kind)(self._folder, fields=fields)

    def file(self, model):
        """Return the network file of a model, as error texts write it."""
        return '{}.{}'.format(os.path.splitext(networks.network_path(model))[0], self.suffix)

    def open(self, model):
        """Open a model in the calling thread."""
        return open_engine(model, EngineOptions(self.name))

    def segmentation(self):
        """Open a network whose label is the index of the largest channel, its confidence that channel's value."""
        return self.open(self.model('segmentation_model'))

    def flow(self):
        """Open a network whose u is the grey level of `first`, its v that of `second`."""
        return self.open(self.model('flow_model'))


class OnnxRuntime(Backend):
    """ONNX Runtime on ONNX files."""

    library = 'ONNX Runtime'
    handle = '_session'


class OpenVino(Backend):
    """OpenVINO on ONNX files."""

    library = 'OpenVINO'
    handle = '_request'


class TFLite(Backend):
    """The same networks as TFLite files."""

    writer = 'tflite_networks'
    suffix = 'tflite'
    library = 'TensorFlow Lite'
    handle = '_interpreter'


class TensorRT(Backend):
    """TensorRT of one generation, on the doubles."""

    writer = 'tensorrt_networks'
    precision = 'fp16'
    suffix = 'engine'
    library = 'TensorRT'
    handle = '_context'
    image = TensorSpec('image', (1, 3) + SIZE, np.dtype(np.float32))

    def __init__(self, generation, folder):
        super().__init__('tensorrt', folder)
        self._generation = generation

    def open(self, model):
        path = tensorrt_networks.engine_file(model, self._generation)
        return tensorrt_networks.tensorrt_engine().TensorRTEngine(model, path, self.precision)


class OpenCv(Backend):
    """OpenCV, which runs no network: its flow is that of its own method."""

    suffix = 'json'
    library = 'OpenCV'
    handle = '_method'

    def flow(self):
        """Open DIS."""
        (self._folder / 'tiny.json').write_text('{"preset": "fast", "height": 48, "width": 64}')
        return self.open(self.model('flow_model'))


ON_THE_CPU = {'onnxruntime': OnnxRuntime, 'openvino': OpenVino, 'tflite': TFLite}
NETWORKS = list(ON_THE_CPU) + ['tensorrt ' + generation for generation in VERSIONS]


def test_each_back_end_of_the_table_is_tested_here():
    assert {name.partition(' ')[0] for name in NETWORKS + ['opencv']} == set(BACKENDS)


@pytest.fixture(params=NETWORKS)
def backend(request, tmp_path):
    """Give each back-end that runs networks, one after the other."""
    return backend_of(request, tmp_path)


@pytest.fixture(params=NETWORKS + ['opencv'])
def any_backend(request, tmp_path):
    """Give each back-end, one after the other; all of them have an engine for flow."""
    return backend_of(request, tmp_path)


def backend_of(request, tmp_path):
    name, _, generation = request.param.partition(' ')
    if name == 'tensorrt':
        request.getfixturevalue('use_gpu')(generation)
        return TensorRT(generation, tmp_path)
    if BACKENDS[name].missing:
        pytest.skip(BACKENDS[name].missing + ' is not installed')
    if name == 'tflite':
        pytest.importorskip('ai_edge_litert', reason='tiny TFLite files are written with its schema')
    return dict(ON_THE_CPU, opencv=OpenCv)[name](name, tmp_path)


def error_of(backend, model):
    with pytest.raises(EngineError) as caught:
        backend.open(model)
    return str(caught.value)


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_it_tells_what_it_is_and_may_be_closed_twice(backend):
    model = backend.model('segmentation_model')
    engine = backend.open(model)
    uint8 = np.dtype(np.uint8)
    assert engine.inputs == (backend.image,)
    assert engine.outputs == (TensorSpec('labels', (1,) + SIZE, uint8), TensorSpec('confidence', (1,) + SIZE, uint8))
    assert {name: (array.shape, array.dtype) for name, array in engine.infer().items()} == {
        spec.name: (spec.shape, spec.dtype) for spec in engine.outputs}
    assert (engine.backend, engine.precision, engine.input_size) == (backend.name, backend.precision, SIZE)
    assert engine.file == backend.file(model)
    engine.close()
    engine.close()


def test_the_network_sees_the_frames_and_gives_what_is_wanted(backend):
    engine = backend.segmentation()
    for seed, wanted in enumerate([['labels', 'confidence'], ['labels'], ['confidence'], None]):
        rgb = random_image(seed)
        engine.put_image('image', frame_showing(rgb))
        outputs = engine.infer(wanted)
        expected = {'labels': rgb.argmax(axis=2), 'confidence': rgb.max(axis=2)}
        for name in wanted or expected:
            np.testing.assert_array_equal(outputs[name][0], expected[name])


def test_both_inputs_arrive_where_their_names_say(backend):
    engine = backend.flow()
    first, second = random_image(1, 1), random_image(2, 1)
    engine.put_image('second', frame_showing(second))
    engine.put_image('first', frame_showing(first))
    np.testing.assert_array_equal(engine.infer()['flow'][0], np.dstack([first, second]))


def test_swap_exchanges_two_inputs_and_only_those(backend):
    engine = backend.flow()
    images = [random_image(seed, 1) for seed in range(4)]
    engine.put_image('first', frame_showing(images[0]))
    engine.put_image('second', frame_showing(images[1]))
    engine.swap('first', 'second')
    np.testing.assert_array_equal(engine.infer()['flow'][0], np.dstack([images[1], images[0]]))
    engine.put_image('first', frame_showing(images[2]))  # After a swap, writing goes to the right one, too.
    np.testing.assert_array_equal(engine.infer()['flow'][0], np.dstack([images[2], images[0]]))
    engine.swap('second', 'first')
    engine.put_image('second', frame_showing(images[3]))
    np.testing.assert_array_equal(engine.infer()['flow'][0], np.dstack([images[0], images[3]]))


def test_cameras_that_take_turns_never_meet_in_a_pair(backend):
    engine = backend.flow()
    shown = {}
    for step, camera in enumerate([0, 1, 2, 1, 1, 0, 2, 0, 2, 1]):
        engine.select(camera)
        image = random_image(step, 1)
        engine.put_image('second', frame_showing(image))
        before = shown.get(camera, np.zeros_like(image))
        np.testing.assert_array_equal(engine.infer()['flow'][0], np.dstack([before, image]))
        engine.swap('first', 'second')
        shown[camera] = image


def test_an_image_of_a_camera_stays_while_others_have_their_turn(backend):
    engine = backend.segmentation()
    for camera in range(3):
        engine.select(camera)
        engine.put_image('image', frame_showing(random_image(camera)))
    for camera in (2, 0, 1):
        engine.select(camera)
        np.testing.assert_array_equal(engine.infer()['labels'][0], random_image(camera).argmax(axis=2))


def test_cameras_of_different_sizes_each_keep_their_own_size_of_the_outputs(backend):
    engine = backend.segmentation()
    sizes = [(12, 16), (3, 4), None]
    for camera, size in enumerate(sizes):
        engine.select(camera)
        resizes = size is not None and engine.resize_output('labels', size)
        sizes[camera] = size if resizes else SIZE
        engine.put_image('image', frame_showing(random_image(camera)))
    for _ in range(2):
        for camera, (height, width) in enumerate(sizes):
            engine.select(camera)
            rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int)
                             for new, old in zip((height, width), SIZE))
            np.testing.assert_array_equal(engine.infer()['labels'][0],
                                          random_image(camera).argmax(axis=2)[rows[:, np.newaxis], columns])


def test_results_are_the_engines_own_arrays_and_are_reused(backend):
    engine = backend.segmentation()
    engine.put_image('image', frame_showing(random_image(0)))
    kept = engine.infer()['labels']
    before = kept.copy()
    engine.put_image('image', frame_showing(random_image(1)))
    assert engine.infer()['labels'] is kept
    np.testing.assert_array_equal(kept[0], random_image(1).argmax(axis=2))
    assert (kept != before).any()


@pytest.mark.parametrize('backend', list(ON_THE_CPU), indirect=True)
def test_results_in_the_cpus_memory_outlive_the_engine(backend):
    engine = backend.segmentation()
    engine.put_image('image', frame_showing(random_image(0)))
    labels = engine.infer()['labels']
    engine.close()
    np.testing.assert_array_equal(labels[0], random_image(0).argmax(axis=2))


def test_an_input_stays_until_it_is_overwritten(backend):
    engine = backend.segmentation()
    frame = frame_showing(random_image(0))
    engine.put_image('image', frame)
    frame.data[...] = 0  # The camera driver reuses its memory.
    for _ in range(2):
        np.testing.assert_array_equal(engine.infer()['labels'][0], random_image(0).argmax(axis=2))


def test_another_thread_may_not_use_it(any_backend):
    engine = any_backend.flow()
    texts = []

    def use():
        for call in (lambda: engine.put_image('first', frame_showing(random_image(0, 1))), engine.infer,
                     lambda: engine.swap('first', 'second'), lambda: engine.resize_output('flow', SIZE, (1.0, 1.0)),
                     lambda: engine.select(1)):
            with pytest.raises(EngineError) as caught:
                call()
            texts.append(str(caught.value))

    in_a_thread(use)
    assert texts == ['{}: used from another thread than the one that opened it. Open the engine in the thread that '
                     'runs it.'.format(engine.file)] * 5
    assert not engine.infer()['flow'].any()  # And nothing was put in.


def test_a_thread_may_open_and_use_its_own(backend):
    model = backend.model('segmentation_model')
    results = []

    def work():
        engine = backend.open(model)
        engine.put_image('image', frame_showing(random_image(5)))
        results.append(engine.infer()['labels'][0].copy())
        engine.close()

    in_a_thread(work)
    np.testing.assert_array_equal(results[0], random_image(5).argmax(axis=2))


@pytest.mark.parametrize(('kind', 'role', 'right'), [
    ('segmentation_model', 'labels', 'labels, confidence'), ('segmentation_model', 'confidence', 'labels, confidence'),
    ('flow_model', 'flow', 'flow')])
def test_a_wrong_output_name_is_refused_with_the_right_ones(backend, kind, role, right):
    model = backend.model(kind)
    output = model.output._replace(names=dict(model.output.names, **{role: 'wrong'}))
    text = error_of(backend, model._replace(output=output))
    assert text == "{}: no output 'wrong', it has {}. Correct `output` in {}.".format(
        backend.file(model), right, model.path)


def test_a_wrong_input_name_is_refused_with_the_right_ones(backend):
    model = backend.model('segmentation_model')
    text = error_of(backend, model._replace(input=model.input._replace(names=('wrong',))))
    assert text == '{}: inputs are image, but {} says wrong. Correct input.names in the YAML.'.format(
        backend.file(model), model.path)


class Broken:
    """A runtime that fails whatever it is asked."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        def fail(*args, **options):
            raise self._error
        return fail


@pytest.mark.parametrize(('error', 'text'), [
    (MemoryError(), 'MemoryError. Close other programs, or choose a smaller network.'),
    (RuntimeError('the device\n  is gone.'), 'the device is gone.'), (KeyError('x'), "'x'."),
    (ValueError(''), 'ValueError.')])
def test_whatever_a_runtime_raises_is_an_engine_error(any_backend, error, text):
    engine = any_backend.flow()
    setattr(engine, any_backend.handle, Broken(error))
    with pytest.raises(EngineError) as caught:
        engine.infer()
    assert str(caught.value) == '{}: {} failed to run it: {}'.format(engine.file, any_backend.library, text)
    assert caught.value.__cause__ is error
    engine.close()


def test_a_closed_engine_says_so(any_backend):
    engine = any_backend.flow()
    engine.close()
    for call in (lambda: engine.put_image('first', frame_showing(random_image(0, 1))), engine.infer,
                 lambda: engine.swap('first', 'second'), lambda: engine.resize_output('flow', SIZE, (1.0, 1.0)),
                 lambda: engine.select(1)):
        with pytest.raises(EngineError) as caught:
            call()
        assert str(caught.value) == '{}: the engine is closed. Open it again.'.format(engine.file)

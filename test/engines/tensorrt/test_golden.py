import numpy as np
import pytest
from depth_task import depth_model
from tensorrt_rig import flow_model, segmentation_model

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import frame_from_array
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.engines.tensorrt import golden
from trt_perception.engines.tensorrt.golden import Golden, Verdict

SIZE = (20, 40)


def opened(model):
    network = model.network_file('tensorrt', 'fp32')
    return open_engine(model._replace(files={'onnxruntime': {'fp32': network}}), EngineOptions('onnxruntime'))


@pytest.fixture
def model(tmp_path):
    return segmentation_model(tmp_path, SIZE)


@pytest.fixture
def flow(tmp_path):
    return flow_model(tmp_path, SIZE)


def random_image(seed, channels=3):
    return np.random.RandomState(seed).randint(0, 256, SIZE + (channels,)).astype(np.uint8)


def with_wrong(found, model, count):
    """Return a golden frame with so many labels changed."""
    labels = np.array(found.outputs['labels'])
    labels.reshape(-1)[:count] += 1
    return found._replace(outputs={'labels': labels})


def test_a_frame_is_what_the_network_gives(model):
    found = golden.record(opened(model), model, {'image': random_image(1)}, 'me')
    assert found.source == 'me'
    assert np.array_equal(found.images['image'], random_image(1))
    assert np.array_equal(found.outputs['labels'][0], random_image(1).argmax(axis=2))


def test_the_images_are_taken_in_the_channel_order_of_the_model(tmp_path):
    model = segmentation_model(tmp_path, SIZE)
    bgr = model._replace(input=model.input._replace(color='bgr'))
    for each in (model, bgr):
        found = golden.record(opened(each), each, {'image': random_image(1)}, 'me')
        assert np.array_equal(found.outputs['labels'][0], random_image(1).argmax(axis=2))


def test_what_was_written_is_read(model, flow, tmp_path):
    for each in (model, flow):
        images = {name: random_image(number, 3 if each is model else 1) for number, name in enumerate(each.input.names)}
        found = golden.record(opened(each), each, images, 'Torch 2')
        path = str(tmp_path / 'x.golden.npz')
        golden.write(path, found)
        again = golden.read(path)
        assert again.source == 'Torch 2'
        for written, read in ((found.images, again.images), (found.outputs, again.outputs)):
            assert sorted(written) == sorted(read)
            for name, array in written.items():
                assert np.array_equal(array, read[name])
                assert array.dtype == read[name].dtype


@pytest.mark.parametrize('content', [b'', b'PK no zip', b'PK\x03\x04 cut'])
def test_a_file_that_is_no_golden_frame_is_refused(tmp_path, content):
    path = tmp_path / 'x.golden.npz'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r'x\.golden\.npz: not a golden frame: .* Regenerate it'):
        golden.read(str(path))


def test_an_archive_of_something_else_is_refused(tmp_path):
    np.savez(str(tmp_path / 'x.npz'), labels=np.zeros(3))
    with pytest.raises(ConfigError, match='not a golden frame'):
        golden.read(str(tmp_path / 'x.npz'))


def test_the_file_is_beside_the_network():
    assert golden.golden_path('/a/swiftnet.tensorrt.onnx') == '/a/swiftnet.tensorrt.golden.npz'


# The comparison.

def test_an_engine_agrees_with_itself(model, flow):
    for each, channels in ((model, 3), (flow, 1)):
        engine = opened(each)
        images = {name: random_image(number, channels) for number, name in enumerate(each.input.names)}
        verdict = golden.check(engine, each, 'fp32', golden.record(engine, each, images, 'itself'))
        assert verdict.passed is True
    assert verdict.text == 'the flow differs from itself by 0.000 px on average (at most 0.05 px)'


def test_results_that_cannot_be_compared_do_not_pass(depth, tmp_path):
    model = depth_model(tmp_path, SIZE)
    engine = opened(model)
    verdict = golden.check(engine, model, 'fp32', golden.record(engine, model, {'image': random_image(1)}, 'itself'))
    assert verdict == Verdict(None, 'not checked: only labels and flow are compared')


@pytest.mark.parametrize('precision', sorted(golden.TOLERANCES))
def test_labels_may_differ_in_a_share_that_depends_on_the_precision(model, precision):
    engine = opened(model)
    found = golden.record(engine, model, {'image': random_image(1)}, 'Torch')
    count = SIZE[0] * SIZE[1]
    least = golden.TOLERANCES[precision][0]
    most_wrong = int(round(count * (1 - least)))
    verdict = golden.check(engine, model, precision, with_wrong(found, model, most_wrong))
    assert verdict == Verdict(True, '{:.2f} % of the labels equal those of Torch (at least {:g} %)'.format(
        100 * least, 100 * least))
    assert golden.check(engine, model, precision, with_wrong(found, model, most_wrong + 1)).passed is False


@pytest.mark.parametrize('precision', sorted(golden.TOLERANCES))
@pytest.mark.parametrize('scale', [1.0, -2.0])
def test_flow_may_differ_by_a_length_that_depends_on_the_precision(flow, precision, scale):
    engine = opened(flow)
    found = golden.record(engine, flow, {'first': random_image(1, 1), 'second': random_image(2, 1)}, 'Torch')
    model = flow._replace(output=flow.output._replace(numbers={'flow_scale': scale}))
    most_px = golden.TOLERANCES[precision][1]
    for factor, passed in ((0.94, True), (1.06, False)):
        moved = found.outputs['flow'].copy()
        moved[:, 0] += 0.6 * factor * most_px / abs(scale)
        moved[:, 1] -= 0.8 * factor * most_px / abs(scale)
        verdict = golden.check(engine, model, precision, found._replace(outputs={'flow': moved}))
        assert verdict.passed is passed
        assert 'by {:.3f} px on average (at most {:g} px)'.format(factor * most_px, most_px) in verdict.text


def test_channels_may_come_last(flow):
    engine = opened(flow)
    found = golden.record(engine, flow, {'first': random_image(1, 1), 'second': random_image(2, 1)}, 'Torch')
    last = found._replace(outputs={'flow': found.outputs['flow'].transpose(0, 2, 3, 1)})
    assert golden.check(engine, flow, 'fp32', last).passed is True


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_flow_that_is_no_number_is_wrong(flow, value):
    engine = opened(flow)
    found = golden.record(engine, flow, {'first': random_image(1, 1), 'second': random_image(2, 1)}, 'Torch')
    overflow = found.outputs['flow'].copy()
    overflow[0, 1, 3, 4] = value
    original = engine._infer
    engine._infer = lambda wanted: dict(original(wanted), flow=overflow)
    assert golden.check(engine, flow, 'fp16', found).passed is False


@pytest.mark.parametrize(('change', 'text'), [
    ({'images': {}}, "golden frame of tiny: image 'image': got None, expected uint8 (20, 40, 3)."),
    ({'images': {'image': np.zeros((20, 40, 1), np.uint8)}}, 'got uint8 (20, 40, 1), expected uint8 (20, 40, 3).'),
    ({'images': {'image': np.zeros((20, 40, 3))}}, 'got float64 (20, 40, 3), expected uint8 (20, 40, 3).'),
    ({'outputs': {}}, "golden frame of tiny: output 'labels': got None, expected (1, 20, 40)."),
    ({'outputs': {'labels': np.zeros((1, 10, 40))}}, "output 'labels': got (1, 10, 40), expected (1, 20, 40).")])
def test_a_golden_frame_of_another_network_is_refused(model, change, text):
    engine = opened(model)
    found = golden.record(engine, model, {'image': random_image(1)}, 'Torch')._replace(**change)
    with pytest.raises(ConfigError) as caught:
        golden.check(engine, model, 'fp32', found)
    assert text in str(caught.value)


# Without a stored frame.

def test_synthetic_images_have_all_levels_and_move_by_two_pixels(model, flow):
    image = golden.synthetic_images(model, SIZE)['image']
    assert image.shape == SIZE + (3,)
    assert image.dtype == np.uint8
    assert image.std() > 20
    pair = golden.synthetic_images(flow, SIZE)
    assert np.array_equal(pair['first'][:, :-2], pair['second'][:, 2:])
    assert (np.abs(np.diff(pair['first'].astype(int), axis=1)) < 20).all()


def test_onnx_runtime_is_the_reference(model):
    found = golden.reference(model, model.network_file('tensorrt', 'fp32'))
    assert isinstance(found, Golden)
    assert found.source == 'ONNX Runtime'
    assert np.array_equal(found.outputs['labels'][0], found.images['image'].argmax(axis=2))


def test_the_reference_may_be_of_given_frames(model, flow):
    frame = frame_from_array(np.repeat(np.repeat(random_image(5), 2, axis=0), 2, axis=1))
    found = golden.reference(model, model.network_file('tensorrt', 'fp32'), [frame])
    assert np.array_equal(found.images['image'], random_image(5)[..., ::-1])  # Of BGR, for a network that sees RGB.
    assert np.array_equal(found.outputs['labels'][0], random_image(5)[..., ::-1].argmax(axis=2))
    pair = [frame_from_array(np.full((5, 5, 3), level, np.uint8)) for level in (10, 20)]
    found = golden.reference(flow, flow.network_file('tensorrt', 'fp32'), pair)
    for name, level in (('first', 10), ('second', 20)):
        assert np.unique(found.images[name]).tolist() == [level]

import networks
import numpy as np
import pytest

from trt_perception.core.data import VOID, LabelMap
from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.image import frame_from_array, make_frame
from trt_perception.core.pipeline import CAMERA, NETWORK
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.core.timing import StageTimer
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.engines.onnxruntime_engine import OnnxRuntimeEngine

SIZE = (6, 8)


def random_image(seed, size=SIZE):
    """Return RGB whose brightest channel varies by pixel."""
    return np.random.RandomState(seed).randint(0, 256, size + (3,)).astype(np.uint8)


def frame_showing(rgb, stamp_ns=5, frame_id='cam_optical'):
    return frame_from_array(np.ascontiguousarray(rgb[..., ::-1]), stamp_ns, frame_id)


def pipeline_of(model, output_size=CAMERA, **options):
    return SegmentationPipeline(open_engine(model), model, {'output_size': output_size}, **options)


def blocks(rgb, factor):
    """Return an image enlarged by repeating pixels: resized to the network it is itself again."""
    return np.repeat(np.repeat(rgb, factor, axis=0), factor, axis=1)


def test_labels_and_confidence_are_what_the_network_says(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path))
    for seed in range(3):
        result = pipeline.process(frame_showing(random_image(seed)))
        assert isinstance(result, LabelMap)
        assert result.labels.dtype == result.confidence.dtype == np.uint8
        np.testing.assert_array_equal(result.labels, random_image(seed).argmax(axis=2))
        np.testing.assert_array_equal(result.confidence, random_image(seed).max(axis=2))


def test_stamp_and_frame_id_are_those_of_the_image(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path))
    for stamp_ns, frame_id in ((1700000000123456789, 'front_optical'), (0, ''), (3, 'rear')):
        result = pipeline.process(frame_showing(random_image(0), stamp_ns, frame_id))
        assert (result.stamp_ns, result.frame_id) == (stamp_ns, frame_id)


@pytest.mark.parametrize('factor', [2, 4])
def test_labels_have_the_cameras_size(tmp_path, factor):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path), CAMERA)
    result = pipeline.process(frame_showing(blocks(random_image(1), factor)))
    assert result.labels.shape == (6 * factor, 8 * factor)
    np.testing.assert_array_equal(result.labels, blocks(random_image(1).argmax(axis=2), factor))
    np.testing.assert_array_equal(result.confidence, blocks(random_image(1).max(axis=2), factor))


def test_a_camera_smaller_than_the_network_gets_the_nearest_labels(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path))
    rgb = np.zeros((3, 4, 3), np.uint8)
    rgb[:, :2, 0], rgb[:, 2:, 1] = 200, 100
    result = pipeline.process(frame_showing(rgb))
    np.testing.assert_array_equal(result.labels, [[0, 0, 1, 1]] * 3)


def test_labels_may_stay_at_the_networks_size(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path), NETWORK)
    result = pipeline.process(frame_showing(blocks(random_image(1), 4)))
    np.testing.assert_array_equal(result.labels, random_image(1).argmax(axis=2))
    np.testing.assert_array_equal(result.confidence, random_image(1).max(axis=2))


def test_results_use_the_same_memory_for_every_frame(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path))
    for factor in (1, 2):
        first = pipeline.process(frame_showing(blocks(random_image(0), factor)))
        kept = first.labels.copy()
        second = pipeline.process(frame_showing(blocks(random_image(1), factor)))
        assert second.labels is first.labels
        assert second.confidence is first.confidence
        assert (kept != second.labels).any()


def test_results_are_not_the_engines_own_arrays(tmp_path):
    model = networks.segmentation_model(tmp_path)
    engine = open_engine(model)
    result = SegmentationPipeline(engine, model, {'output_size': NETWORK}).process(frame_showing(random_image(0)))
    assert not np.shares_memory(result.labels, engine.infer()['labels'])


@pytest.mark.parametrize('factor', [1, 2])
def test_results_are_written_where_allocate_says(tmp_path, factor):
    asked, memory = [], {}

    def allocate(name, shape, dtype):
        asked.append((name, shape, dtype))
        memory[name] = np.zeros(shape, dtype)
        return memory[name]

    pipeline = pipeline_of(networks.segmentation_model(tmp_path), allocate=allocate)
    for seed in range(2):
        result = pipeline.process(frame_showing(blocks(random_image(seed), factor)))
        assert result.labels is memory['labels']
        assert result.confidence is memory['confidence']
        np.testing.assert_array_equal(memory['labels'], blocks(random_image(seed).argmax(axis=2), factor))
    size = (6 * factor, 8 * factor)
    assert sorted(asked[:2]) == [('confidence', size, np.uint8), ('labels', size, np.uint8)]
    assert len(asked) == 2
    pipeline.process(frame_showing(random_image(0, (9, 9))))  # Another camera size: new memory, once.
    assert sorted(asked[2:]) == [('confidence', (9, 9), np.uint8), ('labels', (9, 9), np.uint8)]


def test_a_camera_that_changes_its_size_is_followed(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path))
    for factor in (1, 2, 1, 3):
        result = pipeline.process(frame_showing(blocks(random_image(factor), factor)))
        np.testing.assert_array_equal(result.labels, blocks(random_image(factor).argmax(axis=2), factor))


@pytest.mark.parametrize('roles', [('labels', 'confidence'), ('labels',), ('confidence',)])
def test_an_engine_that_resizes_is_asked_once_per_geometry(tmp_path, roles):
    class Resizing(OnnxRuntimeEngine):
        """Enlarges some of its outputs itself."""

        asked = []

        def _resize_output(self, name, size, factors):
            self.asked.append((name, size, factors))
            self.size = size
            return name in roles

        def _infer(self, wanted):
            factor = self.size[0] // 6
            return {name: blocks(array[0], factor)[np.newaxis] if name in roles else array
                    for name, array in super()._infer(wanted).items()}

    model = networks.segmentation_model(tmp_path)
    pipeline = SegmentationPipeline(Resizing(model, 'fp32', EngineOptions()), model)
    for seed, factor in enumerate([1, 1, 2, 2, 3, 1]):
        result = pipeline.process(frame_showing(blocks(random_image(seed), factor)))
        np.testing.assert_array_equal(result.labels, blocks(random_image(seed).argmax(axis=2), factor))
        np.testing.assert_array_equal(result.confidence, blocks(random_image(seed).max(axis=2), factor))
    assert Resizing.asked == [(name, (6 * factor, 8 * factor), None) for factor in (1, 2, 3, 1)
                              for name in ('labels', 'confidence')]


def test_a_network_without_confidence_gives_none(tmp_path):
    fields = networks.segmentation_fields()
    del fields['output']['confidence']
    result = pipeline_of(networks.segmentation_model(tmp_path, fields=fields)).process(frame_showing(random_image(0)))
    assert result.confidence is None
    np.testing.assert_array_equal(result.labels, random_image(0).argmax(axis=2))


@pytest.mark.parametrize('shape', [(1, 1, 6, 8), (6, 8), (1, 1, 1, 6, 8)])
def test_leading_ones_of_the_label_output_do_not_matter(tmp_path, shape):
    model = networks.segmentation_model(tmp_path, labels_shape=shape)
    result = pipeline_of(model).process(frame_showing(random_image(2)))
    np.testing.assert_array_equal(result.labels, random_image(2).argmax(axis=2))


def test_a_padded_frame_of_another_encoding_gives_the_same_labels(tmp_path):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path))
    rows = np.full((6, 37), 0xAA, np.uint8)
    rows[:, :32] = np.dstack([random_image(4), random_image(5)[..., 0]]).reshape(6, 32)
    result = pipeline.process(make_frame(rows.reshape(-1), 6, 8, 37, 'rgba8', 1, 'cam'))
    np.testing.assert_array_equal(result.labels, random_image(4).argmax(axis=2))


def test_every_stage_is_timed(tmp_path):
    timer = StageTimer()
    pipeline = pipeline_of(networks.segmentation_model(tmp_path), timer=timer)
    for _ in range(3):
        pipeline.process(frame_showing(random_image(0)))
    assert {name: stage.samples for name, stage in timer.summary().items()} == {
        'segmentation preprocess': 3, 'segmentation infer': 3, 'segmentation decode': 3}


def error_of(model):
    engine = open_engine(model)
    with pytest.raises(EngineError) as caught:
        SegmentationPipeline(engine, model)
    return str(caught.value)


def test_logits_are_refused_with_the_advice_to_import_the_network(tmp_path):
    model = networks.segmentation_model(tmp_path, labels='float32')
    assert error_of(model) == (
        "{}: output 'labels': got float32 (1, 6, 8, 3), expected uint8 (1, H, W). These look like logits: "
        '`trt_perception_tools import-model` puts the argmax into the graph, so that bytes are copied instead of '
        'floats.'.format(
            networks.network_path(model)))


@pytest.mark.parametrize('kind', ['int64', 'int32'])
def test_wide_labels_are_refused_with_the_advice_to_cast(tmp_path, kind):
    model = networks.segmentation_model(tmp_path, labels=kind)
    assert error_of(model) == "{}: output 'labels': got {} (1, 6, 8), expected uint8 (1, H, W). " \
        '`trt_perception_tools import-model` casts it in the graph.'.format(networks.network_path(model), kind)


def test_labels_that_are_no_map_are_refused(tmp_path):
    model = networks.segmentation_model(tmp_path, labels_shape=(6, 8, 1))
    assert error_of(model).startswith("{}: output 'labels': got uint8 (6, 8, 1), expected uint8 (1, H, W).".format(
        networks.network_path(model)))


def test_confidence_of_another_size_is_refused(tmp_path):
    model = networks.segmentation_model(tmp_path, confidence_size=(3, 4))
    assert error_of(model) == '{}: labels and confidence differ in size: [(3, 4), (6, 8)].'.format(
        networks.network_path(model))


def test_confidence_that_nobody_wants_is_left_out(tmp_path):
    model = networks.segmentation_model(tmp_path, size=(4, 4))
    wanted = []
    pipeline = SegmentationPipeline(open_engine(model), model, wants=lambda role: bool(wanted))
    frame = frame_from_array(np.full((8, 8, 3), 200, np.uint8))
    without = pipeline.process(frame)
    assert without.confidence is None
    labels = without.labels.copy()
    wanted.append(True)
    whole = pipeline.process(frame)
    assert np.array_equal(whole.confidence, np.full((8, 8), 200))
    assert np.array_equal(whole.labels, labels)


@pytest.mark.parametrize('watched', [True, False])
def test_labels_below_the_least_confidence_become_void(tmp_path, watched):
    pipeline = pipeline_of(networks.segmentation_model(tmp_path), wants=lambda role: watched)
    pipeline.configure({'segmentation.min_confidence': 0.75})
    result = pipeline.process(frame_showing(random_image(0)))
    confidence, labels = random_image(0).max(axis=2), random_image(0).argmax(axis=2)
    unsure = confidence < 192  # 0.75 * 255 = 191.25
    assert 0 < unsure.sum() < unsure.size
    np.testing.assert_array_equal(result.labels, np.where(unsure, VOID, labels))
    assert (result.confidence is not None) == watched
    pipeline.configure({'segmentation.min_confidence': 0.0})
    np.testing.assert_array_equal(pipeline.process(frame_showing(random_image(0))).labels, labels)


def test_a_least_confidence_needs_a_network_that_gives_one(tmp_path):
    fields = networks.segmentation_fields()
    del fields['output']['confidence']
    model = networks.segmentation_model(tmp_path, fields=fields)
    with pytest.raises(ConfigError, match=r'segmentation.min_confidence: got 0.5, but model .* gives no confidence'):
        SegmentationPipeline(open_engine(model), model, {'segmentation.min_confidence': 0.5})

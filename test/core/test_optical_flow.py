"""The tiny network's u is the grey level of its first image, its v that of its second: see networks.flow_model."""
import networks
import numpy as np
import pytest
from onnx import helper

from trt_perception.core.data import FlowField
from trt_perception.core.errors import ConfigError, EngineError, FrameError
from trt_perception.core.image import FrameDecoder, make_frame
from trt_perception.core.optical_flow import CURRENT, PREVIOUS, OpticalFlowPipeline
from trt_perception.core.pipeline import CAMERA, NETWORK
from trt_perception.core.timing import StageTimer
from trt_perception.engines import EngineOptions, open_engine
from trt_perception.engines.onnxruntime_engine import OnnxRuntimeEngine

SIZE = (6, 8)
LAYOUTS = ['NHWC', 'NCHW']


def random_image(seed, size=SIZE):
    return np.random.RandomState(seed).randint(1, 256, size).astype(np.uint8)


def frame_showing(gray, stamp_ns, frame_id='cam'):
    """Return a mono8 frame of (H, W) gray, or of one level."""
    gray = np.full(SIZE, gray, np.uint8) if np.isscalar(gray) else gray
    return make_frame(gray.reshape(-1).copy(), gray.shape[0], gray.shape[1], gray.shape[1], 'mono8', stamp_ns, frame_id)


def pipeline_of(model, flow_grid=CURRENT, max_pair_gap=0.0, output_size=CAMERA, **options):
    settings = {'flow_grid': flow_grid, 'max_pair_gap': max_pair_gap, 'output_size': output_size}
    return OpticalFlowPipeline(open_engine(model), model, settings, **options)


def levels(result):
    """Return (u, v) of a field that is the same everywhere."""
    assert (result.flow == result.flow[0, 0]).all()
    return tuple(result.flow[0, 0].tolist())


# Sign and grid.

def test_the_first_frame_gives_no_flow(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    assert pipeline.process(frame_showing(10, 1)) is None


@pytest.mark.parametrize('output_layout', LAYOUTS)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_on_the_current_grid_the_network_sees_current_then_previous_and_is_negated(tmp_path, layout, output_layout):
    pipeline = pipeline_of(networks.flow_model(tmp_path, layout=layout, output_layout=output_layout), CURRENT)
    pipeline.process(frame_showing(random_image(0), 100, 'cam'))
    for seed in (1, 2, 3):
        result = pipeline.process(frame_showing(random_image(seed), 100 + 7 * seed, 'cam'))
        assert isinstance(result, FlowField)
        assert (result.flow.dtype, result.flow.shape) == (np.float32, (6, 8, 2))
        shown = np.dstack([random_image(seed), random_image(seed - 1)])
        np.testing.assert_array_equal(result.flow, -shown.astype(np.float32))
        assert (result.stamp_ns, result.frame_id, result.interval_ns) == (100 + 7 * seed, 'cam', 7)


@pytest.mark.parametrize('output_layout', LAYOUTS)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_on_the_previous_grid_the_network_sees_previous_then_current(tmp_path, layout, output_layout):
    pipeline = pipeline_of(networks.flow_model(tmp_path, layout=layout, output_layout=output_layout), PREVIOUS)
    pipeline.process(frame_showing(random_image(0), 100, 'cam'))
    for seed in (1, 2, 3):
        result = pipeline.process(frame_showing(random_image(seed), 100 + 7 * seed, 'cam'))
        np.testing.assert_array_equal(result.flow, np.dstack([random_image(seed - 1), random_image(seed)]))
        assert (result.stamp_ns, result.frame_id, result.interval_ns) == (100 + 7 * (seed - 1), 'cam', 7)


def test_the_interval_is_exact_for_large_stamps(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 1700000000000000001))
    assert pipeline.process(frame_showing(2, 1700000000033333334)).interval_ns == 33333333


def test_the_previous_frames_bytes_may_be_overwritten(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    frame = frame_showing(10, 1)
    pipeline.process(frame)
    frame.data[...] = 99  # The message is reused.
    assert levels(pipeline.process(frame_showing(20, 2))) == (-20, -10)


# Scale.

@pytest.mark.parametrize(('grid', 'sign'), [(CURRENT, -1), (PREVIOUS, 1)])
def test_values_are_in_pixels_of_the_camera(tmp_path, grid, sign):
    pipeline = pipeline_of(networks.flow_model(tmp_path), grid)
    size = (18, 32)  # 3 times the network's height, 4 times its width.
    pipeline.process(frame_showing(np.full(size, 10, np.uint8), 1))
    result = pipeline.process(frame_showing(np.full(size, 20, np.uint8), 2))
    assert result.flow.shape == (18, 32, 2)
    first, second = (20, 10) if grid == CURRENT else (10, 20)
    assert levels(result) == (sign * first * 4, sign * second * 3)


@pytest.mark.parametrize('output_layout', LAYOUTS)
def test_a_coarse_output_is_stretched_over_the_camera(tmp_path, output_layout):
    pipeline = pipeline_of(networks.flow_model(tmp_path, output_layout=output_layout, stride=2), PREVIOUS)
    ramp = np.tile(np.uint8([10, 10, 30, 30, 50, 50, 70, 70]), (6, 1))
    pipeline.process(frame_showing(ramp, 1))
    result = pipeline.process(frame_showing(5, 2))
    # The network's own unit is a pixel of its input, which is the camera's: resampled, not multiplied.
    np.testing.assert_allclose(result.flow[..., 0], np.tile([10, 15, 25, 35, 45, 55, 65, 70], (6, 1)), atol=1e-4)
    assert (result.flow[..., 1] == 5).all()


def test_at_network_size_values_are_in_pixels_of_that_grid(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path, stride=2), PREVIOUS, output_size=NETWORK)
    size = (12, 16)
    for stamp, level in ((1, 10), (2, 20)):
        result = pipeline.process(frame_showing(np.full(size, level, np.uint8), stamp))
    assert result.flow.shape == (3, 4, 2)
    assert levels(result) == (5, 10)  # A pixel of the output is two of the network's input.


@pytest.mark.parametrize(('scale', 'grid', 'expected'), [(20, PREVIOUS, (200, 400)), (-0.5, CURRENT, (10, 5))])
def test_the_models_flow_scale_is_applied(tmp_path, scale, grid, expected):
    fields = networks.flow_fields()
    fields['output']['flow_scale'] = scale
    pipeline = pipeline_of(networks.flow_model(tmp_path, fields=fields), grid)
    pipeline.process(frame_showing(10, 1))
    assert levels(pipeline.process(frame_showing(20, 2))) == expected


def test_an_engine_that_resizes_is_asked_once_per_geometry(tmp_path):
    class Resizing(OnnxRuntimeEngine):
        """Enlarges and multiplies its output itself."""

        asked = []

        def _resize_output(self, name, size, factors):
            self.asked.append((name, size, factors))
            self.size, self.factors = size, np.array(factors, np.float32)
            return True

        def _infer(self, wanted):
            return {name: np.broadcast_to(array[:, :1, :1], (1,) + self.size + (2,)) * self.factors
                    for name, array in super()._infer(wanted).items()}

    model = networks.flow_model(tmp_path)
    pipeline = OpticalFlowPipeline(Resizing(model, 'fp32', EngineOptions()), model)
    sizes = [(6, 8)] * 3 + [(12, 8)] * 3
    results = [pipeline.process(frame_showing(np.full(size, stamp + 1, np.uint8), stamp))
               for stamp, size in enumerate(sizes)]
    assert Resizing.asked == [('flow', (6, 8), (-1, -1)), ('flow', (12, 8), (-1, -2))]
    assert results[0] is results[3] is None
    assert results[2].flow.shape == (6, 8, 2)
    assert levels(results[5]) == (-6, -10)


# Confidence.

@pytest.mark.parametrize('grid', [CURRENT, PREVIOUS])
def test_the_confidence_is_on_the_grid_of_the_flow_and_enlarged_with_it(tmp_path, grid):
    pipeline = pipeline_of(networks.flow_model(tmp_path, confidence='uint8', stride=2), grid)
    images = [random_image(seed) for seed in range(3)]
    for stamp, small in enumerate(images):
        result = pipeline.process(frame_showing(np.kron(small, np.ones((3, 3), np.uint8)), stamp))
        if stamp:
            sure = images[stamp if grid == CURRENT else stamp - 1]
            assert result.confidence.dtype == np.uint8
            np.testing.assert_array_equal(result.confidence, np.kron(sure, np.ones((3, 3), np.uint8)))
            assert result.flow.shape == result.confidence.shape + (2,)


def test_a_network_without_confidence_gives_none(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 1))
    assert pipeline.process(frame_showing(2, 2)).confidence is None


def test_confidence_that_nobody_wants_is_not_asked_of_the_engine(tmp_path, monkeypatch):
    model = networks.flow_model(tmp_path, confidence='uint8')
    engine, wanted, asked = open_engine(model), [], []
    pipeline = OpticalFlowPipeline(engine, model, wants=lambda role: role in wanted)
    infer = engine.infer
    monkeypatch.setattr(engine, 'infer', lambda names=None: (asked.append(list(names)), infer(names))[1])
    results = []
    for stamp, names in enumerate(([], [], ['confidence'], [])):
        wanted[:] = names
        results.append(pipeline.process(frame_showing(stamp + 1, stamp)))
    assert asked == [['flow'], ['flow', 'confidence'], ['flow']]
    assert results[1].confidence is results[3].confidence is None
    assert (results[2].confidence == 3).all()


@pytest.mark.parametrize('watched', [True, False])
def test_flow_below_the_least_confidence_becomes_nan(tmp_path, watched):
    model = networks.flow_model(tmp_path, confidence='uint8')
    pipeline = pipeline_of(model, CURRENT, wants=lambda role: watched)
    pipeline.configure({'optical_flow.min_confidence': 0.5})
    pipeline.process(frame_showing(random_image(0), 1))
    result = pipeline.process(frame_showing(random_image(1), 2))
    unsure = random_image(1) < 128  # The confidence is the grey level of the current image; 0.5 * 255 = 127.5.
    assert 0 < unsure.sum() < unsure.size
    shown = -np.dstack([random_image(1), random_image(0)]).astype(np.float32)
    np.testing.assert_array_equal(result.flow, np.where(unsure[..., np.newaxis], np.float32(np.nan), shown))
    assert (result.confidence is not None) == watched
    pipeline.configure({'optical_flow.min_confidence': 0.0})
    result = pipeline.process(frame_showing(random_image(2), 3))
    np.testing.assert_array_equal(result.flow, -np.dstack([random_image(2), random_image(1)]).astype(np.float32))


def test_a_least_confidence_needs_a_network_that_gives_one(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    with pytest.raises(ConfigError, match=r'optical_flow.min_confidence: got 0.5, but model .* gives no confidence'):
        pipeline.configure({'optical_flow.min_confidence': 0.5})


def test_a_confidence_that_is_no_map_of_bytes_is_refused(tmp_path):
    model = networks.flow_model(tmp_path, confidence='int32')
    with pytest.raises(EngineError) as caught:
        OpticalFlowPipeline(open_engine(model), model)
    assert str(caught.value) == ("{}: output 'confidence': got int32 (1, 6, 8), expected uint8 (1, H, W). "
                                 '`trt_perception_tools import-model` casts it in the graph.'.format(
                                     networks.network_path(model)))


# Pairs.

def outcome(pipeline, frame):
    """Return what a frame gives: (u, v, interval) or None."""
    result = pipeline.process(frame)
    return None if result is None else levels(result) + (result.interval_ns,)


@pytest.mark.parametrize(('first', 'second', 'reason'), [
    ((0, 'cam'), (10**9, 'cam'), 'gap: 1.000 s between two images, more than max_pair_gap, 0.5 s'),
    ((5, 'cam'), (5, 'cam'), 'repeated stamp: two images have the same. Let the camera driver stamp them'),
    ((2 * 10**9, 'cam'), (10**9, 'cam'), 'stamps go back: by 1.000 s'),
    ((5, 'cam'), (6, 'other'), "change: the frame_id of two images differs: 'cam', 'other'")])
def test_frames_that_make_no_pair_leave_the_reason(tmp_path, first, second, reason):
    pipeline = pipeline_of(networks.flow_model(tmp_path), max_pair_gap=0.5)
    assert pipeline.lacks == ''
    pipeline.process(frame_showing(1, *first))
    assert pipeline.lacks == 'first image'
    assert pipeline.process(frame_showing(2, *second)) is None
    assert pipeline.lacks == reason
    assert pipeline.process(frame_showing(3, second[0] + 1, second[1])) is not None
    assert pipeline.lacks == ''
    pipeline.process(frame_showing(2, *second))
    pipeline.reset()
    assert pipeline.lacks == ''


def test_a_gap_starts_a_new_pair(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path), max_pair_gap=100e-9)
    assert outcome(pipeline, frame_showing(1, 0)) is None
    assert outcome(pipeline, frame_showing(2, 100)) == (-2, -1, 100)
    assert outcome(pipeline, frame_showing(3, 201)) is None
    assert outcome(pipeline, frame_showing(4, 300)) == (-4, -3, 99)


def test_without_a_limit_any_gap_is_a_pair(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path), max_pair_gap=0.0)
    pipeline.process(frame_showing(1, 0))
    assert outcome(pipeline, frame_showing(2, 10**18)) == (-2, -1, 10**18)


def test_the_gap_may_be_changed_while_running(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path), max_pair_gap=100e-9)
    pipeline.process(frame_showing(1, 0))
    pipeline.configure({'max_pair_gap': 500e-9})
    assert outcome(pipeline, frame_showing(2, 400)) == (-2, -1, 400)


def test_a_repeated_stamp_starts_a_new_pair(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 50))
    assert outcome(pipeline, frame_showing(2, 50)) is None
    assert outcome(pipeline, frame_showing(3, 60)) == (-3, -2, 10)


def test_a_clock_that_goes_back_starts_a_new_pair(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 1000))
    pipeline.process(frame_showing(2, 1010))
    assert outcome(pipeline, frame_showing(3, 5)) is None  # A looped bag.
    assert outcome(pipeline, frame_showing(4, 15)) == (-4, -3, 10)


def test_another_frame_id_starts_a_new_pair(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 0, 'left'))
    assert outcome(pipeline, frame_showing(2, 10, 'right')) is None
    assert outcome(pipeline, frame_showing(3, 20, 'right')) == (-3, -2, 10)


@pytest.mark.parametrize('size', [(12, 8), (6, 16)])
def test_another_size_starts_a_new_pair(tmp_path, size):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 0))
    assert pipeline.process(frame_showing(np.full(size, 2, np.uint8), 10)) is None
    result = pipeline.process(frame_showing(np.full(size, 3, np.uint8), 20))
    assert result.flow.shape == size + (2,)
    assert levels(result) == (-3 * size[1] / 8, -2 * size[0] / 6)


def test_another_encoding_starts_a_new_pair(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 0))
    assert outcome(pipeline, frame_showing(2, 10)._replace(encoding='8UC1')) is None
    assert outcome(pipeline, frame_showing(3, 20)._replace(encoding='8UC1')) == (-3, -2, 10)


def test_reset_forgets_the_previous_frame(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 0))
    pipeline.process(frame_showing(2, 10))
    pipeline.reset()
    assert outcome(pipeline, frame_showing(3, 20)) is None
    assert outcome(pipeline, frame_showing(4, 30)) == (-4, -3, 10)


@pytest.mark.parametrize('grid', [CURRENT, PREVIOUS])
def test_a_frame_may_begin_a_pair_whatever_came_before_it(tmp_path, grid):
    pipeline = pipeline_of(networks.flow_model(tmp_path), grid)
    pipeline.process(frame_showing(1, 0))
    pipeline.begin(frame_showing(2, 10))
    expected = (-3, -2) if grid == CURRENT else (2, 3)
    result = pipeline.process(frame_showing(3, 20))
    assert (levels(result), result.interval_ns) == (expected, 10)
    pipeline.begin(frame_showing(5, 0, 'other'))
    assert pipeline.lacks == ''
    expected = (-6, -5) if grid == CURRENT else (5, 6)
    assert levels(pipeline.process(frame_showing(6, 10, 'other'))) == expected


class RefusesLevel99(FrameDecoder):
    """A decoder that cannot read one frame."""

    def image(self, frame, color, size):
        if frame.data[0, 0] == 99:
            raise FrameError('planted')
        return super().image(frame, color, size)


@pytest.mark.parametrize(('grid', 'expected'), [(CURRENT, (-3, -2, 20)), (PREVIOUS, (2, 3, 20))])
def test_a_bad_frame_leaves_the_pair_as_it_was(tmp_path, grid, expected):
    model = networks.flow_model(tmp_path)
    pipeline = OpticalFlowPipeline(open_engine(model, decoder=RefusesLevel99()), model, {'flow_grid': grid})
    pipeline.process(frame_showing(1, 0))
    pipeline.process(frame_showing(2, 10))
    with pytest.raises(FrameError, match='^planted$'):
        pipeline.process(frame_showing(99, 20))
    assert outcome(pipeline, frame_showing(3, 30)) == expected


def test_a_failed_run_raises_and_the_next_frame_pairs_with_that_one(tmp_path, monkeypatch):
    model = networks.flow_model(tmp_path)
    engine = open_engine(model)
    pipeline = OpticalFlowPipeline(engine, model)
    pipeline.process(frame_showing(1, 0))
    with monkeypatch.context() as patch:
        def fail(wanted):
            raise EngineError('planted')
        patch.setattr(engine, '_infer', fail)
        with pytest.raises(EngineError, match='^planted$'):
            pipeline.process(frame_showing(2, 10))
    assert outcome(pipeline, frame_showing(3, 20)) == (-3, -2, 10)


# Invalid values.

@pytest.mark.parametrize('output_layout', LAYOUTS)
def test_what_the_network_cannot_say_becomes_nan_in_both_channels(tmp_path, output_layout):
    pipeline = pipeline_of(networks.flow_model(tmp_path, output_layout=output_layout, divide=True), PREVIOUS)
    before, now = np.full(SIZE, 12, np.uint8), np.full(SIZE, 4, np.uint8)
    now[1, 2] = 0  # 12 / 0: infinity.
    now[3, 4] = before[3, 4] = 0  # 0 / 0: NaN.
    pipeline.process(frame_showing(before, 1))
    flow = pipeline.process(frame_showing(now, 2)).flow
    invalid = np.zeros(SIZE, bool)
    invalid[1, 2] = invalid[3, 4] = True
    assert np.isnan(flow[invalid]).all()
    assert (flow[~invalid] == [3, 4]).all()


def test_invalid_pixels_stay_invalid_at_camera_size_and_the_others_valid(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path, divide=True), PREVIOUS)
    now = np.full((12, 16), 4, np.uint8)
    now[4:6, 6:8] = 0
    pipeline.process(frame_showing(np.full((12, 16), 12, np.uint8), 1))
    flow = pipeline.process(frame_showing(now, 2)).flow
    assert np.isnan(flow[4:6, 6:8]).all()
    assert not np.isinf(flow).any()
    far = np.ones((12, 16), bool)
    far[2:8, 4:10] = False
    assert (flow[far] == [6, 8]).all()


def test_a_valid_frame_after_an_invalid_one_is_whole(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path, divide=True), PREVIOUS)
    for stamp, level in ((1, 4), (2, 0), (3, 4)):
        pipeline.process(frame_showing(level, stamp))
    assert levels(pipeline.process(frame_showing(8, 4))) == (0.5, 8)


# Memory.

def test_the_field_uses_the_same_memory_for_every_frame(tmp_path):
    pipeline = pipeline_of(networks.flow_model(tmp_path))
    pipeline.process(frame_showing(1, 1))
    first = pipeline.process(frame_showing(2, 2)).flow
    assert first[0, 0, 0] == -2
    second = pipeline.process(frame_showing(3, 3)).flow
    assert second is first
    assert first[0, 0, 0] == -3


@pytest.mark.parametrize('output_layout', LAYOUTS)
@pytest.mark.parametrize('size', [SIZE, (12, 16)])
def test_the_field_is_written_where_allocate_says(tmp_path, size, output_layout):
    asked, memory = [], []

    def allocate(name, shape, dtype):
        asked.append((name, shape, dtype))
        memory.append(np.zeros(shape, dtype))
        return memory[-1]

    pipeline = pipeline_of(networks.flow_model(tmp_path, output_layout=output_layout), PREVIOUS, allocate=allocate)
    pipeline.process(frame_showing(np.full(size, 1, np.uint8), 1))
    assert asked == []
    for stamp in (2, 3):
        result = pipeline.process(frame_showing(np.full(size, stamp, np.uint8), stamp))
        assert result.flow is memory[0]
        assert memory[0][..., 1].min() == memory[0][..., 1].max() == stamp * size[0] / 6
    assert asked == [('flow', size + (2,), np.float32)]


def test_every_stage_is_timed_only_when_it_runs(tmp_path):
    timer = StageTimer()
    pipeline = pipeline_of(networks.flow_model(tmp_path), timer=timer)
    for stamp in (1, 2, 3):
        pipeline.process(frame_showing(1, stamp))
    assert {name: stage.samples for name, stage in timer.summary().items()} == {
        'optical_flow preprocess': 3, 'optical_flow infer': 2, 'optical_flow decode': 2}


# Networks that give no flow.

@pytest.mark.parametrize(('kind', 'shape'), [
    ('float32', (1, 6, 8, 1)), ('float32', (1, 6, 8, 3)), ('float32', (6, 8, 2)), ('uint8', (1, 6, 8, 2)),
    ('float16', (1, 2, 6, 8)), ('float32', (2, 6, 8, 2))])
def test_an_output_that_is_no_flow_field_is_refused(tmp_path, kind, shape):
    model = networks.flow_model(tmp_path)
    networks.save_network(
        tmp_path / 'tiny.onnx',
        [helper.make_node('Identity', ['constant'], ['flow']), helper.make_node('Identity', ['first'], ['a']),
         helper.make_node('Identity', ['second'], ['b'])],
        [('first', 'uint8', (1, 6, 8, 1)), ('second', 'uint8', (1, 6, 8, 1))],
        [('flow', kind, shape), ('a', 'uint8', (1, 6, 8, 1)), ('b', 'uint8', (1, 6, 8, 1))],
        [('constant', np.zeros(shape, kind))])
    engine = open_engine(model)
    with pytest.raises(EngineError) as caught:
        OpticalFlowPipeline(engine, model)
    assert str(caught.value) == "{}: output 'flow': got {} {}, expected float32 (1, H, W, 2) or (1, 2, H, W).".format(
        networks.network_path(model), kind, shape)

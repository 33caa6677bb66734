"""What the kernels of kernels.cu must do, wherever they run: on the host (engines/) and on a GPU (gpu/)."""
import numpy as np
import pytest

from trt_perception.core.data import TensorSpec
from trt_perception.core.image import ENCODINGS, FrameDecoder, NearestResizer, make_frame, resize_flow
from trt_perception.core.model import CHANNELS, ModelInput
from trt_perception.core.preprocess import InputWriter
from trt_perception.engines.tensorrt import kernels

# As in the issue: written out here, so that a line lost from LAYOUTS is noticed.
ON_THE_GPU = ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', '8UC1', '8UC3', '8UC4', 'yuv422', 'uyvy', 'yuv422_yuy2',
              'yuyv', 'nv12', 'nv21']
ON_THE_HOST = ['mono16', 'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8', 'nv24', 'i420']

GUARD = 256
"""Bytes before and after a destination that no kernel may touch; a multiple of every alignment."""

# Source -> target, height and width: equal, down, up, both, half, from and to one row or column.
SIZES = [((36, 54), (36, 54)), ((36, 54), (19, 31)), ((36, 54), (75, 101)), ((36, 54), (20, 111)),
         ((36, 54), (18, 27)), ((36, 54), (9, 13)), ((2, 2), (33, 7)), ((36, 54), (1, 1))]
ODD_SIZES = [((37, 53), (37, 53)), ((37, 53), (19, 31)), ((37, 53), (75, 101)), ((1, 1), (5, 3)), ((1, 53), (7, 20)),
             ((37, 1), (20, 9))]
REAL_SIZES = [((480, 640), (256, 512)), ((720, 1280), (512, 1024)), ((360, 480), (480, 640))]


def frame_of(encoding, size, padding=0, seed=0):
    """Return a frame of random bytes, its padding included: all bytes mean something in these encodings."""
    layout = ENCODINGS[encoding]
    step = size[1] * layout.bytes_per_pixel + padding
    rows = size[0] * layout.planes[0] // layout.planes[1]
    data = np.random.RandomState(seed).randint(0, 256, rows * step).astype(np.uint8)
    return make_frame(data, size[0], size[1], step, encoding, 0, 'camera')


def sizes_of(encoding):
    """Return SIZES and, of ODD_SIZES, those that an encoding can have."""
    even = ENCODINGS[encoding].even
    return SIZES + [pair for pair in ODD_SIZES if not any(e and n % 2 for e, n in zip(even, pair[0]))]


def image_of(color):
    """Return an input section whose values are exact in no type."""
    channels = CHANNELS[color]
    return ModelInput(('image',), color, np.float32([123.675, 116.28, 103.53][:channels]),
                      np.float32([58.395, 57.12, 57.375][:channels]))


def spec_of(size, color, kind, layout='NCHW'):
    channels = CHANNELS[color]
    return TensorSpec('image', (1, channels) + size if layout == 'NCHW' else (1,) + size + (channels,), np.dtype(kind))


def expected_image(frame, image, spec):
    """Return what the reference, core/preprocess.py, writes; in float16 its float32, rounded."""
    kind = np.dtype(np.uint8 if spec.dtype == np.uint8 else np.float32)
    tensor = np.zeros(spec.shape, kind)
    InputWriter(spec._replace(dtype=kind), image, FrameDecoder(), 'test').write(frame, tensor)
    return tensor.astype(spec.dtype)


class KernelChecks:
    """The tests. A subclass has a fixture `execute(launch, source, memory)`.

    It copies the bytes `source` and `memory` to where the kernel runs, launches it on them, GUARD bytes into the
    second, and copies that back.
    """

    @pytest.fixture
    def run(self, execute):
        """Give the test a function that runs a Launch on an array and returns the array of `shape` that it writes."""
        def run(launch, source, shape, kind):
            kind = np.dtype(kind)
            size = int(np.prod(shape)) * kind.itemsize
            memory = np.full(size + 2 * GUARD, 0xFF, np.uint8)  # NaN, in both float types: what is left is seen.
            execute(launch, np.ascontiguousarray(source).reshape(-1).view(np.uint8), memory)
            assert (memory[:GUARD] == 0xFF).all(), 'wrote before the destination'
            assert (memory[GUARD + size:] == 0xFF).all(), 'wrote behind the destination'
            return memory[GUARD:GUARD + size].view(kind).reshape(shape)
        return run

    def check_image(self, run, frame, image, spec):
        launch = kernels.write_image(frame, image, spec)
        result = run(launch, frame.data, spec.shape, spec.dtype)
        np.testing.assert_array_equal(result, expected_image(frame, image, spec), '{} {}x{} -> {} {} {}'.format(
            frame.encoding, frame.height, frame.width, spec.shape, spec.dtype, image.color))

    # Camera bytes -> input tensor: not within a tolerance, but the same number everywhere.

    @pytest.mark.parametrize('kind', ['float32', 'float16'])
    @pytest.mark.parametrize('color', ['rgb', 'bgr', 'gray'])
    @pytest.mark.parametrize('encoding', ON_THE_GPU)
    def test_a_frame_becomes_the_tensor_that_the_reference_writes(self, run, encoding, color, kind):
        for number, (source, target) in enumerate(sizes_of(encoding)):
            frame = frame_of(encoding, source, padding=number % 3 * 5, seed=number)
            self.check_image(run, frame, image_of(color), spec_of(target, color, kind))

    @pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
    @pytest.mark.parametrize('kind', ['float32', 'float16', 'uint8'])
    @pytest.mark.parametrize('encoding', ['bgra8', 'uyvy', 'nv12'])
    def test_the_tensor_may_be_of_either_layout_and_of_bytes(self, run, encoding, kind, layout):
        for color in ('rgb', 'bgr', 'gray'):
            self.check_image(run, frame_of(encoding, (36, 54), 3), image_of(color),
                             spec_of((41, 27), color, kind, layout))

    @pytest.mark.parametrize(('source', 'target'), REAL_SIZES)
    @pytest.mark.parametrize('encoding', ['bgr8', 'nv12'])
    def test_real_sizes_agree_on_every_pixel(self, run, encoding, source, target):
        self.check_image(run, frame_of(encoding, source), image_of('rgb'), spec_of(target, 'rgb', 'float32'))

    def test_every_colour_that_yuv_can_say_agrees(self, run):
        v, u, y = np.meshgrid(np.arange(256), np.arange(256), np.arange(0, 256, 5), indexing='ij')
        pixels = np.stack([u, y, v, 255 - y], -1).astype(np.uint8).reshape(256, -1)
        frame = make_frame(pixels.reshape(-1), 256, pixels.shape[1] // 2, pixels.shape[1], 'uyvy', 0, '')
        self.check_image(run, frame, image_of('rgb'), spec_of((256, frame.width), 'rgb', 'uint8'))

    def test_every_gray_level_of_a_colour_agrees(self, run):
        pixels = np.stack(np.meshgrid(*[np.arange(0, 256, 3)] * 3), -1).astype(np.uint8)
        height, width = 86, 86 * 86
        frame = make_frame(pixels.reshape(-1), height, width, 3 * width, 'rgb8', 0, '')
        self.check_image(run, frame, image_of('gray'), spec_of((height, width), 'gray', 'uint8'))

    def test_positions_agree_at_any_ratio(self, run):
        random = np.random.RandomState(0)
        for number in range(60):
            source, target = [(1, int(n)) for n in random.randint(1, 4097, 2)]
            for old, new in ((source, target), (source[::-1], target[::-1])):
                self.check_image(run, frame_of('mono8', old, seed=number), image_of('gray'),
                                 spec_of(new, 'gray', 'uint8'))

    # Labels.

    @pytest.mark.parametrize(('source', 'target'), [pair[::-1] for pair in SIZES + ODD_SIZES + REAL_SIZES])
    def test_labels_become_bytes_of_the_cameras_size(self, run, source, target):
        labels = np.random.RandomState(1).randint(0, 256, source).astype(np.int32)
        expected = labels.astype(np.uint8)
        if source != target:
            expected = NearestResizer(source, target).resize(expected, np.empty(target, np.uint8))
        result = run(kernels.narrow_labels(source, target), labels, target, np.uint8)
        np.testing.assert_array_equal(result, expected)

    def test_labels_agree_at_any_ratio(self, run):
        random = np.random.RandomState(2)
        for _ in range(60):
            source, target = [(1, int(n)) for n in random.randint(1, 4097, 2)]
            labels = (np.arange(source[1], dtype=np.int32) % 251)[np.newaxis]
            expected = NearestResizer(source, target).resize(labels.astype(np.uint8), np.empty(target, np.uint8))
            result = run(kernels.narrow_labels(source, target), labels, target, np.uint8)
            np.testing.assert_array_equal(result, expected)

    # Flow.

    @pytest.mark.parametrize('kind', ['float32', 'float16'])
    @pytest.mark.parametrize('layout', ['NHWC', 'NCHW'])
    @pytest.mark.parametrize(('source', 'target'), [pair[::-1] for pair in SIZES + ODD_SIZES + REAL_SIZES])
    def test_flow_is_resampled_and_scaled(self, run, source, target, layout, kind):
        self.check_flow(run, np.random.RandomState(3).normal(0, 5, source + (2,)), target, layout, kind)

    @pytest.mark.parametrize('target', [(12, 16), (20, 31), (7, 9)])
    def test_what_is_not_finite_stays_where_the_reference_has_it(self, run, target):
        flow = np.random.RandomState(4).normal(0, 5, (12, 16, 2))
        flow[5, 6, 0], flow[11, 15, 1], flow[0, 0] = np.nan, np.inf, np.nan
        self.check_flow(run, flow, target, 'NCHW', 'float32')

    def check_flow(self, run, flow, target, layout, kind):
        flow = flow.astype(kind)
        factors = (-1.75, 0.3)
        expected = np.empty(target + (2,), np.float32)
        with np.errstate(invalid='ignore'):
            resize_flow(flow.astype(np.float32), expected, factors)
        tensor = np.ascontiguousarray(flow if layout == 'NHWC' else flow.transpose(2, 0, 1))[np.newaxis]
        launch = kernels.scale_flow(TensorSpec('flow', tensor.shape, tensor.dtype), target, factors)
        result = run(launch, tensor, expected.shape, np.float32)
        # The pipeline makes NaN of infinity, so that which of the two is where does not matter.
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(result), finite)
        assert finite.all() == np.isfinite(flow).all()
        # A few units in the last place of terms up to 30 px: a GPU may fuse a multiplication and an addition.
        np.testing.assert_allclose(result[finite], expected[finite], rtol=0, atol=1e-5)

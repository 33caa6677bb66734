from pathlib import Path

import numpy as np
import pytest

from trt_perception.core.errors import ConfigError

torch = pytest.importorskip('torch')

from trt_perception_tools.networks import nanoflownet  # noqa: E402
from trt_perception_tools.networks.weights import read_weights  # noqa: E402


def wave(shift: int) -> np.ndarray:
    """Make a (112, 160) float64 image, grey levels 0..255, moved right by `shift` px."""
    rows, columns = np.mgrid[:112, :160].astype(np.float64)
    x = columns - shift
    return np.round(127.5 + 60 * np.sin(x / 7) + 60 * np.cos(rows / 5 + x / 11))


def test_published_weights_give_what_the_published_tflite_gives(data: Path):
    network = nanoflownet.load(read_weights(data / 'weights_nanoflownet' / 'nanoflownet.npz'), 'published')
    pair = torch.from_numpy((np.stack([wave(0), wave(3)]) - 128) / 128).float()[None]
    with torch.no_grad():
        flow = network(pair)[0].numpy()
    assert flow.shape == (2, 28, 40)
    # From nanoflownet_unquantized.tflite, ai-edge-litert 2; its output is not divided by 510 / 112.
    golden = {(0, 0): (20.969986, 1.001963), (5, 30): (14.694990, 0.587628), (14, 20): (16.376720, 1.609911),
              (20, 3): (18.442577, -0.163704), (27, 39): (19.193560, 3.047062)}
    for (row, column), expected in golden.items():
        np.testing.assert_allclose(flow[:, row, column] * 510 / 112, expected, atol=1e-4)


def test_stride_two_pads_at_the_end_only():
    conv = nanoflownet._SeparableConv(1, 1, 2)
    for parameter in conv.parameters():
        parameter.data.zero_()
    conv.depthwise.weight.data[0, 0, 0, 0] = 1  # The window's first pixel: that of even rows and columns.
    conv.pointwise.weight.data.fill_(1)
    x = torch.arange(16.).reshape(1, 1, 4, 4)
    assert conv(x)[0, 0].tolist() == [[0, 2], [8, 10]]


def test_pooling_averages_only_what_it_covers():
    pool = nanoflownet._Stage(16, 64).shrink
    x = torch.arange(16.).reshape(1, 1, 4, 4)
    assert pool(x)[0, 0].tolist() == [[5, 6.5], [11, 12.5]]


def test_a_missing_array_and_one_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r'w\.npz: no array separable_conv2d/depthwise_kernel'):
        nanoflownet.load({}, 'w.npz')
    with pytest.raises(ConfigError, match=r'w\.npz: separable_conv2d/depthwise_kernel: got shape \(3, 3, 1, 1\)'):
        nanoflownet.load({'separable_conv2d/depthwise_kernel': np.zeros((3, 3, 1, 1), np.float32)}, 'w.npz')

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra.numpy import arrays
from random_images import write_image

from trt_perception.core.errors import ConfigError
from trt_perception_tools.datasets.flow import flow_pairs, read_flo, read_flow


def write_flo(path: Path, flow: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack('<fii', 202021.25, flow.shape[1], flow.shape[0]) + flow.astype('<f4').tobytes())


def test_flo_is_rows_of_u_and_v(tmp_path: Path):
    flow = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    write_flo(tmp_path / 'x.flo', flow)
    np.testing.assert_array_equal(read_flo(tmp_path / 'x.flo'), flow)


def test_unknown_flow_is_nan_in_both_components(tmp_path: Path):
    write_flo(tmp_path / 'x.flo', np.array([[[1, 2], [1.7e9, 3], [4, -1.7e9]]], np.float32))
    np.testing.assert_array_equal(np.isnan(read_flo(tmp_path / 'x.flo')), [[[0, 0], [1, 1], [1, 1]]])


@pytest.mark.parametrize('data', [b'', b'PIEH', struct.pack('<fii', 1, 1, 1) + bytes(8)])
def test_another_file_is_no_flo(tmp_path: Path, data: bytes):
    (tmp_path / 'x.flo').write_bytes(data)
    with pytest.raises(ConfigError, match=r'x\.flo: does not begin like a \.flo file'):
        read_flo(tmp_path / 'x.flo')


def test_a_flo_cut_short_says_how_many_bytes_it_needs(tmp_path: Path):
    (tmp_path / 'x.flo').write_bytes(struct.pack('<fii', 202021.25, 3, 2) + bytes(40))
    with pytest.raises(ConfigError, match='got 52 bytes, expected 60 for 2x3 px'):
        read_flo(tmp_path / 'x.flo')


def test_pairs_of_middlebury_and_of_flyingchairs_are_found(tmp_path: Path):
    image, flow = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 2), np.float32)
    for name in ('Venus/frame10.png', 'Venus/frame11.png', '0000001-img0.ppm', '0000001-img1.ppm'):
        write_image(tmp_path / name, image)
    for name in ('Venus/flow10.flo', '0000001-gt.flo', 'other.flo'):
        write_flo(tmp_path / name, flow)
    assert [(pair.name, pair.first.name, pair.second.name) for pair in flow_pairs(tmp_path)] == [
        ('0000001', '0000001-img0.ppm', '0000001-img1.ppm'), ('Venus', 'frame10.png', 'frame11.png')]


def test_no_pairs_and_half_a_pair_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='no flow pairs'):
        flow_pairs(tmp_path)
    write_flo(tmp_path / 'a-gt.flo', np.zeros((2, 2, 2), np.float32))
    write_image(tmp_path / 'a-img0.png', np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ConfigError, match=r'a-gt\.flo: no a-img0\.\* with a-img1\.\*'):
        flow_pairs(tmp_path)


def write_kitti_flow(path: Path, flow: np.ndarray, known: np.ndarray) -> None:
    u, v = (np.round(flow[..., channel] * 64 + 2 ** 15) for channel in (0, 1))
    write_image(path, np.stack([known, v, u], 2).astype(np.uint16))  # OpenCV writes the last channel first.


def test_kitti_flow_is_64ths_of_a_pixel_with_unknown_as_nan(tmp_path: Path):
    flow = np.array([[[1.5, -2], [-512, 511.984375], [3, 4]]], np.float32)
    write_kitti_flow(tmp_path / 'x.png', flow, np.array([[1, 1, 0]]))
    flow[0, 2] = np.nan
    np.testing.assert_array_equal(read_flow(tmp_path / 'x.png'), flow)


def test_an_8_bit_image_is_no_kitti_flow(tmp_path: Path):
    write_image(tmp_path / 'x.png', np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ConfigError, match=r'x\.png: expected a 16-bit PNG of three channels'):
        read_flow(tmp_path / 'x.png')


def test_sintel_pairs_are_listed_for_each_pass(tmp_path: Path):
    write_flo(tmp_path / 'flow' / 'alley' / 'frame_0009.flo', np.ones((2, 3, 2), np.float32))
    for kind in ('clean', 'final'):
        for number in (9, 10):
            write_image(tmp_path / kind / 'alley' / f'frame_{number:04d}.png', np.zeros((2, 3, 3), np.uint8))
    assert [(pair.name, pair.second.relative_to(tmp_path).as_posix()) for pair in flow_pairs(tmp_path)] == [
        ('clean/alley/frame_0009', 'clean/alley/frame_0010.png'),
        ('final/alley/frame_0009', 'final/alley/frame_0010.png')]
    (tmp_path / 'final' / 'alley' / 'frame_0010.png').unlink()
    with pytest.raises(ConfigError, match=r'frame_0009\.flo: no frame_0009\.\* with frame_0010\.\* in .*final'):
        flow_pairs(tmp_path)


def test_kitti_pairs_are_the_tenth_and_eleventh_image(tmp_path: Path):
    write_kitti_flow(tmp_path / 'flow_occ' / '000007_10.png', np.zeros((2, 3, 2)), np.ones((2, 3)))
    for number in (10, 11):
        write_image(tmp_path / 'image_2' / f'000007_{number}.png', np.zeros((2, 3, 3), np.uint8))
    (pair,) = flow_pairs(tmp_path)
    assert (pair.name, pair.first.name, pair.second.name, pair.flow.parent.name) == (
        '000007', '000007_10.png', '000007_11.png', 'flow_occ')


def test_flying_chairs_pairs_are_found_under_their_published_names(tmp_path: Path):
    write_flo(tmp_path / '00001_flow.flo', np.zeros((2, 3, 2), np.float32))
    for number in (1, 2):
        write_image(tmp_path / f'00001_img{number}.ppm', np.zeros((2, 3, 3), np.uint8))
    (pair,) = flow_pairs(tmp_path)
    assert (pair.name, pair.first.name, pair.second.name) == ('00001', '00001_img1.ppm', '00001_img2.ppm')


SIZES = strategies.tuples(strategies.integers(1, 9), strategies.integers(1, 9))


@settings(max_examples=50)
@given(SIZES.flatmap(lambda size: arrays(np.float32, (*size, 2), elements=strategies.floats(-1e9, 1e9, width=32))))
def test_any_flow_is_read_from_a_flo_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, flow: np.ndarray):
    path = tmp_path_factory.mktemp('flow') / 'x.flo'
    write_flo(path, flow)
    np.testing.assert_array_equal(read_flow(path), flow)


@settings(max_examples=50)
@given(SIZES.flatmap(lambda size: strategies.tuples(
    arrays(np.int64, (*size, 2), elements=strategies.integers(-2 ** 15, 2 ** 15 - 1)),
    arrays(np.bool_, size))))
def test_any_64ths_are_read_from_a_kitti_flow_as_they_were_written(tmp_path_factory: pytest.TempPathFactory,
                                                                   drawn: tuple[np.ndarray, np.ndarray]):
    steps, known = drawn
    path = tmp_path_factory.mktemp('flow') / 'x.png'
    write_kitti_flow(path, steps / 64, known)
    np.testing.assert_array_equal(read_flow(path), np.where(known[..., None], steps / 64, np.nan))


@settings(max_examples=100)
@given(strategies.binary(max_size=64))
def test_no_bytes_make_a_flo_reader_fail_otherwise_than_it_says(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp('flow') / 'x.flo'
    for content in (data, struct.pack('<f', 202021.25) + data):
        path.write_bytes(content)
        with contextlib.suppress(ConfigError):
            assert read_flo(path).shape[2] == 2

import numpy as np
import pytest

from trt_perception.core.flow_chain import FlowChain
from trt_perception.core.image import gather_flow

MS = 10**6


def field(value, size=(8, 12)):
    return np.full(size + (2,), value, np.float32)


def added(chain, *stamps_ms, size=(8, 12)):
    """Return what the chain gives for the last of successive images whose flow is their stamp."""
    for before, stamp in zip(stamps_ms, stamps_ms[1:]):
        earlier, since_ns = chain.add(field(stamp, size), stamp * MS, before * MS)
    return [int(each[0, 0, 0]) for each in earlier], since_ns / MS


@pytest.mark.parametrize(('interval_s', 'earlier', 'since'), [
    (0.1, [166, 133], 100), (0.0, [], 166), (0.06, [166], 133), (0.07, [166], 133), (0.08, [166, 133], 100),
    (1.0, [166, 133, 100, 66, 33], 0)])
def test_flow_is_followed_back_over_about_an_interval(interval_s, earlier, since):
    assert added(FlowChain(interval_s, 2), 0, 33, 66, 100, 133, 166, 200) == (earlier, since)


def test_at_ten_images_per_second_two_are_enough():
    assert added(FlowChain(0.1, 2), 0, 98, 201, 296) == ([], 201)


def test_nothing_is_followed_over_a_gap_or_into_another_size():
    chain = FlowChain(0.1, 2)
    assert added(chain, 0, 33, 66) == ([33], 0)
    assert added(chain, 80, 100) == ([], 80)
    assert added(chain, 100, 133) == ([100], 80)
    assert added(chain, 133, 166, size=(4, 6)) == ([], 133)


def test_what_is_kept_is_a_copy_of_every_so_many_rows_and_columns():
    chain, flow = FlowChain(0.1, 4), np.random.RandomState(0).rand(9, 13, 2).astype(np.float32)
    chain.add(flow, 33 * MS, 0)
    kept = flow[::4, ::4].copy()
    flow.fill(7)
    [earlier], _ = chain.add(flow, 66 * MS, 33 * MS)
    np.testing.assert_array_equal(earlier, kept)


def test_flow_is_gathered_between_pixels_and_unknown_outside_and_beside_what_is_unknown():
    flow = np.stack(np.meshgrid(np.arange(6.0), np.arange(4.0)), axis=-1).astype(np.float32)
    there = np.array([[[1.5, 2.25], [0, 0], [4.5, 2.75], [-1, 1], [2, 4], [np.nan, 1], [np.inf, 1]]])
    found = gather_flow(flow, there)
    np.testing.assert_allclose(found[0, :3], there[0, :3], atol=0.02)
    assert np.isnan(found[0, 3:]).all()
    flow[2, 3] = np.nan
    assert np.isnan(gather_flow(flow, np.array([[[2.5, 2.5]]]))).all()

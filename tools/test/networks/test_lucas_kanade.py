import pytest

torch = pytest.importorskip('torch')

from trt_perception_tools.networks.lucas_kanade import LucasKanade  # noqa: E402


def waves(u: float, v: float, height: int = 24, width: int = 32):
    """Return (1, 3, H, W) features moved by (u, v) px, smooth enough that their gradient tells the motion."""
    y, x = torch.meshgrid(torch.arange(height) - v, torch.arange(width) - u, indexing='ij')
    return torch.stack([torch.sin(x / 5 + y / 9), torch.cos(y / 6 - x / 11), torch.sin(x / 7) * torch.cos(y / 5)])[None]


@pytest.mark.parametrize(('u', 'v'), [(0.0, 0.0), (0.3, -0.2), (-0.7, 0.5)])
def test_a_small_motion_is_found_in_every_window(u, v):
    steps = LucasKanade((1, 3), floor=1e-6)(waves(0, 0), waves(u, v))
    assert steps.shape == (1, 6, 24, 32)
    inside = steps[0, :, 4:-4, 4:-4]
    for window in (inside[:3], inside[3:]):
        torch.testing.assert_close(window[0], torch.full_like(window[0], u), atol=0.05, rtol=0)
        torch.testing.assert_close(window[1], torch.full_like(window[1], v), atol=0.05, rtol=0)
        assert (window[2] > 0.9).all()


def test_nothing_moves_and_nothing_is_claimed_where_there_is_no_texture():
    u, v, texture = LucasKanade((2,))(torch.zeros(1, 4, 8, 8), torch.full((1, 4, 8, 8), 3.0))[0]
    assert not u.any()
    assert not v.any()
    assert (texture < 0.1).all()


def test_along_an_edge_only_the_motion_across_it_is_found():
    ramp = torch.arange(16.0).expand(1, 1, 12, 16)
    u, v, texture = LucasKanade((1,))(ramp, ramp - 0.5)[0, :, 3:-3, 3:-3]
    torch.testing.assert_close(u, torch.full_like(u, 0.5), atol=2e-3, rtol=0)
    assert v.abs().max() < 1e-3
    assert (texture < 0.1).all()


def test_a_motion_beyond_the_linear_model_is_cut_off():
    steps = LucasKanade((1,), largest=1.5)(waves(0, 0), waves(0, 0) + 50)
    assert steps[:, :2].abs().max() <= 1.5
    assert steps.isfinite().all()


def test_features_in_half_precision_are_solved_in_full():
    first, second = waves(0, 0), waves(0.4, 0.1)
    got = LucasKanade((1,))(first.half(), second.half())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, LucasKanade((1,))(first.half().float(), second.half().float()))

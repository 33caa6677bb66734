import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies
from random_images import random_image

from trt_perception_tools.datasets.corruptions import CORRUPTIONS, corrupt


def grey(level: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def corrupted(image: np.ndarray, name: str, strength: float = 1.0, seed: int = 0) -> np.ndarray:
    return corrupt(image, name, strength, np.random.default_rng(seed))


@pytest.mark.parametrize(('name', 'strength', 'expected'), [
    ('warm', 1.0, (120, 100, 80)), ('warm', 0.5, (110, 100, 90)), ('cold', 1.5, (70, 100, 130)),
    ('dark', 1.0, (50, 50, 50)), ('bright', 1.0, (160, 160, 160)), ('blur', 1.0, (100, 100, 100))])
def test_grey_becomes_the_named_colour(name: str, strength: float, expected: tuple[int, int, int]):
    np.testing.assert_array_equal(corrupted(grey(100), name, strength), np.broadcast_to(np.uint8(expected),
                                                                                        (120, 160, 3)))


def test_what_would_be_brighter_than_white_is_white():
    assert (corrupted(grey(240), 'bright') == 255).all()


def test_gains_and_gamma_are_drawn_per_channel_within_their_limits():
    white = np.array([corrupted(grey(255), 'gains', seed=seed)[0, 0] for seed in range(200)])
    assert white.min() >= round(255 * 0.7)
    assert (white.max(1) - white.min(1)).max() > 60  # Not one gain for all channels.
    # Of level 64: gamma -0.5 and gain 1.3, or gamma 0.5 and gain 0.7.
    dim = np.array([corrupted(grey(64), 'gains', seed=seed)[0, 0] for seed in range(200)])
    low, high = (255 * (64 / 255) ** np.exp(gamma) * gain for gamma, gain in ((0.5, 0.7), (-0.5, 1.3)))
    assert low - 1 < dim.min() < 40
    assert 100 < dim.max() < high + 1


def test_blur_spreads_a_point_by_a_240th_of_the_height():
    image = grey(0, (241, 241))
    image[120, 120] = 255
    image[118:123, 118:123] = 255  # A square of 5 px has a variance of 2 px^2.
    row = corrupted(image, 'blur', 1.5)[..., 0].astype(float).sum(0)
    variance = (row * (np.arange(241) - 120) ** 2).sum() / row.sum()
    assert variance == pytest.approx(2 + 1.5 ** 2, rel=0.1)


def test_noise_grows_with_the_level_and_keeps_the_mean():
    for level, strength in ((50, 1.0), (150, 0.5)):
        noisy = corrupted(grey(level), 'noise', strength).astype(float)
        assert noisy.mean() == pytest.approx(level, abs=0.2)
        assert noisy.std() == pytest.approx(strength * np.sqrt(16 + level), rel=0.03)


def test_jpeg_loses_more_the_stronger_it_is_but_keeps_flat_colours():
    image = cv2.resize(random_image(0, size=(15, 20)), (160, 120), interpolation=cv2.INTER_CUBIC)
    losses = [np.abs(corrupted(image, 'jpeg', strength).astype(int) - image).mean() for strength in (0.5, 1.0, 1.5)]
    assert 0.5 < losses[0] < losses[1] < losses[2]
    red = grey(0)
    red[..., 0] = 200
    assert np.abs(corrupted(red, 'jpeg').astype(int) - red).max() < 10


def test_fog_hides_what_is_far_and_spares_what_is_near():
    black = corrupted(grey(0), 'fog')[..., 0]
    assert (np.diff(black.astype(int), axis=1) == 0).all()
    sky, road = black[0, 0], black[-1, 0]
    # exp(-1) of the own light is left at the horizon and above, exp(-0.1 / 0.55) at the bottom.
    air = sky / (1 - np.exp(-1))
    assert 169 < air < 221
    assert road == pytest.approx(air * (1 - np.exp(-0.1 / 0.55)), abs=2)


def test_rain_brightens_thin_streaks_and_leaves_the_rest():
    dark = grey(40, (240, 320))
    for strength, least, most in ((0.5, 0.02, 0.25), (1.5, 0.1, 0.45)):
        changed = corrupted(dark, 'rain', strength)[..., 0]
        assert least < (changed > 40).mean() < most
        assert (changed >= 40).all()
        assert changed.max() <= 126


@pytest.mark.parametrize('name', CORRUPTIONS)
def test_a_corruption_depends_on_its_seed_alone_and_spares_its_input(name: str):
    image = random_image(3, size=(240, 32))
    before = image.copy()
    first, second = corrupted(image, name, seed=5), corrupted(image, name, seed=5)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)
    assert (first.shape, first.dtype) == (image.shape, np.uint8)
    assert (first != image).any()
    np.testing.assert_array_equal(corrupted(image, name, 0.0), image)


@pytest.mark.parametrize('name', ['gains', 'noise', 'fog', 'rain'])
def test_another_seed_gives_another_image(name: str):
    assert (corrupted(grey(90), name, seed=1) != corrupted(grey(90), name, seed=2)).any()


@settings(max_examples=60)
@given(strategies.sampled_from(list(CORRUPTIONS)), strategies.floats(0, 3), strategies.integers(1, 40),
       strategies.integers(1, 40), strategies.integers(0, 2 ** 32))
def test_any_image_and_strength_give_an_image_of_the_same_size(name: str, strength: float, height: int, width: int,
                                                               seed: int):
    image = random_image(seed % 1000, size=(height, width))
    changed = corrupted(image, name, strength, seed)
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    assert changed.flags.c_contiguous

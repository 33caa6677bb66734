"""The synthetic pairs: their truth is exact, and they are what was asked for."""
import dataclasses

import cv2
import numpy as np
import pytest

from trt_perception_tools.datasets.procedural_texture import SHAPE_SIDE, shape, texture
from trt_perception_tools.datasets.synthetic_flow import Scenery, SyntheticFlow

SIZE = (96, 128)
CLEAN = Scenery(blur=0, light=0, noise=0, textures=8)


def bring_back(sample):
    """Sample the second image where the flow points: what the first one shows, as float32."""
    rows, columns = np.mgrid[:SIZE[0], :SIZE[1]].astype(np.float32)
    target = np.stack([columns, rows], 2) + sample.flow
    return cv2.remap(sample.second.astype(np.float32), target, None, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)


def inner(mask):
    """Leave out the edges of layers, where two of them mix in one pixel."""
    return cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0


def test_second_image_brought_back_along_the_flow_is_the_first():
    pairs = SyntheticFlow(SIZE, CLEAN, seed=1)
    ours, unmoved = [], []
    for number in range(30):
        sample = pairs.sample(number)
        kept = inner(sample.visible)
        ours.append(np.abs(bring_back(sample) - sample.first)[kept].mean())
        unmoved.append(np.abs(sample.second.astype(np.float32) - sample.first)[kept].mean())
    # Interpolating twice instead of once blurs: 0.7 grey levels on the mean pair.
    assert np.mean(ours) < 1.2
    assert max(ours) < 5
    assert np.mean(unmoved) > 10 * np.mean(ours)


def test_flow_turned_round_does_not_bring_the_second_image_back():
    pairs = SyntheticFlow(SIZE, CLEAN, seed=1)
    samples = [pairs.sample(number) for number in range(10)]
    turned = [sample._replace(flow=-sample.flow) for sample in samples]
    ours, theirs = ([np.abs(bring_back(each) - each.first)[inner(each.visible)].mean() for each in group]
                    for group in (samples, turned))
    assert np.mean(theirs) > 10 * np.mean(ours)


def test_hidden_points_and_those_outside_are_not_visible():
    pairs = SyntheticFlow(SIZE, CLEAN, seed=2)
    seen, hidden = [], []
    for number in range(20):
        sample = pairs.sample(number)
        error = np.abs(bring_back(sample) - sample.first)
        seen.append(error[inner(sample.visible)].mean())
        if inner(~sample.visible).any():
            hidden.append(error[inner(~sample.visible)].mean())
    assert np.mean(hidden) > 10 * np.mean(seen)


def test_static_camera_leaves_the_background_where_it_is():
    sample = SyntheticFlow(SIZE, Scenery(layers=(0, 0), static=1, blur=0, light=0, noise=0, textures=4)).sample(0)
    assert not sample.flow.any()
    assert sample.visible.all()
    np.testing.assert_array_equal(sample.first, sample.second)
    assert sample.first.std() > 5


def test_background_of_a_static_camera_shows_between_moving_layers():
    pairs = SyntheticFlow(SIZE, Scenery(layers=(2, 2), static=1, textures=4, displacement_px=(8, 8)))
    still = [np.mean(~pairs.sample(number).flow.any(2)) for number in range(10)]
    assert 0.3 < np.mean(still) < 1


@pytest.mark.parametrize('largest', [2.0, 40.0])
def test_displacements_reach_what_was_asked_and_not_more(largest: float):
    pairs = SyntheticFlow(SIZE, Scenery(displacement_px=(largest, largest), textures=4, static=0))
    longest = [np.linalg.norm(pairs.sample(number).flow, axis=2).max() for number in range(40)]
    assert max(longest) <= 1.1 * largest  # Bent layers may exceed it a little.
    assert np.median(longest) > 0.4 * largest


def test_motions_are_finer_than_a_pixel():
    flow = SyntheticFlow(SIZE, CLEAN).sample(1).flow
    assert np.abs(flow - np.round(flow)).max() > 0.1
    assert flow.dtype == np.float32


def test_same_seed_and_number_give_the_same_pair_in_any_order():
    one, other = SyntheticFlow(SIZE, CLEAN, seed=5), SyntheticFlow(SIZE, CLEAN, seed=5)
    one.sample(0)
    for ours, theirs in zip(one.sample(3), other.sample(3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (one.sample(3).first != one.sample(4).first).any()
    assert (one.sample(3).first != SyntheticFlow(SIZE, CLEAN, seed=6).sample(3).first).any()


def test_blur_light_and_noise_change_the_images_but_not_the_flow():
    clean = SyntheticFlow(SIZE, CLEAN, seed=3).sample(0)
    dirty = SyntheticFlow(SIZE, Scenery(blur=1, light=1, noise=5, textures=8), seed=3).sample(0)
    np.testing.assert_array_equal(clean.flow, dirty.flow)
    difference = [np.abs(one.astype(int) - other).mean() for one, other in zip(clean[:2], dirty[:2], strict=True)]
    assert 0.5 < min(difference) < max(difference) < 40


def test_plain_layers_have_hardly_any_texture():
    spread = {}
    for plain in (0, 1):
        # The camera stands still: what moves is the layer.
        scenery = dataclasses.replace(CLEAN, layers=(1, 1), static=1, plain=plain)
        samples = [SyntheticFlow(SIZE, scenery, seed=4).sample(number) for number in range(12)]
        layers = [inner(sample.flow.any(2)) for sample in samples]
        spread[plain] = np.mean([sample.first[layer].std() for sample, layer in zip(samples, layers, strict=True)
                                 if layer.any()])
    assert spread[1] < 10
    assert spread[0] > 3 * spread[1]


def test_images_given_serve_as_textures():
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    settings = Scenery(layers=(0, 0), blur=0, light=0, noise=0, textures=1)
    pairs = SyntheticFlow(SIZE, settings, images=[ramp] * 99)
    # A ramp looks the same everywhere but where it is mirrored: hardly any second differences.
    roughness = [np.abs(np.diff(pairs.sample(number).first.astype(int), 2)).mean() for number in range(5)]
    assert np.median(roughness) < 1.5


def test_scenery_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r'layers: got \(3, 2\)'):
        Scenery(layers=(3, 2))
    with pytest.raises(ValueError, match=r'displacement_px: got \(0, 2\)'):
        Scenery(displacement_px=(0, 2))


def test_textures_fill_the_range_of_grey_and_differ():
    rng = np.random.default_rng(0)
    textures = [texture(rng, 64) for _ in range(12)]
    for each in textures:
        assert each.shape == (64, 64)
        assert each.dtype == np.float32
        assert each.min() == 0
        assert each.max() == 1
        assert each.std() > 0.05
    assert all((one != other).any() for one, other in zip(textures, textures[1:], strict=False))


def test_shapes_stay_inside_their_canvas():
    rng = np.random.default_rng(0)
    for _ in range(40):
        each = shape(rng)
        assert each.shape == (SHAPE_SIDE, SHAPE_SIDE)
        assert 0.005 < each.mean() < 0.8
        assert max(each[0].max(), each[-1].max(), each[:, 0].max(), each[:, -1].max()) == 0

import math

import numpy as np
import pytest

from trt_perception.core.colors import color_flow, color_labels, label_palette, overlay_labels
from trt_perception.core.model import LabelClass, LabelSet, load_labels

LABELS = LabelSet('tiny', (LabelClass(0, 'a', (255, 0, 7)), LabelClass(3, 'b', (1, 2, 3)),
                           LabelClass(254, 'c', (9, 255, 100))))


def random_image(seed=0, size=(5, 7)):
    return np.random.RandomState(seed).randint(0, 256, size + (3,)).astype(np.uint8)


# Labels.

def test_the_palette_has_the_colours_of_the_classes_and_black_elsewhere():
    palette = label_palette(LABELS)
    assert (palette.shape, palette.dtype) == ((256, 3), np.uint8)
    expected = {0: [255, 0, 7], 3: [1, 2, 3], 254: [9, 255, 100]}
    assert [row.tolist() for row in palette] == [expected.get(i, [0, 0, 0]) for i in range(256)]


def test_the_palette_of_camvid_has_its_published_colours():
    palette = label_palette(load_labels('camvid'))
    assert palette[3].tolist() == [128, 64, 128]  # Road.
    assert palette[255].tolist() == [0, 0, 0]


def test_every_label_is_painted_in_its_colour():
    labels = np.array([[0, 3, 254], [255, 1, 0]], np.uint8)
    expected = [[[255, 0, 7], [1, 2, 3], [9, 255, 100]], [[0, 0, 0], [0, 0, 0], [255, 0, 7]]]
    palette = label_palette(LABELS)
    assert color_labels(labels, palette).tolist() == expected
    out = np.zeros((2, 3, 3), np.uint8)
    assert color_labels(labels, palette, out) is out
    assert out.tolist() == expected


# Overlay.

def test_an_overlay_of_alpha_0_is_the_image_and_of_1_the_labels():
    labels = np.array([[0, 3, 254, 255, 1, 0, 3]] * 5, np.uint8)
    palette = label_palette(LABELS)
    np.testing.assert_array_equal(overlay_labels(random_image(), labels, palette, 0.0), random_image())
    np.testing.assert_array_equal(overlay_labels(random_image(), labels, palette, 1.0), color_labels(labels, palette))


@pytest.mark.parametrize('alpha', [0.1, 0.25, 0.5, 0.9])
def test_an_overlay_blends_image_and_labels(alpha):
    labels = np.array([[0, 3, 254, 255, 1, 0, 3]] * 5, np.uint8)
    palette = label_palette(LABELS)
    image = random_image()
    before = image.copy()
    expected = (1 - alpha) * image + alpha * color_labels(labels, palette)
    out = np.empty_like(image)
    assert overlay_labels(image, labels, palette, alpha, out) is out
    # Two terms rounded down, and the weight to 1/256.
    assert np.abs(out - expected).max() <= 2.5
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(overlay_labels(image, labels, palette, alpha), out)


def test_white_on_white_stays_white():
    palette = np.full((256, 3), 255, np.uint8)
    white = np.full((1, 1, 3), 255, np.uint8)
    for alpha in np.linspace(0, 1, 101):
        assert overlay_labels(white, np.zeros((1, 1), np.uint8), palette, float(alpha)).min() >= 254, alpha


# Flow.

def middlebury(u, v):
    """Return RGB as computeColor of Middlebury's colorcode.cpp does (Baker et al., IJCV 2011), for u, v / maximum."""
    wheel = []
    for count, hue_at in ((15, lambda ramp: (255, ramp, 0)), (6, lambda ramp: (255 - ramp, 255, 0)),
                          (4, lambda ramp: (0, 255, ramp)), (11, lambda ramp: (0, 255 - ramp, 255)),
                          (13, lambda ramp: (ramp, 0, 255)), (6, lambda ramp: (255, 0, 255 - ramp))):
        wheel += [hue_at(255 * i // count) for i in range(count)]
    radius = math.hypot(u, v)
    position = (math.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    low = int(position)
    high = (low + 1) % len(wheel)
    color = []
    for channel in range(3):
        part = position - low
        hue = (1 - part) * wheel[low][channel] / 255 + part * wheel[high][channel] / 255
        color.append(int(255 * (1 - radius * (1 - hue) if radius <= 1 else 0.75 * hue)))
    return color


def one_color(u, v, longest_px):
    return color_flow(np.full((1, 1, 2), (u, v), np.float32), longest_px)[0, 0].astype(int)


@pytest.mark.parametrize(('u', 'v', 'rgb'), [
    (1.0, 0.0, (255, 0, 0)), (0.0, 1.0, (255, 229, 0)), (-1.0, 0.0, (0, 208, 255)), (0.0, -1.0, (88, 0, 255))],
    ids=['right red', 'down yellow', 'left cyan', 'up violet'])
def test_the_four_directions_have_the_hues_of_the_middlebury_wheel(u, v, rgb):
    assert np.abs(np.array(middlebury(u, v)) - rgb).max() <= 1  # The formula, and what it gives, written out.
    assert np.abs(one_color(10 * u, 10 * v, 10) - rgb).max() <= 4
    half = [255 - (255 - level) / 2 for level in rgb]
    assert np.abs(one_color(5 * u, 5 * v, 10) - half).max() <= 4
    assert np.abs(one_color(50 * u, 50 * v, 10) - [0.75 * level for level in rgb]).max() <= 4


def test_any_flow_has_the_colour_of_the_published_formula():
    random = np.random.RandomState(3)
    flow = random.uniform(-12, 12, (20, 30, 2)).astype(np.float32)
    length = np.hypot(flow[..., 0], flow[..., 1])
    flow[np.abs(length - 10) < 0.1] = 0  # There the published formula jumps.
    expected = np.array([[middlebury(u / 10, v / 10) for u, v in row] for row in flow.astype(float)])
    assert np.abs(color_flow(flow, 10) - expected).max() <= 5  # 1024 angles, 256 lengths, and OpenCV's 0.3 degrees.


def test_no_motion_is_white():
    assert (color_flow(np.zeros((4, 5, 2), np.float32)) == 255).all()
    assert (color_flow(np.zeros((4, 5, 2), np.float32), 3.0) == 255).all()


def test_invalid_flow_is_black():
    flow = np.full((4, 5, 2), 2.0, np.float32)
    flow[0, 0] = np.nan
    flow[1, 1, 0] = np.nan
    flow[2, 2, 1] = np.inf
    for longest_px in (0.0, 5.0):
        colors = color_flow(flow, longest_px)
        black = (colors == 0).all(axis=-1)
        assert sorted(zip(*np.nonzero(black))) == [(0, 0), (1, 1), (2, 2)]
    assert (color_flow(np.full((4, 5, 2), np.nan, np.float32)) == 0).all()


@pytest.mark.parametrize('automatic', [False, True])
def test_the_longest_flow_is_fully_saturated_and_not_beyond(automatic):
    for length in np.arange(1, 80, 0.37).astype(np.float32):
        flow = np.zeros((8, 8, 2), np.float32)
        flow[..., 0] = length
        color = color_flow(flow, 0.0 if automatic else float(length))[3, 3].tolist()
        assert color[0] == 255, length
        assert max(color[1:]) <= 46, length


def test_a_fixed_maximum_gives_the_same_colour_in_every_frame():
    flow = np.full((8, 8, 2), (3.0, 0.0), np.float32)
    fast = flow.copy()
    fast[4:] = (20.0, 0.0)
    assert color_flow(flow, 10.0)[0, 0].tolist() == color_flow(fast, 10.0)[0, 0].tolist()
    assert color_flow(flow)[0, 0].tolist() != color_flow(fast)[0, 0].tolist()


def test_the_automatic_maximum_ignores_outliers_and_noise():
    flow = np.full((100, 100, 2), (10.0, 0.0), np.float32)
    flow[0, :20] = (1000.0, 0.0)
    assert color_flow(flow)[50, 50].tolist() == color_flow(flow, 10.0)[50, 50].tolist()
    noise = np.full((8, 8, 2), (0.1, 0.0), np.float32)  # Below 1 px everything is pale.
    assert color_flow(noise)[0, 0].tolist() == color_flow(noise, 1.0)[0, 0].tolist()


def test_the_automatic_maximum_is_that_of_the_valid_pixels():
    flow = np.full((400, 400, 2), np.nan, np.float32)
    flow[100:120, 100:120] = (10.0, 0.0)
    assert color_flow(flow)[110, 110].tolist() == color_flow(flow, 10.0)[110, 110].tolist()


def test_flow_colours_are_written_where_told_and_the_flow_is_not_touched():
    flow = np.random.RandomState(4).uniform(-5, 5, (6, 7, 2)).astype(np.float32)
    flow[2, 3] = np.nan
    before = flow.copy()
    out = np.zeros((6, 7, 3), np.uint8)
    assert color_flow(flow, 3.0, out) is out
    np.testing.assert_array_equal(out, color_flow(flow, 3.0))
    np.testing.assert_array_equal(flow, before)

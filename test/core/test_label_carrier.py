"""Labels carried along exact flow must lie where the truth has them: whole-pixel motion of the grid leaves no doubt."""
import numpy as np
import pytest

from trt_perception.core.label_carrier import DOUBT_PER_IMAGE, GRID, LabelCarrier


def labels_at(shift, seed=0, size=GRID):
    """Return (H, W) uint8 squares that have moved by whole pixels (x, y)."""
    margin = 32
    cells = np.random.RandomState(seed).randint(0, 11, (size[0] // 4 + margin // 2, size[1] // 4 + margin // 2))
    world = np.repeat(np.repeat(cells, 4, 0), 4, 1).astype(np.uint8)
    top, left = margin - shift[1], margin - shift[0]
    return np.ascontiguousarray(world[top:top + size[0], left:left + size[1]])


def flow_of(u, v, size=GRID):
    return np.full(size + (2,), (u, v), np.float32)


def sure(level=255, size=GRID):
    return np.full(size, level, np.uint8)


def carried(carrier, size=GRID):
    result = np.full(size, 99, np.uint8)
    carrier.carry(result)
    return result


def confidence_of(carrier, size=GRID):
    labels, confidence = np.empty(size, np.uint8), np.empty(size, np.uint8)
    carrier.carry(labels, confidence)
    return confidence


def test_labels_stay_where_nothing_moves():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)))
    for age in range(1, 4):
        carrier.move(flow_of(0, 0))
        assert carrier.age == age
        np.testing.assert_array_equal(carried(carrier), labels_at((0, 0)))


def test_labels_follow_the_sum_of_all_motions_since_they_were_kept():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)))
    for shift, motion in (((5, -3), (5, -3)), ((9, 1), (4, 4)), ((2, 2), (-7, 1))):
        carrier.move(flow_of(*motion))
        inside = carried(carrier)[16:-16, 16:-16]
        np.testing.assert_array_equal(inside, labels_at(shift)[16:-16, 16:-16])


def test_new_labels_replace_those_that_were_kept():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)))
    carrier.move(flow_of(5, 5))
    carrier.keep(labels_at((0, 0), seed=1))
    assert carrier.age == 0
    np.testing.assert_array_equal(carried(carrier), labels_at((0, 0), seed=1))


def test_the_kept_labels_are_a_copy():
    carrier, memory = LabelCarrier(GRID), labels_at((0, 0))
    carrier.keep(memory)
    memory.fill(7)
    np.testing.assert_array_equal(carried(carrier), labels_at((0, 0)))


def test_an_object_that_moves_over_a_scene_at_rest_takes_its_labels_along():
    carrier = LabelCarrier(GRID)
    before, now = np.zeros(GRID, np.uint8), np.zeros(GRID, np.uint8)
    before[80:120, 100:140] = now[80:120, 110:150] = 8
    flow = flow_of(0, 0)
    flow[now == 8] = (10, 0)
    carrier.keep(before)
    carrier.move(flow)
    result = carried(carrier)
    np.testing.assert_array_equal(result[now == 8], 8)
    uncovered = (before == 8) & (now == 0)
    assert (result[~uncovered] == now[~uncovered]).all()


def test_what_was_outside_the_image_has_the_label_at_its_edge():
    carrier = LabelCarrier(GRID)
    rows = np.repeat(np.arange(GRID[0], dtype=np.uint8)[:, None], GRID[1], axis=1)
    carrier.keep(rows)
    carrier.move(flow_of(20, 0))
    np.testing.assert_array_equal(carried(carrier), rows)
    carrier.move(flow_of(0, -20))
    np.testing.assert_array_equal(carried(carrier), np.minimum(rows + 20, GRID[0] - 1))


@pytest.mark.parametrize('factor', [2, 3])
def test_flow_of_another_size_is_in_pixels_of_its_own_grid(factor):
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)))
    carrier.move(flow_of(4 * factor, -2 * factor, (GRID[0] * factor, GRID[1] * factor)))
    np.testing.assert_array_equal(carried(carrier)[16:-16, 16:-16], labels_at((4, -2))[16:-16, 16:-16])


@pytest.mark.parametrize('factor', [2, 4])
def test_labels_larger_than_what_gave_them_are_carried_as_they_were_given(factor):
    def enlarged(labels):
        return np.repeat(np.repeat(labels, factor, 0), factor, 1)

    size = (GRID[0] * factor, GRID[1] * factor)
    carrier = LabelCarrier(GRID)
    carrier.keep(enlarged(labels_at((0, 0))))
    carrier.move(flow_of(3, 1))
    border = 16 * factor
    np.testing.assert_array_equal(carried(carrier, size)[border:-border, border:-border],
                                  enlarged(labels_at((3, 1)))[border:-border, border:-border])


def test_labels_may_be_finer_than_the_flow():
    size = (GRID[0] * 2, GRID[1] * 2)
    carrier = LabelCarrier(size)
    carrier.keep(labels_at((0, 0), size=size))
    carrier.move(flow_of(1.5, -1))
    np.testing.assert_array_equal(carried(carrier, size)[16:-16, 16:-16], labels_at((3, -2), size=size)[16:-16, 16:-16])


def test_labels_of_another_size_may_follow():
    carrier = LabelCarrier(GRID)
    for size in (GRID, (50, 60), GRID):
        carrier.keep(labels_at((0, 0), size=size))
        carrier.move(flow_of(0, 0))
        np.testing.assert_array_equal(carried(carrier, size), labels_at((0, 0), size=size))


def test_invalid_flow_counts_as_no_motion():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)))
    flow = flow_of(0, 0)
    flow[50:60, 50:60] = np.nan
    flow[70:80, 70:80] = np.inf
    carrier.move(flow)
    carrier.move(flow_of(0, 0))
    result = carried(carrier)
    hit = np.zeros(GRID, bool)
    hit[69:81, 69:81] = True
    np.testing.assert_array_equal(result[~hit], labels_at((0, 0))[~hit])
    assert result.max() <= 10


# Confidence.

def test_confidence_moves_with_its_labels_and_falls_with_every_image():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)), 20 * labels_at((0, 0), seed=2))
    assert carrier.has_confidence
    before = 256
    for age in range(1, 4):
        carrier.move(flow_of(2, 0))
        inside = confidence_of(carrier)[16:-16, 16:-16].astype(int)
        kept = 20 * labels_at((2 * age, 0), seed=2)[16:-16, 16:-16].astype(int)
        np.testing.assert_array_equal(inside, np.maximum(kept - DOUBT_PER_IMAGE * age, 0))
        assert inside.max() < before
        before = inside.max()


def test_confidence_ends_at_0():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)), sure(10))
    for _ in range(300):
        carrier.move(flow_of(0, 0))
    np.testing.assert_array_equal(confidence_of(carrier), 0)


def test_labels_without_confidence_keep_none():
    carrier = LabelCarrier(GRID)
    carrier.keep(labels_at((0, 0)), sure())
    carrier.keep(labels_at((0, 0)))
    assert not carrier.has_confidence

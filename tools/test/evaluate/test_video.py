import numpy as np
import pytest
from random_images import random_image

from trt_perception_tools.evaluate.video import LabelChanges, Track, Tracker, follow

HEIGHT, WIDTH = 60, 80


def moving(u: float, v: float) -> np.ndarray:
    return np.tile(np.float32([u, v]), (HEIGHT, WIDTH, 1))


def still(labels: np.ndarray) -> Track:
    rows, columns = np.indices(labels.shape)
    return Track(rows, columns, np.ones(labels.shape, bool))


def test_pixels_are_followed_to_where_they_were_and_not_beyond_the_edge():
    track = follow(moving(-3, 2), moving(3, -2))
    assert (track.rows[10, 20], track.columns[10, 20]) == (12, 17)
    assert not track.followed[:, :3].any()
    assert not track.followed[-2:].any()
    assert track.followed[:-2, 3:].all()


def test_pixels_that_are_not_carried_back_are_not_followed():
    forward = moving(3, 0)
    forward[:, 40:] = (9, 0)
    track = follow(moving(-3, 0), forward)
    assert track.followed[:, 3:43].all()
    assert not track.followed[:, 43:].any()


def test_opencvs_flow_finds_the_motion_of_a_texture():
    texture = np.kron(random_image(1, 1, (60, 80))[..., 0], np.ones((4, 4), np.uint8))
    tracker = Tracker()
    assert tracker.track(texture[10:170, 10:250]) is None
    track = tracker.track(texture[13:173, 8:248])  # The content moves up by 3 and right by 2 px.
    inner = np.s_[20:-20, 20:-20]
    assert track is not None
    rows, columns = np.indices(track.rows.shape)
    exact = (track.rows == rows + 3) & (track.columns == columns - 2)
    assert track.followed[inner].mean() > 0.95
    assert exact[inner][track.followed[inner]].mean() > 0.95
    assert tracker.track(texture[:50, :50]) is None


def test_changed_labels_are_counted_by_the_class_before():
    changes = LabelChanges(['a', 'b', 'c'])
    before = np.repeat(np.uint8([[0, 1]]), 10, 0)
    after = before.copy()
    after[:3, 0] = 1
    after[0, 1] = 255
    changes.add(before, None)
    changes.add(after, still(after))
    found = changes.result()
    assert found.flicker == pytest.approx(4 / 20)
    assert found.flicker_by_class['a'] == pytest.approx(0.3)
    assert found.flicker_by_class['b'] == pytest.approx(0.1)
    assert np.isnan(found.flicker_by_class['c'])
    assert found.consistency_by_class['a'] == 7 / 10
    assert found.consistency_by_class['b'] == 9 / 13
    assert found.consistency == pytest.approx((7 / 10 + 9 / 13) / 2)
    assert found.followed == 1


def test_hidden_pixels_and_those_without_a_label_before_do_not_count():
    changes = LabelChanges(['a', 'b'])
    before, after = np.uint8([[0, 0, 255, 1]]), np.uint8([[1, 0, 1, 1]])
    track = still(after)
    track.followed[0, 0] = False
    changes.add(before, None)
    changes.add(after, track)
    found = changes.result()
    assert (found.flicker, found.followed) == (0, 3 / 4)


def test_labels_that_move_with_the_scene_do_not_change():
    labels = (np.arange(WIDTH) // 20 % 2).astype(np.uint8)[None].repeat(HEIGHT, 0)
    changes = LabelChanges(['a', 'b'])
    changes.add(labels, None)
    changes.add(np.roll(labels, 3, 1), follow(moving(-3, 0), moving(3, 0)))
    assert changes.result().flicker == 0
    changes.add(np.roll(labels, 3, 1), follow(moving(-3, 0), moving(3, 0)))
    # Of each row, 77 pixels are followed twice; at each of the 4 edges, 3 of those keep the label of their place.
    assert changes.result().flicker == pytest.approx(4 * 3 / (2 * 77))

import numpy as np
import pytest

from trt_perception.core.growth import measure_growth

FOCAL = 500.0
DOWN = np.array([0.0, 1, 0])
HEIGHT = 1.4


def face(depth, closing, columns=(-10, 10), sideways=0.0, slope=0.0, rows=20):
    """Return now, before and columns of an upright surface: columns in steps of 4 px, from the ground up.

    Args:
        depth: of the middle column, m.
        closing: how much farther it was before, m.
        sideways: how much farther to the right it is now, m.
        slope: change of the depth by column, m: the side of a car.
    """
    numbers = np.repeat(np.arange(*columns), rows)
    depths = depth + slope * numbers
    x = numbers * 4 / FOCAL
    y = np.tile(np.linspace(-0.6, 1, rows), len(range(*columns))) * HEIGHT / depths
    now = np.stack([x, y], axis=1)
    points = np.stack([x * depths - sideways, y * depths], axis=1)
    return now, points / (depths + closing)[:, np.newaxis], numbers


def measured(now, before, columns, rise=0.0, horizon_error=0.0, flow_error=1e-6):
    return measure_growth(now, before, columns, DOWN, rise, horizon_error, flow_error, FOCAL)


@pytest.mark.parametrize('closing', [0.5, -0.4, 0.0])
@pytest.mark.parametrize('sideways', [0.0, 0.3])
def test_the_approach_is_the_share_of_the_depth_that_it_came_nearer(closing, sideways):
    growth = measured(*face(10.0, closing, sideways=sideways))
    assert growth.approach == pytest.approx(closing / 10, abs=1e-6)
    assert growth.now[0] == pytest.approx(-0.5 * 4 / FOCAL, abs=1e-6)
    assert growth.before[0] * (10 + closing) == pytest.approx(growth.now[0] * 10 - sideways, abs=1e-6)


def test_the_side_of_a_car_whose_columns_are_at_several_depths_is_measured_right():
    now, before, columns = face(12.0, 0.6, (20, 60), slope=-0.05)
    growth = measured(now, before, columns)
    depths = 12 - 0.05 * np.arange(20, 60)
    assert growth.approach == pytest.approx(np.mean(0.6 / depths), rel=0.03)


def test_a_camera_that_came_nearer_to_the_ground_is_allowed_for():
    now, before, columns = face(10.0, 0.5)
    before = (before * 10.5 + (0, -0.1)) / 10.5  # The camera was a tenth of a metre nearer to the ground before.
    assert measured(now, before, columns, rise=-0.01).approach == pytest.approx(0.05, abs=1e-6)


def test_a_quarter_of_background_is_left_out():
    now, before, columns = face(10.0, 0.5)
    far, far_before, _ = face(40.0, 0.5)
    odd = np.arange(len(now)) % 4 == 0
    now, before = np.where(odd[:, None], far, now), np.where(odd[:, None], far_before, before)
    assert measured(now, before, columns).approach == pytest.approx(0.05, rel=0.05)


def test_noise_stays_within_the_stated_error():
    rng = np.random.default_rng(0)
    deviations = []
    for _ in range(60):
        now, before, columns = face(10.0, 0.5)
        growth = measured(now, before + rng.normal(0, 0.4 / FOCAL, before.shape), columns)
        deviations.append((growth.approach - 0.05) / growth.error)
    assert 0.7 < np.std(deviations) < 1.4
    assert abs(np.mean(deviations)) < 0.5


def test_errors_that_all_points_share_are_part_of_the_error():
    thin = face(10.0, 0.5, (-1, 1))  # So thin that its width tells nothing.
    exact, shared = (measured(*thin, flow_error=error).error for error in (1e-6, 0.3 / FOCAL))
    turned = measured(*thin, horizon_error=0.002).error
    assert shared > 10 * exact
    assert turned > 10 * exact


def test_too_few_points_or_no_flow_say_nothing():
    now, before, columns = face(10.0, 0.5)
    for growth in (measured(now[:5], before[:5], columns[:5]), measured(now, before * np.nan, columns)):
        assert growth.approach == 0
        assert growth.error == np.inf

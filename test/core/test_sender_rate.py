import random

import pytest

from trt_perception.core.sender_rate import SenderRate


def rate_of(stamps):
    rate = SenderRate()
    for stamp in stamps:
        rate.add(stamp)
    return rate.hz


def stamps(count, jitter=0.0):
    chance = random.Random(1)
    return [int((n + chance.uniform(-jitter, jitter)) / 30 * 1e9) for n in range(count)]


def test_the_rate_of_a_camera_is_told_by_its_stamps():
    assert rate_of(stamps(100)) == pytest.approx(30, rel=1e-6)


def test_it_stays_when_half_of_the_images_are_lost():
    chance = random.Random(2)
    assert rate_of([stamp for stamp in stamps(200) if chance.random() < 0.5]) == pytest.approx(30, rel=1e-6)


def test_jitter_changes_it_little():
    assert 30 < rate_of(stamps(200, jitter=0.1)) < 40


@pytest.mark.parametrize('useless', [stamps(10), [0] * 50, stamps(30) + stamps(30)], ids=['few', 'none', 'a loop'])
def test_stamps_that_do_not_tell_give_none(useless):
    assert rate_of(useless) == 0


def test_only_the_latest_count():
    assert rate_of(stamps(100) + [10**11 + n * 10**8 for n in range(70)]) == pytest.approx(10, rel=1e-6)

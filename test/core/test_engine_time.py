"""A worker of a node, simulated with a clock of its own: nothing here depends on the machine."""
import random
from collections import Counter

import pytest

from trt_perception.core.engine_time import LONGEST, EngineTime
from trt_perception.core.mailbox import Mailbox

CARRY_S = 0.003


class Simulation:
    """Cameras, the mailbox, and a worker that asks EngineTime whether it may segment, as CarriedSegmentation does."""

    def __init__(self, cameras, period_s, segment_s, jitter=0.0, segments=None, offset_s=0.0):
        self.now_s = 0.0
        self.time = EngineTime(cameras, lambda: self.now_s)
        self.segmented, self.carried, self.lost = Counter(), Counter(), Counter()
        self.order = []
        self._segment_s = segment_s
        self._segments = segments or self.time.grants
        self._random = random.Random(1)
        self._mailbox = Mailbox([0] * cameras)
        self._jitter = jitter
        self._arrivals = sorted(
            (number * period_s + camera * offset_s + self._random.uniform(-jitter, jitter) * period_s, camera)
            for camera in range(cameras) for number in range(1, 400))
        self._known = set()

    def _until(self, end_s):
        """Let the images come that come until then."""
        while self._arrivals and self._arrivals[0][0] <= end_s:
            self.now_s, camera = self._arrivals.pop(0)
            self.time.arrived(camera)
            self.lost[camera] += self._mailbox.put(camera, camera)
        self.now_s = end_s

    def run(self):
        while self._arrivals:
            camera = self._mailbox.take(0)
            if camera is None:
                self._until(self._arrivals[0][0])
                continue
            self.time.begin(camera)
            segments = camera not in self._known or self._segments(camera)
            self._known.add(camera)
            (self.segmented if segments else self.carried)[camera] += 1
            self.order.append(segments)
            took_s = self._segment_s if segments else CARRY_S
            self._until(self.now_s + took_s * (1 + self._random.uniform(0, self._jitter)))
            self.time.end()
        return self

    @property
    def share_lost(self):
        lost = sum(self.lost.values())
        return lost / (lost + sum(self.segmented.values()) + sum(self.carried.values()))

    @property
    def share_segmented(self):
        segmented = sum(self.segmented.values())
        return segmented / (segmented + sum(self.carried.values()))


def test_a_camera_slower_than_the_network_has_all_its_images_segmented():
    run = Simulation(1, period_s=0.05, segment_s=0.04).run()
    assert run.share_lost == 0
    assert not run.carried


@pytest.mark.parametrize(('segment_s', 'most'), [(0.028, 25 / 28), (0.03, 22 / 27), (0.04, 22 / 37), (0.045, 22 / 42)])
def test_a_camera_faster_than_the_network_loses_no_image_and_has_as_many_segmented_as_fit(segment_s, most):
    everything = Simulation(1, 0.025, segment_s, segments=lambda camera: True).run()
    assert everything.share_lost > 0.1
    run = Simulation(1, 0.025, segment_s).run()
    assert run.share_lost < 0.01
    assert 0.8 * most < run.share_segmented <= most + 0.01


def test_jitter_of_images_and_of_the_engine_costs_few_images():
    run = Simulation(1, 0.025, 0.038, jitter=0.1).run()
    assert run.share_lost < 0.03
    assert run.share_segmented > 0.35


def test_a_network_that_takes_more_than_two_periods_gets_every_10th_image():
    run = Simulation(1, 0.025, 0.12).run()
    gaps = [number for number, segments in enumerate(run.order) if segments]
    assert {after - before for before, after in zip(gaps[2:], gaps[3:])} == {LONGEST}
    assert run.share_lost < 0.3


@pytest.mark.parametrize('offset_s', [0.0, 0.002, 0.0125], ids=['at once', 'one after the other', 'spread'])
def test_several_cameras_lose_no_image_and_are_segmented_equally_often(offset_s):
    run = Simulation(4, 0.1, 0.04, offset_s=offset_s).run()
    assert run.share_lost < 0.01
    assert max(run.segmented.values()) - min(run.segmented.values()) <= 3
    assert run.share_segmented > 0.4


def test_a_camera_that_is_gone_does_not_hold_up_the_others():
    now_s = [0.0]
    time = EngineTime(2, lambda: now_s[0])
    granted = []
    for number in range(60):
        now_s[0] += 0.1
        for camera in (0, 1) if number < 20 else (0,):
            time.arrived(camera)
            time.begin(camera)
            granted.append(time.grants(camera))
            now_s[0] += 0.09 if granted[-1] else 0.003
            time.end()
        now_s[0] = (number + 1) * 0.1
    assert all(granted[-30:])


def test_an_accident_does_not_count():
    now_s = [0.0]
    time = EngineTime(1, lambda: now_s[0])
    granted = []
    for number in range(40):
        now_s[0] = max(now_s[0], number * 0.1)
        time.arrived(0)
        time.begin(0)
        granted.append(time.grants(0))
        now_s[0] += 1.0 if number == 20 else 0.04
        time.end()
    assert all(granted)

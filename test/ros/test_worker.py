import os
import threading
import time
from types import SimpleNamespace

import cv2
import networks
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rig import PATIENCE_S, image, pixels_of, random_image, stamp_of
from sensor_msgs.msg import Image

from trt_perception.core import health
from trt_perception.core.cameras import CameraSpec
from trt_perception.core.errors import EngineError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.engines import open_engine
from trt_perception.ros import feed, node_task, segmentation_publishers, worker
from trt_perception.ros.clock_check import age_hint, ahead_hint

TEXT = 'tiny.onnx: ONNX Runtime failed to run it: out of memory'


@pytest.fixture
def faults(monkeypatch):
    """Let the node's engines fail: those of a task when it is in `infer`, opening when it is in `open`."""
    class Faults:
        infer = set()
        open = set()
        opened = []
    faults = Faults()

    def failing(model, options, *rest):
        if model.task in faults.open:
            raise EngineError('cannot open ' + model.task)
        engine = open_engine(model, options, *rest)
        infer = engine._infer

        def run(wanted):
            if model.task in faults.infer:
                raise EngineError(TEXT)
            return infer(wanted)
        engine._infer = run
        faults.opened.append(engine)
        return engine
    faults.opened = []
    monkeypatch.setattr(node_task, 'open_engine', failing)
    return faults


@pytest.fixture
def running(rig, tmp_path):
    """Return a function that starts a node with tiny models for these tasks; what it publishes goes to the dict."""
    def start(tasks):
        arguments, received = [], {}
        for task in tasks:
            (tmp_path / task).mkdir()
            (networks.segmentation_model if task == SEGMENTATION else networks.flow_model)(tmp_path / task)
            arguments += ['-p', '{}.model:={}/tiny.yaml'.format(task, tmp_path / task)]
            topic = task + ('/label_map' if task == SEGMENTATION else '/flow')
            received[task] = rig.watch(Image, topic)
        rig.start(tasks, *arguments)
        for task in tasks:
            rig.watched(task + ('/label_map' if task == SEGMENTATION else '/flow'))
        return received
    return start


def show(rig, *numbers):
    return [rig.show(image(random_image(number), 10**9 + number * 10**7)) for number in numbers]


def status_of(rig):
    [status] = rig.diagnostics()
    return status


def test_after_an_engine_fault_the_engine_is_reopened_and_the_node_goes_on(rig, faults, running):
    labels = running([SEGMENTATION])[SEGMENTATION]
    assert show(rig, 0) == ['processed']
    assert status_of(rig).level == DiagnosticStatus.OK
    faults.infer.add(SEGMENTATION)
    before_s = time.monotonic()
    assert show(rig, 1) == ['engine_fault']
    faults.infer.clear()
    assert rig.worker.tasks[0].engine is None
    retry_at_s, rig.worker.engines._retry_at_s = rig.worker.engines._retry_at_s, float('inf')
    assert show(rig, 2, 3) == ['engine_fault', 'engine_fault']
    assert status_of(rig).level == DiagnosticStatus.ERROR
    assert status_of(rig).message == 'engine fault, reopening: ' + TEXT
    rig.until(lambda: rig.logged(TEXT + ' Reopening in 1 s.'), 'the error in the log')
    assert len(faults.opened) == 1
    number = 4
    rig.worker.engines._retry_at_s = retry_at_s
    while show(rig, number) == ['engine_fault']:
        rig.work(0.05)
        number += 1
        assert time.monotonic() < before_s + PATIENCE_S
    assert time.monotonic() > before_s + 1
    assert len(faults.opened) == 2
    assert faults.opened[0] is not faults.opened[1]
    assert show(rig, number + 1) == ['processed']
    rig.until(lambda: len(labels) == 3, 'the label maps')
    assert [stamp_of(m) for m in labels] == [10**9 + n * 10**7 for n in (0, number, number + 1)]
    assert status_of(rig).level == DiagnosticStatus.WARN  # For one interval: frames were lost since the last one.
    assert status_of(rig).level == DiagnosticStatus.OK
    counts = rig.feed.counts
    assert counts['engine_fault'] == counts['received'] - 3 == number - 1


def test_the_wait_before_reopening_doubles_up_to_half_a_minute(rig, faults, running):
    running([SEGMENTATION])
    faults.infer.add(SEGMENTATION)
    faults.open.add(SEGMENTATION)

    def waits(number, wait_s):
        """Whether the wait after an image that fails is so long, which begins between its sending and its end."""
        before_s = time.monotonic()
        assert show(rig, number) == ['engine_fault']
        return rig.worker.engines._retry_at_s - time.monotonic() <= wait_s <= \
            rig.worker.engines._retry_at_s - before_s
    for number, wait_s in enumerate((1, 2, 4, 8, 16, 30, 30)):
        assert waits(number, wait_s)
        assert rig.worker.engines.last_error == (TEXT if number == 0 else 'cannot open segmentation')
        rig.worker.engines._retry_at_s = 0.0
    rig.until(lambda: rig.logged('cannot open segmentation Reopening in 16 s.'), 'the error in the log')
    faults.open.clear()
    faults.infer.clear()
    assert show(rig, 7) == ['processed']
    faults.infer.add(SEGMENTATION)
    assert waits(8, 1)


def test_a_network_file_that_went_away_is_waited_for(rig, faults, running, tmp_path):
    labels = running([SEGMENTATION])[SEGMENTATION]
    file = str(tmp_path / SEGMENTATION / 'tiny.onnx')
    os.rename(file, file + '.away')
    faults.infer.add(SEGMENTATION)
    assert show(rig, 0) == ['engine_fault']
    faults.infer.clear()
    rig.worker.engines._retry_at_s = 0.0
    assert show(rig, 1) == ['engine_fault']
    assert 'tiny.onnx is neither beside the YAML nor in ' in status_of(rig).message
    os.rename(file + '.away', file)
    rig.worker.engines._retry_at_s = 0.0
    assert show(rig, 2) == ['processed']
    rig.until(lambda: labels, 'the label map')


def test_a_fault_of_one_engine_starts_both_anew(rig, faults, running):
    received = running(TASKS)
    assert show(rig, 0, 1) == ['processed', 'processed']
    faults.infer.add(OPTICAL_FLOW)
    assert show(rig, 2) == ['engine_fault']
    faults.infer.clear()
    rig.worker.engines._retry_at_s = 0.0
    assert show(rig, 3, 4) == ['processed', 'processed']
    rig.until(lambda: len(received[SEGMENTATION]) == 5 and len(received[OPTICAL_FLOW]) == 2, 'the outputs')
    assert [stamp_of(m) for m in received[SEGMENTATION]] == [10**9 + n * 10**7 for n in range(5)]
    # Image 3 starts a pair: the new engine has not seen image 2.
    assert [stamp_of(m) for m in received[OPTICAL_FLOW]] == [10**9 + n * 10**7 for n in (1, 4)]
    u = np.unique(pixels_of(received[OPTICAL_FLOW][1])[..., 0])
    assert np.isfinite(u).all()
    assert len(u) > 4
    assert len(faults.opened) == 4


@pytest.mark.parametrize('error', [MemoryError(), ValueError('a bug'), cv2.error('Insufficient memory')])
def test_what_goes_wrong_with_one_frame_costs_that_frame_alone(rig, running, monkeypatch, error):
    labels = running([SEGMENTATION])[SEGMENTATION]
    publish = segmentation_publishers.SegmentationPublishers.publish

    def failing(self, frame, *args):
        if frame.stamp_ns == 10**9 + 10**7:
            raise error
        publish(self, frame, *args)
    monkeypatch.setattr(segmentation_publishers.SegmentationPublishers, 'publish', failing)
    assert show(rig, 0, 1, 2) == ['processed', 'bad', 'processed']
    rig.until(lambda: len(labels) == 2, 'the label maps')
    assert rig.feed.last_error.startswith(type(error).__name__ + ': ')
    rig.until(lambda: rig.logged('Frame skipped: Traceback'), 'the error with its place in the log')
    assert status_of(rig).level == DiagnosticStatus.WARN


@pytest.mark.parametrize('error', [ZeroDivisionError('a bug'), SystemExit(3)])
def test_what_goes_wrong_outside_of_a_frame_ends_the_worker_and_is_handed_to_the_main_thread(
        rig, running, monkeypatch, error):
    running([SEGMENTATION])

    def handle(*args):
        raise error
    monkeypatch.setattr(rig.worker, '_handle', handle)
    rig.camera.publish(image(random_image(0), 1))
    rig.until(rig.node.stopped.done, 'the end of the worker')
    found = rig.node.stopped.exception()
    assert found is error or str(found) == 'the worker ended: SystemExit(3)'
    rig.until(lambda: not rig.worker.is_alive(), 'the end of the worker')
    assert rig.worker.tasks[0].engine is None
    status = status_of(rig)
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, 'the worker has ended; see the log')


def test_a_stamp_with_a_second_too_many_costs_that_frame_alone(rig, running):
    running([SEGMENTATION])
    rig.worker.settings['max_frame_age'] = 3600.0
    message = image(random_image(0), 1)
    message.header.stamp.nanosec = 2**32 - 1
    assert rig.show(message) == 'bad'
    assert rig.feed.last_error.startswith('image stamp: got 4294967295 ns beside 0 s')


def test_a_worker_that_hangs_in_a_frame_is_reported_as_an_error(rig, running, monkeypatch):
    running([SEGMENTATION])
    monkeypatch.setattr(health, 'STUCK_S', 0.1)
    go_on = threading.Event()
    process = rig.feed.tasks[0].pipeline.process

    def hanging(frame):
        assert go_on.wait(PATIENCE_S)
        return process(frame)
    monkeypatch.setattr(rig.feed.tasks[0].pipeline, 'process', hanging)
    rig.camera.publish(image(random_image(0), 1))
    rig.until(lambda: rig.worker.busy_s > 0.2, 'the worker to hang')
    status = status_of(rig)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message.startswith('one frame has been in work for ')
    go_on.set()
    rig.until(lambda: not rig.worker.busy_s, 'the worker to go on')
    assert status_of(rig).level == DiagnosticStatus.OK


@pytest.fixture
def outcome_after(rig, monkeypatch):
    """Give a function that shows an image whose network takes so long, by a clock of its own, and returns the outcome.

    It is older than max_frame_age, but only once it is in hand: how long it took to get there depends on the machine.
    """
    now_s = [0.0]

    def show_one(takes_s):
        task = rig.feed.tasks[0]
        with monkeypatch.context() as patch:
            def taking(frame, process=task.pipeline.process):
                now_s[0] += takes_s
                rig.worker.settings['max_frame_age'] = 0.1
                return process(frame)
            patch.setattr(feed, 'time', SimpleNamespace(monotonic=lambda: now_s[0]))
            patch.setattr(task.pipeline, 'process', taking)
            rig.worker.settings['max_frame_age'] = 0.0
            return rig.show(image(random_image(0), rig.node.get_clock().now().nanoseconds - 10**9))
    return show_one


def test_a_result_that_grew_old_while_the_process_stood_still_is_not_published(rig, running, outcome_after):
    labels = running([SEGMENTATION])[SEGMENTATION]
    assert [outcome_after(takes_s) for takes_s in (0.01, 0.01, 1.5, 0.01)] == [
        'processed', 'processed', 'too_old', 'processed']
    rig.until(lambda: len(labels) == 3, 'the label maps')
    rig.until(lambda: rig.logged('Was the process stopped, or the machine asleep?'), 'the reason')


def test_a_network_that_is_slower_than_the_age_limit_still_gives_results(rig, running, outcome_after):
    running([SEGMENTATION])
    assert [outcome_after(0.7) for _ in range(3)] == ['processed'] * 3


def test_frames_of_two_cameras_make_no_pairs(rig, running):
    flows = running([OPTICAL_FLOW])[OPTICAL_FLOW]
    assert show(rig, 0, 1) == ['processed', 'processed']
    rig.until(lambda: len(flows) == 1, 'the flow')
    rig.feed.is_mixed = True
    assert show(rig, 2, 3) == ['processed', 'processed']
    rig.feed.is_mixed = False
    assert show(rig, 4) == ['processed']
    rig.until(lambda: len(flows) == 2, 'the flow')
    assert [stamp_of(each) for each in flows] == [10**9 + n * 10**7 for n in (1, 4)]


@pytest.mark.parametrize(('age_s', 'stamp_s', 'text'), [
    (0.5, 1000.0, 'The camera, the network or this machine is slower than that.'),
    (1800.0, 1e9, 'Stamps of another clock: for a bag set use_sim_time'),
    (1.7e9, 0.0, 'for a driver that leaves the stamp empty set max_frame_age to 0.'),
    (1.7e9, 999.0, 'Stamps are of the time since start of the machine: let the driver use the system clock')])
def test_the_age_of_an_image_tells_which_clock_its_stamp_is_of(age_s, stamp_s, text):
    assert text in age_hint(age_s, int(stamp_s * 1e9), 1000.0)


def test_stamps_ahead_of_the_clock_are_said(rig, running):
    running([SEGMENTATION])
    rig.worker.settings['max_frame_age'] = 0.2
    rig.node._status.timer.cancel()  # A status of its own would take what this one is to tell.
    assert ahead_hint(-0.9) == ahead_hint(0.0) == ''
    assert rig.show(image(random_image(0), rig.node.get_clock().now().nanoseconds + 5 * 10**9)) == 'processed'
    status = status_of(rig)
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith('Stamps are ')
    rig.until(lambda: rig.logged('s ahead of this clock, so that max_frame_age finds no image too old.'), 'it')


def test_an_engine_that_cannot_be_opened_at_start_ends_the_worker(rig, faults, tmp_path):
    networks.segmentation_model(tmp_path)
    faults.open.add(SEGMENTATION)
    with pytest.raises(EngineError, match='cannot open segmentation'):
        rig.start([SEGMENTATION], '-p', 'segmentation.model:={}/tiny.yaml'.format(tmp_path))
    rig.until(lambda: not rig.worker.is_alive(), 'the end of the worker')


def test_the_end_finishes_the_frame_in_hand_and_closes_the_engine(rig, running):
    labels = running([SEGMENTATION])[SEGMENTATION]
    show(rig, 0)
    engine = rig.worker.tasks[0].engine
    rig.node.finish()
    assert not rig.worker.is_alive()
    assert rig.worker.tasks[0].engine is None
    assert not engine._tensors
    rig.node.finish()  # Twice is no harm.
    rig.until(lambda: labels, 'the label map')
    assert not rig.node.stopped.done()


def test_a_node_may_close_before_its_worker_has_begun(rig, tmp_path):
    networks.segmentation_model(tmp_path)
    rig.start([SEGMENTATION], '-p', 'segmentation.model:={}/tiny.yaml'.format(tmp_path))
    another = worker.Worker(rig.node, [SEGMENTATION], [CameraSpec('', 0)], rig.worker.settings, None, None)
    another.stop()
    assert not another.is_alive()

"""The node as `ros2 lifecycle` and Nav2's lifecycle manager drive it: over its services."""
import glob
import os
import time

import networks
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rig import DEEP, PATIENCE_S, image, random_image, stamp_of
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from trt_perception.core.errors import ConfigError, EngineError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION
from trt_perception.ros import managed_node, node_task
from trt_perception.ros.managed_node import HAS_LIFECYCLE, Stage

pytestmark = pytest.mark.skipif(not HAS_LIFECYCLE, reason="this distribution's rclpy has no lifecycle")

if HAS_LIFECYCLE:
    from rclpy.lifecycle import node as lifecycle_node

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
LABELS = 'segmentation/label_map'


@pytest.fixture
def models(tmp_path):
    """Return the ROS arguments that choose tiny models."""
    return networks.ros_arguments(tmp_path)


@pytest.fixture
def managed(rig, models):
    """Start a node that waits for its manager, beside a camera."""
    rig.start([SEGMENTATION], '-p', 'autostart:=false', '-p', 'lazy:=false', *models, kind=None, opened=False)
    rig.camera = rig.outside.create_publisher(Image, '/image', DEEP)
    return Manager(rig)


class Manager:
    """Changes the state of the rig's node over its services."""

    def __init__(self, rig):
        self._rig = rig
        self._change = rig.outside.create_client(ChangeState, '/perception/change_state')
        self._get = rig.outside.create_client(GetState, '/perception/get_state')
        rig.until(lambda: self._change.service_is_ready() and self._get.service_is_ready(), 'the services')

    def _call(self, client, request):
        future = client.call_async(request)
        self._rig.until(future.done, 'the answer of ' + client.srv_name)
        return future.result()

    def change(self, transition):
        return self._call(self._change, ChangeState.Request(transition=Transition(id=transition))).success

    @property
    def state(self):
        return self._call(self._get, GetState.Request()).current_state.label


def show(rig, number):
    rig.worker = rig.node._worker
    rig.feed = rig.worker.feeds[0]
    return rig.show(image(random_image(number), 10**9 + number * 10**7))


def published(rig):
    return rig.outside.count_publishers('/' + LABELS)


def test_a_node_starts_by_itself_unless_told_otherwise(rig, models):
    rig.start([SEGMENTATION], *models)
    assert rig.node.stage == Stage.ACTIVE
    assert Manager(rig).state == 'active'


def test_every_stage_takes_what_it_needs_and_gives_it_back(rig, managed):
    labels = rig.watch(Image, LABELS)
    assert managed.state == 'unconfigured'
    assert rig.node._worker is None
    rig.work(0.5)
    assert (published(rig), rig.camera.get_subscription_count()) == (0, 0)

    assert managed.change(CONFIGURE)  # The engine is open when this returns.
    assert managed.state == 'inactive'
    worker = rig.node._worker
    engine = worker.tasks[0].engine
    assert engine.backend == 'onnxruntime'
    rig.until(lambda: published(rig), 'the topics')
    rig.work(0.5)
    assert rig.camera.get_subscription_count() == 0

    assert managed.change(ACTIVATE)
    assert managed.state == 'active'
    rig.until(rig.camera.get_subscription_count, 'the subscription')
    assert show(rig, 0) == 'processed'

    assert managed.change(DEACTIVATE)
    assert managed.state == 'inactive'
    rig.until(lambda: rig.camera.get_subscription_count() == 0, 'the end of the subscription')
    assert rig.node._worker is worker
    assert worker.tasks[0].engine is engine

    assert managed.change(ACTIVATE)
    rig.until(rig.camera.get_subscription_count, 'the subscription')
    assert show(rig, 1) == 'processed'
    assert managed.change(DEACTIVATE)

    assert managed.change(CLEANUP)
    assert managed.state == 'unconfigured'
    assert not worker.is_alive()
    assert worker.tasks[0].engine is None
    rig.until(lambda: published(rig) == 0, 'the topics to be withdrawn')

    assert managed.change(CONFIGURE)
    assert managed.change(ACTIVATE)
    rig.until(lambda: rig.camera.get_subscription_count() and published(rig) == 1, 'all of it again')
    assert show(rig, 2) == 'processed'
    rig.until(lambda: len(labels) == 3, 'the label maps')
    assert [stamp_of(message) for message in labels] == [10**9, 10**9 + 10**7, 10**9 + 2 * 10**7]


def test_flow_does_not_reach_across_a_pause(rig, models):
    flows = rig.watch(Image, 'optical_flow/flow')
    rig.start([OPTICAL_FLOW], *models)
    rig.watched('optical_flow/flow')
    manager = Manager(rig)
    for number in (0, 1):
        assert show(rig, number) == 'processed'
    assert manager.change(DEACTIVATE)
    rig.until(lambda: rig.camera.get_subscription_count() == 0, 'the end of the subscription')
    assert manager.change(ACTIVATE)
    rig.until(rig.camera.get_subscription_count, 'the subscription')
    for number in (2, 3):
        assert show(rig, number) == 'processed'
    rig.until(lambda: len(flows) == 2, 'the flow')
    rig.work(0.2)
    assert [stamp_of(message) for message in flows] == [10**9 + 10**7, 10**9 + 3 * 10**7]


def test_shutdown_closes_the_engine(rig, managed):
    assert managed.change(CONFIGURE)
    assert managed.change(ACTIVATE)
    worker = rig.node._worker
    assert managed.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert managed.state == 'finalized'
    assert not worker.is_alive()


@pytest.mark.parametrize('raises', [True, False], ids=["as Humble's rclpy does", 'as this one does'])
def test_a_transition_that_the_state_does_not_have_is_refused_and_the_node_lives(rig, managed, monkeypatch, raises):
    mixin, name = lifecycle_node.LifecycleNodeMixin, '_LifecycleNodeMixin__change_state'
    change = getattr(mixin, name)

    def humble(self, transition):
        if transition not in [each[0] for each in self._state_machine.available_transitions]:
            self._state_machine.trigger_transition_by_id(transition, True)  # Raises.
        return change(self, transition)
    if raises:
        monkeypatch.setattr(mixin, name, humble)
    for transition in (CLEANUP, ACTIVATE, DEACTIVATE, 250):
        assert not managed.change(transition)
        assert managed.state == 'unconfigured'
    if raises:
        rig.until(lambda: rig.logged('change_state: got transition 250'), 'the reason in the log')
    assert managed.change(CONFIGURE)
    assert not managed.change(CONFIGURE)
    assert managed.change(ACTIVATE)
    assert rig.node.stage == Stage.ACTIVE


def test_an_engine_that_cannot_be_opened_fails_configure_and_the_next_try_may_succeed(rig, managed, monkeypatch):
    def failing(*args):
        raise EngineError('tiny.onnx: out of memory. Close something.')
    with monkeypatch.context() as patch:
        patch.setattr(node_task, 'open_engine', failing)
        assert not managed.change(CONFIGURE)
    assert managed.state == 'unconfigured'
    assert not rig.node.stopped.done()
    rig.until(lambda: rig.logged('Not inactive: EngineError: tiny.onnx: out of memory.'), 'the reason in the log')
    rig.work(0.3)
    assert published(rig) == 0
    assert managed.change(CONFIGURE)
    assert managed.state == 'inactive'


def test_started_by_itself_a_node_with_a_wrong_model_ends(rig, models):
    with pytest.raises(ConfigError, match='/no/such.yaml: no such file'):
        rig.start([SEGMENTATION], '-p', 'segmentation.model:=/no/such.yaml')


def test_the_status_names_the_stage(rig, managed):
    statuses = rig.watch(DiagnosticArray, '/diagnostics')

    def until(message):
        del statuses[:]
        rig.until(lambda: any(array.status[0].message == message for array in statuses), message)
        assert statuses[-1].status[0].level == DiagnosticStatus.OK
        assert statuses[-1].status[0].name == 'perception: perception'
    until('unconfigured')
    managed.change(CONFIGURE)
    until('inactive')
    managed.change(ACTIVATE)
    until('running: 0.0 Hz in, 0.0 Hz out')


def test_while_the_engine_is_opened_the_status_still_comes(rig, managed, monkeypatch):
    opened = node_task.open_engine

    published = []
    publish = rig.node._status._publisher.publish
    monkeypatch.setattr(rig.node._status._publisher, 'publish', lambda array: (published.append(array), publish(array)))

    def slow(*args):
        end_s = time.monotonic() + PATIENCE_S
        while len(published) < 2 and time.monotonic() < end_s:  # While this thread waits, the other one publishes.
            time.sleep(0.01)
        return opened(*args)
    monkeypatch.setattr(node_task, 'open_engine', slow)
    statuses = rig.watch(DiagnosticArray, '/diagnostics')
    rig.until(lambda: statuses, 'a first status')
    del published[:]
    assert managed.change(CONFIGURE)
    assert [array.status[0].message for array in published[:2]] == ['configuring'] * 2
    rig.until(lambda: statuses[-1].status[0].message == 'inactive', 'the status after it')
    assert sum(array.status[0].message == 'configuring' for array in statuses) >= 1


def test_a_node_that_starts_paused_waits_for_enable_in_any_stage(rig, models):
    rig.start([SEGMENTATION], '-p', 'start_paused:=true', '-p', 'lazy:=false', *models)
    assert show(rig, 0) == 'paused'
    [status] = rig.diagnostics()
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'paused')
    manager = Manager(rig)
    assert manager.change(DEACTIVATE)
    client = rig.outside.create_client(SetBool, '/perception/enable')
    rig.until(client.service_is_ready, 'the service')
    future = client.call_async(SetBool.Request(data=True))
    rig.until(future.done, 'the answer')
    rig.until(lambda: rig.camera.get_subscription_count() == 0, 'the end of the subscription')
    assert manager.change(ACTIVATE)
    rig.until(rig.camera.get_subscription_count, 'the subscription')
    assert show(rig, 1) == 'processed'


def test_going_round_leaves_no_threads_or_files_behind(rig, managed):
    def held():
        return len(os.listdir('/proc/self/fd')), len(glob.glob('/proc/self/task/*'))
    for _ in range(2):
        for transition in (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP):
            assert managed.change(transition)
    before = held()
    for _ in range(5):
        for transition in (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP):
            assert managed.change(transition)
    after = held()
    assert after[0] - before[0] < 5
    assert after[1] - before[1] < 5


def test_where_rclpy_has_no_lifecycle_a_node_starts_by_itself_or_says_so(monkeypatch):
    class Plain(managed_node.ManagedNode):
        def __init__(self):  # What is tested does not need ROS.
            self.stage, self.done = Stage.UNCONFIGURED, []

        def configure(self):
            self.done.append('configure')

        def activate(self):
            self.done.append('activate')
    monkeypatch.setattr(managed_node, 'HAS_LIFECYCLE', False)
    node = Plain()
    node.start(True)
    assert (node.stage, node.done) == (Stage.ACTIVE, ['configure', 'activate'])
    with pytest.raises(ConfigError, match='parameter autostart: got False, expected True: this'):
        Plain().start(False)

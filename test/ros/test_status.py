"""The status of a node over DDS: stamped with the node's time, once a second, and nothing in it ends the node."""
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from trt_perception.core.health import Level
from trt_perception.ros.status import StatusPublisher, status_of


def test_a_status_has_the_level_the_text_and_the_values():
    status = status_of('a: b', Level.WARN, 'text', [('x', '1'), ('y', '2')], '/image')
    assert (status.name, status.level, status.message) == ('a: b', DiagnosticStatus.WARN, 'text')
    assert [(each.key, each.value) for each in status.values] == [('x', '1'), ('y', '2')]
    assert status.hardware_id == '/image'


def test_statuses_are_published_with_the_time_of_the_node_and_asked_for_the_time_since_the_last(rig):
    arrays, intervals = rig.watch(DiagnosticArray, '/diagnostics'), []
    node = Node('told', context=rig.context, use_global_arguments=False)
    rig.executor.add_node(node)

    def statuses(interval_s):
        intervals.append(interval_s)
        if len(intervals) == 1:
            raise ValueError('a bug')
        return [status_of('told: all', Level.OK, str(len(intervals)), [])]
    began_s, first_s = time.time(), time.monotonic()
    StatusPublisher(node, statuses)
    rig.until(lambda: len(arrays) > 1, 'two statuses after one that could not be made')
    took_s = time.monotonic() - first_s
    stamps = [each.header.stamp.sec + each.header.stamp.nanosec * 1e-9 for each in arrays]
    assert [each.status[0].message for each in arrays][:2] == ['2', '3']
    assert began_s < stamps[0] < stamps[1] < time.time()
    assert 2.9 < sum(intervals[:3]) <= took_s  # Where one is late, the next may come soon after it.
    assert any('ValueError: a bug' in entry.msg for entry in rig.log)
    node.destroy_node()


def test_who_keeps_the_executor_busy_can_publish_in_between_but_not_more_often(rig):
    arrays = rig.watch(DiagnosticArray, '/diagnostics')
    node = Node('told', context=rig.context, use_global_arguments=False)
    publisher = StatusPublisher(node, lambda interval_s: [status_of('told: all', Level.OK, '', [])])
    end_s = time.monotonic() + 1.5
    while time.monotonic() < end_s or not arrays:
        publisher.keep_up()
        rig.executor.spin_once(timeout_sec=0.01)
    assert 1 <= len(arrays) <= 1 + (time.monotonic() - end_s + 1.5)
    node.destroy_node()

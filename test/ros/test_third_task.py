"""A task that only tests know, in the node: alone, beside another, and with a setting that changes while it runs."""
import networks
import numpy as np
import pytest
from depth_task import HeldDepth, depth_model
from rclpy.parameter import Parameter
from rig import image, pixels_of, random_image, stamp_of
from sensor_msgs.msg import CameraInfo, Image

from trt_perception.core.errors import ConfigError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION, TASKS
from trt_perception.engines.deployment import FLOW_MODEL


def depths(message):
    assert message.encoding == '32FC1'
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def expected(pixels):
    rows, columns = np.arange(48) * 6 // 48, np.arange(64) * 8 // 64
    small = pixels.reshape(6, 8, 8, 8, 3)[:, 4, :, 4]  # Squares of one colour, 8 px wide.
    return (0.5 * small.astype(np.float32).sum(axis=2))[rows[:, np.newaxis], columns]


def test_a_third_task_runs_in_the_node(rig, depth, tmp_path):
    received = rig.watch(Image, 'depth/map')
    rig.start(['depth'], '-p', 'depth.model:=' + depth_model(tmp_path).path, '-p', 'depth.farthest:=300.0')
    rig.watched('depth/map')
    assert rig.node.has_parameter('depth.farthest')
    assert not rig.node.has_parameter('segmentation.model')
    assert rig.show(image(random_image(1), 10**9)) == 'processed'
    rig.until(lambda: received, 'the depth')
    np.testing.assert_array_equal(depths(received[0]), np.minimum(expected(random_image(1)), 300.0))
    assert stamp_of(received[0]) == 10**9
    assert set(rig.worker.timer.summary()) | set(rig.feed.timer.summary()) == {
        'depth ' + stage for stage in ('preprocess', 'infer', 'decode', 'publish', 'latency', 'age')}


def test_its_settings_reach_it_while_it_runs(rig, depth, tmp_path):
    received = rig.watch(Image, 'depth/map')
    rig.start(['depth'], '-p', 'depth.model:=' + depth_model(tmp_path).path)
    rig.watched('depth/map')
    for number, farthest in enumerate((100.0, 40.0)):
        [answer] = rig.node.set_parameters([Parameter('depth.farthest', value=farthest)])
        assert answer.successful
        rig.show(image(random_image(2), 10**9 + number))
        rig.until(lambda number=number: len(received) == number + 1, 'the depth')
        assert depths(received[-1]).max() == farthest


def test_it_shares_a_node_with_another_task(rig, depth, tmp_path):
    folders = {name: tmp_path / name for name in ('segmentation', 'depth')}
    for folder in folders.values():
        folder.mkdir()
    labels, maps = rig.watch(Image, 'segmentation/label_map'), rig.watch(Image, 'depth/map')
    infos = rig.watch(CameraInfo, 'depth/camera_info')
    rig.start([SEGMENTATION, 'depth'],
              '-p', 'segmentation.model:=' + networks.segmentation_model(folders['segmentation']).path,
              '-p', 'depth.model:=' + depth_model(folders['depth']).path)
    for topic in ('segmentation/label_map', 'depth/map'):
        rig.watched(topic)
    rig.show(image(random_image(3), 10**9))
    rig.until(lambda: labels and maps, 'the results')
    np.testing.assert_array_equal(pixels_of(labels[0]), random_image(3).argmax(axis=2))
    np.testing.assert_array_equal(depths(maps[0]), np.minimum(expected(random_image(3)), 100.0))
    assert not infos  # No camera has told its calibration.


def test_its_results_are_carried_along_the_flow_that_the_node_computes_anyway(rig, depth, tmp_path):
    maps, flows = rig.watch(Image, 'depth/map'), rig.watch(Image, 'optical_flow/flow')
    rig.start(['depth', OPTICAL_FLOW], '-p', 'depth.model:=' + depth_model(tmp_path).path, '-p', 'propagate:=2',
              '-p', 'optical_flow.model:=dis_fast')
    for topic in ('depth/map', 'optical_flow/flow'):
        rig.watched(topic)
    for number in range(3):
        assert rig.show(image(random_image(number), 10**9 + number * 10**8)) == 'processed'
        rig.until(lambda number=number: len(maps) == number + 1, 'the depth')
    rig.until(lambda: len(flows) == 2, 'the flow')
    shift = np.frombuffer(flows[0].data, np.float32).reshape(48, 64, 2)[..., 0].mean()
    np.testing.assert_array_equal(depths(maps[1]), depths(maps[0]) + shift)
    np.testing.assert_array_equal(depths(maps[2]), np.minimum(expected(random_image(2)), 100.0))
    assert HeldDepth.latest.flow_model.name == FLOW_MODEL
    assert rig.feed.tasks[0].counts == {'segmented': 2, 'carried': 1}


def test_a_node_of_an_unknown_task_does_not_start(rig):
    with pytest.raises(ConfigError, match="^task: got 'sound', expected one of " + ', '.join(TASKS)):
        rig.start(['sound'])

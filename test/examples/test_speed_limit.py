import json
import math

import numpy as np
import pytest
from speed_limit import speed_limit

ANGLES = np.linspace(-0.5, 0.5, 101)


def obstacle(y=0.0, time=1.0, confidence=0.9):
    return {'position': [9.0, y], 'time_to_contact': time, 'confidence': confidence}


def limit(ranges=np.inf, obstacles=()):
    return speed_limit(ANGLES, np.broadcast_to(np.asarray(ranges, float), ANGLES.shape), obstacles)


def test_it_is_the_speed_from_which_the_vehicle_stops_a_metre_before_what_is_ahead():
    assert limit(9 / np.cos(ANGLES)) == pytest.approx(math.sqrt(2 * 2 * 8))
    assert limit(0.8) == 0


def test_what_is_beside_the_lane_or_not_seen_does_not_count():
    beside = np.where(np.abs(ANGLES) > 0.3, 5.0, np.inf)
    assert limit(beside) == math.inf
    assert limit(np.nan) == math.inf


def test_it_brakes_for_what_comes_in_the_lane_if_that_is_sure():
    assert limit(obstacles=[obstacle()]) == 0
    for other in (obstacle(y=4.0), obstacle(time=3.0), obstacle(time=None), obstacle(confidence=0.5)):
        assert limit(obstacles=[other]) == math.inf


@pytest.fixture
def ros():
    return pytest.importorskip('rclpy')


def test_over_dds_a_rendered_scene_gives_the_limit_that_its_boxes_ask_for(ros, rig):
    from rendered_scene import CAR, CLASSES, Box, Scene, render
    from rig import header, image
    from sensor_msgs.msg import CameraInfo, Image, TimeReference
    from speed_limit import make_node
    from std_msgs.msg import Float32, String

    from trt_perception.ros.planner_node import PlannerNode
    from trt_perception.ros.qos import LATCHED
    arguments = {'context': rig.context, 'use_global_arguments': False}
    planner = PlannerNode(cli_args=['--ros-args', '-p', 'camera.height:=1.4'], **arguments)
    example = make_node(**arguments)
    nodes = [planner, example]
    for node in nodes:
        rig.executor.add_node(node)
    try:
        topics = {topic: rig.outside.create_publisher(kind, topic, 1) for topic, kind in (
            ('segmentation/label_map', Image), ('segmentation/camera_info', CameraInfo), ('optical_flow/flow', Image),
            ('optical_flow/time_reference', TimeReference))}
        classes = rig.outside.create_publisher(String, 'segmentation/label_info_json', LATCHED)
        classes.publish(String(data=json.dumps({'classes': [{'id': i, 'name': n} for i, n in CLASSES.items()]})))
        limits = rig.watch(Float32, 'speed_limit')
        rig.until(lambda: all(t.get_subscription_count() for t in [*topics.values(), classes]), 'the planner')
        # A car stands 10 m ahead; then one comes, and there is a second and a half left.
        for number, (box, expected) in enumerate(((Box(CAR, 11, 0, (2, 2, 1.5)), math.sqrt(4 * 9)),
                                                  (Box(CAR, 16, 0, (2, 2, 1.5), (-6.0, 0.0)), 0.0)), 1):
            view, stamp = render(Scene((box,), speed=4.0, mounting=(0, 0, 1.4, 0, 0, 0))), number * 10**9
            height, width = view.labels.shape
            topics['segmentation/label_map'].publish(image(view.labels, stamp, 'mono8'))
            topics['segmentation/camera_info'].publish(CameraInfo(
                header=header(stamp), height=height, width=width, k=[520.0, 0, 319.5, 0, 520, 239.5, 0, 0, 1]))
            topics['optical_flow/time_reference'].publish(TimeReference(
                header=header(stamp), time_ref=header(stamp - 10**8).stamp))
            topics['optical_flow/flow'].publish(Image(
                header=header(stamp), height=height, width=width, encoding='32FC2', step=width * 8,
                data=view.flow.tobytes()))
            rig.until(lambda n=number: len(limits) == n, 'the limit')
            assert limits[-1].data == pytest.approx(expected, abs=0.1)
    finally:
        for node in nodes:
            rig.executor.remove_node(node)
            node.destroy_node()

"""Messages of packages that are not on PyPI: their fields as classes of our own."""
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from rig import header

from trt_perception.core.integrated_flow import IntegratedFlow
from trt_perception.core.obstacles import Obstacle
from trt_perception.ros import planner_messages
from trt_perception.ros.node_sink import optional_types

OBSTACLES = [Obstacle(8, (10, 20, 30, 40), np.array([9.5, -1.0]), (1.8, 1.5), 9.55, -0.1, math.inf, None, False, 0.5),
             Obstacle(9, (50, 20, 60, 40), np.array([7.0, 2.0]), (0.6, 1.7), 7.28, 0.28, 2.5, np.array([0.1, -1.4]),
                      True, 0.9)]
CLASSES = {8: 'car'}


class Hypothesis:
    def __init__(self, name):
        setattr(self, name, '')
        self.score = 0.0


def vision_msgs(is_foxy):
    """Return vision_msgs as of Foxy, or as of Humble and newer."""
    def result():
        return Hypothesis('id') if is_foxy else SimpleNamespace(hypothesis=Hypothesis('class_id'))

    def point():
        return SimpleNamespace(x=0.0, y=0.0, z=0.0, w=0.0)

    def detection(header):
        return SimpleNamespace(header=header, results=[], bbox=SimpleNamespace(
            center=SimpleNamespace(position=point(), orientation=point()), size=point()))
    return SimpleNamespace(Detection3D=detection, ObjectHypothesisWithPose=result,
                           Detection3DArray=lambda header: SimpleNamespace(header=header, detections=[]))


@pytest.mark.parametrize('is_foxy', [True, False])
def test_detections_have_class_confidence_place_and_size(is_foxy):
    message = planner_messages.detections(vision_msgs(is_foxy), header(5, 'base_link'), OBSTACLES, CLASSES)
    assert message.header == header(5, 'base_link')
    car, other = message.detections
    assert car.header == header(5, 'base_link')
    [result] = car.results
    hypothesis = result if is_foxy else result.hypothesis
    assert (hypothesis.id if is_foxy else hypothesis.class_id) == 'car'
    assert hypothesis.score == 0.5
    assert (car.bbox.center.position.x, car.bbox.center.position.y, car.bbox.center.position.z) == (9.5, -1.0, 0.75)
    assert car.bbox.center.orientation.w == 1
    assert (car.bbox.size.y, car.bbox.size.z) == (1.8, 1.5)
    [result] = other.results
    assert (result.id if is_foxy else result.hypothesis.class_id) == '9'


def test_json_has_null_for_what_is_not_known():
    text = planner_messages.obstacles_json(header(10**9 + 5, 'base_link'), OBSTACLES, CLASSES, None)
    message = json.loads(text, parse_constant=lambda name: pytest.fail('{} is no JSON'.format(name)))
    assert message['stamp'] == {'sec': 1, 'nanosec': 5}
    assert message['own_motion'] is None
    car, other = message['obstacles']
    assert car['time_to_contact'] is car['velocity'] is None
    assert (car['class'], car['box'], car['position'], car['size']) == ('car', [10, 20, 30, 40], [9.5, -1], [1.8, 1.5])
    assert (other['time_to_contact'], other['velocity'], other['is_moving']) == (2.5, [0.1, -1.4], True)


def optical_flow_rad(**fields):
    return SimpleNamespace(**fields)


def test_the_flight_controllers_message_has_flow_and_gyro_in_the_axes_of_the_sensor():
    types = SimpleNamespace(OpticalFlowRad=optical_flow_rad)
    message = planner_messages.optical_flow_rad(types, header(5), IntegratedFlow(0.02, -0.01, 200), 0.04,
                                                np.array([0.1, 0.2, 0.3]))
    assert message.header == header(5)
    assert message.integration_time_us == 40000
    assert (message.integrated_x, message.integrated_y, message.quality) == (0.02, -0.01, 200)
    # x of the sensor is up in the image, y right: of the optical frame -y and x.
    assert (message.integrated_xgyro, message.integrated_ygyro, message.integrated_zgyro) == (-0.2, 0.1, 0.3)
    assert message.distance < 0
    message = planner_messages.optical_flow_rad(types, header(5), IntegratedFlow(0.02, -0.01, 200), 0.04, None)
    assert math.isnan(message.integrated_xgyro)


def test_packages_that_are_not_installed_have_no_types():
    assert optional_types('no_such_msgs') is None
    assert optional_types('std_msgs').String is not None

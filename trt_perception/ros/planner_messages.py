"""Messages of planner_node: free space, occupancy, obstacles and integrated flow, in the base frame."""
import json
import math
from array import array
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import LaserScan
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..core.ego_motion import EgoMotion, rotation_vector
from ..core.free_space import FreeSpace
from ..core.ground_plane import Mounting
from ..core.integrated_flow import IntegratedFlow
from ..core.obstacles import Obstacle
from ..core.occupancy import GridShape
from ..core.plan_overlay import time_color


class Motion(NamedTuple):
    """How the camera moved, per second."""

    velocity: Optional[np.ndarray]
    """(3,) of the camera in the base frame, m/s; None = the ground's flow does not tell."""
    turn: np.ndarray
    """(3,) rad/s about the axes of the base frame."""
    has_gyro: bool


def motion_per_second(motion: EgoMotion, mounting: Mounting, interval_s: float) -> Motion:
    """Return the camera's motion between two images as velocities in the base frame."""
    shift = mounting.rotation @ motion.rotation.T @ motion.translation / interval_s
    turn = mounting.rotation @ rotation_vector(motion.rotation) / interval_s
    return Motion(shift if motion.inliers > 0 else None, turn, motion.has_gyro)


def laser_scan(header: Header, angles: np.ndarray, ranges: np.ndarray, max_range: float) -> LaserScan:
    """Return free space as beams; inf = free up to max_range, NaN = not seen (REP 117).

    Args:
        angles: (beams,) about z from x, rad, in equal steps.
        ranges: (beams,) m.
    """
    return LaserScan(header=header, angle_min=float(angles[0]), angle_max=float(angles[-1]),
                     angle_increment=float(angles[1] - angles[0]), range_min=0.0, range_max=float(max_range),
                     ranges=array('f', ranges.astype(np.float32).tobytes()))


def occupancy_grid(header: Header, cells: np.ndarray, shape: GridShape) -> OccupancyGrid:
    """Return the grid of (rows along y, columns along x) int8: -1 = unknown, 0 = free ... 100 = lethal.

    Its origin is the corner at x = 0, on the right.
    """
    message = OccupancyGrid(header=header, data=array('b', cells.tobytes()))
    message.info.map_load_time = header.stamp
    message.info.resolution = float(shape.resolution)
    message.info.height, message.info.width = cells.shape
    message.info.origin.position.y = -shape.width / 2
    message.info.origin.orientation.w = 1.0
    return message


def obstacles_json(header: Header, obstacles: Sequence[Obstacle], classes: Mapping[int, str],
                   motion: Optional[Motion]) -> str:
    """Return the obstacles as JSON; what is not known is null, and so is a time to contact beyond the longest one."""
    return json.dumps({
        'stamp': {'sec': header.stamp.sec, 'nanosec': header.stamp.nanosec}, 'frame_id': header.frame_id,
        'own_motion': None if motion is None else {
            'velocity': None if motion.velocity is None else _rounded(motion.velocity),
            'yaw_rate': round(float(motion.turn[2]), 5), 'rotation_from': 'gyro' if motion.has_gyro else 'flow'},
        'obstacles': [_fields(each, classes) for each in obstacles]})


def _fields(obstacle: Obstacle, classes: Mapping[int, str]) -> Dict[str, Any]:
    time = obstacle.time_to_contact
    return {'class': classes.get(obstacle.class_id, str(obstacle.class_id)),
            'box': [int(each) for each in obstacle.box],
            'position': _rounded(obstacle.position), 'size': _rounded(obstacle.size),
            'distance': round(obstacle.distance, 3), 'bearing': round(obstacle.bearing, 4),
            'time_to_contact': round(time, 3) if math.isfinite(time) else None,
            'velocity': None if obstacle.velocity is None else _rounded(obstacle.velocity),
            'is_moving': obstacle.is_moving, 'confidence': round(obstacle.confidence, 3)}


def _rounded(values: Iterable[float]) -> List[float]:
    return [round(float(value), 3) for value in values]


def detections(types: Any, header: Header, obstacles: Sequence[Obstacle], classes: Mapping[int, str]) -> Any:
    """Return the obstacles as vision_msgs/Detection3DArray: boxes in the base frame, with class and confidence.

    Args:
        types: the message classes of vision_msgs, of Foxy or newer.
    """
    array_message = types.Detection3DArray(header=header)
    for each in obstacles:
        found = types.Detection3D(header=header)
        result = types.ObjectHypothesisWithPose()
        hypothesis = getattr(result, 'hypothesis', result)  # Foxy's has the fields itself.
        name = classes.get(each.class_id, str(each.class_id))
        if hasattr(hypothesis, 'class_id'):
            hypothesis.class_id = name
        else:
            hypothesis.id = name
        hypothesis.score = float(each.confidence)
        found.results.append(result)
        center, size = found.bbox.center, found.bbox.size
        center.position.x, center.position.y = (float(value) for value in each.position)
        center.position.z = each.size[1] / 2
        center.orientation.w = 1.0
        size.x, size.y, size.z = float(each.size[0]), float(each.size[0]), float(each.size[1])
        array_message.detections.append(found)
    return array_message


def markers(header: Header, free: FreeSpace, obstacles: Sequence[Obstacle], classes: Mapping[int, str]) -> MarkerArray:
    """Return the end of the ground as a line, a box for each obstacle, and what it is, for RViz and Foxglove."""
    line = _marker(header, 'free_space', 0, Marker.LINE_STRIP, (40, 220, 90), 0.9)
    line.scale.x = 0.08
    points = free.points[::4]
    line.points = [Point(x=float(x), y=float(y)) for x, y in points[np.isfinite(points).all(axis=1)]]
    clear = Marker(header=header, action=Marker.DELETEALL)
    found = [clear, line]
    for number, each in enumerate(obstacles):
        color = time_color(each.time_to_contact)
        box = _marker(header, 'obstacles', number, Marker.CUBE, color, 0.8 if each.is_moving else 0.45)
        box.pose.position.x, box.pose.position.y = (float(value) for value in each.position)
        box.pose.position.z = each.size[1] / 2
        box.scale.x, box.scale.y, box.scale.z = 0.3, max(float(each.size[0]), 0.05), max(float(each.size[1]), 0.05)
        text = _marker(header, 'texts', number, Marker.TEXT_VIEW_FACING, (255, 255, 255), 1.0)
        text.pose.position.x, text.pose.position.y = box.pose.position.x, box.pose.position.y
        text.pose.position.z, text.scale.z = each.size[1] + 0.4, 0.5
        text.text = '{} {:.1f} m'.format(classes.get(each.class_id, ''), each.distance)
        if math.isfinite(each.time_to_contact):
            text.text += ', {:.1f} s'.format(each.time_to_contact)
        if each.is_moving and each.velocity is not None:
            text.text += ', {:.1f} m/s'.format(float(np.hypot(*each.velocity)))
        found += [box, text]
    return MarkerArray(markers=found)


def _marker(header: Header, namespace: str, number: int, kind: int, color: Sequence[int], alpha: float) -> Marker:
    red, green, blue = (part / 255 for part in color)
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD,
                    color=ColorRGBA(r=red, g=green, b=blue, a=alpha), lifetime=Duration(sec=1))
    marker.pose.orientation.w = 1.0
    return marker


def optical_flow_rad(types: Any, header: Header, flow: IntegratedFlow, interval_s: float,
                     turn: Optional[np.ndarray]) -> Any:
    """Return the flow of the whole image as mavros_msgs/OpticalFlowRad; the distance is unknown: -1.

    Args:
        types: the message classes of mavros_msgs.
        turn: (3,) rotation between the images in the camera's optical frame, rad; None = no gyro: NaN.
    """
    x, y, z = (float('nan'),) * 3 if turn is None else (-float(turn[1]), float(turn[0]), float(turn[2]))
    return types.OpticalFlowRad(
        header=header, integration_time_us=int(round(interval_s * 1e6)), integrated_x=flow.x, integrated_y=flow.y,
        integrated_xgyro=x, integrated_ygyro=y, integrated_zgyro=z, temperature=0, quality=flow.quality,
        time_delta_distance_us=0, distance=-1.0)

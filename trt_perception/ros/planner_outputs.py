"""The topics of planner_node: computes what is needed of an image at most once, and publishes it."""
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image, LaserScan
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from ..consumer import CLASSES, FLOW, FLOW_CAMERA, FLOW_INTERVAL, LABEL_CAMERA, LABEL_MAP, OVERLAY, Results
from ..core.camera_model import CameraModel, rectified
from ..core.class_costs import ClassCosts
from ..core.ego_motion import EgoMotion, rotation_vector
from ..core.errors import FrameError
from ..core.flow_chain import FlowChain
from ..core.free_space import FreeSpace
from ..core.integrated_flow import FlowIntegrator
from ..core.obstacles import Obstacle
from ..core.plan_overlay import draw_plan
from ..core.planner import STRIDE, Planner, check_size
from ..core.settings import Settings
from . import messages, planner_messages
from .camera_mounting import CameraMounting
from .gyro import Gyro
from .node_sink import ROS, NodeSink, optional_types

_LABELS = (LABEL_MAP, LABEL_CAMERA, CLASSES)
_MOTION = _LABELS + (FLOW, FLOW_INTERVAL)


class Output(NamedTuple):
    """A topic below planner/."""

    kind: Any
    needs: Tuple[str, ...]
    """Topics of the perception nodes, keys of consumer.TOPICS."""
    message: Callable[[Results, '_Space'], Any]
    """Returns what is published."""


class _Space(NamedTuple):
    labels: np.ndarray
    planner: Planner
    free: FreeSpace


class _Motion(NamedTuple):
    flow: np.ndarray
    motion: Optional[EgoMotion]
    obstacles: List[Obstacle]
    interval_s: float


class PlannerOutputs:
    """Publishes each output from the results that it needs.

    Attributes:
        motions: how often the own motion was `known`, with its speed, and `unknown`.
    """

    def __init__(self, sink: NodeSink, mounting: CameraMounting, gyro: Gyro, costs: ClassCosts,
                 settings: Settings) -> None:
        self._sink, self._mounting, self._gyro, self._costs, self._settings = sink, mounting, gyro, costs, settings
        self._chain = FlowChain(settings['obstacles.interval'], STRIDE)
        self.motions = {'known': 0, 'unknown': 0}
        self._overlay = messages.ImageWriter(ROS, 'rgb8')
        self._planner: Tuple[Any, Optional[Planner]] = (None, None)
        self._integrator: Tuple[Any, Optional[FlowIntegrator]] = (None, None)
        self._space: Optional[_Space] = None
        self._motion: Optional[_Motion] = None
        outputs = {'scan': Output(LaserScan, _LABELS, self._scan),
                   'grid': Output(OccupancyGrid, _LABELS, self._grid),
                   'obstacles_json': Output(String, _MOTION, self._json),
                   'markers': Output(MarkerArray, _MOTION, self._markers),
                   'overlay': Output(Image, _MOTION + (OVERLAY,), self._overlaid)}
        self._vision = optional_types('vision_msgs')
        if self._vision is not None:
            outputs['obstacles'] = Output(self._vision.Detection3DArray, _MOTION, self._detections)
        self._topics = {name: sink.create_publisher('planner/' + name, output.kind, False)
                        for name, output in outputs.items()}
        self.users: Dict[str, Tuple[Sequence[str], Callable[[Results], None]]] = {
            name: (output.needs, partial(self._publish, name, output)) for name, output in outputs.items()}
        self._flight = optional_types('mavros_msgs')
        if self._flight is not None:
            self._topics['integrated_flow'] = sink.create_publisher(
                'planner/integrated_flow', self._flight.OpticalFlowRad, False)
            self.users['integrated_flow'] = (FLOW, FLOW_INTERVAL, FLOW_CAMERA), self._publish_integrated_flow

    def watched(self) -> List[str]:
        """Return the outputs that have subscribers."""
        return [name for name, topic in self._topics.items() if topic.get_subscription_count()]

    def _space_of(self, results: Results) -> Optional[_Space]:
        """Return the free space of an image; None while its camera's mounting is not known."""
        assert results.labels is not None
        assert results.label_camera is not None
        check_size('label map', results.labels, results.label_camera)
        if self._space is None or not _same_message(self._space.labels, results.labels):
            planner = self._planner_of(results)
            if planner is None:
                return None
            self._space = _Space(results.labels, planner, planner.free_space(results.labels))
        return self._space

    def _planner_of(self, results: Results) -> Optional[Planner]:
        assert results.label_camera is not None
        key = results.frame_id, sorted(results.classes.items()), _key(results.label_camera)
        if self._planner[0] != key:
            mounting = self._mounting.camera(results.frame_id)
            if mounting is None:
                return None
            planner = Planner(self._calibration(results.label_camera), mounting, results.classes, self._costs,
                              self._settings)
            self._planner = key, planner
            if planner.tables.unnamed:
                self._sink.warn('class_costs: {} are not named, and so lethal obstacles. Name them in a file of your '
                                'own.'.format(', '.join(planner.tables.unnamed)))
        return self._planner[1]

    def _motion_of(self, results: Results, space: _Space) -> _Motion:
        """Return own motion and obstacles of an image."""
        assert results.flow is not None
        if self._motion is None or not _same_message(self._motion.flow, results.flow):
            assert results.other_stamp_ns is not None
            planner, labels = space.planner, space.labels
            earlier, since_ns = self._chain.add(results.flow, results.stamp_ns, results.other_stamp_ns)
            gyro, mount = self._rotation(results, since_ns), planner.plane.mounting.rotation
            previous, interval_s = planner.previous_rays(results.flow, earlier), (results.stamp_ns - since_ns) * 1e-9
            motion = planner.ego_motion(labels, previous, None if gyro is None else mount.T @ gyro @ mount)
            self.motions['known' if motion is not None and motion.inliers else 'unknown'] += 1
            obstacles = planner.obstacles(labels, space.free, previous, motion, interval_s)
            self._motion = _Motion(results.flow, motion, obstacles, interval_s)
        return self._motion

    def _rotation(self, results: Results, since_ns: Optional[int]) -> Optional[np.ndarray]:
        """Return the rotation of the base frame since an image, now -> then; None without a gyro."""
        assert since_ns is not None
        if since_ns > results.stamp_ns:
            raise FrameError('flow: got a field on the grid of the previous image, expected one on the current image. '
                             'Set flow_grid: current.')
        return self._gyro.rotation(since_ns, results.stamp_ns)

    def _calibration(self, camera: CameraModel) -> CameraModel:
        return rectified(camera) if self._settings['rectified'] else camera

    def _header(self, results: Results) -> Any:
        return messages.header(ROS, results.stamp_ns, self._settings['base_frame'])

    def _publish(self, name: str, output: Output, results: Results) -> None:
        space = self._space_of(results)
        if space is not None:
            self._topics[name].publish(output.message(results, space))

    def _scan(self, results: Results, space: _Space) -> LaserScan:
        beams = space.planner.beams
        return planner_messages.laser_scan(
            self._header(results), beams.angles, beams.scan(space.free), self._settings['max_range'])

    def _grid(self, results: Results, space: _Space) -> OccupancyGrid:
        return planner_messages.occupancy_grid(
            self._header(results), space.planner.occupancy(space.labels, space.free), space.planner.grid_shape)

    def _json(self, results: Results, space: _Space) -> String:
        found = self._motion_of(results, space)
        motion = None if found.motion is None else planner_messages.motion_per_second(
            found.motion, space.planner.plane.mounting, found.interval_s)
        return String(data=planner_messages.obstacles_json(
            self._header(results), found.obstacles, results.classes, motion))

    def _detections(self, results: Results, space: _Space) -> Any:
        return planner_messages.detections(
            self._vision, self._header(results), self._motion_of(results, space).obstacles, results.classes)

    def _markers(self, results: Results, space: _Space) -> MarkerArray:
        return planner_messages.markers(
            self._header(results), space.free, self._motion_of(results, space).obstacles, results.classes)

    def _overlaid(self, results: Results, space: _Space) -> Image:
        assert results.overlay is not None
        image = self._overlay.array(results.overlay.shape, np.uint8)
        np.copyto(image, results.overlay)
        draw_plan(image, space.free, self._motion_of(results, space).obstacles)
        return self._overlay.stamped(messages.header(ROS, results.stamp_ns, results.frame_id))

    def _publish_integrated_flow(self, results: Results) -> None:
        assert results.flow_camera is not None
        assert results.flow is not None
        check_size('flow', results.flow, results.flow_camera)
        key = _key(results.flow_camera)
        if self._integrator[0] != key:
            self._integrator = key, FlowIntegrator(self._calibration(results.flow_camera))
        gyro, mounting = self._rotation(results, results.other_stamp_ns), self._mounting.camera(results.frame_id)
        turn = None if gyro is None or mounting is None else mounting.rotation.T @ rotation_vector(gyro)
        assert self._integrator[1] is not None
        self._topics['integrated_flow'].publish(planner_messages.optical_flow_rad(
            self._flight, messages.header(ROS, results.stamp_ns, results.frame_id),
            self._integrator[1].integrate(results.flow), results.interval_s, turn))


def _same_message(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether both arrays are views of one message; of a stamp, a bad driver may send several."""
    return bool(np.may_share_memory(one, other))


def _key(camera: CameraModel) -> Tuple[Any, ...]:
    return (camera.size, camera.matrix.tobytes(), camera.distortion_model, camera.distortion.tobytes(),
            camera.projection.tobytes())

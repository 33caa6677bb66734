"""Everything that `planner_node` computes, for one calibration of one camera: arrays in, arrays out, without ROS."""
from typing import List, Mapping, Optional, Sequence

import numpy as np

from .camera_model import CameraModel, rays_at
from .class_costs import GROUND, ClassCosts
from .ego_motion import EgoMotion, estimate_ego_motion
from .errors import FrameError
from .free_space import Beams, FreeSpace, FreeSpaceFinder
from .ground_plane import GroundPlane, Mounting
from .image import gather_flow
from .obstacles import Obstacle, ObstacleFinder
from .occupancy import GridShape, OccupancyMapper
from .settings import Settings

STRIDE = 4
"""Step in rows and columns between the pixels of the flow that are used."""


class Planner:
    """Free space, occupancy and obstacles from label maps and flow fields of one camera.

    Everything that depends only on the calibration is computed once.

    Args:
        camera: calibration on the label map's pixel grid.
        classes: id -> name.
        settings: PLANNER_SETTINGS.

    Attributes:
        plane: the ground as the camera sees it.
        tables: roles and costs of the classes.
        beams: of the laser scan.
        grid_shape: of the occupancy grid.

    Raises:
        FrameError: the camera is not calibrated.
    """

    def __init__(self, camera: CameraModel, mounting: Mounting, classes: Mapping[int, str], costs: ClassCosts,
                 settings: Settings) -> None:
        self.plane = GroundPlane(camera, mounting)
        self.tables = costs.tables(classes)
        max_range = settings['max_range']
        self._finder = FreeSpaceFinder(self.plane, self.tables, max_range, settings['crop_bottom'])
        self.beams = Beams(self._finder, settings['scan.beams'])
        self.grid_shape = GridShape(settings['grid.length'], settings['grid.width'], settings['grid.resolution'])
        self._mapper = OccupancyMapper(self.plane, self.tables, self.grid_shape, max_range)
        self._obstacles = ObstacleFinder(self.plane, self._finder.bottom, settings['obstacles.min_speed'],
                                         settings['obstacles.longest_time'], STRIDE)
        rays = self.plane.rays[::STRIDE, ::STRIDE]
        height, width = camera.size
        columns, rows = np.meshgrid(np.arange(0, width, STRIDE), np.arange(0, height, STRIDE))
        self._pixels = np.stack([columns, rows], axis=-1).astype(np.float32)
        self._rays = rays.astype(np.float64)
        self._depths = self.plane.depths(rays)
        self._in_range = self.plane.ranges[::STRIDE, ::STRIDE] <= max_range
        self._in_range[-(-self._finder.bottom // STRIDE):] = False

    def free_space(self, labels: np.ndarray) -> FreeSpace:
        """Return the end of the ground in each column of a label map, (H, W) uint8 class ids.

        Raises:
            FrameError: it has another size than the calibration.
        """
        check_size('label map', labels, self.plane.camera)
        return self._finder.find(labels)

    def occupancy(self, labels: np.ndarray, free: FreeSpace) -> np.ndarray:
        """Return the occupancy grid: (rows along y, columns along x) int8, -1 = unknown, 0 = free ... 100 = lethal."""
        return self._mapper.map(labels, free)

    def previous_rays(self, flow: np.ndarray, earlier: Sequence[np.ndarray] = ()) -> np.ndarray:
        """Return where every STRIDE-th pixel was in the previous image, on the plane z = 1: (H', W', 2); NaN = unknown.

        Args:
            flow: (H, W, 2) float32 on the grid of the current image, px per interval.
            earlier: (H', W', 2) each: the flow before it, and before that, from `FlowChain`; then an earlier image is
                the previous one.

        Raises:
            FrameError: it has another size than the calibration.
        """
        check_size('flow', flow, self.plane.camera)
        pixels = self._pixels - flow[::STRIDE, ::STRIDE]
        for each in earlier:
            pixels = pixels - gather_flow(each, pixels / STRIDE)
        return rays_at(self.plane.rays, pixels.reshape(-1, 2)).reshape(pixels.shape).astype(np.float64)

    def ego_motion(self, labels: np.ndarray, previous: np.ndarray, gyro: Optional[np.ndarray]) -> Optional[EgoMotion]:
        """Return the camera's own motion from the flow of the ground.

        Args:
            previous: from `previous_rays`.
            gyro: (3, 3), current optical frame -> previous one, if known.
        """
        ground = self._in_range & (self.tables.roles[labels[::STRIDE, ::STRIDE]] == GROUND)
        return estimate_ego_motion(self._rays[ground], previous[ground], self._depths[ground], gyro)

    def obstacles(self, labels: np.ndarray, free: FreeSpace, previous: np.ndarray, motion: Optional[EgoMotion],
                  interval_s: float) -> List[Obstacle]:
        """Return the obstacles, from left to right: see `ObstacleFinder.find`."""
        return self._obstacles.find(labels, free, previous, motion, interval_s)


def check_size(what: str, array: np.ndarray, camera: CameraModel) -> None:
    """Raise a FrameError if a label map or a flow field has another size than its calibration."""
    if array.shape[:2] != camera.size:
        raise FrameError('{}: got {}x{} px, expected {}x{} px as its camera_info says. Set output_size: camera, so '
                         'that label map and flow have the same pixels; if they have, correct the size in the camera '
                         "driver's camera_info.".format(what, array.shape[0], array.shape[1], *camera.size))

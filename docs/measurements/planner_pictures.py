"""Draws docs/planner_overlay.jpg and docs/planner_plan.png: each output of planner_node, of a rendered scene.

    .venv/bin/python docs/measurements/planner_pictures.py

The labels are exact, the flow is by dis_medium from two rendered images.
"""
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import pyplot

from trt_perception.core.class_costs import load_class_costs
from trt_perception.core.colors import label_palette, overlay_labels
from trt_perception.core.free_space import FreeSpace
from trt_perception.core.ground_plane import mounting_of
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_labels, load_model
from trt_perception.core.obstacles import Obstacle
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.plan_overlay import draw_plan, time_color
from trt_perception.core.planner import Planner
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.share import share_path
from trt_perception.engines import open_engine

DOCS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(DOCS.parent / 'test'))
from rendered_scene import BUILDING, CAR, CLASSES, PEDESTRIAN, Box, Scene, render, textured  # noqa: E402

SCENE = Scene((Box(CAR, 12.1, 0.3, (4.2, 1.8, 1.5)), Box(PEDESTRIAN, 8, 3, (0.5, 0.5, 1.75), (0.0, -1.5)),
               Box(CAR, 17, -3.5, (4.2, 1.8, 1.5), (-5.0, 0.0)), Box(BUILDING, 16, 8.5, (10, 4, 5)),
               Box(BUILDING, 20, -8.5, (8, 4, 6))),
              speed=4.0, yaw_rate=0.1, mounting=(0.0, 0.0, 1.4, 0.0, 0.08, 0.0), pavement_left=4.5)
INTERVAL_S = 0.1


class Planned(NamedTuple):
    """What the planner made of one image."""

    overlay: np.ndarray
    planner: Planner
    free: FreeSpace
    grid: np.ndarray
    obstacles: list[Obstacle]


def plan(images: list[np.ndarray], labels: np.ndarray) -> Planned:
    """Return what the planner makes of two BGR images and the labels of the second."""
    settings = {setting.name: setting.default for setting in PLANNER_SETTINGS}
    costs = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
    planner = Planner(SCENE.camera, mounting_of(*SCENE.mounting), CLASSES, costs, settings)
    model = load_model('dis_medium')
    pipeline = OpticalFlowPipeline(open_engine(model), model)
    for number, image in enumerate(images):
        field = pipeline.process(frame_from_array(image, stamp_ns=10**9 + number * 10**8))
    assert field is not None
    free, previous = planner.free_space(labels), planner.previous_rays(field.flow)
    motion = planner.ego_motion(labels, previous, None)
    obstacles = planner.obstacles(labels, free, previous, motion, INTERVAL_S)
    overlay = overlay_labels(images[1], labels, label_palette(load_labels('camvid')), 0.35)
    draw_plan(overlay, free, obstacles)
    return Planned(overlay, planner, free, planner.occupancy(labels, free), obstacles)


def draw(planned: Planned, path: Path) -> None:
    """Draw grid, beams and obstacles from above; the camera looks up."""
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 5), sharex=True, sharey=True)
    shape, beams = planned.planner.grid_shape, planned.planner.beams
    extent = (shape.width / 2, -shape.width / 2, 0, shape.length)
    shades = np.repeat(1 - planned.grid[..., np.newaxis] / 100, 3, axis=2)
    shades[planned.grid < 0] = (0.75, 0.84, 0.92)
    axes[0].imshow(np.swapaxes(shades, 0, 1)[::-1, ::-1], extent=extent)
    axes[0].set_title('planner/grid: free, costly, lethal; blue = unknown')
    ranges = beams.scan(planned.free)
    ends = np.where(np.isfinite(ranges), ranges, np.where(np.isnan(ranges), 0, shape.length * 1.3))
    for angle, end, hit in zip(beams.angles, ends, np.isfinite(ranges)):
        axes[1].plot([0, end * np.sin(angle)], [0, end * np.cos(angle)], color='#2a8', lw=0.6)
        if hit:
            axes[1].plot(end * np.sin(angle), end * np.cos(angle), '.', color='#c22', ms=4)
    axes[1].set_title('planner/scan')
    for each in planned.obstacles:
        color = np.array(time_color(each.time_to_contact)) / 255
        x, y = each.position
        axes[2].plot([y - each.size[0] / 2, y + each.size[0] / 2], [x, x], color=color, lw=5, solid_capstyle='butt')
        time = f'{each.time_to_contact:.1f} s' if np.isfinite(each.time_to_contact) else 'no contact'
        axes[2].annotate(f'{time}, {each.confidence:.0%}', (y, x), (0, 5), textcoords='offset points', ha='center',
                         fontsize=8)
        if each.is_moving and each.velocity is not None:
            axes[2].arrow(y, x, each.velocity[1], each.velocity[0], width=0.06, head_width=0.35, color='#226')
    axes[2].set_title('planner/obstacles: time to contact, velocity')
    for axis in axes:
        axis.set(xlim=(shape.width / 2, -shape.width / 2), ylim=(0, shape.length), aspect='equal', xlabel='y, m')
    axes[0].set_ylabel('x, m')
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Draw both."""
    pyplot.switch_backend('agg')
    view = render(SCENE, 0.0, INTERVAL_S)
    images = [np.repeat(textured(each, SCENE)[..., np.newaxis], 3, axis=2)
              for each in (render(SCENE, -INTERVAL_S, INTERVAL_S), view)]
    rendered = plan(images, view.labels)
    cv2.imwrite(str(DOCS / 'planner_overlay.jpg'), rendered.overlay[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    draw(rendered, DOCS / 'planner_plan.png')


if __name__ == '__main__':
    main()

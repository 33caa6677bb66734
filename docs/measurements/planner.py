"""How right planner_node's free space, times to contact and moving obstacles are, on rendered scenes with exact truth.

    .venv/bin/python docs/measurements/planner.py [--scenes 40] [--flows exact noise blobs dis_medium tinypwc]

Prints Markdown tables; planner.md holds them. Each scene has up to six boxes, still or moving, a vehicle that drives,
turns and nods, and a camera that looks slightly down. Label maps are exact, or as of a network at half the resolution.
"""
import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from trt_perception.core.class_costs import load_class_costs
from trt_perception.core.ground_plane import mounting_of
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.obstacles import Obstacle
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.planner import Planner
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.share import share_path
from trt_perception.engines import open_engine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'test'))
from rendered_scene import (
    BUILDING,
    CAR,
    CLASSES,
    PEDESTRIAN,
    Box,
    Scene,
    View,
    camera_pose,
    render,
    textured,
)

LONGEST_S = 6.0
"""Times to contact above count neither as hit nor as miss."""
RIGHT = 0.25
SURE = 0.5
Flow = Callable[[Scene, View, np.random.Generator, float], np.ndarray]


def random_scene(rng: np.random.Generator) -> Scene:
    """Return a scene with boxes on both sides and ahead, some of them moving."""
    boxes: list[Box] = []
    for _ in range(rng.integers(3, 7)):
        x, y = rng.uniform(7, 24), rng.uniform(-7, 7)
        kind = rng.integers(4)
        if kind == 0:
            box = Box(PEDESTRIAN, x, y, (0.5, 0.5, 1.75), (0.0, float(rng.choice([-1.5, 0, 1.5]))))
        elif kind == 1:
            box = Box(BUILDING, x, y + np.sign(y) * 3, (rng.uniform(3, 8), 4, rng.uniform(3, 7)))
        else:
            box = Box(CAR, x, y, (4.2, 1.8, 1.5), (float(rng.choice([-6, -3, 0, 0, 3])), 0.0))
        apart = all(abs(box.x - b.x) > (box.size[0] + b.size[0]) / 2 + 0.5
                    or abs(box.y - b.y) > (box.size[1] + b.size[1]) / 2 + 0.5 for b in boxes)
        if apart and (abs(box.y) > 1 or box.x > 9):
            boxes.append(box)
    return Scene(tuple(boxes), speed=rng.uniform(2, 9), yaw_rate=rng.uniform(-0.25, 0.25),
                 pitch_rate=rng.uniform(-0.04, 0.04),
                 mounting=(0.3, 0.0, rng.uniform(1.2, 1.6), rng.uniform(-0.02, 0.02), rng.uniform(0.0, 0.12), 0.0))


def smooth(rng: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    """Return noise of standard deviation 1 that is about equal within `size` px: (H, W, 2)."""
    blurred = cv2.GaussianBlur(rng.normal(size=(*shape, 2)), (0, 0), size)
    return blurred / blurred.std()


def exact(scene: Scene, view: View, rng: np.random.Generator, interval_s: float) -> np.ndarray:
    """Return the true flow."""
    return view.flow


def noise(scene: Scene, view: View, rng: np.random.Generator, interval_s: float) -> np.ndarray:
    """Return the true flow with 0.5 px of noise, independent in each pixel."""
    return view.flow + rng.normal(0, 0.5, view.flow.shape).astype(np.float32)


def blobs(scene: Scene, view: View, rng: np.random.Generator, interval_s: float) -> np.ndarray:
    """Return the true flow with blobs of noise, 0.5 px and 5 % of its length, 10 px wide, and 5 % NaN."""
    flow = view.flow + 0.5 * smooth(rng, view.labels.shape, 10) + 0.05 * smooth(rng, view.labels.shape, 10) * view.flow
    flow[smooth(rng, view.labels.shape, 6)[..., 0] > 1.65] = np.nan
    return flow.astype(np.float32)


def network(name: str) -> Flow:
    """Return what a model makes of two rendered, textured images."""
    model = load_model(name)
    engine = open_engine(model)
    settings = {'flow_grid': 'current', 'max_pair_gap': 0.0, 'output_size': 'camera'}
    pipeline = OpticalFlowPipeline(engine, model, settings)
    stamps_ns = itertools.count(10**9, 10**8)

    def flow(scene: Scene, view: View, rng: np.random.Generator, interval_s: float) -> np.ndarray:
        seed = int(rng.integers(1000))
        for each in (render(scene, -interval_s, interval_s), view):
            image = np.repeat(textured(each, scene, seed)[..., np.newaxis], 3, axis=2)
            result = pipeline.process(frame_from_array(image, stamp_ns=next(stamps_ns)))
        assert result is not None
        return result.flow.copy()

    return flow


def coarse(labels: np.ndarray) -> np.ndarray:
    """Return labels as from a network at half the resolution."""
    return np.repeat(np.repeat(labels[1::2, 1::2], 2, axis=0), 2, axis=1)


def approaches(scene: Scene, view: View, interval_s: float) -> np.ndarray:
    """Return how far each pixel of a box came nearer, as a share of its depth: (H, W); NaN elsewhere."""
    rotation, position = camera_pose(scene, 0)
    moved = position - camera_pose(scene, -interval_s)[1]
    result = np.full(view.depths.shape, np.nan)
    for number, box in enumerate(scene.boxes):
        relative = (moved - np.append(box.velocity, 0) * interval_s) @ rotation[:, 2]
        result[view.boxes == number] = relative / view.depths[view.boxes == number]
    return result


class Score:
    """Counts hits over scenes."""

    def __init__(self) -> None:
        self.times = [0, 0, 0, 0]
        """Told, of these right; boxes that approach, of these found."""
        self.moving = [0, 0, 0, 0]
        self.speeds: list[float] = []

    def add(self, scene: Scene, view: View, obstacles: list[Obstacle], interval_s: float) -> None:
        """Compare the obstacles of a scene with the truth."""
        with np.errstate(divide='ignore'):
            times = interval_s / approaches(scene, view, interval_s)
        found, found_moving, told_moving = set(), set(), {}
        for each in obstacles:
            left, top, right, bottom = each.box
            inside = view.boxes[top:bottom, left:right]
            numbers, counts = np.unique(inside[inside >= 0], return_counts=True)
            number = int(numbers[counts.argmax()]) if len(numbers) else -1
            mask = inside == number
            truth = np.median(times[top:bottom, left:right][mask]) if number >= 0 else np.nan
            if each.time_to_contact <= LONGEST_S and each.confidence >= SURE:
                right_time = abs(each.time_to_contact / truth - 1) < RIGHT
                self.times[0] += 1
                self.times[1] += int(right_time)
                if right_time:
                    found.add(number)
            if each.is_moving:
                self.moving[0] += 1
                # At time 0 the axes of the vehicle are those of the world.
                if number >= 0 and np.hypot(*scene.boxes[number].velocity) > 0:
                    self.moving[1] += 1
                    found_moving.add(number)
                    told_moving[number] = np.hypot(*(each.velocity - scene.boxes[number].velocity))
        self.speeds += list(told_moving.values())
        for number, box in enumerate(scene.boxes):
            pixels = view.boxes == number
            # What stands in front hides the foot, and so the box, from the planner: then only that can be found.
            if pixels.sum() < 400 or not stands_free(view, number):
                continue
            if 0 < np.median(times[pixels]) < LONGEST_S:
                self.times[2] += 1
                self.times[3] += int(number in found)
            if np.hypot(*box.velocity) > 0:
                self.moving[2] += 1
                self.moving[3] += int(number in found_moving)


def stands_free(view: View, number: int) -> bool:
    """Return whether most of a box's columns have its foot in view, below it only ground."""
    mask = view.boxes == number
    columns = np.flatnonzero(mask.any(axis=0))
    lowest = len(mask) - 1 - np.argmax(mask[::-1, columns], axis=0)
    free = [bottom < len(mask) - 4 and (view.boxes[bottom + 1:, column] < 0).all()
            for bottom, column in zip(lowest, columns)]
    return bool(np.mean(free) > 0.7)


def share(counts: list[int]) -> str:
    """Return 'precision / recall' of counts, with the numbers."""
    told, right, there, hit = counts
    return f'{right / max(told, 1):.2f} ({told}) / {hit / max(there, 1):.2f} ({there})'


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', type=int, default=40)
    parser.add_argument('--interval', type=float, default=0.1, help='between two images, s (default: 0.1)')
    parser.add_argument('--flows', nargs='+', default=['exact', 'noise', 'blobs', 'dis_medium', 'tinypwc'])
    args = parser.parse_args()
    settings = {setting.name: setting.default for setting in PLANNER_SETTINGS}
    costs = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
    flows: dict[str, Flow] = {'exact': exact, 'noise': noise, 'blobs': blobs}
    flows.update((name, network(name)) for name in args.flows if name not in flows)
    scores = {(name, labels, gyro): Score() for name in args.flows for labels in ('exact', 'coarse')
              for gyro in (True, False)}
    distances: dict[str, list[float]] = {'exact': [], 'coarse': []}
    for number in range(args.scenes):
        rng = np.random.default_rng(number)
        scene = random_scene(rng)
        view = render(scene, 0.0, args.interval)
        planner = Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, costs, settings)
        maps = {'exact': view.labels, 'coarse': coarse(view.labels)}
        for name, labels in maps.items():
            distances[name] += free_space_errors(scene, view, planner, labels)
        for name in args.flows:
            previous = planner.previous_rays(flows[name](scene, view, rng, args.interval))
            for kind, labels in maps.items():
                free = planner.free_space(labels)
                for gyro in (True, False):
                    motion = planner.ego_motion(labels, previous, view.turn if gyro else None)
                    obstacles = planner.obstacles(labels, free, previous, motion, args.interval)
                    scores[name, kind, gyro].add(scene, view, obstacles, args.interval)
    print('| label map | columns | error of the free distance, median / p95 / p99, m |\n|---|---|---|')
    for name, errors in distances.items():
        print(f'| {name} | {len(errors)} |', ' / '.join(f'{np.percentile(errors, q):.3f}' for q in (50, 95, 99)), '|')
    print('\n| flow | label map | rotation from | time to contact: precision / recall | moving: precision / recall '
          '| error of the velocity, median, m/s |\n|---|---|---|---|---|---|')
    for (name, kind, gyro), score in scores.items():
        speed = f'{np.median(score.speeds):.2f}' if score.speeds else '-'
        print(f'| {name} | {kind} | {"gyro" if gyro else "flow"} | {share(score.times)} | {share(score.moving)} '
              f'| {speed} |')


def free_space_errors(scene: Scene, view: View, planner: Planner, labels: np.ndarray) -> list[float]:
    """Return the errors of the free distance of columns whose obstacle's foot is 9 to 11 m away, m."""
    free = planner.free_space(labels)
    rotation, position = camera_pose(scene, 0)
    errors = []
    for column in np.flatnonzero(free.states == 1):
        rows = np.flatnonzero(view.boxes[:, column] >= 0)
        if not rows.size:
            continue
        row = rows[-1]
        # The point of the box at the foot, on the ground below the lowest pixel that shows it.
        ray = np.append(planner.plane.rays[row, column], 1) @ rotation.T
        point = position + ray * view.depths[row, column]
        truth = float(np.hypot(*(point - position)[:2]))
        if 9 <= truth <= 11:
            errors.append(abs(float(free.ranges[column]) - truth))
    return errors


if __name__ == '__main__':
    main()

"""Accuracy of planner_node's free space, times to contact and moving obstacles, on rendered scenes with ground truth.

    .venv/bin/python docs/measurements/planner.py [--scenes 120] [--flows exact noise ... tinypwc:0.25]
    .venv/bin/python docs/measurements/planner.py --interval 0.0333 [--follow 0]
    .venv/bin/python docs/measurements/planner.py --times

Prints the Markdown tables of planner.md. Each scene has up to six boxes, still or moving, a vehicle that drives, turns
and pitches, and a camera that looks slightly down. Label maps are exact, or have half the resolution.
`MODEL:0.25` is a model with optical_flow.min_confidence 0.25.
"""
import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from trt_perception.core.class_costs import ClassCosts, load_class_costs
from trt_perception.core.flow_chain import FlowChain
from trt_perception.core.ground_plane import mounting_of
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.optical_flow import OpticalFlowPipeline
from trt_perception.core.planner import STRIDE, Planner
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.share import share_path
from trt_perception.engines import open_engine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'test'))
from planner_truth import Score, free_space_errors, random_scene
from rendered_scene import CLASSES, Scene, View, render, textured

Flow = Callable[[Scene, list[View], np.random.Generator, float], list[np.ndarray]]
"""Returns the flow to each of successive images of a scene."""


def smooth(rng: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    """Return noise of standard deviation 1 that is about equal within `size` px: (H, W, 2)."""
    blurred = cv2.GaussianBlur(rng.normal(size=(*shape, 2)), (0, 0), size)
    return blurred / blurred.std()


def exact(scene: Scene, views: list[View], rng: np.random.Generator, interval_s: float) -> list[np.ndarray]:
    """Return the true flow."""
    return [view.flow for view in views]


def noise(scene: Scene, views: list[View], rng: np.random.Generator, interval_s: float) -> list[np.ndarray]:
    """Return the true flow with 0.5 px of noise, independent in each pixel."""
    return [view.flow + rng.normal(0, 0.5, view.flow.shape).astype(np.float32) for view in views]


def blobs(scene: Scene, views: list[View], rng: np.random.Generator, interval_s: float) -> list[np.ndarray]:
    """Return the true flow with blobs of noise, 0.5 px and 5 % of its length, 10 px wide, and 5 % NaN."""
    def disturbed(view: View) -> np.ndarray:
        shape = view.labels.shape
        flow = view.flow + 0.5 * smooth(rng, shape, 10) + 0.05 * smooth(rng, shape, 10) * view.flow
        flow[smooth(rng, shape, 6)[..., 0] > 1.65] = np.nan
        return flow.astype(np.float32)

    return [disturbed(view) for view in views]


def network(name: str) -> Flow:
    """Return what a model, or MODEL:MIN_CONFIDENCE, makes of rendered, textured images."""
    name, _, least = name.partition(':')
    model = load_model(name)
    engine = open_engine(model)
    settings = {'flow_grid': 'current', 'max_pair_gap': 0.0, 'output_size': 'camera',
                'optical_flow.min_confidence': float(least or 0)}
    pipeline = OpticalFlowPipeline(engine, model, settings)
    stamps_ns = itertools.count(10**9, 10**8)

    def flow(scene: Scene, views: list[View], rng: np.random.Generator, interval_s: float) -> list[np.ndarray]:
        seed, found = int(rng.integers(1000)), []
        for each in (render(scene, -interval_s * len(views), interval_s), *views):
            image = np.repeat(textured(each, scene, seed)[..., np.newaxis], 3, axis=2)
            result = pipeline.process(frame_from_array(image, stamp_ns=next(stamps_ns)))
            found.append(None if result is None else result.flow.copy())
        return found[1:]

    return flow


def coarse(labels: np.ndarray) -> np.ndarray:
    """Return labels as from a network at half the resolution."""
    return np.repeat(np.repeat(labels[1::2, 1::2], 2, axis=0), 2, axis=1)


def share(counts: list[int]) -> str:
    """Return 'precision / recall' of counts, with the numbers."""
    told, right, there, hit = counts
    return f'{right / max(told, 1):.2f} ({told}) / {hit / max(there, 1):.2f} ({there})'


def print_times(costs: ClassCosts, settings: dict[str, Any]) -> None:
    """Print the median CPU time of each step, interleaved, and as a share of dis_medium's."""
    scene = random_scene(np.random.default_rng(2))
    view = render(scene, 0.0, 0.1)
    planner = Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, costs, settings)
    free, previous = planner.free_space(view.labels), planner.previous_rays(view.flow)
    motion = planner.ego_motion(view.labels, previous, None)
    model, stamps_ns = load_model('dis_medium'), itertools.count(10**9, 10**8)
    pipeline = OpticalFlowPipeline(open_engine(model), model)
    image = np.repeat(textured(view, scene)[..., np.newaxis], 3, axis=2)
    steps: dict[str, Callable[[], object]] = {
        'dis_medium': lambda: pipeline.process(frame_from_array(image, stamp_ns=next(stamps_ns))),
        'free space': lambda: planner.free_space(view.labels), 'scan': lambda: planner.beams.scan(free),
        'grid': lambda: planner.occupancy(view.labels, free), 'previous rays': lambda: planner.previous_rays(view.flow),
        'own motion': lambda: planner.ego_motion(view.labels, previous, None),
        'obstacles': lambda: planner.obstacles(view.labels, free, previous, motion, 0.1)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(30):
        for name, step in steps.items():
            start = time.process_time()
            step()
            times[name].append((time.process_time() - start) * 1e3)
    print('| step | median, ms of CPU | relative to dis_medium |\n|---|---|---|')
    for name, each in times.items():
        print(f'| {name} | {np.median(each):.1f} | {np.median(each) / np.median(times["dis_medium"]):.2f} |')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', type=int, default=120)
    parser.add_argument('--interval', type=float, default=0.1, help='between two images, s (default: 0.1)')
    parser.add_argument('--follow', type=float, help='another obstacles.interval, s; 0 = two images')
    parser.add_argument('--flows', nargs='+', default=[
        'exact', 'noise', 'blobs', 'dis_medium', 'dis_medium:0.25', 'tinypwc', 'tinypwc:0.25'])
    parser.add_argument('--times', action='store_true', help='measure what each step takes instead')
    args = parser.parse_args()
    settings = {setting.name: setting.default for setting in PLANNER_SETTINGS}
    if args.follow is not None:
        settings['obstacles.interval'] = args.follow
    costs = load_class_costs(share_path('config', 'class_costs', 'default.yaml'))
    if args.times:
        return print_times(costs, settings)
    flows: dict[str, Flow] = {'exact': exact, 'noise': noise, 'blobs': blobs}
    flows.update((name, network(name)) for name in args.flows if name not in flows)
    scores = {(name, labels, gyro): Score() for name in args.flows for labels in ('exact', 'coarse')
              for gyro in (True, False)}
    distances: dict[str, list[float]] = {'exact': [], 'coarse': []}
    for number in range(args.scenes):
        rng = np.random.default_rng(number)
        scene = random_scene(rng)
        count = max(round(settings['obstacles.interval'] / args.interval), 1)
        views = [render(scene, -ago * args.interval, args.interval) for ago in reversed(range(count))]
        view = render(scene, 0.0, count * args.interval)
        planner = Planner(scene.camera, mounting_of(*scene.mounting), CLASSES, costs, settings)
        maps = {'exact': view.labels, 'coarse': coarse(view.labels)}
        for name, labels in maps.items():
            distances[name] += free_space_errors(scene, view, planner, labels)
        for name in args.flows:
            chain = FlowChain(settings['obstacles.interval'], STRIDE)
            interval_ns = round(args.interval * 1e9)
            # Of its own: the same textures in runs that are compared.
            rng = np.random.default_rng([number, 1])
            for ago, flow in enumerate(flows[name](scene, views, rng, args.interval), -count):
                earlier, since_ns = chain.add(flow, (ago + 1) * interval_ns, ago * interval_ns)
            assert -since_ns == count * interval_ns
            previous = planner.previous_rays(flow, earlier)
            for kind, labels in maps.items():
                free = planner.free_space(labels)
                for gyro in (True, False):
                    motion = planner.ego_motion(labels, previous, view.turn if gyro else None)
                    obstacles = planner.obstacles(labels, free, previous, motion, count * args.interval)
                    scores[name, kind, gyro].add(scene, view, obstacles, count * args.interval)
    print('| label map | columns | error of the free distance, median / p95 / p99, m |\n|---|---|---|')
    for name, errors in distances.items():
        print(f'| {name} | {len(errors)} |', ' / '.join(f'{np.percentile(errors, q):.3f}' for q in (50, 95, 99)), '|')
    print('\n| flow | label map | rotation from | time to contact: precision / recall | moving: precision / recall '
          '| error of the velocity, median, m/s |\n|---|---|---|---|---|---|')
    for (name, kind, gyro), score in scores.items():
        speed = f'{np.median(score.speeds):.2f}' if score.speeds else '-'
        print(f'| {name} | {kind} | {"gyro" if gyro else "flow"} | {share(score.times)} | {share(score.moving)} '
              f'| {speed} |')


if __name__ == '__main__':
    main()

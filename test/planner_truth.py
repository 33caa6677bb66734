"""Random scenes for the planner, and what in them is right: used by the tests and by docs/measurements/planner.py."""
import numpy as np
from rendered_scene import BUILDING, CAR, PEDESTRIAN, Box, Scene, camera_pose

LONGEST_S = 6.0
"""Times to contact above count neither as hit nor as miss."""
RIGHT = 0.25
SURE = 0.5
"""Least confidence of a time that counts as told."""


def random_scene(rng):
    """Return a scene with boxes on both sides and ahead, some of them moving."""
    boxes = []
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


def approaches(scene, view, interval_s):
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

    def __init__(self):
        self.times = [0, 0, 0, 0]
        """Told, of these right; boxes that approach, of these found."""
        self.moving = [0, 0, 0, 0]
        self.speeds = []
        """Errors of the velocities of what moves, m/s."""

    def add(self, scene, view, obstacles, interval_s):
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


def stands_free(view, number):
    """Return whether most of a box's columns have its foot in view, below it only ground."""
    mask = view.boxes == number
    columns = np.flatnonzero(mask.any(axis=0))
    lowest = len(mask) - 1 - np.argmax(mask[::-1, columns], axis=0)
    free = [bottom < len(mask) - 4 and (view.boxes[bottom + 1:, column] < 0).all()
            for bottom, column in zip(lowest, columns)]
    return bool(np.mean(free) > 0.7)


def free_space_errors(scene, view, planner, labels):
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

"""Pairs of images with exact optical flow: moving textured layers, from a seed. Independent of networks.

A layer is a texture and a shape fixed to the second image. Its motion is a field w on the first image's grid, so the
first image has at x what the second has at x + w(x): no field is inverted, and the ground truth is exact.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .procedural_texture import SHAPE_SIDE, shape, texture


class FlowSample(NamedTuple):
    """A pair of images with the true flow from the first to the second."""

    first: np.ndarray
    """(H, W) uint8, grey."""
    second: np.ndarray
    """(H, W) uint8, grey."""
    flow: np.ndarray
    """(H, W, 2) float32, px, u right and v down, on the first image's grid; also of occluded points."""
    visible: np.ndarray
    """(H, W) bool: the point is visible in the second image, neither occluded nor outside."""


@dataclass(frozen=True)
class Scenery:
    """Properties of the pairs. Probabilities are 0..1, grey levels 0..255."""

    layers: tuple[int, int] = (1, 9)
    """Smallest and largest number, without the background."""
    displacement_px: tuple[float, float] = (2.0, 64.0)
    """Smallest and largest of the pairs' largest displacements, with uniform logarithms."""
    static: float = 0.15
    """Probability of a static background, as with a fixed camera."""
    plain: float = 0.0
    """Probability that a layer, other than the background, has hardly any texture."""
    blur: float = 0.5
    """Probability that both images are blurred."""
    light: float = 0.6
    """Probability that the light changes between the images."""
    noise: float = 2.5
    """Mean of the sensor noise's standard deviation, grey levels."""
    textures: int = 48
    """Number of textures of a generator; layers use random parts of them."""

    def __post_init__(self) -> None:
        if not 0 <= self.layers[0] <= self.layers[1]:
            raise ValueError(f'layers: got {self.layers}, expected fewest and most, from 0 on.')
        if not 0 < self.displacement_px[0] <= self.displacement_px[1]:
            raise ValueError(f'displacement_px: got {self.displacement_px}, expected smallest and largest, above 0.')


class SyntheticFlow:
    """Draws pairs. The same size, scenery, seed and number always give the same pair.

    Args:
        size: (height, width) of the images, px.
        images: further textures, (h, w) float32, 0..1, at least as large as `size`, e.g. grey photographs.
    """

    def __init__(self, size: tuple[int, int], scenery: Scenery | None = None, seed: int = 0,
                 images: Sequence[np.ndarray] = ()) -> None:
        self.size = size
        self.scenery = scenery or Scenery()
        self.seed = seed
        rng = np.random.default_rng((seed, 0))
        self._textures = [texture(rng) for _ in range(self.scenery.textures)] + list(images)
        self._shapes = [shape(rng) for _ in range(2 * self.scenery.textures)]
        rows, columns = np.mgrid[:size[0], :size[1]].astype(np.float32)
        self._grid = np.stack([columns, rows], 2)
        # Drawing new noise for every image would take a fifth of the time.
        self._grain = rng.standard_normal((2 * size[0], 2 * size[1]), np.float32)

    def sample(self, number: int) -> FlowSample:
        """Draw pair `number`."""
        rng = np.random.default_rng((self.seed, 1, number))
        limit = math.exp(rng.uniform(*np.log(self.scenery.displacement_px)))
        camera = np.zeros(2) if rng.random() < self.scenery.static else self._shift(rng, limit / 2)
        moving = bool(camera.any())
        height, width = self.size
        centre = np.array([width, height]) / 2
        radius = math.hypot(width, height) / 2
        flow = self._motion(rng, camera, centre, radius, limit / 2 if moving else 0.0, np.s_[:, :])
        place = self._place(rng)
        first, second = self._draw(place, self._grid + flow), self._draw(place, self._grid)
        owners = [np.zeros(self.size, np.uint8), np.zeros(self.size, np.uint8)]
        for layer in range(1, int(rng.integers(self.scenery.layers[0], self.scenery.layers[1] + 1)) + 1):
            radius = math.exp(rng.uniform(math.log(10), math.log(0.5 * max(height, width))))
            centre = rng.uniform(0, 1, 2) * (width, height)
            # Either the camera's motion at another depth, or also its own motion.
            own = camera * rng.uniform(-0.5, 1) if rng.random() < 0.3 else self._shift(rng, limit / 2)
            place, outline = self._place(rng), self._place_shape(rng, centre, radius)
            if self.scenery.plain and rng.random() < self.scenery.plain:
                place = (*place[:3], float(rng.uniform(0, 20)))
            there = self._box(centre, radius)
            here = self._box(centre, radius + limit)
            motion = self._motion(rng, (camera + own) * 0.75, centre, radius, limit / 4, here)
            for image, owner, box, at in ((first, owners[0], here, self._grid[here] + motion),
                                            (second, owners[1], there, self._grid[there])):
                cover = self._cover(outline, at)
                image[box] += cover * (self._draw(place, at) - image[box])
                owner[box][cover > 0.5] = layer
            flow[here][owners[0][here] == layer] = motion[owners[0][here] == layer]
        target = self._grid + flow
        x, y = target[..., 0], target[..., 1]
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        seen = _look_up(owners[1], target, cv2.BORDER_REPLICATE, cv2.INTER_NEAREST)
        first, second = self._seen_by_camera(rng, first, second)
        return FlowSample(first, second, flow, inside & (seen == owners[0]))

    def _motion(self, rng: np.random.Generator, shift: np.ndarray, centre: np.ndarray, radius: float,
                limit: float, box: tuple[slice, slice]) -> np.ndarray:
        """Return a field (h, w, 2) float32 in a box: a shift, and up to `limit` px of turning, zoom, shear, bending."""
        grid = self._grid[box]
        turn, bend = rng.random(2) ** 2 * limit
        linear = np.zeros((2, 2))
        if rng.random() < 0.7:
            # The camera's rotation about its axis and its forward motion, then the effect of a tilted surface.
            spin, zoom = rng.normal(0, 0.5, 2)
            linear = np.array([[zoom, -spin], [spin, zoom]]) + rng.normal(0, 0.25, (2, 2)) * (rng.random() < 0.5)
            largest = min(turn / radius, 0.25)
            linear *= largest / max(float(np.linalg.norm(linear, 2)), 1e-6)
        offset = shift - linear @ (centre - shift)
        field: np.ndarray = cv2.transform(grid, np.concatenate([linear, offset[:, None]], 1))
        if limit and rng.random() < 0.4:
            height, width = grid.shape[:2]
            cells = int(rng.integers(2, 6))
            knots = rng.uniform(-1, 1, (cells, cells, 2)).astype(np.float32)
            # Less than the distance of the knots, so that the layer does not fold.
            bend = min(bend, 0.25 * min(height, width) / cells)
            field += np.float32(bend * 0.7) * cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        return field

    def _shift(self, rng: np.random.Generator, limit: float) -> np.ndarray:
        angle = rng.uniform(0, 2 * math.pi)
        return np.array([math.cos(angle), math.sin(angle)]) * math.sqrt(rng.random()) * limit

    def _box(self, centre: np.ndarray, radius: float) -> tuple[slice, slice]:
        """Return the rows and columns of a square around a point, at least one of each."""
        low = np.clip(np.floor(centre - radius), 0, np.array(self.size[::-1]) - 1).astype(int)
        high = np.clip(np.ceil(centre + radius) + 1, low + 1, self.size[::-1]).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def _place(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Choose a texture, its position, its mean and its contrast."""
        source = self._textures[int(rng.integers(len(self._textures)))]
        zoom = math.exp(rng.uniform(math.log(0.5), math.log(1.8)))
        contrast = math.exp(rng.uniform(math.log(45), math.log(300))) * rng.choice((-1, 1))
        return (source, _similarity(rng, zoom, rng.uniform(0, 1, 2) * source.shape[::-1]),
                float(rng.uniform(50, 205)), float(contrast))

    def _draw(self, place: tuple[np.ndarray, np.ndarray, float, float], points: np.ndarray) -> np.ndarray:
        source, matrix, mean, contrast = place
        image = _look_up(source, cv2.transform(points, matrix), cv2.BORDER_REFLECT_101)
        image -= np.float32(0.5)
        image *= np.float32(contrast)
        image += np.float32(mean)
        return image

    def _place_shape(self, rng: np.random.Generator, centre: np.ndarray,
                     radius: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Choose a shape, its position, and the steepness of its edge."""
        zoom = SHAPE_SIDE / (2 * radius)
        matrix = _similarity(rng, zoom, np.zeros(2))
        matrix[:, 2] = SHAPE_SIDE / 2 - matrix[:, :2] @ centre
        # At least 1, or the layer would be visible outside its shape.
        return self._shapes[int(rng.integers(len(self._shapes)))], matrix, max(1.0, 2 / zoom * rng.uniform(0.4, 1.5))

    def _cover(self, outline: tuple[np.ndarray, np.ndarray, float], points: np.ndarray) -> np.ndarray:
        source, matrix, steepness = outline
        cover = _look_up(source, cv2.transform(points, matrix), cv2.BORDER_CONSTANT)
        cover -= np.float32(0.5)
        cover *= np.float32(steepness)
        cover += np.float32(0.5)
        return np.clip(cover, 0, 1, out=cover)

    def _seen_by_camera(self, rng: np.random.Generator, first: np.ndarray,
                        second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add blur, a change of light and noise; return uint8."""
        scenery = self.scenery
        if rng.random() < scenery.blur:
            sigma = rng.uniform(0.4, 1.3)
            first, second = (cv2.GaussianBlur(each, (0, 0), sigma) for each in (first, second))
        if rng.random() < scenery.light:
            second = second * np.float32(math.exp(rng.normal(0, 0.06))) + np.float32(rng.normal(0, 6))
            if rng.random() < 0.3:
                cloud = cv2.resize(rng.normal(0, 0.12, (3, 3)).astype(np.float32), self.size[::-1],
                                   interpolation=cv2.INTER_CUBIC)
                second = second * (1 + cloud)
        if scenery.noise:
            strength = np.float32(rng.exponential(scenery.noise))
            first, second = (each + strength * self._grain_at(rng) for each in (first, second))
        # cv2 rounds and saturates.
        return cv2.convertScaleAbs(np.maximum(first, 0)), cv2.convertScaleAbs(np.maximum(second, 0))

    def _grain_at(self, rng: np.random.Generator) -> np.ndarray:
        row, column = (int(rng.integers(side)) for side in self.size)
        return self._grain[row:row + self.size[0], column:column + self.size[1]]


def _look_up(source: np.ndarray, points: np.ndarray, border: int, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    # OpenCV's types lack None; with an empty array instead, OpenCV 5.0 reads memory that is not its own.
    image: np.ndarray = cv2.remap(source, points, None, interpolation,  # type: ignore[call-overload]
                                    borderMode=border, borderValue=0)
    return image


def _similarity(rng: np.random.Generator, zoom: float, offset: np.ndarray) -> np.ndarray:
    """Return a (2, 3) float64 matrix that rotates by a random angle."""
    angle = rng.uniform(0, 2 * math.pi)
    turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.concatenate([turn, offset[:, None]], 1)

"""Procedural grey textures and shapes, without motion."""
from __future__ import annotations

import math

import cv2
import numpy as np

SHAPE_SIDE = 128
"""Side of a shape's canvas, px; the shape stays within the circle that touches the canvas' sides."""


def texture(rng: np.random.Generator, side: int = 512) -> np.ndarray:
    """Draw a texture, (side, side) float32, 0..1."""
    kinds = (_leaves, _noise, _stripes, _strokes, _smooth)
    kind = kinds[rng.choice(len(kinds), p=(0.45, 0.25, 0.1, 0.1, 0.1))]
    image = kind(rng, side)
    low, high = np.percentile(image[::4, ::4], (1, 99))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def shape(rng: np.random.Generator) -> np.ndarray:
    """Draw a filled shape, (SHAPE_SIDE, SHAPE_SIDE) float32, 1 inside and 0 outside, smoothed edge."""
    canvas = np.zeros((SHAPE_SIDE, SHAPE_SIDE), np.uint8)
    kind = rng.choice(5, p=(0.35, 0.25, 0.15, 0.1, 0.15))
    if kind == 0:
        _fill(canvas, _blob(rng, SHAPE_SIDE / 2, SHAPE_SIDE / 2, SHAPE_SIDE * 0.45), 255)
    elif kind == 1:
        _fill(canvas, _polygon(rng, SHAPE_SIDE / 2, SHAPE_SIDE / 2, SHAPE_SIDE * 0.45), 255)
    elif kind == 2:  # A bar: a thin object that occludes little.
        half = SHAPE_SIDE * np.array([0.45, rng.uniform(0.02, 0.12)])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        angle = rng.uniform(0, math.pi)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        _fill(canvas, corners @ turn.T + SHAPE_SIDE / 2, 255)
    elif kind == 3:  # A frame: the background is visible through it.
        outer = _blob(rng, SHAPE_SIDE / 2, SHAPE_SIDE / 2, SHAPE_SIDE * 0.45)
        _fill(canvas, outer, 255)
        _fill(canvas, (outer - SHAPE_SIDE / 2) * rng.uniform(0.4, 0.8) + SHAPE_SIDE / 2, 0)
    else:  # Pieces that move together, such as leaves of a plant.
        for _ in range(rng.integers(3, 12)):
            x, y = rng.uniform(0.25, 0.75, 2) * SHAPE_SIDE
            _fill(canvas, _blob(rng, x, y, SHAPE_SIDE * rng.uniform(0.05, 0.2)), 255)
    soft = cv2.GaussianBlur(canvas, (0, 0), 0.8)
    return soft.astype(np.float32) / np.float32(255)


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """Sum octaves of smooth noise, because natural images have about equal contrast at every scale."""
    total = np.zeros((side, side), np.float32)
    persistence = rng.uniform(0.45, 1.0)
    aspect = math.exp(rng.normal(0, 0.4))
    weight = 1.0
    cells = float(rng.uniform(2, 6))
    while cells < side / rng.uniform(1.5, 4):
        rows, columns = max(2, round(cells)), max(2, round(cells * aspect))
        grid = rng.standard_normal((min(rows, side), min(columns, side)), np.float32)
        total += np.float32(weight) * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        weight *= persistence
        cells *= 2
    return total


def _smooth(rng: np.random.Generator, side: int) -> np.ndarray:
    grid = rng.standard_normal((int(rng.integers(2, 9)), int(rng.integers(2, 9))), np.float32)
    fine = cv2.resize(rng.standard_normal((side // 2, side // 2), np.float32), (side, side))
    return cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) + np.float32(rng.uniform(0, 0.08)) * fine


def _leaves(rng: np.random.Generator, side: int) -> np.ndarray:
    """Drop shapes on each other, many small and few large ones ("dead leaves": edges as in natural images)."""
    value = np.full((side, side), rng.integers(256), np.uint8)
    contrast = np.full((side, side), rng.integers(256), np.uint8)
    smallest = rng.uniform(3, 12)
    for _ in range(int(rng.integers(60, 500))):
        radius = min(smallest / math.sqrt(max(rng.random(), 1e-4)), side / 3)
        x, y = rng.uniform(0, side, 2)
        outline = _polygon(rng, x, y, radius) if rng.random() < 0.4 else _blob(rng, x, y, radius)
        _fill(value, outline, int(rng.integers(256)))
        _fill(contrast, outline, int(255 * rng.random() ** 2))
    grain = _noise(rng, side)
    grain *= np.float32(rng.uniform(20, 110) / 255 / max(float(grain[::4, ::4].std()), 1e-6))
    return value + contrast * grain


def _stripes(rng: np.random.Generator, side: int) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    total = np.zeros((side, side), np.float32)
    bend = _noise(rng, side) * np.float32(rng.uniform(0, 1.5))
    for _ in range(int(rng.integers(1, 4))):
        angle, period = rng.uniform(0, math.pi), rng.uniform(6, 60)
        phase = (np.float32(math.cos(angle)) * columns + np.float32(math.sin(angle)) * rows)
        wave = np.sin(phase * np.float32(2 * math.pi / period) + bend)
        total += np.float32(rng.uniform(0.3, 1)) * (np.clip(wave * 4, -1, 1) if rng.random() < 0.5 else wave)
    return total + np.float32(rng.uniform(0, 0.5)) * _noise(rng, side)


def _strokes(rng: np.random.Generator, side: int) -> np.ndarray:
    grain = _noise(rng, side)
    canvas = ((grain - grain.min()) * (255 / np.ptp(grain))).astype(np.uint8)
    length = rng.uniform(5, 40)
    for _ in range(int(rng.integers(200, 900))):
        x, y = rng.uniform(0, side, 2)
        dx, dy = rng.normal(0, length, 2)
        cv2.line(canvas, (int(x), int(y)), (int(x + dx), int(y + dy)), int(rng.integers(256)),
                 int(rng.integers(1, 5)), cv2.LINE_AA)
    return canvas.astype(np.float32)


def _blob(rng: np.random.Generator, x: float, y: float, radius: float) -> np.ndarray:
    """Return the outline of a rounded shape, (points, 2) float64, x and y."""
    angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    size = np.ones_like(angle)
    for waves in range(2, 6):
        size += rng.uniform(0, 0.5) / waves * np.sin(waves * angle + rng.uniform(0, 2 * math.pi))
    points = (size / size.max())[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) * radius
    points[:, 1] *= rng.uniform(0.3, 1)
    turn = rng.uniform(0, math.pi)
    return points @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) + (x, y)


def _polygon(rng: np.random.Generator, x: float, y: float, radius: float) -> np.ndarray:
    angle = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 9))))
    size = radius * rng.uniform(0.5, 1, angle.size)
    return np.stack([x + size * np.cos(angle), y + size * np.sin(angle)], 1)


def _fill(canvas: np.ndarray, outline: np.ndarray, value: int) -> None:
    cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], value, cv2.LINE_AA, 4)

"""Visualisation: label palette, overlay, flow colour wheel. RGB, uint8."""
from typing import Optional

import numpy as np

from .image import flow_polar
from .model import LabelSet


def label_palette(labels: LabelSet) -> np.ndarray:
    """Return the colours of a label set: (256, 3) uint8 RGB; ids without a class, and void, are black."""
    palette = np.zeros((256, 3), np.uint8)
    for each in labels.classes:
        palette[each.id] = each.color
    return palette


def color_labels(labels: np.ndarray, palette: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Paint (H, W) uint8 labels: (H, W, 3) uint8 RGB."""
    return np.take(palette, labels, axis=0, out=out, mode='clip')


def overlay_labels(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float,
                   out: Optional[np.ndarray] = None) -> np.ndarray:
    """Blend label colours over an image.

    Args:
        image: (H, W, 3) uint8 RGB, of the labels' size.
        alpha: 0 = only the image, 1 = only the labels.
    """
    if out is None:
        out = np.empty_like(image)
    # Both factors as tables of 256 entries: the sum of two rounded-down terms stays within 255.
    weight = int(round(alpha * 256))
    np.take((np.arange(256) * (256 - weight) // 256).astype(np.uint8), image, out=out, mode='clip')
    out += np.take((palette.astype(np.uint16) * weight // 256).astype(np.uint8), labels, axis=0, mode='clip')
    return out


def _color_wheel() -> np.ndarray:
    """Return the 55 hues of Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011."""
    spans = ((15, 0, 1, True), (6, 1, 0, False), (4, 1, 2, True), (11, 2, 1, False), (13, 2, 0, True), (6, 0, 2, False))
    wheel = []
    for count, full, moving, rising in spans:
        hues = np.zeros((count, 3))
        hues[:, full] = 255
        ramp = np.floor(255 * np.arange(count) / count)
        hues[:, moving] = ramp if rising else 255 - ramp
        wheel.append(hues)
    return np.concatenate(wheel)


_ANGLES = 1024
_RADII = 256


def _flow_table() -> np.ndarray:
    """Return the wheel sampled over angle and length: (1024, 257, 3); the last length is "beyond the maximum"."""
    wheel = _color_wheel()
    position = np.arange(_ANGLES) / _ANGLES * (len(wheel) - 1)
    low = np.floor(position).astype(int)
    part = (position - low)[:, np.newaxis]
    hue = ((1 - part) * wheel[low] + part * wheel[(low + 1) % len(wheel)]) / 255
    length = np.linspace(0, 1, _RADII)[:, np.newaxis]
    inside = 1 - length * (1 - hue[:, np.newaxis])
    return (np.concatenate([inside, 0.75 * hue[:, np.newaxis]], axis=1) * 255).astype(np.uint8)


_FLOW_TABLE = _flow_table()


def color_flow(flow: np.ndarray, longest_px: float = 0.0, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Paint (H, W, 2) float32 flow with the Middlebury wheel: hue = direction, saturation = length, NaN = black.

    Args:
        longest_px: length shown fully saturated, px; 0 = the 99th percentile of this field, at least 1 px.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    length, angle = flow_polar(flow)
    invalid = ~np.isfinite(length)
    length[invalid] = angle[invalid] = 0
    if longest_px <= 0:
        sample = length[::4, ::4][~invalid[::4, ::4]]
        longest_px = max(1.0, float(np.percentile(sample, 99))) if sample.size else 1.0
    length *= np.float32((_RADII - 1) / longest_px)
    radius = np.minimum(np.rint(length), _RADII).astype(np.int32)  # Rounded first: the longest is not beyond.
    turn = (angle * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES
    out = np.take(_FLOW_TABLE.reshape(-1, 3), turn * (_RADII + 1) + radius, axis=0, out=out, mode='clip')
    out[invalid] = 0
    return out

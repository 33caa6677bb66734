"""Make a confidence mean what it says: of the pixels that are 70 % sure, 70 % should be right.

Runs a model over labelled images that it has not been trained on, and finds for each class what brings its confidence
closest to the share of right labels. The result goes into the graph: export --calibration.

    trt_perception_tools calibrate swiftnet_camvid --data CAMVID --split val --output confidence.yaml
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from trt_perception.core.data import LabelMap
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import FrameDecoder, frame_from_picture
from trt_perception.core.model import load_model

from ..datasets.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from ..export.confidence import Calibration, write_calibration
from .reliability import LEVELS, confidence_counts, reliability

_FEW = 1000
"""Wrong and right pixels that a class must have; with fewer it is left as the softmax says."""


def fit_calibration(counts: np.ndarray) -> Calibration:
    """Return the slope and offset by class that make the counted labels most likely (Platt, 1999).

    Args:
        counts: (classes, 256, 2) pixels by given class, level of confidence, and whether the label is wrong or right.
    """
    probability = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    odds = torch.logit(probability)
    pairs = []
    for each in torch.from_numpy(counts).double():
        if (each.sum(0) < _FEW).any():
            pairs.append((1.0, 0.0))
            continue
        weights = each / each.sum()
        scale = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([scale], max_iter=100, line_search_fn='strong_wolfe')

        def loss(scale: torch.Tensor = scale, weights: torch.Tensor = weights,
                 optimiser: torch.optim.Optimizer = optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            scores = scale[0] * odds + scale[1]
            value = -(weights[:, 1] * functional.logsigmoid(scores)
                      + weights[:, 0] * functional.logsigmoid(-scores)).sum()
            value.backward()
            return value

        optimiser.step(loss)
        pairs.append((float(scale[0]), float(scale[1])))
    slopes, offsets = zip(*pairs, strict=True)
    return Calibration(slopes, offsets)


def calibrated_counts(counts: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return (classes, 256, 2) counts as they would be with a calibrated confidence."""
    odds = np.log((np.arange(LEVELS) + 0.5) / (LEVELS - 0.5 - np.arange(LEVELS)))
    result = np.zeros_like(counts)
    for number, (slope, offset) in enumerate(zip(*calibration, strict=True)):
        levels = np.rint((LEVELS - 1) / (1 + np.exp(-(slope * odds + offset)))).astype(int)
        np.add.at(result[number], levels, counts[number])
    return result

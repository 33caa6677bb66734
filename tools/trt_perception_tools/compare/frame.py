"""Differences between two results of one image, and their totals over a run. Knows arrays only."""
from __future__ import annotations

import math

import numpy as np

from trt_perception.core.image import NearestResizer, resize_flow

from ..evaluate.metrics import class_iou, flow_score, mean_iou, pixel_accuracy
from .run import Result

AGREEMENT, MEAN_IOU, IOU, SHARE_CHANGE = ('labels.agreement', 'labels.mean_iou', 'labels.iou', 'labels.share_change')
CONFIDENCE_CHANGE, EPE, FL_ALL = 'labels.confidence_change', 'flow.epe_px', 'flow.fl_all'
MISSING, EXTRA, OTHER_INTERVAL = 'frames.missing', 'frames.extra', 'flow.other_interval'
FRAME_MEASURES = (AGREEMENT, MEAN_IOU, CONFIDENCE_CHANGE, EPE, FL_ALL)
"""Numbers of a frame; for a run their means, except IoUs, which are over all pixels."""
CLASS_MEASURES = (IOU, SHARE_CHANGE)
"""Numbers with the name of a class after another point."""
RUN_MEASURES = (MISSING, EXTRA, OTHER_INTERVAL)
"""Numbers of a run only."""


def label_numbers(confusion: np.ndarray, names: list[str]) -> dict[str, float]:
    """Return agreement and IoUs, 0..1, and how the classes' shares of the image change, -1..1.

    Args:
        confusion: (classes, classes + 1) pixels by class of the second result (row) and of the first (column, the last
            without a class). Pixels without a class in the second are ignored: in ground truth, they are unknown.
    """
    total = int(confusion.sum())
    if not total:
        return {}
    change = (confusion[:, :-1].sum(0) - confusion.sum(1)) / total
    numbers = {AGREEMENT: pixel_accuracy(confusion), MEAN_IOU: mean_iou(confusion)}
    for name, iou, by in zip(names, class_iou(confusion).tolist(), change.tolist(), strict=True):
        numbers[f'{SHARE_CHANGE}.{name}'] = by
        if not math.isnan(iou):
            numbers[f'{IOU}.{name}'] = iou
    return numbers


def flow_numbers(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Return mean end-point difference (px) and share of outliers of two flow fields, (H, W, 2) float32.

    Pixels that are invalid in the second are ignored; those that are invalid only in the first count as no motion.
    """
    score = flow_score(first, second)
    return {} if math.isnan(score.epe) else {EPE: score.epe, FL_ALL: score.fl_all}


def on_grid(first: Result, second: Result) -> Result:
    """Return the first result on the pixel grid of the second."""
    labels, flow = first.labels, first.flow
    if labels is not None and second.labels is not None and labels.shape != second.labels.shape:
        resizer = NearestResizer(labels.shape, second.labels.shape)
        labels = resizer.resize(labels, np.empty(second.labels.shape, np.uint8))
    if flow is not None and second.flow is not None and flow.shape != second.flow.shape:
        height, width = second.flow.shape[:2]
        flow = resize_flow(flow, np.empty(second.flow.shape, np.float32),
                           (width / flow.shape[1], height / flow.shape[0]))
    return first._replace(labels=labels, flow=flow)

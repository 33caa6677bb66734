"""How the viewer is divided: per camera its image and flow, its statistics; then planner outputs and diagnostics."""
from __future__ import annotations

from collections.abc import Iterable

import rerun.blueprint as rrb

from trt_perception import consumer

from .. import recorded
from ..recorded import Topic
from .entities import TIMELINE, entity
from .planner import LASER_SCAN, OCCUPANCY_GRID
from .timeline import DIAGNOSTICS


def blueprint(topics: Iterable[Topic]) -> rrb.Blueprint:
    """Return the layout for these topics: only views of what they show."""
    topics = list(topics)
    cameras = sorted({each.camera for each in topics if each.role in (*recorded.RESULTS, recorded.CAMERA_IMAGE)})
    tabs = [_camera(camera, {each.role for each in topics if each.camera == camera}, _planner(topics, camera))
            for camera in cameras]
    if any(each.type == DIAGNOSTICS for each in topics):
        tabs.append(rrb.Horizontal(
            rrb.TimeSeriesView(origin=entity('diagnostics'), contents='$origin/*/ms/**', name='Times (ms)'),
            rrb.TimeSeriesView(origin=entity('diagnostics'), contents='$origin/*/Hz/**', name='Rates (Hz)'),
            rrb.TextLogView(origin=entity('diagnostics'), name='Diagnostics'), name='Diagnostics'))
    return rrb.Blueprint(
        rrb.Tabs(*tabs) if len(tabs) > 1 else (tabs or [rrb.Vertical()])[0],
        rrb.TimePanel(state='collapsed', timeline=TIMELINE), rrb.SelectionPanel(state='hidden'),
        rrb.BlueprintPanel(state='collapsed'))


def _camera(camera: str, roles: set[str], planner: list[rrb.View]) -> rrb.Container:
    images = [rrb.Spatial2DView(origin=entity(camera, 'image'), name='Labels over the image')]
    if consumer.FLOW in roles:
        images.append(rrb.Spatial2DView(origin=entity(camera, 'flow'), name='Optical flow'))
    confidences = [rrb.Spatial2DView(origin=entity(camera, name), name=title) for role, name, title in (
        (consumer.LABEL_CONFIDENCE, 'confidence', 'Confidence of labels'),
        (consumer.FLOW_CONFIDENCE, 'flow_confidence', 'Confidence of flow')) if role in roles]
    statistics: list[rrb.View | rrb.Container] = []
    if roles & {consumer.LABEL_MAP, recorded.LABEL_MAP_PNG}:
        statistics.append(_series(camera, 'classes', 'Share of classes (%)'))
    if consumer.FLOW in roles:
        statistics.append(_series(camera, 'flow', 'Length of flow'))
    if confidences:
        statistics.append(rrb.Tabs(*confidences))
    if planner:
        statistics.append(rrb.Tabs(*planner))
    return rrb.Vertical(rrb.Horizontal(*images), *([rrb.Horizontal(*statistics)] if statistics else []),
                        row_shares=[3, 2] if statistics else None, name=camera or 'Camera')


def _series(camera: str, group: str, title: str) -> rrb.TimeSeriesView:
    return rrb.TimeSeriesView(origin=entity(camera, 'statistics', group), name=title)


def _planner(topics: list[Topic], camera: str) -> list[rrb.View]:
    return [rrb.Spatial2DView(origin=entity(each.name), name=each.name) for each in topics
            if each.camera == camera and each.type in (LASER_SCAN, OCCUPANCY_GRID)]

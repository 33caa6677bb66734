"""The one table of what only the tools know of a task. Classes are named, and imported when they are wanted."""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from trt_perception.core import tasks
from trt_perception.core.errors import ConfigError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION

if TYPE_CHECKING:
    from .evaluate.scorer import Scorer
    from .export.exporter import Exporter
    from .import_model.importer import Importer


class ToolTask(NamedTuple):
    """One line of the table: 'module:Class' of this package for each; '' = the tools cannot do it for the task."""

    scorer: str = ''
    """The evaluate.scorer.Scorer of its results."""
    training: str = ''
    """The train.trainer.Task that trains its networks."""
    exporter: str = ''
    """The export.exporter.Exporter of its networks."""
    importer: str = ''
    """The import_model.importer.Importer of third-party networks."""


TASKS: dict[str, ToolTask] = {
    SEGMENTATION: ToolTask(
        scorer='trt_perception_tools.evaluate.segmentation:SegmentationScorer',
        training='trt_perception_tools.train.segmentation:SegmentationTask',
        exporter='trt_perception_tools.export.segmentation:SegmentationExporter',
        importer='trt_perception_tools.import_model.segmentation:SegmentationImporter'),
    OPTICAL_FLOW: ToolTask(
        scorer='trt_perception_tools.evaluate.optical_flow:OpticalFlowScorer',
        training='trt_perception_tools.train.optical_flow:FlowTask',
        exporter='trt_perception_tools.export.optical_flow:OpticalFlowExporter',
        importer='trt_perception_tools.import_model.optical_flow:OpticalFlowImporter'),
}


def tasks_with(part: str) -> list[str]:
    """Return the names of the tasks that have a field of ToolTask."""
    return [name for name, task in TASKS.items() if getattr(task, part)]


def input_names(task: str) -> tuple[str, ...]:
    """Return the names that networks made here give to their images."""
    return ('image',) if tasks.find_task(task).images == 1 else ('first', 'second')


def scorer_class(task: str) -> type[Scorer]:
    """Return the class that scores the results of a task.

    Raises:
        ConfigError: there is none; so for the others below.
    """
    found: type[Scorer] = _class(task, 'scorer')
    return found


def training_class(task: str) -> Any:
    """Return the class that trains the networks of a task, a train.trainer.Task."""
    return _class(task, 'training')


def exporter_of(task: str) -> Exporter:
    """Return what exports the networks of a task."""
    found: Exporter = _class(task, 'exporter')()
    return found


def importer_of(task: str) -> Importer:
    """Return what imports third-party networks for a task."""
    found: Importer = _class(task, 'importer')()
    return found


def _class(task: str, part: str) -> Any:
    if task not in tasks_with(part):
        raise ConfigError(f'task: got {task!r}, expected one of {", ".join(tasks_with(part))}. Add its {part} to '
                          'trt_perception_tools/tasks.py.')
    module, _, name = getattr(TASKS[task], part).partition(':')
    return getattr(importlib.import_module(module), name)

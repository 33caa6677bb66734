"""The one table of what only the tools know of a task. The classes are named, and imported when they are wanted."""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from trt_perception.core.errors import ConfigError
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION

if TYPE_CHECKING:
    from .evaluate.scorer import Scorer


class ToolTask(NamedTuple):
    """One line of the table."""

    scorer: str
    """'module:Class' of the evaluate.scorer.Scorer that scores its results."""


TASKS: dict[str, ToolTask] = {
    SEGMENTATION: ToolTask('trt_perception_tools.evaluate.segmentation:SegmentationScorer'),
    OPTICAL_FLOW: ToolTask('trt_perception_tools.evaluate.optical_flow:OpticalFlowScorer'),
}


def find_task(name: str) -> ToolTask:
    """Return a task by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TASKS:
        raise ConfigError(f'task: got {name!r}, expected one of {", ".join(TASKS)}. Add it to '
                          'trt_perception_tools/tasks.py.')
    return TASKS[name]


def scorer_class(task: str) -> type[Scorer]:
    """Return the class that scores the results of a task; see find_task."""
    module, _, name = find_task(task).scorer.partition(':')
    found: type[Scorer] = getattr(importlib.import_module(module), name)
    return found

"""The task-specific part of the export: one subclass of Exporter per task."""
from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from torch import nn

from trt_perception.core.image import Size
from trt_perception.core.model import Model, ModelInput

from ..graphs.difference import Difference
from ..graphs.runtimes import Runtime
from ..networks import Network
from .confidence import Calibration
from .heads import Decision


class HeadOptions(NamedTuple):
    """Options of the head; each field is for some tasks only."""

    full_size_flow: bool = False
    """The graph brings the flow to the size of its input."""
    decision: Decision = 'labels'
    """See SegmentationHead."""
    calibration: Calibration | None = None
    """Calibration of the confidence; None = the softmax unchanged."""


PLAIN = HeadOptions()
FLAGS = {'full_size_flow': '--upsample', 'decision': '--head', 'calibration': '--calibration'}
"""Field of HeadOptions -> option of `export`."""


class Exporter(abc.ABC):
    """Builds the head around the networks of a task, and compares results of graphs."""

    options: ClassVar[frozenset[str]]
    """Fields of HeadOptions that the task takes."""

    @abc.abstractmethod
    def head(self, model: Model, network: Network, module: nn.Module, size: Size, runtime: Runtime,
             options: HeadOptions) -> nn.Module:
        """Return a network with its head, as deployed.

        Raises:
            ConfigError: model, weights and options do not fit the network.
        """

    @abc.abstractmethod
    def bare_head(self, network: Network, module: nn.Module, image: ModelInput) -> nn.Module:
        """Return a network with the smallest head that gives its result, for TensorRT."""

    @abc.abstractmethod
    def difference(self, got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Difference:
        """Compare the outputs of a graph with those of its torch module."""

    def outputs(self, model: Model, options: HeadOptions) -> list[str]:
        """Return the names of the graph's outputs."""
        return list(model.output.names.values())

"""What importing must know of a task: one subclass of Importer each."""
from __future__ import annotations

import abc
import argparse
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trt_perception.core.image import Size
from trt_perception.core.model import LabelSet

from ..graphs.difference import Difference
from ..graphs.edit import IR_VERSION, OPSET
from .interface import Output
from .model_card import Interview

Tensors = Mapping[str, tuple[np.dtype, Sequence[int]]]
"""Type and shape by name."""


class Importer(abc.ABC):
    """Finds the result of a foreign network, and fits it to the package's contract."""

    task: ClassVar[str]
    result: ClassVar[str]
    """Name of the output in the fitted graph."""
    words: ClassVar[str]
    """What the result is, for people."""
    kinds: ClassVar[str]
    """Outputs that can be it, with their shapes."""

    @abc.abstractmethod
    def interpret(self, name: str, array: np.ndarray, size: Size) -> Output | None:
        """Return an output as the result; None where it cannot be it.

        Args:
            array: of an example run.
            size: (height, width) of the network's image, px.
        """

    def check(self, output: Output, where: str) -> None:
        """Refuse a result that the package cannot take.

        Raises:
            ConfigError: it is too large.
        """
        return

    @abc.abstractmethod
    def head(self, output: Output, classes: int, byte: np.dtype) -> str:
        """Return what stands between `raw`, the network's output, and the package's, as ONNX text; '' = nothing."""

    @abc.abstractmethod
    def outputs(self, output: Output, byte: np.dtype) -> Tensors:
        """Return the outputs of the fitted graph."""

    @abc.abstractmethod
    def difference(self, got: Mapping[str, np.ndarray], reference: np.ndarray, output: Output,
                   classes: int) -> Difference:
        """Compare what the fitted graph gives with the foreign network's own output."""

    @abc.abstractmethod
    def ask(self, interview: Interview, output: Output, name: str,
            args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
        """Return the field `output` of the model's YAML, and the label set of a task that has one."""


def graph_text(given: Sequence[str], results: Sequence[str], steps: Sequence[str]) -> str:
    """Return a part of a graph in ONNX's notation: what it takes, what it gives, its nodes."""
    lines = '\n'.join(steps)
    return (f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>\n'
            f'part ({", ".join(given)}) => ({", ".join(results)}) {{\n{lines}\n}}')

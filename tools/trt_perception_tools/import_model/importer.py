"""The task-specific part of the import: one subclass of Importer per task."""
from __future__ import annotations

import abc
import argparse
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import onnx

from trt_perception.core.image import Size
from trt_perception.core.model import LabelSet

from ..graphs.difference import Difference
from ..graphs.opset import IR_VERSION, OPSET
from .model_card import Interview
from .output import NOTATION, Output

Tensors = Mapping[str, tuple[np.dtype, Sequence[int]]]
"""Type and shape by name."""


class Importer(abc.ABC):
    """Finds the result of a third-party network, and fits it to the package's contract."""

    task: ClassVar[str]
    result: ClassVar[str]
    """Name of the output in the fitted graph."""
    words: ClassVar[str]
    """Description of the result, human-readable."""
    kinds: ClassVar[str]
    """Possible outputs, with their shapes."""

    @abc.abstractmethod
    def interpret(self, name: str, array: np.ndarray, size: Size) -> Output | None:
        """Return an output as the result, by its shape and type; None if it cannot be the result.

        Args:
            array: its value in an example run.
            size: (height, width) of the network's image, px.
        """

    def join(self, results: Mapping[str, np.ndarray], names: Sequence[str], size: Size) -> Output | None:
        """Return several outputs that are the result together; None if there are none.

        Args:
            names: names that were requested; () = any.
        """
        return None

    def check(self, output: Output, results: Mapping[str, np.ndarray], network: onnx.ModelProto, named: bool,
              size: Size, where: str) -> Output:
        """Return the output with what its size and that of other outputs reveal.

        Args:
            named: whether it was requested by name.

        Raises:
            ConfigError: the package cannot use it.
        """
        return output

    @abc.abstractmethod
    def decide(self, output: Output, makers: set[str], arrays: Sequence[np.ndarray]) -> Output:
        """Return the output with the meaning of its values.

        Args:
            makers: operators that produce them.
            arrays: its results for frames that are preprocessed as in a node.
        """

    @abc.abstractmethod
    def head(self, output: Output, classes: int, byte: np.dtype) -> str:
        """Return the nodes between `raw_0`, ..., the network's outputs, and the package's, as ONNX text."""

    @abc.abstractmethod
    def outputs(self, output: Output, byte: np.dtype) -> Tensors:
        """Return the outputs of the fitted graph."""

    @abc.abstractmethod
    def difference(self, got: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], output: Output,
                   classes: int) -> Difference:
        """Compare the results of the fitted graph with the third-party network's own outputs."""

    @abc.abstractmethod
    def ask(self, interview: Interview, output: Output, name: str,
            args: argparse.Namespace) -> tuple[dict[str, Any], LabelSet | None]:
        """Return the field `output` of the model's YAML, and the label set of a task that has one."""


def graph_text(given: Sequence[str], results: Sequence[str], steps: Sequence[str]) -> str:
    """Return a part of a graph in ONNX's notation: inputs, outputs and nodes."""
    lines = '\n'.join(steps)
    return (f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]>\n'
            f'part ({", ".join(given)}) => ({", ".join(results)}) {{\n{lines}\n}}')


def read_grids(output: Output, cast: bool) -> tuple[list[str], list[str], list[str]]:
    """Return the beginning of a head: inputs, nodes that resample each output to its grid, their results.

    Args:
        cast: whether to cast to float32.
    """
    given = [f'{NOTATION[output.dtype]}[{", ".join(map(str, output.shape))}] raw_{number}'
             for number in range(len(output.names))]
    steps: list[str] = []
    names = [f'raw_{number}' for number in range(len(given))]
    if output.shape != output.grid.shape:
        steps.append(f'grid = Constant <value = int64[4] {{{", ".join(map(str, output.grid.shape))}}}> ()')
        steps += [f'grid_{number} = Reshape ({name}, grid)' for number, name in enumerate(names)]
        names = [f'grid_{number}' for number in range(len(given))]
    if cast and output.dtype != np.float32:
        steps += [f'float_{number} = Cast <to = 1> ({name})' for number, name in enumerate(names)]
        names = [f'float_{number}' for number in range(len(given))]
    return given, steps, names

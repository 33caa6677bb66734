"""Reads ONNX files from any source, and turns every fault of a file into a ConfigError."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import ModelProto

from trt_perception.core.errors import ConfigError, PerceptionError

from .opset import OLDEST_IR_VERSION


def read_graph(file: Path) -> ModelProto:
    """Read an ONNX file, in an IR version in which constants need not be inputs.

    Raises:
        ConfigError: the file is not ONNX, or a file of its weights is missing.
    """
    if not file.is_file():
        raise ConfigError(f'{file}: no such file. Give the path of an ONNX file.')
    try:
        network = onnx.load(str(file))
    except Exception as error:  # Protobuf's and ONNX's errors have no common base class.
        raise ConfigError(f'{file}: not an ONNX file, or its external weights cannot be read: {_first_line(error)}. '
                          'Give an .onnx file, with the files of its weights beside it.') from error
    if not network.graph.node or not network.graph.output:
        raise ConfigError(f'{file}: got an empty graph, expected a network. A file of weights alone is not enough.')
    constants = {each.name for each in network.graph.initializer}
    inputs = [each for each in network.graph.input if each.name not in constants]
    del network.graph.input[:]
    network.graph.input.extend(inputs)
    network.ir_version = max(network.ir_version, OLDEST_IR_VERSION)
    return network


@contextlib.contextmanager
def foreign(file: Path | str, what: str) -> Iterator[None]:
    """Turn every error that an external file causes in ONNX, ONNX Runtime or this package into a ConfigError.

    Args:
        what: what is being done with it, for the message.
    """
    try:
        yield
    except PerceptionError:
        raise
    except Exception as error:  # A damaged or unusual file can cause any error.
        raise ConfigError(f'{file}: {what}: got {type(error).__name__}: {_first_line(error)}, expected a network of '
                          'standard ONNX operators. Simplify it first (trt_perception_tools slim-onnx), or report it '
                          'with the file.') from error


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip('.') for line in str(error).splitlines() if line.strip()), type(error).__name__)

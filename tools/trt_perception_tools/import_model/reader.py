"""Reads networks that others made - ONNX, TensorFlow frozen graphs, TFLite - as ONNX graphs, otherwise unchanged.

Knows nothing of tasks. TensorFlow and tf2onnx are imported only for their own files.
"""
from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from trt_perception.core.errors import ConfigError

from ..graphs.edit import OPSET

SUFFIXES = ('.onnx', '.pb', '.tflite')
_INSTALL = "Run: pip install -e './tools[tensorflow]' (best in an environment of its own), or give an .onnx file."


def read_network(file: Path, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the network of a file as ONNX: of an .onnx file its own opset, else 13.

    Args:
        inputs, outputs: for a frozen graph, the tensors between which the network lies; default: its placeholders, and
            what nothing else consumes.

    Raises:
        ConfigError: no such file, not a network, or TensorFlow is needed and missing.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError(f'{file}: got the suffix {file.suffix!r}, expected one of {", ".join(SUFFIXES)}. A PyTorch '
                          'module: torch.onnx.export first. A TensorFlow SavedModel folder: python -m tf2onnx.convert '
                          '--saved-model DIR --opset 13 --output FILE.onnx')
    if not file.is_file():
        raise ConfigError(f'{file}: no such file. Give the network that is to be imported.')
    if file.suffix.lower() == '.onnx':
        network = _read_onnx(file)
    elif file.suffix.lower() == '.tflite':
        network = _read_tflite(file)
    else:
        network = _read_frozen_graph(file, inputs, outputs)
    if not network.graph.node or not network.graph.output:
        raise ConfigError(f'{file}: got an empty graph, expected a network. Export it again.')
    return network


def tensor_name(file: Path, name: str) -> str:
    """Return the name of a tensor in ONNX: of a frozen graph, `x` means `x:0`."""
    return name if ':' in name or file.suffix.lower() != '.pb' else f'{name}:0'


def _read_onnx(file: Path) -> onnx.ModelProto:
    try:
        network = onnx.load(file)
        onnx.checker.check_model(network)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise ConfigError(f'{file}: not a valid ONNX network: {error}. Export or download it again.') from error
    return network


def _read_tflite(file: Path) -> onnx.ModelProto:
    if file.read_bytes()[4:8] != b'TFL3':
        raise ConfigError(f'{file}: not a TFLite network: the file identifier TFL3 is missing. Download it again.')
    tf2onnx = _import_tf2onnx(file)
    with _quiet():
        try:
            network, _ = tf2onnx.convert.from_tflite(str(file), opset=OPSET)
        except Exception as error:  # tf2onnx raises whatever its parsers raise.
            raise _not_converted(file, tf2onnx, error) from error
    return _checked(network)


def _read_frozen_graph(file: Path, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    tf2onnx = _import_tf2onnx(file)
    graph = importlib.import_module('tensorflow').compat.v1.GraphDef()
    try:
        graph.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ConfigError(f'{file}: not a TensorFlow frozen graph: {error}. Of a SavedModel, give the folder to: '
                          'python -m tf2onnx.convert --saved-model DIR --opset 13 --output FILE.onnx') from error
    if any(node.op.startswith(('Variable', 'VarHandle')) for node in graph.node):
        raise ConfigError(f'{file}: got a graph with variables, expected a frozen one, whose weights are constants. '
                          'Freeze it, or: python -m tf2onnx.convert --checkpoint or --saved-model')
    inputs = list(inputs) or [f'{node.name}:0' for node in graph.node
                                                    if node.op == 'Placeholder']
    outputs = list(outputs) or _loose_ends(graph)
    with _quiet():
        try:
            network, _ = tf2onnx.convert.from_graph_def(graph, input_names=inputs, output_names=outputs, opset=OPSET)
        except Exception as error:
            raise _not_converted(file, tf2onnx, error) from error
    return _checked(network)


def _loose_ends(graph: Any) -> list[str]:
    used = {name.lstrip('^').split(':')[0] for node in graph.node for name in node.input}
    silent = ('Const', 'NoOp', 'Assert', 'Placeholder')
    return [f'{node.name}:0' for node in graph.node if node.name not in used and node.op not in silent]



def _import_tf2onnx(file: Path) -> ModuleType:
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
    for name in ('tensorflow', 'tf2onnx'):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f'{file}: to read it, the Python packages tensorflow-cpu and tf2onnx are needed: '
                              f'{error}. {_INSTALL}') from error
    return importlib.import_module('tf2onnx')


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep TensorFlow's and tf2onnx's progress off the terminal."""
    for name in ('tensorflow', 'tf2onnx'):
        logging.getLogger(name).setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _not_converted(file: Path, tf2onnx: ModuleType, error: Exception) -> ConfigError:
    return ConfigError(f'{file}: tf2onnx {tf2onnx.__version__} cannot convert it: {error!r}. Name the tensors between '
                       'which the network lies with --input-names and --output-name, or convert it to .onnx by other '
                       'means.')


def _checked(network: onnx.ModelProto) -> onnx.ModelProto:
    onnx.checker.check_model(network)
    return network

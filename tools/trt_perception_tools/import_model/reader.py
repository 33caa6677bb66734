"""Reads third-party networks - ONNX, TensorFlow frozen graphs, TFLite - as ONNX graphs, otherwise unchanged.

Independent of tasks. TensorFlow and tf2onnx are imported only for their own files.
"""
from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from trt_perception.core.errors import ConfigError

from ..graphs.edit import prune
from ..graphs.lowering import STANDARD
from ..graphs.nested import all_nodes
from ..graphs.read import read_graph
from .left_over import replace_left_over

_RUNTIME_DOMAINS = ('com.microsoft', 'com.microsoft.nchwc', 'com.ms.internal.nhwc', 'ai.onnx.ml')
"""Further operators of ONNX Runtime: those of files that it has optimised, and of classical machine learning."""
_CONVERTED = 18
"""Opset for tf2onnx, its newest: for 13 it writes operators that 13 does not have (HardSwish)."""
_MOVES = ('Identity', 'Reshape', 'Squeeze', 'Transpose', 'Unsqueeze')
SUFFIXES = ('.onnx', '.pb', '.tflite')
_INSTALL = "Run: pip install -e './tools[tensorflow]' (best in a separate environment), or give an .onnx file."


def read_network(file: Path, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the network of a file as ONNX, with quantised results as floats.

    Args:
        inputs, outputs: for a frozen graph, the first and last tensors of the network; default: its placeholders, and
            tensors without consumers.

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
        network = _checked(cut(read_graph(file), outputs), file)
    elif file.suffix.lower() == '.tflite':
        network = _read_tflite(file)
    else:
        network = _read_frozen_graph(file, inputs, outputs)
    return with_float_results(network)


def cut(network: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Make these tensors the outputs of the network, unless they are already; drop what follows."""
    made = {name for node in network.graph.node for name in node.output}
    if set(outputs) <= {each.name for each in network.graph.output} or not set(outputs) <= made:
        return network
    del network.graph.output[:]
    # The type is found by running it.
    network.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    prune(network)
    return network


def with_float_results(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return results of a QuantizeLinear, perhaps with a Transpose after it, as floats."""
    makers = {name: node for node in network.graph.node for name in node.output}
    users = Counter(name for node in network.graph.node for name in node.input)
    for output in network.graph.output:
        node = makers.get(output.name)
        while node is not None and node.op_type in _MOVES and users[node.input[0]] == 1:
            node = makers.get(node.input[0])
        if node is not None and node.op_type == 'QuantizeLinear' and users[node.output[0]] <= 1:
            name = node.output[0]
            node.output[0] = f'{name}/quantised'
            network.graph.node.insert(list(network.graph.node).index(node) + 1, onnx.helper.make_node(
                'DequantizeLinear', [node.output[0], *node.input[1:]], [name], f'{name}/floats'))
            output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            del network.graph.value_info[:]
    return network


def tensor_name(file: Path, name: str) -> str:
    """Return the name of a tensor in ONNX: of a frozen graph, `x` means `x:0`."""
    return name if ':' in name or file.suffix.lower() != '.pb' else f'{name}:0'


def _read_tflite(file: Path) -> onnx.ModelProto:
    if file.read_bytes()[4:8] != b'TFL3':
        raise ConfigError(f'{file}: not a TFLite network: the file identifier TFL3 is missing. Download it again.')
    tf2onnx = _import_tf2onnx(file)
    with _quiet():
        try:
            network, _ = tf2onnx.convert.from_tflite(str(file), opset=_CONVERTED)
        except Exception as error:  # tf2onnx raises any error of its parsers.
            raise _not_converted(file, tf2onnx, error) from error
    return _checked(network, file)


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
            network, _ = tf2onnx.convert.from_graph_def(graph, input_names=inputs, output_names=outputs,
                                                        opset=_CONVERTED)
        except Exception as error:
            raise _not_converted(file, tf2onnx, error) from error
    return _checked(network, file)


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


def _checked(network: onnx.ModelProto, file: Path) -> onnx.ModelProto:
    """Return the network if all its operators are known.

    Raises:
        ConfigError: one of them needs a plugin, or the file is damaged.
    """
    replace_left_over(network)
    own = {(each.domain, each.name) for each in network.functions}
    versions = {each.domain: each.version for each in network.opset_import}
    for node in all_nodes(network.graph):
        if node.domain in STANDARD:
            known = _is_operator(node.op_type, versions.get('', versions.get('ai.onnx', 1)))
        else:
            known = node.domain in _RUNTIME_DOMAINS or (node.domain, node.op_type) in own
        if not known:
            before = [name for name in node.input if any(name in each.output for each in network.graph.node)]
            raise ConfigError(f'{file}: got the operator {node.domain or "ai.onnx"}.{node.op_type} (node '
                              f'{node.name or node.output[0]!r}), expected operators of ONNX: it needs a plugin '
                              'that is not in the file. '
                              + (f'Where the result is made before it, end the network there: --output-name {before[0]}'
                                 if before else 'Ask its author for a file of standard operators'))
    cut_off = [each for each in network.graph.output if not each.HasField('type')]
    for output in cut_off:
        _set_type(network, output)
    if not cut_off:  # The checker asks for a shape, which is found by running the network.
        try:
            onnx.checker.check_model(network)
        except Exception as error:
            raise ConfigError(f'{file}: not a valid ONNX network: {str(error).splitlines()[0]}. Download it again; if '
                              'it stays so, the file was written wrongly.') from error
    return network


def _is_operator(name: str, opset: int) -> bool:
    try:
        onnx.defs.get_schema(name, opset)
    except onnx.defs.SchemaError:
        return False
    return True


def _set_type(network: onnx.ModelProto, output: onnx.ValueInfoProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(network).graph
    found = next((each for each in [*inferred.value_info, *inferred.output] if each.name == output.name
                  and each.type.tensor_type.elem_type), None)
    output.type.tensor_type.elem_type = found.type.tensor_type.elem_type if found else onnx.TensorProto.FLOAT

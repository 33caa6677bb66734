"""Make an ONNX graph smaller with the same results: constants computed, batch normalisation folded, outputs dropped."""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, load, numpy_helper

from trt_perception.core.errors import ConfigError

from .check import read_graph
from .cost import cost, cost_table
from .edit import prune

_DEFAULT_EPSILON = 1e-5
_FUSIONS = ('ConvBNFusion', 'ConvMulFusion', 'ConvAddFusion')


def simplify(model: ModelProto, fold: bool = True) -> ModelProto:
    """Return the graph with constants computed, dead nodes gone, and batch normalisation folded where it can be.

    Most of it is ONNX Runtime's basic optimisation, which writes standard operators of the same opset and keeps the
    names of nodes. A batch normalisation stays where its input is not a convolution's alone: see `batch_norms_left`.

    Args:
        fold: batch normalisation, factors and sums into convolutions.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'simple.onnx'
        options.optimized_model_filepath = str(file)
        # Its transposes suit ONNX Runtime's kernels, and a quarter of the bytes is moved by transposing before a cast.
        disabled = ['TransposeOptimizer', *([] if fold else _FUSIONS)]
        ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'],
                             disabled_optimizers=disabled)
        simple = load(str(file))
    # ONNX Runtime declares every domain that it knows.
    used = {node.domain for node in simple.graph.node} | {''}
    opsets = [opset for opset in simple.opset_import if opset.domain in used]
    del simple.opset_import[:]
    simple.opset_import.extend(opsets)
    simple.ir_version = model.ir_version
    del simple.metadata_props[:]
    simple.metadata_props.extend(model.metadata_props)
    simple.producer_name, simple.producer_version = model.producer_name, model.producer_version
    if fold:
        _fold_into_deconvolutions(simple)
    return simple


def _fold_into_deconvolutions(model: ModelProto) -> None:
    # ONNX Runtime folds batch normalisation into Conv only.
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    for norm in [node for node in graph.node if node.op_type == 'BatchNormalization']:
        maker = makers.get(norm.input[0])
        if maker is None or maker.op_type != 'ConvTranspose' or uses[norm.input[0]] > 1 \
                or not set(maker.input[1:]) | set(norm.input[1:]) <= set(weights) \
                or any(attribute.name == 'group' and attribute.i != 1 for attribute in maker.attribute):
            continue
        scale, shift, mean, variance = (numpy_helper.to_array(weights[name]) for name in norm.input[1:5])
        epsilon = next((each.f for each in norm.attribute if each.name == 'epsilon'), _DEFAULT_EPSILON)
        factor = scale / np.sqrt(variance + epsilon)
        kernel = numpy_helper.to_array(weights[maker.input[1]])  # (inputs, outputs, rows, columns)
        bias = numpy_helper.to_array(weights[maker.input[2]]) if len(maker.input) > 2 else np.zeros_like(mean)
        folded = {f'{norm.name}/kernel': kernel * factor[:, None, None], f'{norm.name}/bias': (bias - mean) * factor
                  + shift}
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in folded.items())
        maker.input[1:] = list(folded)
        maker.output[0] = norm.output[0]
        graph.node.remove(norm)
    _drop_unused(model)


def batch_norms_left(model: ModelProto) -> dict[str, int]:
    """Count the batch normalisations of a graph by the operator that feeds them.

    A convolution could take one in, but not a Relu or MaxPool (not linear), nor a Concat, Add or product of several
    branches; and not a convolution whose output others use too.
    """
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    return dict(Counter(makers.get(node.input[0], 'input') for node in model.graph.node
                        if node.op_type == 'BatchNormalization'))


def batch_norm_text(model: ModelProto) -> str:
    """Say which batch normalisations could not be folded."""
    left = batch_norms_left(model)
    if not left:
        return 'no batch normalisation left'
    return (f'{sum(left.values())} batch normalisations left, behind '
            + ', '.join(f'{kind} ({count})' for kind, count in sorted(left.items()))
            + ': only a convolution that feeds nothing else takes one in')


def keep_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """Return the graph with these outputs only, and without the nodes, weights and inputs that only others needed.

    Raises:
        ConfigError: it has no such output.
    """
    known = [output.name for output in model.graph.output]
    for name in names:
        if name not in known:
            raise ConfigError(f'outputs: got {name!r}, expected one of {", ".join(known)}.')
    kept = ModelProto()
    kept.CopyFrom(model)
    outputs = [output for output in kept.graph.output if output.name in names]
    del kept.graph.output[:]
    kept.graph.output.extend(outputs)
    _drop_unused(kept)
    return kept


def _drop_unused(model: ModelProto) -> None:
    graph = model.graph
    prune(graph)
    names = {name for node in graph.node for name in [*node.input, *node.output]}
    for field in (graph.input, graph.value_info):
        kept = [value for value in field if value.name in names]
        del field[:]
        field.extend(kept)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('file', type=Path, metavar='FILE', help='an ONNX file')
    parser.add_argument('--output', type=Path, required=True, metavar='FILE', help='the .onnx to write')
    parser.add_argument('--keep', nargs='+', metavar='NAME', help='outputs that stay (default: all)')


def execute(args: argparse.Namespace) -> int:
    """Write the smaller graph, and say what became of it."""
    model = read_graph(args.file)
    slim = simplify(keep_outputs(model, args.keep) if args.keep else model)
    onnx.checker.check_model(slim, full_check=True)
    onnx.save(slim, str(args.output))
    print(cost_table([(str(args.file), cost(model)), (str(args.output), cost(slim))]))
    print(batch_norm_text(slim))
    return 0

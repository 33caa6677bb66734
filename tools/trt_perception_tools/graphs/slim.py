"""Make an ONNX graph smaller with the same results: constants computed, batch normalisation folded, outputs dropped."""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
from onnx import ModelProto, load
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules.common import fuse_batchnorm_into_conv_transpose_rule

from trt_perception.core.errors import ConfigError

from ..sizes import add_size
from .cost import cost, cost_table
from .edit import prune
from .read import foreign, read_graph
from .static import static_graph

_FUSIONS = ('ConvBNFusion', 'ConvMulFusion', 'ConvAddFusion')


def simplify(model: ModelProto, fold: bool = True) -> ModelProto:
    """Return the graph with constants computed, dead nodes removed, and batch normalisation folded if possible.

    Most of it is ONNX Runtime's basic optimisation, which writes standard operators of the same opset and keeps the
    names of nodes. A batch normalisation stays if its input is not only that of a convolution: see `batch_norms_left`.

    Args:
        fold: whether to fold batch normalisation, factors and sums into convolutions.
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
    if fold:  # ONNX Runtime folds batch normalisation into Conv only.
        simple = rewrite(simple, [fuse_batchnorm_into_conv_transpose_rule])
    prune(simple)  # ONNX Runtime declares every domain that it knows.
    simple.ir_version = model.ir_version
    del simple.metadata_props[:]
    simple.metadata_props.extend(model.metadata_props)
    simple.producer_name, simple.producer_version = model.producer_name, model.producer_version
    return simple


def batch_norms_left(model: ModelProto) -> dict[str, int]:
    """Count the batch normalisations of a graph by the operator that feeds them.

    A convolution can take one in, but not a Relu or MaxPool (not linear), nor a Concat, Add or product of several
    branches, nor a convolution whose output is used by others, too.
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
    prune(kept)
    needed = {name for node in kept.graph.node for name in node.input}
    for value in [value for value in kept.graph.input if value.name not in needed]:
        kept.graph.input.remove(value)
    return kept


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('file', type=Path, metavar='FILE', help='an ONNX file')
    parser.add_argument('--output', type=Path, required=True, metavar='FILE', help='the .onnx to write')
    add_size(parser, 'of the image, px: where the file leaves it open, to fix it')
    parser.add_argument('--keep', nargs='+', metavar='NAME', help='outputs that stay (default: all)')


def execute(args: argparse.Namespace) -> int:
    """Write the smaller graph, and report the savings."""
    with foreign(args.file, 'slim-onnx'):
        model = read_graph(args.file)
        if args.size:
            model = static_graph(model, args.size, str(args.file))
        slim = simplify(keep_outputs(model, args.keep) if args.keep else model)
        onnx.checker.check_model(slim, full_check=True)
        onnx.save(slim, str(args.output))
        try:
            rows = [(str(name), cost(static_graph(each, None, str(name))))
                    for name, each in ((args.file, model), (args.output, slim))]
        except ConfigError as error:
            print(f'{args.output}: {len(model.graph.node)} -> {len(slim.graph.node)} nodes; not counted: {error}')
        else:
            print(cost_table(rows))
    print(batch_norm_text(slim))
    return 0

"""INT8 in an ONNX graph: QuantizeLinear and DequantizeLinear around its convolutions, weights as bytes.

Two forms, as each runtime wants it. For onnxruntime: uint8 activations with a zero point, which take in the Relu; the
images' bytes as they are; batch normalisation as a convolution. For tensorrt: int8 activations without zero point.
Weights are int8 with a scale per output channel in both.
"""
from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData

from ..graphs.edit import prune
from ..graphs.runtimes import Runtime
from ..graphs.slim import simplify
from .channels_last_scores import decide_channels_last

CONVOLUTIONS = ('Conv', 'ConvTranspose')
ACTIVATIONS = ('Relu', 'Clip')
"""Clip is ReLU6: a range of bytes that ends at 6 stands for it."""
OPERATORS = (*CONVOLUTIONS, *ACTIVATIONS)
"""What is quantised. ONNX Runtime takes additions, concatenations and poolings between two of them into INT8 itself."""
_FOR_TENSORRT = {'ActivationSymmetric': True, 'QuantizeBias': False, 'AddQDQPairToWeight': True}
"""It has no zero points, takes biases as floats, and quantises weights itself."""
_BYTES = '/bytes'
"""Ends the name of the node that takes an image's bytes."""
_DEFAULT_EPSILON = 1e-5


def prepare(model: ModelProto, runtime: Runtime) -> ModelProto:
    """Return the graph as it is best quantised, with the same results, and with all shapes.

    The same but for the border of an image whose channels have different means: there the padding of the first
    convolution is their mean instead of each one's own.
    """
    prepared = simplify(model)
    if runtime == 'onnxruntime':
        _batch_norms_to_convolutions(prepared.graph)
        for value in prepared.graph.input:
            if value.type.tensor_type.elem_type == TensorProto.UINT8:
                _read_bytes(prepared.graph, value.name)
        prune(prepared)
        prepared = onnx.shape_inference.infer_shapes(prepared, strict_mode=True)
        decide_channels_last(prepared)
    return onnx.shape_inference.infer_shapes(prepared, strict_mode=True)


def quantisable(model: ModelProto) -> list[str]:
    """Return the names of the convolutions that are quantised unless they are kept: all but the last ones.

    The last are those that no other convolution needs: what comes behind them is the result itself, and they are small.
    """
    convolutions = [node for node in model.graph.node if node.op_type in CONVOLUTIONS]
    feeding: set[str] = set()
    for node in reversed(model.graph.node):
        if node in convolutions or feeding & set(node.output):
            feeding.update(node.input)
    return [node.name for node in convolutions if feeding & set(node.output)]


def quantise(prepared: ModelProto, ranges: TensorsData, runtime: Runtime,
             keep_fp32: Collection[str] = ()) -> ModelProto:
    """Return a prepared graph in INT8.

    Args:
        ranges: of the tensors that its convolutions take and give.
        keep_fp32: names of convolutions, besides the last ones.
    """
    chosen = [name for name in quantisable(prepared) if name not in keep_fp32]
    others = [node.name for node in prepared.graph.node if node.op_type in CONVOLUTIONS and node.name not in chosen]
    if not chosen:
        return prepared
    copy = ModelProto()
    copy.CopyFrom(prepared)
    activations_kept = _activations_behind(copy.graph, others)
    activations, options = (QuantType.QInt8, _FOR_TENSORRT) if runtime == 'tensorrt' else (QuantType.QUInt8, {})
    quantiser = QDQQuantizer(copy, True, False, QuantType.QInt8, activations, ranges, [], [*others, *activations_kept],
                             list(OPERATORS), dict(options))
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    quantised: ModelProto = quantiser.model.model
    _join_pairs(quantised.graph)
    prune(quantised)
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(prepared.metadata_props)
    quantised.ir_version = prepared.ir_version
    return quantised


def _activations_behind(graph: GraphProto, names: Collection[str]) -> list[str]:
    kept = {node.output[0] for node in graph.node if node.name in names}
    return [node.name for node in graph.node if node.op_type in ACTIVATIONS and node.input[0] in kept]


def _batch_norms_to_convolutions(graph: GraphProto) -> None:
    """Write each batch normalisation that is left as a convolution of one weight per channel: it stays in INT8."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for place, norm in enumerate(graph.node):
        if norm.op_type == 'BatchNormalization' and set(norm.input[1:]) <= set(weights):
            scale, shift, mean, variance = (numpy_helper.to_array(weights[name]) for name in norm.input[1:5])
            epsilon = next((each.f for each in norm.attribute if each.name == 'epsilon'), _DEFAULT_EPSILON)
            factor = scale / np.sqrt(variance + epsilon)
            names = [f'{norm.name}/kernel', f'{norm.name}/bias']
            for name, array in zip(names, (factor.reshape(-1, 1, 1, 1), shift - mean * factor), strict=True):
                graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
            graph.node[place].CopyFrom(helper.make_node(
                'Conv', [norm.input[0], *names], list(norm.output), norm.name, group=factor.size, kernel_shape=[1, 1]))


class _Normalisation(NamedTuple):
    """From the bytes of an image to what the network's first layer takes: (byte - mean) / std."""

    nodes: list[NodeProto]
    """In their order: a Cast, perhaps Sub, perhaps Div."""
    mean: np.ndarray
    std: np.ndarray


def _read_bytes(graph: GraphProto, name: str) -> None:
    """Let the network take an image's bytes as quantised numbers, its normalisation being their scale.

    Sub and Div of whole images took a sixth of the time of a SwiftNet in INT8.
    """
    found = _normalisation(graph, name)
    if found is None:
        return
    zero = int(np.clip(np.round(found.mean.mean()), 0, 255))
    scale = float(1 / found.std.mean())
    result = found.nodes[-1].output[0]
    factor, shift = 1 / (found.std * scale), (zero - found.mean) / found.std
    if not (np.allclose(factor, 1, atol=1e-6) and np.allclose(shift, 0, atol=1e-6)):
        users = [node for node in graph.node if result in node.input]
        if len(users) != 1 or not _scale_inputs(graph, users[0], factor, shift):
            return
    names = [f'{name}/scale', f'{name}/zero']
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), names[0]))
    graph.initializer.append(numpy_helper.from_array(np.array(zero, np.uint8), names[1]))
    places = [list(graph.node).index(node) for node in found.nodes]
    graph.node[places[0]].CopyFrom(helper.make_node(
        'DequantizeLinear', [found.nodes[0].input[0], *names], [result], name + _BYTES))
    for place in reversed(places[1:]):
        del graph.node[place]


def _normalisation(graph: GraphProto, name: str) -> _Normalisation | None:
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    mean, std = np.zeros(1), np.ones(1)
    for _ in range(4):
        users = [node for node in graph.node if name in node.input]
        if len(users) != 1:
            break
        user = users[0]
        constants = [weights[each].ravel().astype(float) for each in user.input[1:] if each in weights]
        if user.op_type == 'Transpose' and not nodes:
            pass
        elif user.op_type == 'Cast' and not nodes and user.attribute[0].i == TensorProto.FLOAT:
            nodes.append(user)
        elif user.op_type == 'Sub' and len(nodes) == 1 and constants:
            mean = constants[0]
            nodes.append(user)
        elif user.op_type == 'Div' and nodes and nodes[-1].op_type != 'Div' and constants:
            std = constants[0]
            nodes.append(user)
        else:
            break
        name = user.output[0]
    return _Normalisation(nodes, *np.broadcast_arrays(mean, std)) if nodes else None


def _scale_inputs(graph: GraphProto, node: NodeProto, factor: np.ndarray, shift: np.ndarray) -> bool:
    """Let a convolution take x where it took factor * x + shift, per channel; return whether it can."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    if node.op_type != 'Conv' or not set(node.input[1:]) <= set(weights) \
            or any(each.name == 'group' and each.i != 1 for each in node.attribute):
        return False
    kernel = numpy_helper.to_array(weights[node.input[1]]).astype(float)
    if kernel.shape[1] != factor.size:
        return False
    bias = numpy_helper.to_array(weights[node.input[2]]) if len(node.input) > 2 else np.zeros(kernel.shape[0])
    arrays = {f'{node.name}/kernel': kernel * factor[:, None, None],
              f'{node.name}/bias': bias + (kernel * shift[:, None, None]).sum((1, 2, 3))}
    graph.initializer.extend(numpy_helper.from_array(array.astype(np.float32), name)
                             for name, array in arrays.items())
    node.input[1:] = list(arrays)
    return True


def _join_pairs(graph: GraphProto) -> None:
    """Remove the quantisation of what has just been dequantised: the bytes of the images."""
    images = {node.output[0] for node in graph.node if node.name.endswith(_BYTES)}
    same = {}
    for node in graph.node:
        if node.op_type == 'QuantizeLinear' and node.input[0] in images:
            same.update({user.output[0]: node.input[0] for user in graph.node if node.output[0] in user.input})
    for node in graph.node:
        for number, name in enumerate(node.input):
            node.input[number] = same.get(name, name)

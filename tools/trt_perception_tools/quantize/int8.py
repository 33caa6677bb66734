"""INT8 in an ONNX graph: QuantizeLinear and DequantizeLinear around its convolutions, weights as bytes.

There are two forms. For onnxruntime: uint8 activations with a zero point, which include the Relu; the images' bytes
unchanged; batch normalisation as a convolution. For tensorrt: int8 activations without zero point. Weights are int8
with a scale per output channel in both.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
from onnx import GraphProto, ModelProto
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData

from ..graphs.edit import pruned
from ..graphs.runtimes import Runtime
from ..graphs.slim import simplify
from .channels_last_scores import decide_channels_last

CONVOLUTIONS = ('Conv', 'ConvTranspose')
ACTIVATIONS = ('Relu', 'Clip')
"""Clip is ReLU6: a quantisation range that ends at 6 replaces it."""
OPERATORS = (*CONVOLUTIONS, *ACTIVATIONS)
"""Quantised operators. ONNX Runtime converts additions, concatenations and poolings between two of them itself."""
_FOR_TENSORRT = {'ActivationSymmetric': True, 'QuantizeBias': False, 'AddQDQPairToWeight': True}
"""TensorRT has no zero points, takes biases as floats, and quantises weights itself."""
_BYTES = '/bytes'
"""Suffix of the name of the node that takes an image's bytes."""
_DEFAULT_EPSILON = 1e-5


def prepare(model: ModelProto, runtime: Runtime) -> ModelProto:
    """Return the graph in the form that is best quantised, with the same results, and with all shapes.

    Results differ only at the border of an image whose channels have different means: there the padding of the first
    convolution is the mean of all channels.
    """
    prepared = simplify(model)
    if runtime == 'onnxruntime':
        editable = ir.from_proto(prepared)
        _batch_norms_to_convolutions(editable.graph)
        for value in editable.graph.inputs:
            if value.dtype == ir.DataType.UINT8:
                _read_bytes(editable.graph, value)
        prepared = onnx.shape_inference.infer_shapes(pruned(editable), strict_mode=True)
        decide_channels_last(prepared)
    return onnx.shape_inference.infer_shapes(prepared, strict_mode=True)


def quantisable(model: ModelProto) -> list[str]:
    """Return the names of the convolutions that are quantised unless they are kept: all but the last ones.

    The last ones are those that no other convolution needs: they produce the result, and are small.
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
        ranges: ranges of the inputs and outputs of its convolutions.
        keep_fp32: names of convolutions, in addition to the last ones.
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
    editable = ir.from_proto(quantiser.model.model)
    _join_pairs(editable.graph)
    quantised = pruned(editable)
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(prepared.metadata_props)
    quantised.ir_version = prepared.ir_version
    return quantised


def _activations_behind(graph: GraphProto, names: Collection[str]) -> list[str]:
    kept = {node.output[0] for node in graph.node if node.name in names}
    return [node.name for node in graph.node if node.op_type in ACTIVATIONS and node.input[0] in kept]


def _batch_norms_to_convolutions(graph: ir.Graph) -> None:
    """Write each remaining batch normalisation as a convolution with one weight per channel, so that it is in INT8."""
    for norm in [node for node in graph if node.op_type == 'BatchNormalization']:
        numbers = _arrays(norm.inputs[1:])
        if len(numbers) < 4:
            continue
        scale, shift, mean, variance = numbers
        factor = scale / np.sqrt(variance + norm.attributes.get_float('epsilon', _DEFAULT_EPSILON))
        inputs = [norm.inputs[0], _constant(graph, f'{norm.name}/kernel', factor.reshape(-1, 1, 1, 1)),
                  _constant(graph, f'{norm.name}/bias', shift - mean * factor)]
        conv = ir.node('Conv', inputs, {'group': factor.size, 'kernel_shape': [1, 1]}, name=norm.name)
        ir.convenience.replace_nodes_and_values(graph, norm, [norm], [conv], norm.outputs, conv.outputs)


class _Normalisation(NamedTuple):
    """Normalisation of an image's bytes for the network's first layer: (byte - mean) / std."""

    nodes: list[ir.Node]
    """In their order: a Cast, perhaps Sub, perhaps Div."""
    mean: np.ndarray
    std: np.ndarray


def _read_bytes(graph: ir.Graph, image: ir.Value) -> None:
    """Let the network take an image's bytes as quantised numbers, with its normalisation as their scale.

    Sub and Div of whole images took a sixth of the time of a SwiftNet in INT8.
    """
    found = _normalisation(image)
    if found is None:
        return
    zero = int(np.clip(np.round(found.mean.mean()), 0, 255))
    scale = float(1 / found.std.mean())
    result = found.nodes[-1].outputs[0]
    factor, shift = 1 / (found.std * scale), (zero - found.mean) / found.std
    if not (np.allclose(factor, 1, atol=1e-6) and np.allclose(shift, 0, atol=1e-6)):
        users = result.consumers()
        if len(users) != 1 or not _scale_inputs(graph, users[0], factor, shift):
            return
    inputs = [found.nodes[0].inputs[0], _constant(graph, f'{image.name}/scale', np.array(scale)),
              _constant(graph, f'{image.name}/zero', np.array(zero, np.uint8))]
    taken = ir.node('DequantizeLinear', inputs, name=f'{image.name}{_BYTES}')
    ir.convenience.replace_nodes_and_values(graph, found.nodes[0], found.nodes, [taken], [result], taken.outputs)


def _normalisation(image: ir.Value) -> _Normalisation | None:
    nodes: list[ir.Node] = []
    mean, std = np.zeros(1), np.ones(1)
    while len(image.consumers()) == 1:
        user = image.consumers()[0]
        constants = [array.ravel().astype(float) for array in _arrays(user.inputs[1:])]
        if user.op_type == 'Transpose' and not nodes:
            pass
        elif user.op_type == 'Cast' and not nodes and user.attributes.get_int('to') == ir.DataType.FLOAT:
            nodes.append(user)
        elif user.op_type == 'Sub' and len(nodes) == 1 and constants:
            mean = constants[0]
            nodes.append(user)
        elif user.op_type == 'Div' and nodes and nodes[-1].op_type != 'Div' and constants:
            std = constants[0]
            nodes.append(user)
        else:
            break
        image = user.outputs[0]
    return _Normalisation(nodes, *np.broadcast_arrays(mean, std)) if nodes else None


def _scale_inputs(graph: ir.Graph, node: ir.Node, factor: np.ndarray, shift: np.ndarray) -> bool:
    """Let a convolution take x instead of factor * x + shift, per channel; return whether it can."""
    numbers = _arrays(node.inputs[1:])
    if node.op_type != 'Conv' or len(numbers) < len(node.inputs) - 1 or node.attributes.get_int('group', 1) != 1:
        return False
    kernel = numbers[0].astype(float)
    if kernel.shape[1] != factor.size:
        return False
    bias = numbers[1] if len(numbers) > 1 else np.zeros(kernel.shape[0])
    node.resize_inputs(3)
    node.replace_input_with(1, _constant(graph, f'{node.name}/kernel', kernel * factor[:, None, None]))
    node.replace_input_with(2, _constant(graph, f'{node.name}/bias',
                                         bias + (kernel * shift[:, None, None]).sum((1, 2, 3))))
    return True


def _join_pairs(graph: ir.Graph) -> None:
    """Remove the quantisation of the images' bytes, which have just been dequantised."""
    for node in graph:
        maker = node.inputs[0].producer() if node.op_type == 'QuantizeLinear' and node.inputs[0] else None
        if maker is not None and (maker.name or '').endswith(_BYTES):
            for user in node.outputs[0].consumers():
                user.outputs[0].replace_all_uses_with(maker.outputs[0])


def _arrays(values: Iterable[ir.Value | None]) -> list[np.ndarray]:
    """Return the contents of those values that are constants."""
    return [value.const_value.numpy() for value in values if value is not None and value.const_value is not None]


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """Add a constant to a graph: bytes unchanged, others as float32."""
    tensor = ir.tensor(array if array.dtype == np.uint8 else array.astype(np.float32), name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    return value

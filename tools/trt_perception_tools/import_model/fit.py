"""Adapts the graph of a third-party ONNX network to the package's contract.

Static shapes and batch 1; uint8 or float32 images as input; labels and confidence as uint8, or flow as float32, as
output; nothing else. The normalisation of grey levels is described by the model's YAML.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.image import Size

from ..graphs import edit
from ..graphs.difference import Difference
from ..graphs.lowering import constants_of
from ..graphs.opset import IR_VERSION, OPSET, opset_of, to_opset_13
from ..graphs.runtimes import Runtime
from ..graphs.slim import simplify
from ..tasks import input_names
from .importer import Importer, Tensors, graph_text
from .interface import Images, Tensor, network_inputs
from .model_card import Normalisation
from .output import NOTATION, Output
from .running import run_each
from .widen import widen_bytes

_PASSES = frozenset({'Identity', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Cast'})
_NARROWEST, _WIDEST = 0.1, 700.0
"""Ranges of normalised grey levels that no network is trained on: 255 / 0.229 is 1113."""


class UnequalError(PerceptionError):
    """A fitted network has other results than the file."""


def fit(network: onnx.ModelProto, images: Images, output: Output, importer: Importer, size: Size, classes: int,
        where: str, runtime: Runtime, lower: bool = True) -> onnx.ModelProto:
    """Return the network with the package's inputs and outputs, and nothing that they do not need.

    Args:
        network: static.
        classes: number of scores for the argmax; further scores are ignored.
        runtime: tensorrt, whose 8.2 has no uint8, gets float32 NCHW images, and INT32 labels and confidence.
        lower: whether to lower to opset 13 if the operators allow it.

    Raises:
        ConfigError: the operators are too old.
    """
    narrowed = onnx.ModelProto()
    narrowed.CopyFrom(network)
    del narrowed.graph.output[:]
    kind = onnx.helper.np_dtype_to_tensor_dtype(output.dtype)
    narrowed.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, output.shape) for name in output.names)
    edit.prune(narrowed)  # Before the conversion, so that unneeded parts cannot hinder it.
    fitted = _folded(narrowed)
    if lower or opset_of(fitted) < OPSET:
        fitted = to_opset_13(fitted, where)
    tensorrt = runtime == 'tensorrt'
    if tensorrt and images.dtype == np.uint8 and widen_bytes(fitted):
        images = images._replace(dtype=np.dtype(np.float32))
    graph = fitted.graph
    # The names of the file must not collide with those that are added.
    own = {name: f'file/{name}' for name in edit.tensor_names(graph)}
    edit.rename(graph, own)
    image_names = [own[name] for name in images.names]
    public = input_names(importer.task)
    fed = np.dtype(np.float32) if tensorrt else images.fed
    channels_last = images.channels_last and not tensorrt
    front = _front(images, fed, channels_last, size, public)
    if front:
        edit.graft(graph, front, opset_of(fitted),
                   {f'network_{number}': name for number, name in enumerate(image_names)}, first=True)
    else:
        edit.rename(graph, dict(zip(image_names, public, strict=True)))
    byte = np.dtype(np.int32 if tensorrt else np.uint8)
    edit.graft(graph, importer.head(output, classes, byte), opset_of(fitted),
               {f'raw_{number}': own[name] for number, name in enumerate(output.names)})
    sides = (1, *size, images.channels) if channels_last else (1, images.channels, *size)
    _set_interface(graph, dict.fromkeys(public, (fed, sides)), importer.outputs(output, byte))
    edit.prune(fitted)
    fitted.ir_version = min(fitted.ir_version, IR_VERSION)
    onnx.checker.check_model(fitted)
    return _folded(fitted, fold=True)


def _folded(network: onnx.ModelProto, fold: bool = False) -> onnx.ModelProto:
    """Return it with constants computed, if that needs no private operators of ONNX Runtime.

    Exporters compute sizes with Shape and Gather where axes were dynamic; TensorRT 8 refuses a Resize to such a size.
    """
    simple = simplify(network, fold)
    return network if edit.domains(simple) - edit.domains(network) else simple


def compare_each(fitted: onnx.ModelProto, planes: Sequence[Sequence[np.ndarray]],
                 references: Sequence[Mapping[str, np.ndarray]], output: Output, importer: Importer, classes: int,
                 where: str) -> Difference:
    """Run the fitted network on the inputs of `references`, the third-party network's own outputs.

    Returns the largest difference.

    Args:
        planes: per frame and image (1, H, W, C), as preprocessed by an engine.

    Raises:
        UnequalError: they differ by more than rounding.
    """
    inputs = network_inputs(fitted)
    results = run_each(fitted, [{each.name: _as_input(each, plane) for each, plane in zip(inputs, frame, strict=True)}
                                for frame in planes], where)
    found = [importer.difference(got, reference, output, classes)
             for got, reference in zip(results, references, strict=True)]
    for each in found:
        if not each.is_rounding:
            raise UnequalError(f'{where}: the fitted network differs from the file: {each.text}, expected at most '
                               f'{dict(each.limits)}. This is a fault of import-model: report it with the file.')
    return max(found, key=lambda each: list(each.measures.values()))


def check_range(network: onnx.ModelProto, images: Images, values: Normalisation, where: str) -> None:
    """Refuse a normalisation that contradicts the network's own, in its first nodes.

    Raises:
        ConfigError: grey levels are normalised twice, or not where the network expects it.
    """
    if images.fed != np.float32:
        return
    scale, shift = own_scale(network, images.names[0])
    lowest, highest = (np.array([(level - mean) / std for mean, std in zip(values.mean, values.std, strict=True)])
                       for level in (0, 255))
    width = float(np.max(np.abs(scale) * (highest - lowest)))
    if scale == 1 and shift == 0:
        return
    done = f'{where}: its first nodes compute {scale:.4g} * x {shift:+.4g} of what is fed'
    if width < _NARROWEST:
        raise ConfigError(f'{done}, and after the normalisation given, all grey levels lie within {width:.2g}: '
                          'normalised twice. Give --normalise none.')
    if width > _WIDEST:
        raise ConfigError(f'{done}, and with the normalisation given, grey levels would span {width:.4g}: it expects '
                          'them in 0..1. Give --normalise unit.')


def own_scale(network: onnx.ModelProto, name: str) -> tuple[float, float]:
    """Return the factor and the sum, means over channels, that a network's first nodes apply to an input."""
    constants = constants_of(network.graph)
    scale, shift = 1.0, 0.0
    while True:
        users = [node for node in network.graph.node if name in node.input]
        if len(users) != 1:
            return scale, shift
        node = users[0]
        others = [constants[each] for each in node.input if each in constants]
        first = bool(node.input) and node.input[0] == name
        if node.op_type in ('Mul', 'Div', 'Sub', 'Add') and others and (first or node.op_type in ('Mul', 'Add')):
            value = float(np.mean(others[0]))
            if node.op_type == 'Add':
                shift += value
            elif node.op_type == 'Sub':
                shift -= value
            elif node.op_type == 'Mul' or value:
                factor = value if node.op_type == 'Mul' else 1 / value
                scale, shift = scale * factor, shift * factor
        elif node.op_type not in _PASSES:
            return scale, shift
        name = node.output[0]


def _as_input(tensor: Tensor, plane: np.ndarray) -> np.ndarray:
    if plane.shape != tensor.shape:
        plane = plane.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(plane, tensor.dtype)


def _front(images: Images, fed: np.dtype, channels_last: bool, size: Size, public: Sequence[str]) -> str:
    """Return the nodes between the package's images and the network, as ONNX text; '' = none."""
    steps: list[str] = []
    names = list(public)

    def step(operator: str, attribute: str, constant: str = '') -> None:
        nonlocal names
        results = [f'{name}_{operator}'.lower() for name in names]
        steps.extend(f'{result} = {operator} <{attribute}> ({name}{constant})'
                     for result, name in zip(results, names, strict=True))
        names = results

    given = (1, *size, images.channels) if images.channels_last else (1, images.channels, *size)
    if channels_last != images.channels_last:
        step('Transpose', 'perm = [0, 2, 3, 1]')
    shape = images.shape(size)
    axis = images.axes.index('T' if 'T' in images.axes else 'C') if images.joined else 0
    part = tuple(side // 2 if images.joined and number == axis else side for number, side in enumerate(shape))
    if part != given:
        steps.append(f'part = Constant <value = int64[{len(part)}] {{{", ".join(map(str, part))}}}> ()')
        step('Reshape', '', ', part')
    if images.joined:
        steps.append(f'pair = Concat <axis = {axis}> ({", ".join(names)})')
        names = ['pair']
    if images.dtype == np.int8:
        # In a quantised network, the grey level 0 is -128.
        steps.append('middle = Constant <value = int32 {128}> ()')
        step('Cast', 'to = 6')
        step('Sub', '', ', middle')
    if fed != images.dtype:
        step('Cast', f'to = {int(onnx.helper.np_dtype_to_tensor_dtype(images.dtype))}')
    if not steps:
        return ''
    results = [f'network_{number}' for number in range(len(names))]
    steps += [f'{result} = Identity ({name})' for result, name in zip(results, names, strict=True)]
    sides = (1, *size, images.channels) if channels_last else (1, images.channels, *size)
    kind = '{}[{}]'.format(NOTATION[fed], ', '.join(map(str, sides)))
    return graph_text([f'{kind} {name}' for name in public],
                 [f'{NOTATION[images.dtype]}[{", ".join(map(str, shape))}] {name}' for name in results],
                 [each.replace(' <> ', ' ') for each in steps])


def _set_interface(graph: onnx.GraphProto, inputs: Tensors, outputs: Tensors) -> None:
    del graph.input[:], graph.value_info[:], graph.output[:]
    for values, tensors in ((graph.input, inputs), (graph.output, outputs)):
        values.extend(onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)
                      for name, (dtype, shape) in tensors.items())

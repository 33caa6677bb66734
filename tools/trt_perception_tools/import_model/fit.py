"""Makes a foreign ONNX network keep the package's contract, inside its graph.

Static shapes and batch 1; pictures in, of uint8 or float32; labels and confidence as uint8, or flow as float32, out;
nothing else. How grey levels are normalised is left to the model's YAML.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from trt_perception.core.errors import PerceptionError
from trt_perception.core.image import Size

from ..graphs import edit
from ..graphs.difference import Difference
from ..graphs.edit import OPSET
from ..graphs.slim import simplify
from ..tasks import input_names
from .importer import Importer, Tensors, graph_text
from .interface import NOTATION, Output, Pictures, Tensor, network_inputs, run_network

_TENSORS = ('image', 'first', 'second', 'labels', 'confidence', 'flow')


def fit(network: onnx.ModelProto, pictures: Pictures, output: Output, importer: Importer, size: Size, classes: int,
        where: str, tensorrt: bool = False) -> onnx.ModelProto:
    """Return the network with the package's inputs and outputs, and nothing that they do not need.

    Args:
        network: static.
        classes: labels are the argmax over so many scores; those behind them are not seen.
        tensorrt: TensorRT 8.2 has no bytes: float32 NCHW pictures, INT32 labels and confidence.

    Raises:
        ConfigError: the operators are too old.
    """
    narrowed = onnx.ModelProto()
    narrowed.CopyFrom(network)
    del narrowed.graph.output[:]
    kind = onnx.helper.np_dtype_to_tensor_dtype(output.dtype)
    narrowed.graph.output.append(onnx.helper.make_tensor_value_info(output.name, kind, output.shape))
    edit.prune(narrowed.graph)  # Before the conversion: what is not needed cannot hinder it.
    fitted = edit.with_opset(narrowed, where)
    graph = fitted.graph
    taken = {name: f'{edit.PREFIX}foreign_{name}' for name in _TENSORS}
    edit.rename(graph, taken)
    picture_names = [taken.get(name, name) for name in pictures.names]
    result = taken.get(output.name, output.name)
    public = input_names(importer.task)
    fed = np.dtype(np.float32) if tensorrt else pictures.fed
    channels_last = pictures.channels_last and not tensorrt
    front = _front(pictures, fed, channels_last, size, public)
    if front:
        edit.graft(graph, front, edit.opset_of(fitted),
                         {f'network_{number}': name for number, name in enumerate(picture_names)}, first=True)
    else:
        edit.rename(graph, dict(zip(picture_names, public, strict=True)))
    byte = np.dtype(np.int32 if tensorrt else np.uint8)
    head = importer.head(output, classes, byte)
    if head:
        edit.graft(graph, head, edit.opset_of(fitted), {'raw': result})
    else:
        edit.rename(graph, {result: importer.result})
    sides = _sides(pictures, channels_last, size)
    _set_interface(graph, dict.fromkeys(public, (fed, sides)), importer.outputs(output, byte))
    edit.prune(graph)
    edit.drop_unused_domains(fitted)
    fitted.ir_version = min(fitted.ir_version, edit.IR_VERSION)
    onnx.checker.check_model(fitted)
    # Exporters compute sizes with Shape and Gather where axes were dynamic; TensorRT 8 refuses a Resize to such a size.
    simple = simplify(fitted)
    return fitted if edit.domains(simple) - edit.domains(fitted) else simple


def compare(fitted: onnx.ModelProto, feeds: Mapping[str, np.ndarray], reference: np.ndarray, pictures: Pictures,
            output: Output, importer: Importer, classes: int, where: str) -> Difference:
    """Run the fitted network on what gave `reference`, the foreign network's own output.

    Raises:
        PerceptionError: they differ by more than rounding.
    """
    planes = list(feeds.values())
    if pictures.concatenated:
        planes = np.split(planes[0], 2, 3 if pictures.channels_last else 1)
    got = run_network(fitted, {each.name: _as_input(each, plane)
                               for each, plane in zip(network_inputs(fitted), planes, strict=True)}, where)
    difference = importer.difference(got, reference, output, classes)
    if not difference.is_rounding:
        raise PerceptionError(f'{where}: the fitted network differs from the file: {difference.text}; expected at most '
                              f'{dict(difference.limits)}. Export the file with opset {OPSET} and fixed shapes.')
    return difference


def _as_input(tensor: Tensor, plane: np.ndarray) -> np.ndarray:
    if plane.shape != tensor.shape:
        plane = plane.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(plane, tensor.dtype)


def _front(pictures: Pictures, fed: np.dtype, channels_last: bool, size: Size, public: Sequence[str]) -> str:
    """Return what stands between the package's pictures and the network, as ONNX text; '' = nothing."""
    steps: list[str] = []
    names = list(public)

    def step(operator: str, attribute: str) -> None:
        nonlocal names
        results = [f'{name}_{operator}'.lower() for name in names]
        steps.extend(f'{result} = {operator} <{attribute}> ({name})'
                     for result, name in zip(results, names, strict=True))
        names = results

    if channels_last != pictures.channels_last:
        step('Transpose', 'perm = [0, 2, 3, 1]')
    if pictures.concatenated:
        steps.append(f'pair = Concat <axis = {3 if pictures.channels_last else 1}> ({", ".join(names)})')
        names = ['pair']
    if fed != pictures.dtype:
        step('Cast', f'to = {int(onnx.helper.np_dtype_to_tensor_dtype(pictures.dtype))}')
    if not steps:
        return ''
    results = [f'network_{number}' for number in range(len(names))]
    steps += [f'{result} = Identity ({name})' for result, name in zip(results, names, strict=True)]
    kind = '{}[{}]'.format(NOTATION[fed], ', '.join(map(str, _sides(pictures, channels_last, size))))
    return graph_text([f'{kind} {name}' for name in public],
                 [f'{NOTATION[pictures.dtype]}[A, B, C, D] {name}' for name in results], steps)


def _sides(pictures: Pictures, channels_last: bool, size: Size) -> tuple[int, ...]:
    return (1, *size, pictures.channels) if channels_last else (1, pictures.channels, *size)


def _set_interface(graph: onnx.GraphProto, inputs: Tensors, outputs: Tensors) -> None:
    del graph.input[:], graph.value_info[:], graph.output[:]
    for values, tensors in ((graph.input, inputs), (graph.output, outputs)):
        values.extend(onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)
                      for name, (dtype, shape) in tensors.items())

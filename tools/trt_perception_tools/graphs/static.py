"""A graph for one image size, with the shape of every tensor, for counting, estimating and slimming."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, ValueInfoProto, helper

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size

from .layout import Side, full_shape, image_axes

_CHANNELS = (3, 1, 4)


def image_of(shape: Sequence[Side]) -> tuple[str, int] | None:
    """Return axes and channels of an input that can be an image or a pair of them; None = it is something else."""
    return next((way for pair in (False, True) for way in image_axes(shape, _CHANNELS, pair)), None)


def image_size(network: ModelProto, where: str) -> Size:
    """Return (height, width) of the first input that is an image.

    Raises:
        ConfigError: there is none of fixed size.
    """
    for value in _inputs(network):
        shape = _sides(value)
        way = image_of(shape)
        if way is not None:
            sides = dict(zip(way[0], shape, strict=True))
            if sides['H'] and sides['W']:
                return sides['H'], sides['W']
    listed = ', '.join(f'{each.name} {_sides(each)}' for each in _inputs(network)) or 'none'
    raise ConfigError(f'{where}: got the inputs {listed}, expected an image of fixed size. Give its '
                      'size with --size H W.')


def static_graph(network: ModelProto, size: Size | None, where: str) -> ModelProto:
    """Return a copy with batch 1, open sides set to `size`, and all shapes.

    Raises:
        ConfigError: a side is open and no size was given, or it does not run at it.
    """
    static = ModelProto()
    static.CopyFrom(network)
    for value in _inputs(static):
        shape = _sides(value)
        way = image_of(shape)
        if way is None:
            full = tuple(side or 1 for side in shape)
        else:
            sides = dict(zip(way[0], shape, strict=True))
            if size is None and not (sides['H'] and sides['W']):
                raise ConfigError(f'{where}: input {value.name}: got the open sides {_text(shape)}, expected fixed '
                                  'ones. Give the size of the image with --size H W.')
            height, width = size or (0, 0)
            filled = full_shape(way[0], (sides['H'] or height, sides['W'] or width), way[1])
            full = tuple(given or new for given, new in zip(shape, filled, strict=True))
        if full != shape:
            value.type.tensor_type.ClearField('shape')
            for side in full:
                value.type.tensor_type.shape.dim.add().dim_value = side
            del static.graph.value_info[:]
            for output in static.graph.output:
                output.type.tensor_type.ClearField('shape')
    return _with_shapes(static, where)


def _with_shapes(network: ModelProto, where: str) -> ModelProto:
    inferred: ModelProto = onnx.shape_inference.infer_shapes(network, data_prop=True)
    graph = inferred.graph
    known = {value.name for value in [*graph.value_info, *graph.output] if all(_sides(value)) and
             value.type.tensor_type.HasField('shape')}
    constants = {each.name for each in graph.initializer}
    unknown = [name for node in graph.node for name in node.output if name and name not in known | constants]
    if not unknown:
        return inferred
    # Sizes that the graph computes are found by computing them.
    probe = ModelProto()
    probe.CopyFrom(network)
    del probe.graph.output[:]
    probe.graph.output.extend(ValueInfoProto(name=name) for name in unknown)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(probe.SerializeToString(), settings, providers=['CPUExecutionProvider'])
        feeds = {value.name: np.zeros(tuple(side or 1 for side in _sides(value)),
                                      helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
                 for value in _inputs(network)}
        arrays = dict(zip(unknown, session.run(unknown, feeds), strict=True))
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        raise ConfigError(f'{where}: ONNX Runtime {ort.__version__} cannot run it: {str(error).splitlines()[0]}. '
                          'Multiples of 32 suit most networks: --size H W') from error
    found = {name: helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
             for name, array in arrays.items() if isinstance(array, np.ndarray)}
    outputs = [found.get(each.name, each) for each in graph.output]
    values = [each for each in graph.value_info if each.name not in found]
    values += [each for each in found.values() if each.name not in {output.name for output in outputs}]
    del graph.output[:], graph.value_info[:]
    graph.output.extend(outputs)
    graph.value_info.extend(values)
    return inferred


def _inputs(network: ModelProto) -> list[ValueInfoProto]:
    constants = {each.name for each in network.graph.initializer}
    return [each for each in network.graph.input if each.name not in constants]


def _sides(value: ValueInfoProto) -> tuple[int | None, ...]:
    return tuple(int(side.dim_value) if side.dim_value > 0 else None for side in value.type.tensor_type.shape.dim)


def _text(shape: Sequence[Side]) -> str:
    return '({})'.format(', '.join(str(side or '?') for side in shape))

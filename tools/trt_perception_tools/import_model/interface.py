"""Finds out how a foreign ONNX network takes its pictures and which output is the labels, scores or flow.

By what the file declares and by running it once; asks nobody.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime as ort

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.tasks import find_task

from ..graphs.edit import needed_tensors, prune
from ..tasks import tasks_with

if TYPE_CHECKING:
    from .importer import Importer

FED_INSTEAD = {np.dtype(np.float16): np.float32, np.dtype(np.float64): np.float32, np.dtype(np.int32): np.uint8,
               np.dtype(np.int64): np.uint8}
"""What the package cannot feed -> what it feeds, with a Cast behind it."""
NOTATION = {np.dtype(kind): name for kind, name in (
    (np.uint8, 'uint8'), (np.int32, 'int32'), (np.int64, 'int64'), (np.bool_, 'bool'), (np.float16, 'float16'),
    (np.float32, 'float'), (np.float64, 'double'))}
"""Element types in ONNX's text notation."""


class Tensor(NamedTuple):
    """An input as the file declares it; a side is None where it is dynamic."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: np.dtype


class Pictures(NamedTuple):
    """How the foreign network takes its picture, or its pair of them."""

    names: tuple[str, ...]
    """Of the inputs: one, or two for a pair that is not concatenated."""
    channels: int
    """Of one picture."""
    channels_last: bool
    concatenated: bool
    """One input has the channels of both pictures."""
    size: tuple[int | None, int | None]
    """(height, width), px; None where it is dynamic."""
    dtype: np.dtype

    @property
    def fed(self) -> np.dtype:
        """What the package feeds: uint8 or float32."""
        return np.dtype(FED_INSTEAD.get(self.dtype, self.dtype))


class Output(NamedTuple):
    """The output that the package uses, as the foreign network gives it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    axis: int | None
    """Of the channels; None for labels."""
    probabilities: bool = False
    """A softmax or sigmoid is in the network already."""

    @property
    def channels(self) -> int:
        """Number of scores or flow components per pixel; 0 for labels."""
        return 0 if self.axis is None else self.shape[self.axis]

    @property
    def size(self) -> Size:
        """(height, width), px."""
        if self.axis is not None:
            height, width = (side for axis, side in enumerate(self.shape) if axis not in (0, self.axis))
            return height, width
        sides = label_size(self.shape)
        assert sides is not None
        return sides


def find_pictures(network: onnx.ModelProto, task: str, names: Sequence[str], where: str) -> Pictures:
    """Find out how the network wants its pictures.

    Args:
        names: of the inputs, first picture first; () = all that the file has.

    Raises:
        ConfigError: the inputs are none of the task, or not clear.
    """
    inputs = network_inputs(network)
    by_name = {each.name: each for each in inputs}
    for name in names:
        if name not in by_name:
            raise ConfigError(f'{where}: --input-names: got {name!r}, expected of {_listed(inputs)}.')
    chosen = [by_name[name] for name in names] or inputs
    most = find_task(task).images
    if not 1 <= len(chosen) <= most:
        hint = f'Name {"it" if most == 1 else "them, first picture first,"} with --input-names' \
            + ('.' if most == 2 or len(chosen) != 2 else f', or give {_task_with(2)} for a pair.')
        raise ConfigError(f'{where}: got the inputs {_listed(chosen)}, expected {"one picture" if most == 1 else "two"}'
                          f' for {task}. {hint}')
    pair = most == 2 and len(chosen) == 1
    layouts = [_layout(each, pair, most, where) for each in chosen]
    if any(each != layouts[0] for each in layouts):
        raise ConfigError(f'{where}: got the inputs {_listed(chosen)}, expected two of one shape and type. Name the '
                          'pictures with --input-names.')
    return layouts[0]._replace(names=tuple(each.name for each in chosen))


def network_inputs(network: onnx.ModelProto) -> list[Tensor]:
    """Return what must be fed: inputs without an initial value."""
    constants = {each.name for each in network.graph.initializer}
    return [_tensor(each) for each in network.graph.input if each.name not in constants]


def make_static(network: onnx.ModelProto, pictures: Pictures, size: Size, where: str) -> onnx.ModelProto:
    """Return a copy for pictures of `size`, batch 1, with the outputs that need nothing else.

    Shapes inside it and of its outputs are left open.

    Raises:
        ConfigError: every output needs another input as well.
    """
    static = onnx.ModelProto()
    static.CopyFrom(network)
    others = {each.name for each in network_inputs(network)} - set(pictures.names)
    needs = {each.name: others & needed_tensors(network.graph, each.name) for each in network.graph.output}
    if all(needs.values()):
        output, missing = next(iter(needs.items()))
        raise ConfigError(f'{where}: output {output} needs {", ".join(sorted(missing))} besides '
                          f'{", ".join(pictures.names)}, expected nothing but pictures. Export it with the other '
                          'inputs as constants.')
    for each in [each for each in static.graph.output if needs[each.name]]:
        static.graph.output.remove(each)
    for each in [each for each in static.graph.input if each.name in others]:
        static.graph.input.remove(each)
    prune(static.graph)
    channels = pictures.channels * (2 if pictures.concatenated else 1)
    sides = (1, *size, channels) if pictures.channels_last else (1, channels, *size)
    for each in static.graph.input:
        if each.name in pictures.names:
            _set_shape(each, sides)
    del static.graph.value_info[:]
    for each in static.graph.output:
        each.type.tensor_type.ClearField('shape')
    return static


def run_network(network: onnx.ModelProto, feeds: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Run a static network once and return its outputs by name.

    Raises:
        ConfigError: ONNX Runtime cannot; the text carries its reason.
    """
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        session = ort.InferenceSession(network.SerializeToString(), settings, providers=['CPUExecutionProvider'])
        results = session.run(None, dict(feeds))
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        shapes = ', '.join(f'{name} {array.shape}' for name, array in feeds.items())
        raise ConfigError(f'{where}: ONNX Runtime {ort.__version__} cannot run it on {shapes}: {error}. Where the size '
                          'is free, multiples of 32 suit most networks: --size H W') from error
    return {each.name: np.asarray(array) for each, array in zip(session.get_outputs(), results, strict=True)}


def example_pictures(count: int, size: Size) -> list[np.ndarray]:
    """Return (H, W, 3) uint8 pictures of soft blobs, each moved 3 px to the left against the one before."""
    height, width = size
    # On white noise no network is sure of anything.
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    blobs = cv2.resize(noise, (width + 16, height + 16), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(blobs[:height, 3 * number:3 * number + width]) for number in range(count)]


def example_feeds(pictures: Pictures, images: int, size: Size) -> dict[str, np.ndarray]:
    """Return inputs for the foreign network; floats are spread as those of most networks are, -2..2."""
    planes = [picture[None, ..., :pictures.channels] for picture in
              example_pictures(images, size)]
    if pictures.fed == np.float32:
        planes = [(plane.astype(np.float32) - 128) / 64 for plane in planes]
    if not pictures.channels_last:
        planes = [plane.transpose(0, 3, 1, 2) for plane in planes]
    if pictures.concatenated:
        planes = [np.concatenate(planes, 3 if pictures.channels_last else 1)]
    return {name: np.ascontiguousarray(plane, pictures.dtype)
            for name, plane in zip(pictures.names, planes, strict=True)}


def find_output(results: Mapping[str, np.ndarray], importer: Importer, name: str, size: Size, where: str) -> Output:
    """Find the result of a task among the outputs of an example run.

    Args:
        name: of the output; '' = the only one that can be it.
        size: of the network's picture: what it gives has the same proportions.

    Raises:
        ConfigError: none of them can be it, or several; the text lists them.
    """
    listed = _listed([Tensor(each, array.shape, array.dtype) for each, array in results.items()])
    if name and name not in results:
        raise ConfigError(f'{where}: --output-name: got {name!r}, expected one of {listed}.')
    read = {each: importer.interpret(each, array, size) for each, array in results.items() if not name or each == name}
    found = {each: output for each, output in read.items() if output is not None}
    if not found:
        others = ' or '.join(each for each in tasks_with('importer') if each != importer.task)
        raise ConfigError(f'{where}: got the output {listed}, expected {importer.kinds}, in the proportions of the '
                          f'picture, {size[0]}x{size[1]}. Is it a network for --task {others}?')
    if len(found) > 1:
        raise ConfigError(f'{where}: got several outputs that can be the {importer.words}: '
                          f'{_listed([Tensor(each.name, each.shape, each.dtype) for each in found.values()])}. Choose '
                          f'one with --output-name, e.g. --output-name {next(iter(found))}')
    output = next(iter(found.values()))
    importer.check(output, where)
    return output


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(int(side.dim_value) if side.dim_value > 0 else None for side in kind.shape.dim) \
        if kind.HasField('shape') else None
    return Tensor(value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))


def _listed(tensors: Iterable[Tensor]) -> str:
    return ', '.join('{} {} {}'.format(each.name, each.dtype.name, 'of unknown shape' if each.shape is None else
                                       '({})'.format(', '.join(str(side or '?') for side in each.shape)))
                     for each in tensors) or 'nothing'


def _layout(tensor: Tensor, pair: bool, images: int, where: str) -> Pictures:
    counts = (2, 6) if pair else (1, 3)
    shape = tensor.shape
    wanted = 'two pictures, or one input with the 2 or 6 channels of both,' if pair else 'a picture of 1 or 3 channels,'
    if shape is None or len(shape) != 4 or not {shape[1], shape[3]} & set(counts):
        channels = set() if shape is None or len(shape) != 4 else {shape[1], shape[3]}
        hint = ''
        if images == 1 and channels & {2, 6}:
            hint = f' It looks like a pair of pictures: {_task_with(2)}?'
        elif pair and channels & {1, 3}:
            hint = f' It looks like one picture: {_task_with(1)}?'
        raise ConfigError(f'{where}: got the input {_listed([tensor])}, expected {wanted} (1, channels, H, W) or '
                          f'(1, H, W, channels).{hint or " Export it so."}')
    if shape[0] not in (1, None):
        raise ConfigError(f'{where}: input {tensor.name}: got batch {shape[0]}, expected 1. Export it with batch 1.')
    if tensor.dtype not in FED_INSTEAD and tensor.dtype not in (np.uint8, np.float32):
        raise ConfigError(f'{where}: input {tensor.name}: got {tensor.dtype.name}, expected uint8 or float32. Export '
                          'it with one of these; a quantised TFLite network with float inputs and outputs.')
    last = shape[1] not in counts
    channels_of_all = shape[3] if last else shape[1]
    assert channels_of_all is not None
    return Pictures((), channels_of_all // (2 if pair else 1), last, pair, shape[1:3] if last else shape[2:4],
                    tensor.dtype)


def _task_with(images: int) -> str:
    return '--task ' + ' or '.join(each for each in tasks_with('importer') if find_task(each).images == images)


def _set_shape(value: onnx.ValueInfoProto, sides: Sequence[int]) -> None:
    value.type.tensor_type.ClearField('shape')
    for side in sides:
        value.type.tensor_type.shape.dim.add().dim_value = side


def channel_axes(array: np.ndarray, size: Size) -> list[int]:
    """Return where the channels of floats (1, C, H, W) or (1, H, W, C) in the proportions of `size` may be."""
    if array.dtype.kind != 'f' or array.ndim != 4 or array.shape[0] != 1:
        return []
    return [axis for axis, sides in ((1, array.shape[2:4]), (3, array.shape[1:3])) if proportional(sides, size)]


def label_size(shape: Sequence[int]) -> Size | None:
    """Return (height, width) of labels (1, H, W), (1, 1, H, W), (1, H, W, 1) or (H, W); None for other shapes."""
    sides = list(shape)
    if len(sides) == 4 and sides[3] == 1:
        sides.pop()
    while len(sides) > 2 and sides[0] == 1:
        sides.pop(0)
    return (sides[0], sides[1]) if len(sides) == 2 else None


def proportional(sides: Sequence[int], size: Size) -> bool:
    """Return whether a grid has the proportions of an image."""
    # To within one pixel of the smaller grid: strides round.
    return min(sides) > 1 and abs(sides[0] * size[1] - sides[1] * size[0]) <= max(size)

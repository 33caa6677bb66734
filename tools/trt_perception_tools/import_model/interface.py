"""Finds the image inputs of a third-party ONNX network, and makes it static for one size. Never asks the user."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.tasks import find_task

from ..graphs.edit import needed_tensors, prune
from ..graphs.layout import Side, full_shape, image_axes
from .image_order import second_comes_first
from .running import run_each

FED_INSTEAD = {np.dtype(np.float16): np.float32, np.dtype(np.float64): np.float32, np.dtype(np.int32): np.uint8,
               np.dtype(np.int64): np.uint8, np.dtype(np.int8): np.uint8}
"""Type that the package cannot feed -> type that it feeds, with a Cast after it."""
_CHANNELS = (3, 1)
_STEPS = (32, 64, 128, 16, 8)
"""Multiples of sizes to try if the given size fails."""


class Tensor(NamedTuple):
    """An input as declared in the file."""

    name: str
    shape: tuple[Side, ...] | None
    dtype: np.dtype


class Images(NamedTuple):
    """The inputs of a third-party network for its image or pair of images."""

    names: tuple[str, ...]
    """Names of the inputs: one, or two for a pair that is not in one tensor; the earlier image first."""
    axes: str
    """Axes of such an input; see layout.py."""
    channels: int
    """Channels of one image."""
    joined: bool
    """One input has both images of a pair."""
    size: tuple[Side, Side]
    """(height, width), px; None if it is open."""
    dtype: np.dtype
    order: str = ''
    """How the order of two inputs was found, in words."""

    @property
    def fed(self) -> np.dtype:
        """Type that the package feeds: uint8 or float32."""
        return np.dtype(FED_INSTEAD.get(self.dtype, self.dtype))

    @property
    def channels_last(self) -> bool:
        """Whether the channels are after rows and columns."""
        return 'C' in self.axes and self.axes.index('C') > self.axes.index('W')

    def shape(self, size: Size) -> tuple[int, ...]:
        """Return the shape of an input."""
        return full_shape(self.axes, size, self.channels * (2 if self.joined and 'T' not in self.axes else 1))

    def feeds(self, planes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the third-party network's inputs: the reference for the nodes that fit.py adds before it.

        Args:
            planes: (1, H, W, C), one per image, as preprocessed by an engine.
        """
        size = planes[0].shape[1:3]
        if self.dtype == np.int8:
            planes = [plane.astype(np.int32) - 128 for plane in planes]
        parts = [plane if self.channels_last else plane.transpose(0, 3, 1, 2) for plane in planes]
        if self.joined:
            axis = self.axes.index('T' if 'T' in self.axes else 'C')
            one = list(self.shape(size))
            one[axis] //= 2
            parts = [np.concatenate([part.reshape(one) for part in parts], axis)]
        return {name: np.ascontiguousarray(part.reshape(self.shape(size)), self.dtype)
                for name, part in zip(self.names, parts, strict=True)}


def find_images(network: onnx.ModelProto, task: str, names: Sequence[str], where: str) -> list[Images]:
    """Find the possible image inputs of the network: those that fit its declarations, the most likely first.

    Args:
        names: names of the inputs, earlier image first; () = all inputs of the file.

    Raises:
        ConfigError: the inputs do not fit the task, or are ambiguous.
    """
    inputs = network_inputs(network)
    by_name = {each.name: each for each in inputs}
    for name in names:
        if name not in by_name:
            raise ConfigError(f'{where}: --input-names: got {name!r}, expected of {listed(inputs)}.')
    most = find_task(task).images
    chosen = [by_name[name] for name in names] or _likely_images(inputs, most)
    if not 1 <= len(chosen) <= most:
        hint = f'Name {"it" if most == 1 else "them, earlier image first,"} with --input-names' \
            + ('.' if most == 2 or len(chosen) != 2 else ', or give --task optical_flow for a pair.')
        raise ConfigError(f'{where}: got the inputs {listed(chosen)}, expected {"one image" if most == 1 else "two"}'
                          f' for {task}. {hint}')
    order = ''
    if len(chosen) == 2:
        swapped, order = (False, 'as --input-names says') if names else second_comes_first(
            chosen[0].name, chosen[1].name)
        chosen = chosen[::-1] if swapped else chosen
    ways = [_ways(each, most == 2 and len(chosen) == 1, most, where) for each in chosen]
    if any(each[0]._replace(size=ways[0][0].size) != ways[0][0] for each in ways):
        raise ConfigError(f'{where}: got the inputs {listed(chosen)}, expected two of one shape and type. Name the '
                          'images with --input-names.')
    return [each._replace(names=tuple(tensor.name for tensor in chosen), order=order) for each in ways[0]]


def with_constants(network: onnx.ModelProto, given: Sequence[str], where: str) -> onnx.ModelProto:
    """Return the network with the values of some inputs fixed, each given as name=number,number...

    Raises:
        ConfigError: there is no such input, or the values do not fit it.
    """
    inputs: dict[str, Tensor] = {each.name: each for each in network_inputs(network)}
    for text in given:
        name, _, values = text.rpartition('=')
        if name not in inputs:
            raise ConfigError(f'{where}: --constant: got {text!r}, expected NAME=VALUE with one of '
                              f'{listed(inputs.values())}.')
        shape = tuple(side or 1 for side in inputs[name].shape or ())
        try:
            array = np.broadcast_to(np.array([float(each) for each in values.split(',')]), shape or (1,))
        except ValueError:
            raise ConfigError(f'{where}: --constant: got {text!r}, expected numbers for {listed([inputs[name]])}, with '
                              'commas between, or one for all.') from None
        network.graph.initializer.append(onnx.numpy_helper.from_array(
            np.ascontiguousarray(array.reshape(shape), inputs[name].dtype), name))
        network.graph.input.remove(next(each for each in network.graph.input if each.name == name))
    return network


def network_inputs(network: onnx.ModelProto) -> list[Tensor]:
    """Return the necessary inputs: those without an initial value."""
    constants = {each.name for each in network.graph.initializer}
    return [_tensor(each) for each in network.graph.input if each.name not in constants]


def make_static(network: onnx.ModelProto, images: Images, size: Size, where: str) -> onnx.ModelProto:
    """Return a copy for images of `size`, batch 1, with the outputs that need no other inputs.

    Shapes inside it and of its outputs are left open.

    Raises:
        ConfigError: every output needs another input as well.
    """
    static = onnx.ModelProto()
    static.CopyFrom(network)
    others = {each.name for each in network_inputs(network)} - set(images.names)
    needs = {each.name: others & needed_tensors(network.graph, each.name) for each in network.graph.output}
    if all(needs.values()):
        output, missing = next(iter(needs.items()))
        raise ConfigError(f'{where}: output {output} needs {", ".join(sorted(missing))} besides '
                          f'{", ".join(images.names)}, expected nothing but images. Give the others as constants, '
                          f'e.g. --constant {sorted(missing)[0]}=1')
    for each in [each for each in static.graph.output if needs[each.name]]:
        static.graph.output.remove(each)
    for each in [each for each in static.graph.input if each.name in others]:
        static.graph.input.remove(each)
    prune(static)
    for each in static.graph.input:
        if each.name in images.names:
            _set_shape(each, images.shape(size))
    del static.graph.value_info[:]
    for each in static.graph.output:
        each.type.tensor_type.ClearField('shape')
    return static


def settle(network: onnx.ModelProto, ways: Sequence[Images], size: Size, where: str
           ) -> tuple[Images, onnx.ModelProto, dict[str, np.ndarray]]:
    """Return the first interface with which the network runs, the static network for it, and its results.

    Raises:
        ConfigError: it runs with none of them; if the size is free, the text has one that works.
    """
    errors = []
    for images in ways:
        static = make_static(network, images, size, where)
        try:
            return images, static, _run_once(static, images, size, where)
        except ConfigError as error:
            errors.append(error)
    remedy = ' The file is fixed to what it declares: ask its author for one that runs, with batch 1.'
    if None in ways[0].size:
        remedy = ' Multiples of 32 suit most networks: --size H W'
        for step in _STEPS:
            near = tuple(max(step, (side + step // 2) // step * step) if free is None else side
                         for side, free in zip(size, ways[0].size, strict=True))
            if near != size and _runs(network, ways[0], (near[0], near[1]), where):
                remedy = f' It runs at --size {near[0]} {near[1]}: give that, or other multiples of {step}.'
                break
    raise ConfigError(f'{errors[0]}.{remedy}') from errors[0]


def _run_once(static: onnx.ModelProto, images: Images, size: Size, where: str) -> dict[str, np.ndarray]:
    plane = np.zeros((1, *size, images.channels), images.fed)
    return run_each(static, [ images.feeds([plane] * (2 if images.joined else len(images.names)))], where)[0]


def _runs(network: onnx.ModelProto, images: Images, size: Size, where: str) -> bool:
    try:
        _run_once(make_static(network, images, size, where), images, size, where)
    except ConfigError:
        return False
    return True


def _likely_images(inputs: Sequence[Tensor], most: int) -> list[Tensor]:
    """Return the inputs that can be images, if that leaves fewer: no scalars and lists of numbers."""
    images = [each for each in inputs if each.shape is None or len(each.shape) > 2]
    return images if 1 <= len(images) <= most else list(inputs)


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(int(side.dim_value) if side.dim_value > 0 else None for side in kind.shape.dim) \
        if kind.HasField('shape') else None
    return Tensor(value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))


def listed(tensors: Iterable[Tensor]) -> str:
    """Return tensors as text: name, type and shape."""
    return ', '.join('{} {} {}'.format(each.name, each.dtype.name, 'of unknown shape' if each.shape is None else
                                       '({})'.format(', '.join(str(side or '?') for side in each.shape)))
                     for each in tensors) or 'nothing'


def _ways(tensor: Tensor, pair: bool, most: int, where: str) -> list[Images]:
    shape = tensor.shape
    found = list(image_axes(shape, _CHANNELS, pair)) if shape is not None else []
    if not found:
        raise ConfigError(f'{where}: got the input {listed([tensor])}, expected '
                          + ('two images, or one input with both of them: (1, 2 or 6, H, W), (1, H, W, 2 or 6), '
                             '(1, 2, channels, H, W) or (2, channels, H, W)' if pair else
                             'an image of 1 or 3 channels: (1, channels, H, W), (1, H, W, channels), without the 1, or '
                             '(H, W)') + f'.{_hint(shape, pair, most)}')
    if tensor.dtype not in FED_INSTEAD and tensor.dtype not in (np.uint8, np.float32):
        raise ConfigError(f'{where}: input {tensor.name}: got {tensor.dtype.name}, expected one of '
                          f'{", ".join(str(each) for each in FED_INSTEAD)}, uint8, float32: an image. Name the '
                          'input that takes it with --input-names.')
    ways = []
    for axes, count in found:
        sides = dict(zip(axes, shape or (), strict=True))
        joined = pair
        ways.append(Images((), axes, count // 2 if pair and 'T' not in axes else count, joined,
                           (sides['H'], sides['W']), tensor.dtype))
    return ways


def _hint(shape: Sequence[Side] | None, pair: bool, most: int) -> str:
    if shape is None:
        return ' Ask its author for a file that declares its shapes.'
    channels = {shape[-3], shape[-1]} if len(shape) in (3, 4) else set()
    if most == 1 and (channels & {2, 6} or len(shape) == 5):
        return ' It looks like a pair of images: --task optical_flow?'
    if pair and channels & {1, 3}:
        return ' It looks like one image: --task segmentation?'
    if 4 in channels:
        return ' Four channels are colour and something else (depth, alpha), which no camera image has.'
    return ' Name the input that takes the image with --input-names; a network for other data cannot be used.'


def _set_shape(value: onnx.ValueInfoProto, sides: Sequence[int]) -> None:
    value.type.tensor_type.ClearField('shape')
    for side in sides:
        value.type.tensor_type.shape.dim.add().dim_value = side

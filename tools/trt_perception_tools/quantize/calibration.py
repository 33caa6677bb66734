"""Runs a network on images, preprocessed as deployed, and finds the range of every tensor for quantisation.

ONNX Runtime's calibrators collect the values; its search by entropy is replaced, see `entropy_range`.
"""
from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    CalibrationMethod,
    TensorData,
    TensorsData,
    create_calibrator,
)
from rosbags.typesys import Stores, get_typestore
from tqdm import tqdm

from trt_perception.bag import CAMERA_INFO, COMPRESSED_IMAGE, Bag
from trt_perception.core.compressed import decode_compressed
from trt_perception.core.data import Frame, TensorSpec
from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.image import FrameDecoder, frame_from_array, make_frame
from trt_perception.core.model import Model
from trt_perception.core.preprocess import InputWriter

from ..datasets.images import read_image

_BINS = 2048
_SMALLEST = 1e-30
"""Far below the values of networks, and far enough above the denormals, 1.2e-38, to be divided into bins."""
_KEPT = 0.999
"""Smallest share of the values within a range by entropy."""

Feeds = dict[str, np.ndarray]
"""Inputs of a network for one image or pair: input name -> tensor."""

METHODS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    'entropy': (CalibrationMethod.Entropy, {'num_bins': _BINS}),
    'percentile': (CalibrationMethod.Percentile, {'num_bins': _BINS, 'percentile': 99.99, 'symmetric': False}),
    'minmax': (CalibrationMethod.MinMax, {}),
}
"""Name -> ONNX Runtime's calibrator and its options.

entropy: the range that changes the distribution least (Kullback-Leibler divergence); percentile: without the outermost
0.005 % on each side; minmax: the whole range.
"""

_SUFFIXES = frozenset({'.png', '.jpg', '.jpeg', '.bmp', '.ppm', '.tif', '.tiff', '.webp'})


def folder_frames(folder: Path, count: int, pairs: bool) -> list[list[Frame]]:
    """Read images, in the order of their names, evenly spread: each alone, or each with the one before it.

    Args:
        count: number of images; fewer if the folder has fewer.

    Raises:
        ConfigError: there is no such folder, no image in it, or for pairs only one.
    """
    if not folder.is_dir():
        raise ConfigError(f'{folder}: no such folder. Give a folder of images with --images.')
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    chosen = _groups(len(files), count, pairs, f'{folder}: {len(files)} images')
    return [[frame_from_array(read_image(files[number])) for number in group] for group in chosen]


def bag_frames(path: Path, count: int, pairs: bool, topic: str = '') -> list[list[Frame]]:
    """Read images of a bag, as `folder_frames` those of a folder.

    Args:
        topic: '' = the only one with images.

    Raises:
        ConfigError: no readable bag, no image in it, several topics to choose from, or for pairs only one image.
    """
    bag = Bag(str(path), [topic] if topic else None)
    topics = [name for name, kind in bag.types.items() if kind != CAMERA_INFO]
    if len(topics) > 1:
        raise ConfigError(f'{path}: got {len(topics)} image topics: {", ".join(topics)}. Choose one with --topic.')
    bag = Bag(str(path), topics)
    total = sum(1 for _ in bag.messages())
    chosen = _groups(total, count, pairs, f'{path}: {total} images on {topics[0]}')
    wanted = {number for group in chosen for number in group}
    store = get_typestore(Stores.LATEST)
    frames = {}
    for number, recorded in enumerate(bag.messages()):
        if number in wanted:
            try:
                frames[number] = _frame(store.deserialize_cdr(recorded.data, bag.types[topics[0]]),
                                        bag.types[topics[0]] == COMPRESSED_IMAGE)
            except FrameError as error:
                raise ConfigError(f'{path}: image {number} of {topics[0]}: {error}') from error
    return [[frames[number] for number in group] for group in chosen]


def _frame(message: Any, compressed: bool) -> Frame:
    if compressed:
        return decode_compressed(np.asarray(message.data), 0, '')
    return make_frame(np.asarray(message.data), message.height, message.width, message.step, message.encoding, 0, '',
                      bool(message.is_bigendian))


def _groups(total: int, count: int, pairs: bool, where: str) -> list[list[int]]:
    least = 2 if pairs else 1
    if total < least:
        raise ConfigError(f'{where}, expected at least {least}. Give images like those that the network will see: '
                          '.png or .jpg files with --images, or a bag with --bag.')
    numbers = np.unique(np.linspace(least - 1, total - 1, min(count, total - least + 1)).round().astype(int))
    return [[int(each) - 1, int(each)] if pairs else [int(each)] for each in numbers]


def prepare(model: Model, network: onnx.ModelProto, groups: Sequence[Sequence[Frame]], where: str) -> list[Feeds]:
    """Return the network's inputs from an engine for these frames.

    A flow network gets (current, previous), as in the nodes.

    Args:
        groups: one frame each, or the previous frame and the current one.
        where: the network's file, for errors.

    Raises:
        ConfigError: the network does not agree with the model, or a frame cannot be decoded.
    """
    specs = {each.name: TensorSpec(each.name, tuple(side.dim_value for side in each.type.tensor_type.shape.dim),
                                   onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type))
             for each in network.graph.input}
    if set(specs) != set(model.input.names):
        raise ConfigError(f'{where}: its inputs are {", ".join(specs)}, but {model.path} says '
                          f'{", ".join(model.input.names)}. Give the model that describes this network with --model.')
    return feed(model, specs, groups, where)


def feed(model: Model, specs: Mapping[str, TensorSpec], groups: Sequence[Sequence[Frame]], where: str) -> list[Feeds]:
    """Return the network's inputs from an engine with these inputs; see `prepare`."""
    decoder = FrameDecoder()
    feeds = []
    for group in groups:
        tensors = {}
        for name, frame in zip(model.input.names, reversed(group), strict=True):
            tensors[name] = np.zeros(specs[name].shape, specs[name].dtype)
            InputWriter(specs[name], model.input, decoder, where).write(frame, tensors[name])
        feeds.append(tensors)
    return feeds


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Mapping[str, np.ndarray]) -> None:
        self._feeds = [feeds]

    def get_next(self) -> Any:
        return self._feeds.pop() if self._feeds else None


def tensor_ranges(network: onnx.ModelProto, feeds: Sequence[Feeds], method: str, operators: Sequence[str],
                  signed: bool = False) -> TensorsData:
    """Find the range of every input and output of nodes with these operators.

    Args:
        method: a key of METHODS.
        signed: whether both signs get the same number of levels, even if a tensor has only one sign.
    """
    kind, options = METHODS[method]
    # ONNX Runtime prints each step.
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        file = Path(folder) / 'network.onnx'
        onnx.save(network, str(file))
        calibrator = create_calibrator(file, list(operators), str(Path(folder) / 'all_outputs.onnx'), kind,
                                       extra_options=options)
        calibrator.infer_session = _Session(calibrator.infer_session)
        # One by one, because it keeps every tensor of its whole input.
        for each in tqdm(feeds, f'calibration, {method}', unit='image', leave=False, disable=None):
            calibrator.collect_data(_Reader(each))
        if method == 'entropy':
            found = {}
            for name, (counts, edges, lowest, highest, _) in calibrator.collector.histogram_dict.items():
                low, high = entropy_range(counts, edges, lowest, highest, 128 if signed or lowest < 0 else 256)
                found[name] = TensorData(lowest=low, highest=high)
            ranges = TensorsData(kind, found)
        elif method == 'percentile' and not calibrator.collector.histogram_dict:
            ranges = TensorsData(kind, {})  # No node of these operators.
        else:
            ranges = calibrator.compute_data()
    # With a separate range, the result of a MaxPool would be dequantised and quantised again.
    known = set(ranges.keys())
    for node in network.graph.node:
        if node.op_type == 'MaxPool' and {node.input[0], node.output[0]} <= known:
            ranges[node.output[0]] = ranges[node.input[0]]
    return ranges


class _Session:
    """An inference session that rounds tiny results to 0, because a histogram has no bins for a range of almost 0."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Any, feeds: Any) -> list[np.ndarray]:
        """Return the outputs."""
        return [np.where(np.abs(array) < _SMALLEST, np.float32(0), array) if array.dtype == np.float32 else array
                for array in self._session.run(names, feeds)]


def entropy_range(counts: np.ndarray, edges: np.ndarray, lowest: float, highest: float,
                  levels: int) -> tuple[np.float32, np.float32]:
    """Return the range within which a tensor is best quantised: NVIDIA's method (Migacz, GTC 2017), changed twice.

    Zeros count like their neighbours, as in NVIDIA's pytorch-quantization: a ReLU makes half of all values zero, and
    zero stays exactly zero. ONNX Runtime's own search counts them as a part of the distribution that is degraded, and
    cuts off 1 % of the other values: 58.3 % mIoU for swiftnet_camvid instead of 59.9 %. In addition, at most 0.1 % is
    cut off, because other peaks, such as zeros after batch normalisation, mislead the search in the same way.

    Args:
        counts, edges: (bins,) and (bins + 1,), a histogram of the values, symmetric around 0.
        lowest, highest: the values themselves.
        levels: number of levels for magnitudes.
    """
    middle = len(counts) // 2
    magnitudes = (counts[middle:] + counts[:middle][::-1]).astype(float)
    magnitudes[0] = magnitudes[1]
    if not magnitudes.any():
        return np.float32(lowest), np.float32(highest)
    least = int(np.searchsorted(np.cumsum(counts[middle:] + counts[:middle][::-1]), _KEPT * counts.sum())) + 1
    candidates = range(max(levels, least), len(magnitudes) + 1)
    best = min(candidates, key=lambda bins: _divergence(magnitudes, bins, levels))
    limit = edges[middle + best]
    return np.float32(max(lowest, -limit)), np.float32(min(highest, limit))


def _divergence(magnitudes: np.ndarray, bins: int, levels: int) -> float:
    """Return the loss of information if only the first bins are used, merged into a number of levels."""
    inside = magnitudes[:bins].copy()
    level = np.arange(bins) * levels // bins
    filled = inside > 0
    share = np.bincount(level, inside) / np.maximum(np.bincount(level, filled), 1)
    approximated = np.where(filled, share[level], 0)
    inside[-1] += magnitudes[bins:].sum()
    there = inside > 0
    p, q = inside[there] / inside.sum(), approximated[there] / max(approximated.sum(), 1)
    return float((p * np.log(p / np.maximum(q, 1e-12))).sum())

"""Convert a network with published weights to TensorFlow Lite: a static .tflite for the engine tflite.

The network takes normalised images, which the engine computes. --quantise weights stores weights as bytes and
computes in FP32; convolutions and full compute in INT8, with ranges from the images of --images or --bag.
Needs the extra `tflite`: LiteRT Torch, which is large.
"""
from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trt_perception.core.data import Frame, TensorSpec
from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.image import Size, frame_from_array
from trt_perception.core.model import Model, load_model, model_names
from trt_perception.core.tasks import find_task
from trt_perception.engines import EngineOptions, open_engine

from ..import_model.examples import example_frames
from ..networks import NETWORKS, Network, network_of, parse_network
from ..networks.repvgg import merge
from ..networks.weights import read_weights
from ..quantize.calibration import bag_frames, feed, folder_frames
from ..sizes import add_size
from ..tasks import scorer_class
from .to_onnx import build_head

QUANTISATIONS = ('none', 'weights', 'convolutions', 'full')
_IN_INT8 = ('convolutions', 'full')
_CONVOLUTIONS = ('CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D_TRANSPOSE')
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
_SIGNATURE = 'serving_default'
_LIMIT = 1e-3


class Conversion(NamedTuple):
    """The result of a conversion."""

    precision: str
    """Precision of the file: its key under `files: tflite` in the model's YAML."""
    difference: float
    """Difference from torch, on the first calibration frames or a synthetic image. Segmentation: share of pixels
    with another label. Flow: mean difference, px of the input."""


class _Channels(nn.Module):
    """The tensorrt head, with images for TFLite, (1, H, W, C), and labels as bytes."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        results = self.head(*(image.permute(0, 3, 1, 2) for image in images))
        return tuple(each.to(torch.uint8) if each.dtype == torch.int32 else each for each in results)


def to_tflite(model: Model, network: Network, weights: Path, size: Size, output: Path, quantise: str = 'none',
              frames: Sequence[Sequence[Frame]] = (), options: Mapping[str, Any] = _NO_OPTIONS) -> Conversion:
    """Write `output`, a TFLite file, and return its difference from torch.

    The file appears when it is complete and has been checked, or not at all.

    Args:
        quantise: one of QUANTISATIONS.
        frames: frames for the calibration of INT8: one each, or the previous one and the current one.
        options: options of the network's `load`.

    Raises:
        ConfigError: model, weights and size do not fit the network; the extra is missing; there are no frames.
        PerceptionError: TFLite and torch differ.
    """
    if quantise in _IN_INT8 and not frames:
        raise ConfigError(f'--quantise {quantise}: got no images, expected some like those that the network will '
                          'see. Give a folder with --images, or a bag with --bag.')
    converter, schema = _import('litert_torch'), _import('ai_edge_litert.schema_py_generated')
    head = _Channels(build_head(model, network, network.load(read_weights(weights), str(weights), **options), size,
                                'tensorrt'))
    specs = {name: TensorSpec(name, (1, *size, network.channels), np.dtype(np.float32)) for name in model.input.names}
    example = frames[0] if frames else [
        frame_from_array(each) for each in example_frames(size)[0][:find_task(model.task).images]]
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent.resolve(), prefix='.to-tflite-') as folder:
        file = Path(folder) / output.name
        [inputs] = feed(model, specs, [example], str(output))
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Warnings of torch about functions that the converter calls.
            converter.convert(merge(head).eval(), tuple(tensors.values())).export(str(file))
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        _label(schema, file, model, f'{model.name}, weights {weights.name}, sha256 {digest}, licence: {model.license}')
        if quantise != 'none':
            file = _quantise(file, quantise, feed(model, specs, frames, str(output)))
        precision = 'int8' if quantise in _IN_INT8 else 'fp32'
        difference = _compare(model._replace(files={'tflite': {precision: str(file)}}), precision, head, example,
                              tensors)
        if quantise == 'none' and not difference <= _LIMIT:
            raise PerceptionError(f'{model.name}: TFLite and torch {torch.__version__} differ by {difference:.2g}, '
                                  f'expected at most {_LIMIT}. Try the torch version of pyproject.toml.')
        os.chmod(file, 0o644)
        os.replace(file, output)
    return Conversion(precision, difference)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"needs LiteRT Torch: {error}. Run: pip install -e . -e './tools[tflite]' (best in an "
                          'environment of its own).') from error


def _label(schema: Any, file: Path, model: Model, description: str) -> None:
    """Give inputs and outputs the names of the model's YAML, in the graph and in its signature."""
    flatbuffers = importlib.import_module('flatbuffers')
    content = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    graph, signature = content.subgraphs[0], content.signatureDefs[0]
    outputs = list(model.output.names.values())
    for numbers, maps, names in ((graph.inputs, signature.inputs, model.input.names),
                                 (graph.outputs, signature.outputs, outputs)):
        for number, name in zip(numbers, names, strict=True):
            graph.tensors[number].name = name
            next(each for each in maps if each.tensorIndex == number).name = name
    signature.signatureKey = _SIGNATURE
    content.description = description
    builder = flatbuffers.Builder(file.stat().st_size)
    builder.Finish(content.Pack(builder), b'TFL3')
    file.write_bytes(builder.Output())


def _quantise(file: Path, quantise: str, feeds: list[dict[str, np.ndarray]]) -> Path:
    job = _import('ai_edge_quantizer.quantizer').Quantizer(str(file))
    recipe, operations = _import('ai_edge_quantizer.recipe'), _import('ai_edge_quantizer.qtyping').TFLOperationName
    if quantise == 'weights':
        # Not the recipe that rounds activations on the fly: NanoFlowNet then takes 4 times as long as in FP32.
        job.load_quantization_recipe(recipe.weight_only_wi8_afp32())
    elif quantise == 'full':
        job.load_quantization_recipe(recipe.static_wi8_ai8())
    else:
        for name in _CONVOLUTIONS:
            job.add_static_config('.*', operations[name], activation_num_bits=8, weight_num_bits=8)
    ranges = job.calibrate({_SIGNATURE: feeds}) if quantise in _IN_INT8 else None
    quantised = file.with_suffix('.quantised')
    job.quantize(ranges).export_model(str(quantised))
    return quantised


def _compare(model: Model, precision: str, head: nn.Module, frames: Sequence[Frame],
             tensors: Mapping[str, Tensor]) -> float:
    engine = open_engine(model, EngineOptions('tflite', precision))
    for name, frame in zip(model.input.names, reversed(frames), strict=True):
        engine.put_image(name, frame)
    [main, *_] = model.output.names.values()
    got = engine.infer()[main]
    with torch.no_grad():
        expected = head(*tensors.values())[0].numpy()
    return scorer_class(model.task).deviate(got, expected)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help=f'one of {", ".join(model_names())}, or the path of a model YAML')
    parser.add_argument('--weights', type=Path, required=True, metavar='FILE', help='published weights: .pth or .npz')
    parser.add_argument('--output', type=Path, required=True, metavar='FILE', help='the .tflite to write')
    add_size(parser, "of the network's image, px (default: as export)")
    parser.add_argument('--network', metavar='NAME[,OPTION=VALUE...]',
                        help=f"{', '.join(NETWORKS)} (default: the one the model's name begins with)")
    parser.add_argument('--quantise', choices=QUANTISATIONS, default='none',
                        help='weights: with FP32 arithmetic; convolutions: these in INT8; full: all (default: none)')
    images = parser.add_mutually_exclusive_group()
    images.add_argument('--images', type=Path, metavar='DIR', help='images to calibrate with')
    images.add_argument('--bag', type=Path, metavar='BAG', help='a bag whose images to calibrate with')
    parser.add_argument('--count', type=int, default=32, help='of images to calibrate with (default: %(default)s)')


def execute(args: argparse.Namespace) -> int:
    """Convert, and print the difference from torch and the lines for the YAML."""
    model = load_model(args.model)
    network, options = parse_network(args.network) if args.network else (network_of(model.name), {})
    size = args.size or network.size
    frames: list[list[Frame]] = []
    pairs = find_task(model.task).images == 2
    if args.images:
        frames = folder_frames(args.images, args.count, pairs)
    elif args.bag:
        frames = bag_frames(args.bag, args.count, pairs)
    result = to_tflite(model, network, args.weights, size, args.output, args.quantise, frames, options)
    text = scorer_class(model.task).differs.format(result.difference)
    print(f'{args.output}: {model.name} for tflite at {size[0]}x{size[1]}, quantised: {args.quantise}, '
          f'{args.output.stat().st_size / 1e6:.2f} MB; TensorFlow Lite against torch: {text}\n'
          f'In the model YAML: files: tflite: {{{result.precision}: {args.output.name}}}')
    return 0

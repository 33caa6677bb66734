"""Export a network with published or random weights to ONNX: the static graph that an engine opens.

With --weights random[:SEED], for measurements of speed, MODEL is a network with its options, e.g. swiftnet,width=0.5,
and its YAML is written next to the ONNX file.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import ModelProto
from torch import Tensor, nn

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.image import Size
from trt_perception.core.model import Model, load_model, model_names

from ..graphs.check import check, report
from ..graphs.cost import cost
from ..graphs.difference import Difference
from ..graphs.opset import IR_VERSION, OPSET
from ..graphs.runtimes import RUNTIMES, Runtime
from ..graphs.slim import batch_norm_text, simplify
from ..networks import NETWORKS, Network, network_of, parse_network
from ..networks.repvgg import merge
from ..networks.weights import read_weights
from ..sizes import add_size
from ..tasks import exporter_of
from .confidence import Calibration, read_calibration
from .exporter import FLAGS, PLAIN, HeadOptions
from .heads import DECISIONS, network_inputs
from .random_network import random_module, seed_of, take_statistics, write_card

_CHECKED_FOR = '8.2'
"""The oldest TensorRT, whose operators all others have, too."""
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def export(model: Model, network: Network, weights: Path, size: Size, output: Path, runtime: Runtime = 'onnxruntime',
           options: Mapping[str, Any] = _NO_OPTIONS, head: HeadOptions = PLAIN) -> Difference:
    """Write the network with the weights of a file as ONNX, and return its difference from torch; see `export_module`.

    Args:
        options: options of the network's `load`.
    """
    check_fit(model, network, size)
    module = network.load(read_weights(weights), str(weights), **options)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return export_module(model, network, module, {'weights': weights.name, 'weights_sha256': digest}, size, output,
                         runtime, head)


def export_module(model: Model, network: Network, module: nn.Module, source: Mapping[str, str], size: Size,
                  output: Path, runtime: Runtime = 'onnxruntime', options: HeadOptions = PLAIN) -> Difference:
    """Write `output`, an ONNX file for a back-end of the runtime, and return its difference from torch.

    The file appears when it is complete and has been checked, or not at all. RepVGG branches are merged, batch
    normalisation is folded, and constants are computed in advance.

    Args:
        source: origin of the weights, for the file's metadata.
        options: options of the head.

    Raises:
        ConfigError: model, weights and size do not fit the network.
        PerceptionError: ONNX Runtime and torch differ, or TensorRT 8.2 does not support the graph.
    """
    head = build_head(model, network, module, size, runtime, options)
    example = network_inputs(_example(network, len(model.input.names), size), model.input, runtime)
    names = exporter_of(model.task).outputs(model, options)
    # The comparison with the network as trained verifies merging and folding.
    graph = simplify(to_onnx(merge(head), example, model.input.names, names))
    onnx.helper.set_model_props(graph, {'model': model.name, 'license': model.license, 'runtime': runtime, **source})
    onnx.checker.check_model(graph, full_check=True)
    if runtime == 'tensorrt':
        faults = [finding for finding in check(graph, _CHECKED_FOR) if finding.fault]
        if faults:
            raise PerceptionError(f'{model.name}: TensorRT {_CHECKED_FOR} does not support the graph:\n'
                                  f'{report(faults)}\nExpress these parts of the network by other operators.')
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = mkstemp('.onnx', output.stem, output.parent)
    os.close(handle)
    try:
        onnx.save(graph, unfinished)
        difference = _compare(unfinished, head, example, model)
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, output)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return difference


def build_head(model: Model, network: Network, module: nn.Module, size: Size, runtime: Runtime = 'onnxruntime',
               options: HeadOptions = PLAIN) -> nn.Module:
    """Return a network with its head, as deployed, in evaluation mode; see `export_module`.

    Raises:
        ConfigError: model, weights and size do not fit the network.
    """
    check_fit(model, network, size)
    exporter = exporter_of(model.task)
    for field, flag in FLAGS.items():
        if getattr(options, field) != getattr(PLAIN, field) and field not in exporter.options:
            raise ConfigError(f'{flag}: is not for {model.task}, the task of {model.path}. Leave it out.')
    return exporter.head(model, network, module, size, runtime, options).eval()


def to_onnx(module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str] = (), outputs: Sequence[str] = (),
            fold: bool = True) -> ModelProto:
    """Return a module as an ONNX graph of the example's size.

    Args:
        fold: whether to fold batch normalisation into convolutions.
    """
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder, 'graph.onnx')
        # The TorchScript exporter is deprecated; its successor writes opset 18 and needs another package.
        warnings.simplefilter('ignore', DeprecationWarning)
        # `simplify` computes the remaining constants.
        warnings.filterwarnings('ignore', '(?i).*constant folding')
        training = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(module, tuple(example), file, input_names=list(inputs), output_names=list(outputs),
                          opset_version=OPSET, dynamo=False, training=training)
        graph = onnx.load(str(file))
    graph.ir_version = min(graph.ir_version, IR_VERSION)
    return graph


def check_fit(model: Model, network: Network, size: Size) -> None:
    """Refuse a network of another task or number of channels than the model, and a size that it cannot take.

    Raises:
        ConfigError: one of these.
    """
    channels = model.input.mean.size
    if (network.task, network.channels) != (model.task, channels):
        raise ConfigError(f'{model.path}: got task {model.task} with {channels} channels, but {network.module} is for '
                          f'{network.task} with {network.channels}. Choose another with --network.')
    if min(size) < network.multiple or any(side % network.multiple for side in size):
        raise ConfigError(f'size: got {size[0]}x{size[1]}, expected multiples of {network.multiple} for '
                          f'{network.module}, e.g. {network.size[0]}x{network.size[1]}.')


def _example(network: Network, count: int, size: Size) -> list[np.ndarray]:
    # Soft blobs that move by a few pixels: on white noise no network is certain of anything.
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 2, width // 8 + 2, network.channels), np.uint8)
    image = cv2.resize(noise, (width + 16, height + 16), interpolation=cv2.INTER_CUBIC)
    image = image.reshape(height + 16, width + 16, network.channels)
    return [image[None, :height, 3 * number:3 * number + width].copy() for number in range(count)]


def _compare(file: str, head: nn.Module, example: Sequence[Tensor], model: Model) -> Difference:
    session = ort.InferenceSession(file, providers=['CPUExecutionProvider'])
    feeds = {name: tensor.numpy() for name, tensor in zip(model.input.names, example, strict=True)}
    got = [np.asarray(array) for array in session.run(None, feeds)]
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in head(*example)]
    difference = exporter_of(model.task).difference(got, expected)
    if not difference.is_rounding:
        raise PerceptionError(f'{model.name}: ONNX Runtime {ort.__version__} and torch {torch.__version__} differ: '
                              f'{difference.text}; expected at most {dict(difference.limits)}. Try the torch version '
                              'of pyproject.toml.')
    return difference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help=f'one of {", ".join(model_names())}, or the path of a model YAML; with random '
                                      f'weights one of {", ".join(NETWORKS)}')
    parser.add_argument('--weights', required=True, metavar='FILE|random[:SEED]',
                        help='published weights: .pth or .npz; or random ones, to measure speed')
    parser.add_argument('--output', type=Path, required=True, metavar='FILE', help='the .onnx to write')
    add_size(parser, "of the network's image, px (default: {})".format(', '.join(
        f'{name} {network.size[0]} {network.size[1]}' for name, network in NETWORKS.items())))
    parser.add_argument('--for', dest='runtime', choices=RUNTIMES, default=RUNTIMES[0],
                        help='onnxruntime (default): bytes in and out; tensorrt: normalised float32 NCHW in, INT32 '
                             'labels out, operators of TensorRT 8.2')
    parser.add_argument('--head', choices=DECISIONS, default=DECISIONS[0],
                        help='of segmentation: labels at full resolution (default); labels at a quarter of it, '
                             'enlarged by nearest neighbour; or the scores themselves, for measurements')
    parser.add_argument('--calibration', type=Path, metavar='YAML',
                        help="of segmentation: what `calibrate` found, for the confidence (default: the softmax's own)")
    parser.add_argument('--upsample', choices=('network', 'input'), default='network',
                        help='size of the flow: that of the network (default), or of its input')
    parser.add_argument('--network', metavar='NAME[,OPTION=VALUE...]',
                        help=f"{', '.join(NETWORKS)}, and options of its load(), e.g. swiftnet,upsample=nearest "
                             "(default: the one the model's name begins with)")


def execute(args: argparse.Namespace) -> int:
    """Export, and report the graph's size and its difference from torch."""
    seed = seed_of(args.weights)
    if seed is None:
        model = load_model(args.model)
        network, options = parse_network(args.network) if args.network else (network_of(model.name), {})
        size = args.size or network.size
        head = HeadOptions(args.upsample == 'input', args.head, _calibration(args.calibration, model))
        difference = export(model, network, Path(args.weights), size, args.output, args.runtime, options, head)
    else:
        if args.network:
            raise ConfigError(f'--network {args.network}: got --weights {args.weights} as well. Give the network in '
                              f'place of the model: export {args.network} --weights {args.weights}')
        network, options = parse_network(args.model)
        size = args.size or network.size
        module = random_module(network, options, seed)
        with TemporaryDirectory() as folder:
            # No pipeline takes scores, so a YAML would be useless.
            beside = Path(folder, args.output.name) if args.head == 'logits' else args.output
            model = write_card(network, options, module, seed, beside, args.runtime)
            take_statistics(module, network, model)
        difference = export_module(model, network, module, {'weights': f'random numbers of seed {seed}'}, size,
                                   args.output, args.runtime, HeadOptions(args.upsample == 'input', args.head))
    graph = onnx.load(str(args.output))
    counts = cost(graph)
    print(f'{args.output}: {model.name} for {args.runtime} at {size[0]}x{size[1]}, '
          f'{args.output.stat().st_size / 1e6:.1f} MB; ONNX Runtime against torch: {difference.text}\n'
          f'{counts.parameters:,} parameters, {counts.gflops:.2f} GFLOPs, {counts.layers} layers; '
          f'{batch_norm_text(graph)}')
    return 0


def _calibration(path: Path | None, model: Model) -> Calibration | None:
    if path is None:
        return None
    if model.labels is None:
        raise ConfigError(f'--calibration {path}: got a model for {model.task}, expected one for segmentation. '
                          'Leave it out.')
    return read_calibration(path, [each.name for each in model.labels.classes])

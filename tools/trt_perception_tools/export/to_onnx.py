"""Export a network to ONNX: published weights, or random ones -> the static graph that an engine opens.

With --weights random[:SEED], MODEL is a network with its options, e.g. swiftnet,width=0.5, and a YAML that says so is
written beside the ONNX file: for measurements of speed.
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
from typing import Any, NamedTuple

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
from trt_perception.core.tasks import OPTICAL_FLOW, SEGMENTATION

from ..graphs.check import check, report
from ..graphs.cost import cost
from ..graphs.edit import IR_VERSION, OPSET
from ..graphs.runtimes import RUNTIMES, Runtime
from ..graphs.slim import batch_norm_text, simplify
from ..networks import NETWORKS, Network, network_of, parse_network
from ..networks.repvgg import merge
from ..networks.weights import read_weights
from .confidence import Calibration, read_calibration
from .heads import DECISIONS, Decision, FlowHead, SegmentationHead, network_inputs
from .random_network import random_module, seed_of, take_statistics, write_card

_CHECKED_FOR = '8.2'
"""The oldest TensorRT, whose operators all others have too."""
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
_TOLERANCE_PX = 1e-3
_TOLERANCE_LABELS = 1e-3
_TOLERANCE_CONFIDENCE = 2


class Difference(NamedTuple):
    """How far an exported graph is from its torch module, on one picture or pair."""

    labels: float = 0.0
    """Share of pixels with another label."""
    confidence: int = 0
    """Largest difference, of 255."""
    flow_px: float = 0.0
    """Largest difference, px of the network's input."""


def export(model: Model, network: Network, weights: Path, size: Size, output: Path, runtime: Runtime = 'onnxruntime',
           full_size_flow: bool = False, options: Mapping[str, Any] = _NO_OPTIONS,
           decision: Decision = 'labels', calibration: Calibration | None = None) -> Difference:
    """Write the network with the weights of a file as ONNX, and return how far it is from torch; see `export_module`.

    Args:
        options: of the network, as its `load` takes them.
    """
    _check_fit(model, network, size)
    module = network.load(read_weights(weights), str(weights), **options)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return export_module(model, network, module, {'weights': weights.name, 'weights_sha256': digest}, size, output,
                         runtime, full_size_flow, decision, calibration)


def export_module(model: Model, network: Network, module: nn.Module, source: Mapping[str, str], size: Size,
                  output: Path, runtime: Runtime = 'onnxruntime', full_size_flow: bool = False,
                  decision: Decision = 'labels', calibration: Calibration | None = None) -> Difference:
    """Write `output`, an ONNX file for a back-end of the runtime, and return how far it is from torch.

    The file appears when it is complete and has been checked, or not at all. RepVGG branches are merged, batch
    normalisation is folded, what can be computed once is computed.

    Args:
        source: where the weights come from; goes into the file's metadata.
        full_size_flow: the graph brings the flow to the size of its input.
        decision: of a segmentation graph, see SegmentationHead.
        calibration: of its confidence; None = the softmax's own.

    Raises:
        ConfigError: model, weights and size do not fit the network.
        PerceptionError: ONNX Runtime computes something else than torch, or TensorRT 8.2 lacks what the graph needs.
    """
    head = build_head(model, network, module, size, runtime, full_size_flow, decision, calibration)
    example = network_inputs(_example(network, len(model.input.names), size), model.input, runtime)
    names = [name for name in (model.output.labels, model.output.confidence, model.output.flow) if name]
    if decision == 'logits':
        names = ['logits']
    # The last word on what was merged and folded is the comparison with the network as it was trained.
    graph = simplify(to_onnx(merge(head), example, model.input.names, names))
    onnx.helper.set_model_props(graph, {'model': model.name, 'license': model.license, 'runtime': runtime, **source})
    onnx.checker.check_model(graph, full_check=True)
    if runtime == 'tensorrt':
        faults = [finding for finding in check(graph, _CHECKED_FOR) if finding.fault]
        if faults:
            raise PerceptionError(f'{model.name}: TensorRT {_CHECKED_FOR} cannot take the graph:\n{report(faults)}\n'
                                  'Express these parts of the network by other operators.')
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
               full_size_flow: bool = False, decision: Decision = 'labels',
               calibration: Calibration | None = None) -> nn.Module:
    """Return a network with what stands around it when it is deployed, in evaluation mode; see `export_module`.

    Raises:
        ConfigError: model, weights and size do not fit the network.
    """
    _check_fit(model, network, size)
    if full_size_flow and model.task != OPTICAL_FLOW:
        raise ConfigError(f'{model.path}: task: got {model.task}, but only flow can be brought to full size; labels '
                          'always have it. Leave --upsample out.')
    if decision != 'labels' and model.task == OPTICAL_FLOW:
        raise ConfigError(f'{model.path}: task: got {model.task}, but only segmentation decides. Leave --head out.')
    if decision == 'quarter' and not hasattr(module, 'quarter'):
        raise ConfigError(f'--head quarter: {network.module} has no scores at 1/4 of the picture. Export swiftnet.')
    if model.task == OPTICAL_FLOW:
        head: nn.Module = FlowHead(module, model.input, network.flow_px, size if full_size_flow else None, runtime)
    else:
        head = SegmentationHead(module, model.input, _count_classes(model, network, module),
                                model.output.confidence is not None, runtime, decision, calibration)
    return head.eval()


def to_onnx(module: nn.Module, example: Sequence[Tensor], inputs: Sequence[str] = (), outputs: Sequence[str] = (),
            fold: bool = True) -> ModelProto:
    """Return a module as an ONNX graph of the example's size.

    Args:
        fold: batch normalisation into convolutions; False = as the module has it.
    """
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder, 'graph.onnx')
        # The TorchScript exporter is deprecated; its successor writes opset 18 and needs another package.
        warnings.simplefilter('ignore', DeprecationWarning)
        # What it does not compute in advance, `simplify` does.
        warnings.filterwarnings('ignore', '(?i).*constant folding')
        training = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(module, tuple(example), file, input_names=list(inputs), output_names=list(outputs),
                          opset_version=OPSET, dynamo=False, training=training)
        graph = onnx.load(str(file))
    graph.ir_version = min(graph.ir_version, IR_VERSION)
    return graph


def _check_fit(model: Model, network: Network, size: Size) -> None:
    channels = model.input.mean.size
    if (network.task, network.channels) != (model.task, channels):
        raise ConfigError(f'{model.path}: got task {model.task} with {channels} channels, but {network.module} is for '
                          f'{network.task} with {network.channels}. Choose another with --network.')
    if min(size) < network.multiple or any(side % network.multiple for side in size):
        raise ConfigError(f'size: got {size[0]}x{size[1]}, expected multiples of {network.multiple} for '
                          f'{network.module}, e.g. {network.size[0]}x{network.size[1]}.')
    if model.output.flow_scale != 1:
        raise ConfigError(f'{model.path}: output: flow_scale: got {model.output.flow_scale}, expected 1: exported '
                          'graphs give pixels. Remove the field.')


def _count_classes(model: Model, network: Network, module: nn.Module) -> int:
    assert model.labels is not None
    ids = [each.id for each in model.labels.classes]
    with torch.no_grad():
        outputs = module(torch.zeros(1, network.channels, network.multiple, network.multiple)).shape[1]
    if ids != list(range(len(ids))) or len(ids) > outputs:
        raise ConfigError(f'{model.path}: labels: {model.labels.name} has the ids {ids}, expected 0, 1, 2 ... and at '
                          f'most {outputs} of them, the outputs of the network. Correct the label set.')
    return len(ids)


def _example(network: Network, count: int, size: Size) -> list[np.ndarray]:
    # Soft blobs that move by a few pixels: on white noise no network is sure of anything.
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 2, width // 8 + 2, network.channels), np.uint8)
    picture = cv2.resize(noise, (width + 16, height + 16), interpolation=cv2.INTER_CUBIC)
    picture = picture.reshape(height + 16, width + 16, network.channels)
    return [picture[None, :height, 3 * number:3 * number + width].copy() for number in range(count)]


def _compare(file: str, head: nn.Module, example: Sequence[Tensor], model: Model) -> Difference:
    session = ort.InferenceSession(file, providers=['CPUExecutionProvider'])
    feeds = {name: tensor.numpy() for name, tensor in zip(model.input.names, example, strict=True)}
    got = [np.asarray(array) for array in session.run(None, feeds)]
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in head(*example)]
    if model.task == SEGMENTATION and got[0].ndim == 4:
        difference = Difference(labels=float((got[0].argmax(1) != expected[0].argmax(1)).mean()))
    elif model.task == SEGMENTATION:
        confidence = np.abs(got[1].astype(int) - expected[1]).max() if len(got) > 1 else 0
        difference = Difference(labels=float((got[0] != expected[0]).mean()), confidence=int(confidence))
    else:
        difference = Difference(flow_px=float(np.abs(got[0] - expected[0]).max()))
    limit = Difference(_TOLERANCE_LABELS, _TOLERANCE_CONFIDENCE, _TOLERANCE_PX)
    if any(not value <= most for value, most in zip(difference, limit, strict=True)):
        raise PerceptionError(f'{model.name}: ONNX Runtime {ort.__version__} and torch {torch.__version__} differ by '
                              f'{difference}, expected at most {limit}. Try the torch version of pyproject.toml.')
    return difference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help=f'one of {", ".join(model_names())}, or the path of a model YAML; with random '
                                      f'weights one of {", ".join(NETWORKS)}')
    parser.add_argument('--weights', required=True, metavar='FILE|random[:SEED]',
                        help='published weights: .pth or .npz; or random ones, to measure speed')
    parser.add_argument('--output', type=Path, required=True, metavar='FILE', help='the .onnx to write')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'),
                        help="of the network's picture, px (default: {})".format(', '.join(
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
                        help='size of the flow: as the network gives it (default), or of its input')
    parser.add_argument('--network', metavar='NAME[,OPTION=VALUE...]',
                        help=f"{', '.join(NETWORKS)}, and options of its load(), e.g. swiftnet,upsample=nearest "
                             "(default: the one the model's name begins with)")


def execute(args: argparse.Namespace) -> int:
    """Export, and say what became of the network and how close the graph is to torch."""
    seed = seed_of(args.weights)
    if seed is None:
        model = load_model(args.model)
        network, options = parse_network(args.network) if args.network else (network_of(model.name), {})
        size = tuple(args.size) if args.size else network.size
        difference = export(model, network, Path(args.weights), size, args.output, args.runtime,
                            args.upsample == 'input', options, args.head, _calibration(args.calibration, model))
    else:
        if args.network:
            raise ConfigError(f'--network {args.network}: got --weights {args.weights} as well. Give the network in '
                              f'place of the model: export {args.network} --weights {args.weights}')
        network, options = parse_network(args.model)
        size = tuple(args.size) if args.size else network.size
        module = random_module(network, options, seed)
        with TemporaryDirectory() as folder:
            # No pipeline takes scores: a YAML of them would be of no use.
            beside = Path(folder, args.output.name) if args.head == 'logits' else args.output
            model = write_card(network, options, module, seed, beside, args.runtime)
            take_statistics(module, network, model)
        difference = export_module(model, network, module, {'weights': f'random numbers of seed {seed}'}, size,
                                   args.output, args.runtime, args.upsample == 'input', args.head)
    if model.task == SEGMENTATION:
        text = f'{difference.labels:.4%} of the labels differ, confidence by at most {difference.confidence} of 255'
    else:
        text = f'flow differs by at most {difference.flow_px:.1e} px'
    graph = onnx.load(str(args.output))
    counts = cost(graph)
    print(f'{args.output}: {model.name} for {args.runtime} at {size[0]}x{size[1]}, '
          f'{args.output.stat().st_size / 1e6:.1f} MB; ONNX Runtime against torch: {text}\n'
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

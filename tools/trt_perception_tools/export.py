"""Export a network to ONNX: published weights -> the static graph that an engine opens."""
from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from trt_perception.core.errors import ConfigError, PerceptionError
from trt_perception.core.image import Size
from trt_perception.core.model import OPTICAL_FLOW, SEGMENTATION, Model, load_model, model_names

from .heads import FlowHead, SegmentationHead
from .networks import NETWORKS, Network, network_of
from .weights import read_weights

OPSET = 13
"""The newest that TensorRT 8.2 reads."""
_IR_VERSION = 8
"""The newest that ONNX Runtime 1.10 (Python 3.6) reads."""
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


def export(model: Model, network: Network, weights: Path, size: Size, output: Path) -> Difference:
    """Write `output`, an ONNX file for CPU runtimes, and return how far it is from torch.

    The file appears when it is complete and has been checked, or not at all.

    Raises:
        ConfigError: model, weights and size do not fit the network.
        PerceptionError: ONNX Runtime computes something else than torch.
    """
    head = _build_head(model, network, weights, size)
    example = _example(network, len(model.input.names), size)
    names = [name for name in (model.output.labels, model.output.confidence, model.output.flow) if name]
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp('.onnx', output.stem, output.parent)
    os.close(handle)
    try:
        with warnings.catch_warnings():
            # The TorchScript exporter is deprecated; its successor writes opset 18 and needs another package.
            warnings.simplefilter('ignore', DeprecationWarning)
            torch.onnx.export(head, example, unfinished, input_names=list(model.input.names), output_names=names,
                              opset_version=OPSET, dynamo=False)
        graph = onnx.load(unfinished)
        graph.ir_version = min(graph.ir_version, _IR_VERSION)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        onnx.helper.set_model_props(graph, {
            'model': model.name, 'license': model.license, 'weights': weights.name, 'weights_sha256': digest})
        onnx.checker.check_model(graph, full_check=True)
        onnx.save(graph, unfinished)
        difference = _compare(unfinished, head, example, model)
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, output)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return difference


def _build_head(model: Model, network: Network, weights: Path, size: Size) -> nn.Module:
    channels = model.input.mean.size
    if (network.task, network.channels) != (model.task, channels):
        raise ConfigError(f'{model.path}: got task {model.task} with {channels} channels, but {network.module} is for '
                          f'{network.task} with {network.channels}. Choose another with --network.')
    if min(size) < network.multiple or any(side % network.multiple for side in size):
        raise ConfigError(f'size: got {size[0]}x{size[1]}, expected multiples of {network.multiple} for '
                          f'{network.module}, e.g. {network.size[0]}x{network.size[1]}.')
    module = network.load(read_weights(weights), str(weights))
    if model.task == OPTICAL_FLOW:
        if model.output.flow_scale != 1:
            raise ConfigError(f'{model.path}: output: flow_scale: got {model.output.flow_scale}, expected 1: exported '
                              'graphs give pixels. Remove the field.')
        return FlowHead(module, model.input).eval()
    assert model.labels is not None
    ids = [each.id for each in model.labels.classes]
    with torch.no_grad():
        outputs = module(torch.zeros(1, channels, network.multiple, network.multiple)).shape[1]
    if ids != list(range(len(ids))) or len(ids) > outputs:
        raise ConfigError(f'{model.path}: labels: {model.labels.name} has the ids {ids}, expected 0, 1, 2 ... and at '
                          f'most {outputs} of them, the outputs of {weights}. Correct the label set.')
    return SegmentationHead(module, model.input, len(ids), confidence=model.output.confidence is not None).eval()


def _example(network: Network, count: int, size: Size) -> tuple[Tensor, ...]:
    # Soft blobs that move by a few pixels: on white noise no network is sure of anything.
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 2, width // 8 + 2, network.channels), np.uint8)
    picture = cv2.resize(noise, (width + 16, height + 16), interpolation=cv2.INTER_CUBIC)
    picture = picture.reshape(height + 16, width + 16, network.channels)
    return tuple(torch.from_numpy(picture[None, :height, 3 * number:3 * number + width].copy())
                 for number in range(count))


def _compare(file: str, head: nn.Module, example: Sequence[Tensor], model: Model) -> Difference:
    session = ort.InferenceSession(file, providers=['CPUExecutionProvider'])
    feeds = {name: tensor.numpy() for name, tensor in zip(model.input.names, example, strict=True)}
    got = [np.asarray(array) for array in session.run(None, feeds)]
    with torch.no_grad():
        expected = [tensor.numpy() for tensor in head(*example)]
    if model.task == SEGMENTATION:
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
    parser.add_argument('model', help=f'one of {", ".join(model_names())}, or the path of a model YAML')
    parser.add_argument('--weights', type=Path, required=True, metavar='FILE', help='published weights: .pth or .npz')
    parser.add_argument('--output', type=Path, required=True, metavar='FILE', help='the .onnx to write')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'),
                        help="of the network's picture, px (default: {})".format(', '.join(
                            f'{name} {network.size[0]} {network.size[1]}' for name, network in NETWORKS.items())))
    parser.add_argument('--network', choices=list(NETWORKS), help="default: the one the model's name begins with")


def execute(args: argparse.Namespace) -> int:
    """Export, and say how close the graph is to torch."""
    model = load_model(args.model)
    network = NETWORKS[args.network] if args.network else network_of(model.name)
    size = tuple(args.size) if args.size else network.size
    difference = export(model, network, args.weights, size, args.output)
    if model.task == SEGMENTATION:
        text = f'{difference.labels:.4%} of the labels differ, confidence by at most {difference.confidence} of 255'
    else:
        text = f'flow differs by at most {difference.flow_px:.1e} px'
    print(f'{args.output}: {model.name} at {size[0]}x{size[1]}, {args.output.stat().st_size / 1e6:.1f} MB; '
          f'ONNX Runtime against torch: {text}')
    return 0

"""The bench of the runtime, with PyTorch as a further contender: the eager module in the same pipeline.

    trt_perception_tools bench swiftnet_camvid --torch out/train/swiftnet_camvid/best.pt --threads 2

All other options are those of `trt_perception bench`.
"""
from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trt_perception.bench.contender import Contender, PipelineContender
from trt_perception.cli import bench
from trt_perception.core.data import TensorSpec
from trt_perception.core.engine import Engine, Specs
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import Size
from trt_perception.core.model import Model, load_model
from trt_perception.engines import EngineOptions

from ..export.random_network import random_module, seed_of, take_statistics
from ..export.to_onnx import build_head, check_fit
from ..networks import network_of, parse_network
from ..networks.weights import read_weights


class TorchEngine(Engine):
    """A module in eager execution on the CPU, fed as an engine: float32 NCHW, normalised by the runtime."""

    backend = 'torch'
    runtime = 'PyTorch'
    version = torch.__version__

    def __init__(self, model: Model, head: nn.Module, size: Size, file: str) -> None:
        self._head = head.eval()
        self._size = size
        super().__init__(model, file, 'fp32')

    def _open(self) -> Specs:
        model, head, size = self.model, self._head, self._size
        channels = model.input.mean.size
        inputs = [TensorSpec(name, (1, channels, *size), np.dtype(np.float32)) for name in model.input.names]
        with torch.inference_mode():
            results = head(*(torch.zeros(spec.shape) for spec in inputs))
        # Integers become bytes: TensorRT's engine, for which this head is made, converts them, too.
        outputs = [TensorSpec(name, tuple(tensor.shape),
                              np.dtype(np.float32 if tensor.is_floating_point() else np.uint8))
                   for name, tensor in zip(model.output.names.values(), results, strict=True)]
        return inputs, outputs

    def _infer(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            results = self._head(*(torch.from_numpy(tensor) for tensor in self._tensors.values()))
        return {spec.name: tensor.numpy().astype(spec.dtype, copy=False)
                for spec, tensor in zip(self.outputs, results, strict=True)}


def open_torch(model: Model, weights: str, network_text: str | None, size: Size, threads: int) -> PipelineContender:
    """Open the pipeline of a model on its torch module.

    Args:
        weights: a file, or random[:SEED] as for `export`.
        network_text: name and options; None = by the model's name.
        size: of its image, px.

    Raises:
        ConfigError: model, weights and network do not fit.
    """
    network, options = parse_network(network_text) if network_text else (network_of(model.name), {})
    check_fit(model, network, size)
    seed = seed_of(weights)
    if seed is None:
        module = network.load(read_weights(Path(weights)), weights, **options)
    else:
        module = random_module(network, options, seed)
        take_statistics(module, network, model)
    head = build_head(model, network, module, size, 'tensorrt')
    torch.set_num_threads(EngineOptions(num_threads=threads).threads)
    return PipelineContender(model, TorchEngine(model, head, size, weights), threads)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    bench.add_arguments(parser)
    torch_options = parser.add_argument_group('PyTorch')
    torch_options.add_argument('--torch', metavar='FILE|random[:SEED]',
                               help="one more contender: the first model's network in PyTorch, with these weights")
    torch_options.add_argument('--network', metavar='NAME[,OPTION=VALUE...]',
                               help="as for export (default: the one the model's name begins with)")


def execute(args: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    if not args.torch:
        return bench.execute(args)
    if args.node:
        raise ConfigError('--torch: got --node as well, but no node runs PyTorch. Leave one of them out.')

    def open_beside(first: Contender) -> Contender:
        assert isinstance(first, PipelineContender)
        return open_torch(load_model(args.models[0]), args.torch, args.network, first.engine.input_size, args.threads)
    return bench.execute(args, [open_beside], 'trt_perception_tools bench')

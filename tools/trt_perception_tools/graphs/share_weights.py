"""Move the common weights of several ONNX files to one file next to them.

A network has a graph for the CPU and one for TensorRT (see export/heads.py), with the same weights. They are stored
once as ONNX external data, which ONNX Runtime and TensorRT's parser read by themselves.
    trt_perception_tools share-weights models/a.onnx models/a.tensorrt.onnx --weights models/a.weights
"""
from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from onnx import TensorProto
from onnx.external_data_helper import set_external_data

from trt_perception.core.errors import ConfigError

from .read import read_graph

_SMALLEST = 1024
"""Smallest shared tensor, bytes; smaller ones stay in the graph, so that shapes and constants are in one file."""
_ALIGNMENT = 64
"""Alignment of tensors in the file for vector instructions, bytes."""


def share_weights(files: Sequence[Path], weights: Path) -> int:
    """Rewrite ONNX files so that their large tensors are in `weights`, each content once; return its bytes.

    Every file is complete before or after; they are replaced after the weights have been written.

    Raises:
        ConfigError: a file is not an ONNX file, or not in the folder of `weights`, which it could not find then.
    """
    for file in files:
        if file.resolve().parent != weights.resolve().parent:
            raise ConfigError(f'{file}: expected in the folder of {weights}: ONNX files find shared weights only '
                              'beside or below themselves. Put them together.')
    graphs = [read_graph(file) for file in files]
    places: dict[bytes, int] = {}
    data = bytearray()
    for graph in graphs:
        for tensor in graph.graph.initializer:
            content = _content(tensor)
            if len(content) < _SMALLEST:
                continue
            if content not in places:
                data.extend(bytes(-len(data) % _ALIGNMENT))
                places[content] = len(data)
                data.extend(content)
            set_external_data(tensor, weights.name, places[content], len(content))
            tensor.ClearField('raw_data')
    _write(weights, bytes(data))
    for file, graph in zip(files, graphs, strict=True):
        _write(file, graph.SerializeToString())
    return len(data)


def _content(tensor: TensorProto) -> bytes:
    # Typed fields have the few values that graph editors write by hand; they stay.
    return bytes(tensor.raw_data) if tensor.HasField('raw_data') else b''


def _write(file: Path, content: bytes) -> None:
    with NamedTemporaryFile(dir=file.parent, prefix=file.name, delete=False) as unfinished:
        unfinished.write(content)
    os.chmod(unfinished.name, 0o644)
    os.replace(unfinished.name, file)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('files', type=Path, nargs='+', metavar='ONNX', help='files to rewrite')
    parser.add_argument('--weights', type=Path, required=True, metavar='FILE', help='the file to write, beside them')


def execute(args: argparse.Namespace) -> int:
    """Share the weights and print the sizes."""
    before = sum(file.stat().st_size for file in args.files if file.is_file())
    size = share_weights(args.files, args.weights)
    after = size + sum(file.stat().st_size for file in args.files)
    for file in [*args.files, args.weights]:
        print(f'{file}: {file.stat().st_size / 1e6:.2f} MB')
    print(f'{before / 1e6:.2f} MB -> {after / 1e6:.2f} MB')
    return 0

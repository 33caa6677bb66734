"""Store the result of a network for an image, with which TensorRT engines are compared.

Writes NETWORK.golden.npz next to the network for TensorRT, where `trt_perception build-engine` looks for it:
    trt_perception_tools golden swiftnet_camvid street.png
    trt_perception_tools golden tinypwc first.png second.png
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from trt_perception.core.compressed import decode_compressed
from trt_perception.core.errors import ConfigError, FrameError
from trt_perception.core.model import load_model
from trt_perception.engines.tensorrt import golden


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help='a name in config/models, or the path of a YAML')
    parser.add_argument('images', nargs='+', type=Path,
                        help='PNG or JPEG with many classes or much motion: one, or for flow two successive ones')
    parser.add_argument('--output', type=Path, help='default: next to the network')


def execute(args: argparse.Namespace) -> int:
    """Write the golden frame."""
    model = load_model(args.model)
    names = model.input.names
    if len(args.images) != len(names):
        raise ConfigError(f'{model.path}: got {len(args.images)} images, expected {len(names)}: '
                          f'{", ".join(names)}.')
    frames = []
    for path in args.images:
        try:
            frames.append(decode_compressed(np.fromfile(path, np.uint8), 0, ''))
        except (OSError, FrameError) as error:
            raise ConfigError(f'{path}: {error}') from error
    network = model.network_file('tensorrt', 'fp32')
    found = golden.reference(model, network, frames)
    output = args.output or Path(golden.golden_path(network))
    golden.write(str(output), found)
    print(f'{output}: {output.stat().st_size / 1000:.0f} kB')
    return 0

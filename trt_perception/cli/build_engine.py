"""Build the TensorRT engine of a model now, so that the first start of a node does not have to.

Takes minutes. The engine is stored in the cache; an engine that is already there is not built again:
    trt_perception build-engine swiftnet_camvid --precision fp16
"""
import argparse
import os
import shutil
import sys

from ..core.errors import ConfigError
from ..core.model import PRECISIONS, load_model
from ..engines import EngineOptions, prepare_engine
from .progress import ProgressLine

_QUIET_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help='a name in config/models, or the path of a YAML')
    parser.add_argument('--precision', choices=PRECISIONS, default='', help='default: fp16')
    parser.add_argument('--cache-dir', metavar='FOLDER', default='',
                        help='folder of the engines (default: ~/.cache/trt_perception)')
    parser.add_argument('--force', action='store_true', help='rebuild even if the engine is in the cache')
    parser.add_argument('--max-workspace-size', type=int, default=0, metavar='BYTES',
                        help="largest workspace of the layers; 0 (default) = TensorRT's default")
    parser.add_argument('--workspace', type=int, metavar='MB', help=argparse.SUPPRESS)  # The former name.
    parser.add_argument('--dla-core', type=int, default=-1, metavar='N',
                        help='deep-learning accelerator of a Xavier or Orin (default: -1, the GPU)')
    parser.add_argument('--gpu-id', type=int, default=0, metavar='N', help='CUDA device (default: 0)')
    parser.add_argument('--calibration', metavar='FOLDER', default='',
                        help='some hundred typical images, for int8 from the fp32 network (up to TensorRT 10)')
    parser.add_argument('--output', metavar='FILE', help='also copy the engine to this file')


def execute(args: argparse.Namespace) -> int:
    """Build the engine, and report the result."""
    workspace_bytes = args.max_workspace_size
    if args.workspace is not None:
        print('warning: --workspace MB has a new name and unit: --max-workspace-size BYTES.', file=sys.stderr)
        workspace_bytes = args.workspace * 2**20
    if workspace_bytes < 0:
        raise ConfigError('--max-workspace-size: got {}, expected bytes, or 0.'.format(workspace_bytes))
    model = load_model(args.model)
    options = EngineOptions('tensorrt', args.precision, cache_dir=args.cache_dir, rebuild=args.force,
                            workspace_bytes=workspace_bytes, dla_core=args.dla_core, gpu_id=args.gpu_id)
    line = ProgressLine(_QUIET_S)
    try:
        built = prepare_engine(model, options, line.show, args.calibration)
    finally:
        line.end()
    assert built is not None  # TensorRT's are always built.
    if built.warning:
        print('warning: ' + built.warning, file=sys.stderr)
    print(built.summary)
    print(built.path)
    if args.output:
        shutil.copyfile(built.path, args.output + '.part')
        os.replace(args.output + '.part', args.output)
    return 0

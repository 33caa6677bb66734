"""Finds a model's TensorRT engine: a ready file, one from the cache, or a new one, built in a child process."""
import os

import tensorrt as trt

from ...core.errors import ConfigError, EngineError
from ...core.model import Model
from ...core.network_files import check_network_files, network_sha256
from ..backends import BuiltEngine, EngineOptions, Progress
from . import child_process
from .cache import EngineCache, EngineKey
from .cuda import GpuInfo, gpu_info

READY = ('.engine', '.plan')
"""Suffixes of files that are engines already."""

# Increase it when a change of build.py changes the engines of the same networks.
_RULES = 1

MEMORY_ADVICE = 'Close other programs, add swap, or lower max_workspace_size.'

FLAGS = {'fp32': (), 'fp16': ('FP16',), 'bf16': ('BF16',), 'int8': ('INT8', 'FP16')}
"""Builder flags of a precision if the builder chooses types: TensorRT up to 10."""


def engine_file(model: Model, precision: str, options: EngineOptions, progress: Progress = lambda text: None,
                calibration: str = '') -> BuiltEngine:
    """Return the engine of a model: the model's own, one from the cache, or a new one, which takes minutes.

    Args:
        progress: an exception of it ends the build.
        calibration: folder of images to recalibrate INT8 with.

    Raises:
        ConfigError: there is no network for this precision, or this GPU or TensorRT does not support it.
        EngineError: the build failed, or its result is wrong.
    """
    network = network_of(model, precision)
    if network.endswith(READY):
        return BuiltEngine(network, precision, '{}: ready-made, used as it is'.format(network))
    check_network_files(model, network)
    key = key_of(model, precision, gpu_info(options.gpu_id), options)
    cache = EngineCache(options.cache_dir)
    built = None if options.rebuild or calibration else cache.find(key)
    if built is None:
        request = {'model': os.path.abspath(model.path), 'precision': precision, 'options': options._asdict(),
                   'calibration': calibration}
        child_process.run(__package__ + '.build', request, 'building {} {}'.format(model.name, precision),
                          progress, MEMORY_ADVICE)
        built = cache.find(key)
    if built is None:
        raise EngineError('{}: no {} engine, although it was just built. Is something else writing to that '
                          'folder?'.format(cache.path(key.stem), precision))
    return built


def network_of(model: Model, precision: str) -> str:
    """Return the network file for a precision, or the ready engine.

    Raises:
        ConfigError: there is none.
    """
    listed = model.networks('tensorrt')
    if weakly_typed() and not all(hasattr(trt.BuilderFlag, flag) for flag in FLAGS[precision]):
        raise ConfigError('{}: precision: {} was asked for, but TensorRT {} has no {}. Choose another '
                          'precision.'.format(model.path, precision, trt.__version__, precision.upper()))
    if precision in listed or 'fp32' not in listed or listed['fp32'].endswith(READY):
        return model.network_file('tensorrt', precision)
    if not weakly_typed():
        raise ConfigError('{}: files.tensorrt: no {} network, and TensorRT {} makes none from the fp32 one: its '
                          'networks are strongly typed only. Make one with `trt_perception_tools quantize`, or choose '
                          'another precision.'.format(model.path, precision, trt.__version__))
    return model.network_file('tensorrt', 'fp32')


def key_of(model: Model, precision: str, gpu: GpuInfo, options: EngineOptions) -> EngineKey:
    """Return the key of a model's engine."""
    return EngineKey(model.name, precision, network_sha256(network_of(model, precision)), trt.__version__,
                     '{}, sm_{}{}'.format(gpu.name, *gpu.capability), options.workspace_bytes, options.dla_core,
                     ', '.join(model.keep_fp32), _RULES)


def weakly_typed() -> bool:
    """Whether the builder chooses types by flags: TensorRT up to 10."""
    return hasattr(trt.BuilderFlag, 'FP16')

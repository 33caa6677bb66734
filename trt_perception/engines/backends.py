"""The table of back-ends and their options; prepares and opens engines.

A back-end is a module, imported only when it is chosen.
"""
import glob
import importlib
import importlib.util
import math
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ..core.board import has_int8_dot_product
from ..core.engine import Engine
from ..core.errors import ConfigError, did_you_mean
from ..core.image import FrameDecoder
from ..core.model import ONNX, PRECISIONS, Model, load_model
from ..core.tasks import find_task

AUTO = 'auto'

Progress = Callable[[str], None]
"""Called five times per second with the progress of a build, one line. An exception of it ends the build."""


class BuiltEngine(NamedTuple):
    """An engine file that can be opened."""

    path: str
    precision: str
    """Precision as built; if it is not the requested one, there is a warning."""
    summary: str
    """What was requested and what was built, one line."""
    warning: str = ''
    """Why this is not the requested engine."""


class Backend(NamedTuple):
    """One entry of the table of inference runtimes."""

    module: str
    """Module of this package."""
    opener: str
    """Name in `module` of the subclass of Engine, which is called with (model, precision, options, decoder). With a
    `builder`: name of a function that takes `built` as well, like `open_engine` here."""
    packages: Tuple[str, ...]
    """Python packages that must be importable; 'a|b' = one of the two."""
    precision: str
    """Default, unless `int8_on_cpu` applies."""
    automatic: bool = False
    """Whether `auto` may choose it."""
    gpu: bool = False
    """Whether it needs an NVIDIA GPU, without which `auto` skips it."""
    builder: str = ''
    """Module of this package whose `engine_file(model, precision, options, progress, calibration)` returns, in
    minutes, a BuiltEngine; '' = its engines are not built."""
    int8_on_cpu: bool = False
    """Whether INT8 is the default on CPUs that are faster with it, for models that lose little accuracy; then `module`
    has a function `runs_int8()`."""
    format: str = ONNX
    """Entry of a model's `files` that it opens if the model has none for this back-end; '' = none."""

    @property
    def missing(self) -> str:
        """The first of `packages` that is not installed, or ''."""
        for package in self.packages:
            if not any(_installed(name) for name in package.split('|')):
                return package.replace('|', ' or ')
        return ''


# In the order in which `auto` tries them.
BACKENDS: Dict[str, Backend] = {
    'tensorrt': Backend('tensorrt.engine', 'open_engine', ('tensorrt', 'pycuda'), 'fp16', automatic=True,
                        gpu=True, builder='tensorrt.file'),
    'opencv': Backend('opencv_engine', 'OpenCvEngine', ('cv2',), 'fp32', automatic=True, format=''),
    'onnxruntime': Backend('onnxruntime_engine', 'OnnxRuntimeEngine', ('onnxruntime',), 'fp32', automatic=True,
                           int8_on_cpu=True),
    'openvino': Backend('openvino_engine', 'OpenVinoEngine', ('openvino',), 'fp32'),
    'tflite': Backend('tflite_engine', 'TfliteEngine', ('ai_edge_litert|tflite_runtime',), 'fp32', format=''),
}

ACCEPTED_LOSS = 0.5
"""Largest `precision_loss` in a model's YAML, in points, with which INT8 is the default on a CPU."""

# Device files of the NVIDIA driver on PCs, on Jetsons, and in WSL 2.
_GPU_FILES = ('/dev/nvidia[0-9]*', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg')


class EngineOptions(NamedTuple):
    """How to open an engine; a back-end ignores options for others."""

    backend: str = AUTO
    """A key of BACKENDS, or 'auto': the first automatic one that is installed and for which the model has a file."""
    precision: str = ''
    """One of PRECISIONS, or '' for the default of back-end, model and CPU."""
    num_threads: int = 0
    """CPU threads per engine; 0 = all cores."""
    cache_dir: str = ''
    """Folder of built engines; '' = ~/.cache/trt_perception."""
    rebuild: bool = False
    """Rebuild even if a built engine is in the cache."""
    workspace_bytes: int = 0
    """Largest workspace of a TensorRT engine's layers, bytes; 0 = TensorRT's default."""
    dla_core: int = -1
    """Deep-learning accelerator of a Xavier or Orin; -1 = the GPU."""
    gpu_id: int = 0
    """CUDA device."""
    profile: bool = False
    """Whether the engine measures its own stages (see Engine.stage_ms)."""

    @property
    def threads(self) -> int:
        """CPU threads to start, 0 replaced by the cores of this process, which containers and taskset limit."""
        return self.num_threads or len(os.sched_getaffinity(0))


DEFAULT_OPTIONS = EngineOptions()


def available_backends() -> List[str]:
    """Return the names of the available back-ends, in the order of preference."""
    return [name for name, backend in BACKENDS.items()
            if not backend.missing and (not backend.gpu or _has_nvidia_gpu())]


def resolve(model: Model, options: EngineOptions) -> Tuple[str, str]:
    """Return the back-end and the precision that `options` request.

    Raises:
        ConfigError: unknown name, or the back-end's package is not installed.
    """
    name = options.backend
    if name == AUTO:
        automatic = [each for each in BACKENDS if BACKENDS[each].automatic]
        usable = [each for each in available_backends() if each in automatic]
        fitting = [each for each in automatic if model.networks(each, BACKENDS[each].format)]
        chosen = [each for each in usable if each in fitting]
        if not usable or (fitting and not chosen):
            raise ConfigError('engine: auto found none of {}. Install one: pip install onnxruntime'.format(
                ', '.join(fitting or automatic)))
        # Without a file for any of them, the first one reports what the model lacks.
        name = (chosen or usable)[0]
    if name not in BACKENDS:
        raise ConfigError('engine: got {!r}, expected one of {}{}'.format(
            name, ', '.join([AUTO] + list(BACKENDS)), did_you_mean(name, BACKENDS)))
    missing = BACKENDS[name].missing
    if missing:
        raise ConfigError('engine: {} was asked for, but the Python package {} is not installed here. Install it, or '
                          'set engine: auto.'.format(name, missing))
    precision = options.precision or _default_precision(name, model)
    if precision not in PRECISIONS:
        raise ConfigError('precision: got {!r}, expected one of {}.'.format(precision, ', '.join(PRECISIONS)))
    return name, precision


def _default_precision(name: str, model: Model) -> str:
    backend = BACKENDS[name]
    accepted = 'int8' in model.networks(name, backend.format) \
        and model.precision_loss.get('int8', math.inf) <= ACCEPTED_LOSS
    if backend.int8_on_cpu and accepted and has_int8_dot_product() and _imported(name, backend.module).runs_int8():
        return 'int8'
    return backend.precision


def default_model(task: str, backend: str = AUTO) -> Model:
    """Return the default model of a task: one for the first back-end that has one.

    Args:
        backend: the only one to consider; AUTO = those that `auto` may choose here, in their order.

    Raises:
        ConfigError: there is no such task, it has no default, or the YAML of its models is wrong.
    """
    models = [load_model(name) for name in find_task(task).default_models]
    if not models:
        raise ConfigError("parameter {}.model: got '', expected a name in config/models, or the path of a YAML.".format(
            task))
    names = [each for each in available_backends() if BACKENDS[each].automatic] if backend == AUTO else [backend]
    for name in names:
        for model in models:
            if name in BACKENDS and model.networks(name, BACKENDS[name].format):
                return model
    return models[0]  # `resolve` reports what is wrong with it.


def prepare_engine(model: Model, options: EngineOptions, progress: Progress, calibration: str = ''
                   ) -> Optional[BuiltEngine]:
    """Build the engine file for `open_engine`, unless it exists already; in any thread.

    Args:
        progress: called during a build; an exception of it ends the build.
        calibration: folder of images to recalibrate INT8 with.

    Returns:
        The engine file for `open_engine`; None for back-ends that open the model's file directly.

    Raises:
        ConfigError, EngineError: as `open_engine`.
    """
    name, precision = resolve(model, options)
    if not BACKENDS[name].builder:
        return None
    built: BuiltEngine = _imported(name, BACKENDS[name].builder).engine_file(model, precision, options, progress,
                                                                            calibration)
    return built


def open_engine(model: Model, options: EngineOptions = DEFAULT_OPTIONS, decoder: Optional[FrameDecoder] = None,
                built: Optional[BuiltEngine] = None) -> Engine:
    """Open a model's network and run it once to warm up.

    Args:
        decoder: share one between engines that take the same frames.
        built: the result of `prepare_engine` for the same model and options; None = prepare it now, without progress.

    Raises:
        ConfigError: back-end, precision or network file is unavailable.
        EngineError: the file is not a network, or does not agree with the model.
    """
    name, precision = resolve(model, options)
    backend = BACKENDS[name]
    opener = getattr(_imported(name, backend.module), backend.opener)
    engine: Engine = opener(model, precision, options, decoder, *[built] if backend.builder else [])
    engine.infer()
    return engine


def _imported(name: str, module: str) -> Any:
    try:
        return importlib.import_module('.' + module, __package__)
    except ImportError as error:  # E.g. the Python package without its library.
        raise ConfigError('engine: {}: its Python packages are installed, but cannot be imported: {}. Repair them, or '
                          'choose another engine.'.format(name, error)) from error


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _has_nvidia_gpu() -> bool:
    return any(glob.glob(pattern) for pattern in _GPU_FILES)

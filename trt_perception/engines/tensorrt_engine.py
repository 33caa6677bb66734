"""Serialized TensorRT engines on the GPU: TensorRT 7.1 (tensors by index) to 11 (by name).

Per frame only the camera's bytes go up, and only labels or flow come down: the rest is done by kernels.
"""
import abc
import logging
import os
import re
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Tuple, Type

import numpy as np
import tensorrt as trt

from ..core.data import Frame, TensorSpec
from ..core.engine import Engine
from ..core.errors import ConfigError, EngineError
from ..core.image import FrameDecoder, Size, frame_from_picture
from ..core.model import Model, ModelOutput
from . import DEFAULT_OPTIONS, EngineOptions, kernels, tensorrt_build
from .cuda import Gpu, Staging
from .engine_cache import EngineCache

_log = logging.getLogger(__name__)

# Not trt.nptype, which needs the np.bool that numpy 1.24 took away. UINT8 came with TensorRT 8.5, INT64 with 10.
_DTYPES = {getattr(trt.DataType, name): np.dtype(dtype) for name, dtype in {
    'FLOAT': np.float32, 'HALF': np.float16, 'INT8': np.int8, 'INT32': np.int32, 'BOOL': np.bool_, 'UINT8': np.uint8,
    'INT64': np.int64}.items() if hasattr(trt.DataType, name)}


class UnreadableEngineError(EngineError):
    """The file is no engine for this TensorRT and this GPU: a new build helps."""


def open_engine(model: Model, precision: str, options: EngineOptions, decoder: Optional[FrameDecoder]) -> Engine:
    """Open the model's engine, built now if it is not in the cache; see `engines.open_engine`."""
    built = tensorrt_build.engine_file(model, precision, options)
    try:
        return TensorRTEngine(model, built.path, built.precision, options, decoder)
    except UnreadableEngineError as error:
        if options.rebuild or built.path == tensorrt_build.network_of(model, precision):
            raise  # It is new, or not ours.
        _log.warning('%s It is built anew.', str(error))
    built = tensorrt_build.engine_file(model, precision, options._replace(rebuild=True))
    return TensorRTEngine(model, built.path, built.precision, options, decoder)


class TensorRTEngine(Engine):
    """An engine file, ready to run.

    Labels and confidence come as uint8, flow as (1, H, W, 2) float32, whatever types the network gives them. The
    kernels that make these count to the stage `download` of stage_ms.

    Args:
        file: the serialized engine.
        precision: as built.

    Raises:
        UnreadableEngineError: the file is damaged, or was built elsewhere.
        EngineError: the GPU fails, or the network is not the one that the model describes.
        ConfigError: there is no such DLA core.
    """

    backend = 'tensorrt'

    def __init__(self, model: Model, file: str, precision: str, options: EngineOptions = DEFAULT_OPTIONS,
                 decoder: Optional[FrameDecoder] = None) -> None:
        self._model = model
        self._decoder = decoder or FrameDecoder()
        self._camera: Optional[_Camera] = None
        self._results: Dict[str, _Result] = {}
        self._gpu = Gpu(options.gpu_id, options.profile)
        try:
            with self._gpu.using('opening ' + file):
                self._gpu.compile()
                self._network = self._gpu.own(_Network(file, model.name, options, self._gpu.info.name))
                inputs, raw = self._network.specs()
                super().__init__(model, file, precision, inputs,
                                 [_conversion(spec, model.output).result for spec in raw], self._decoder)
                for name, memory in self._tensors.items():
                    self._network.place(name, int(memory))
                for spec in raw:
                    self._place_output(spec)
        except BaseException:
            self._give_back()
            raise

    def close(self) -> None:
        """Give back everything, the arrays that `infer` returned among it; see Engine."""
        super().close()
        self._give_back()

    def _allocate(self, spec: TensorSpec) -> Any:
        return self._gpu.allocate_tensor(spec.shape, spec.dtype)

    def _give_back(self) -> None:
        self._camera = None
        self._results.clear()
        self._gpu.close()

    def _put_image(self, name: str, frame: Frame) -> None:
        if frame.encoding not in kernels.LAYOUTS:
            frame = self._decoded(frame)
        with self._gpu.using('bringing up an image'):
            camera = self._camera_of(name, frame)
            with self._gpu.stage('upload'):
                camera.upload.fill(frame.data)
            with self._gpu.stage('preprocess'):
                self._gpu.launch(camera.launches[name], camera.upload.address, int(self._tensors[name]))
            camera.upload.mark_read()

    def _decoded(self, frame: Frame) -> Frame:
        """Decode what no kernel reads on the host; from there its picture travels like any camera's."""
        color = self._model.input.color
        return frame_from_picture(self._decoder.picture(frame, color, self.input_size), frame.stamp_ns, frame.frame_id,
                                  color)

    def _camera_of(self, name: str, frame: Frame) -> '_Camera':
        """Return what a frame's geometry needs, allocated and computed when that changes."""
        geometry = (frame.encoding, frame.height, frame.width, frame.data.shape)
        old = self._camera
        if old is not None and old.geometry == geometry:
            return old
        launches: Dict[str, kernels.Launch] = {}
        for spec in self.inputs:
            launch = kernels.write_image(frame, self._model.input, spec)
            assert launch is not None  # _decoded has seen to that.
            launches[spec.name] = launch

        def use(staging: Staging) -> None:
            staging.fill(frame.data)
            self._gpu.launch(launches[name], staging.address, int(self._tensors[name]))
            staging.mark_read()

        self._camera = _Camera(geometry, launches, self._gpu.staging(frame.data.shape, np.dtype(np.uint8), use))
        if old is not None:
            self._gpu.free(old.upload)
        return self._camera

    def _swap(self, a: str, b: str) -> None:
        with self._gpu.using('swapping inputs'):
            super()._swap(a, b)
            for name in (a, b):
                self._network.place(name, int(self._tensors[name]))

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        with self._gpu.using('running ' + self.file):
            with self._gpu.stage('infer'):
                self._network.execute(self._gpu.stream_handle)
            with self._gpu.stage('download'):
                for name in wanted:
                    self._fetch(self._results[name])
            self._gpu.synchronize()
            self.stage_ms = self._gpu.stage_ms()
        return {name: self._results[name].staging.host for name in wanted}

    def _place_output(self, raw: TensorSpec) -> None:
        conversion = _conversion(raw, self._model.output)
        if conversion.launch is None and raw in self.outputs:
            staging = self._gpu.staging(raw.shape, raw.dtype)
            self._results[raw.name] = _Result(raw, staging.address, None, staging)
            self._network.place(raw.name, staging.address)
            return
        source = int(self._gpu.allocate_tensor(raw.shape, raw.dtype))
        self._network.place(raw.name, source)
        if conversion.launch is not None:
            self._results[raw.name] = self._result(raw, conversion, source)

    def _resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]]) -> bool:
        old = self._results[name]
        conversion = _conversion(old.raw, self._model.output, size, factors)
        if conversion.launch is None:
            return False
        with self._gpu.using('resizing ' + name):
            self._results[name] = self._result(old.raw, conversion, old.source)
            self._gpu.free(old.staging)
        return True

    def _result(self, raw: TensorSpec, conversion: '_Conversion', source: int) -> '_Result':
        def use(staging: Staging) -> None:
            self._fetch(_Result(raw, source, conversion.launch, staging))
            self._gpu.synchronize()
            staging.host.copy()

        shape, dtype = conversion.result.shape, conversion.result.dtype
        return _Result(raw, source, conversion.launch, self._gpu.staging(shape, dtype, use))

    def _fetch(self, result: '_Result') -> None:
        if result.launch is not None:
            self._gpu.launch(result.launch, result.source, result.staging.address)
        result.staging.fetch()


class _Camera(NamedTuple):
    """What depends on the geometry of the frames."""

    geometry: Tuple[Any, ...]
    launches: Dict[str, kernels.Launch]
    """Input name -> how a frame gets into it."""
    upload: Staging


class _Conversion(NamedTuple):
    """What becomes of an output on the GPU."""

    result: TensorSpec
    launch: Optional[kernels.Launch]
    """None: it is handed out as the network gives it."""


class _Result(NamedTuple):
    """An output on its way from the network to the host."""

    raw: TensorSpec
    """As the network gives it."""
    source: int
    """Address where the network puts it."""
    launch: Optional[kernels.Launch]
    """Writes the result into `staging`."""
    staging: Staging


def _conversion(raw: TensorSpec, output: ModelOutput, size: Optional[Size] = None,
                factors: Optional[Tuple[float, float]] = None) -> _Conversion:
    """Return how an output becomes uint8 labels or float32 flow of a size: None = its own."""
    shape = raw.shape
    if raw.dtype == np.int32 and raw.name in (output.labels, output.confidence) and len(shape) > 1 \
            and int(np.prod(shape[:-2])) == 1:
        source = (shape[-2], shape[-1])
        target = size or source
        return _Conversion(TensorSpec(raw.name, shape[:-2] + target, np.dtype(np.uint8)),
                           kernels.narrow_labels(source, target))
    if raw.name == output.flow and raw.dtype in (np.float32, np.float16) and len(shape) == 4 and shape[0] == 1 \
            and 2 in (shape[1], shape[3]):
        target = size or (shape[1:3] if shape[3] == 2 else shape[2:4])
        return _Conversion(TensorSpec(raw.name, (1,) + target + (2,), np.dtype(np.float32)),
                           kernels.scale_flow(raw, target, factors or (1.0, 1.0)))
    return _Conversion(raw, None)


class _Network:
    """What TensorRT holds of one engine file: runtime, engine, execution context.

    Raises:
        UnreadableEngineError, EngineError, ConfigError: as TensorRTEngine.
    """

    def __init__(self, file: str, model: str, options: EngineOptions, gpu: str) -> None:
        self._file = file
        self._log = _Log()
        trt.init_libnvinfer_plugins(self._log, '')
        try:
            self._runtime = trt.Runtime(self._log)
        except TypeError as error:  # How pybind11 says that TensorRT has made none.
            raise EngineError('TensorRT {} cannot start: {}'.format(trt.__version__, self._log.last)) from error
        if options.dla_core >= 0:
            self._choose_dla_core(options.dla_core)
        try:
            with open(file, 'rb') as stream:
                data = stream.read()
        except OSError as error:
            raise EngineError('{}: {}.'.format(file, error.strerror)) from error
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None and re.search('out ?of ?memory', self._log.last, re.IGNORECASE):
            raise EngineError('{}: {}. Close other programs that use the GPU, or choose a smaller network or precision '
                              'fp16.'.format(file, self._log.last))
        if engine is None:
            raise UnreadableEngineError('{}. Run: trt_perception build-engine {}'.format(self._mismatch(gpu), model))
        context = engine.create_execution_context()
        if context is None:
            raise EngineError('{}: TensorRT cannot make it ready to run: {}'.format(file, self._log.last))
        # By what the library has, not by its version: 8.5 and 8.6 have both ways and get the newer.
        tensors: Type[_Tensors] = _NamedTensors if hasattr(engine, 'num_io_tensors') else _IndexedTensors
        self._tensors = tensors(engine, context)

    def specs(self) -> Tuple[List[TensorSpec], List[TensorSpec]]:
        """Return inputs and outputs."""
        inputs: List[TensorSpec] = []
        outputs: List[TensorSpec] = []
        for name, is_input, shape, dtype in self._tensors.describe():
            if min(shape, default=1) < 1:
                raise EngineError('{}: {!r} has the dynamic shape {}, expected fixed sizes. Export it with static '
                                  'shapes and batch 1.'.format(self._file, name, list(shape)))
            if dtype not in _DTYPES:
                raise EngineError('{}: {!r} is a {}, expected one of {}.'.format(
                    self._file, name, dtype, ', '.join(sorted(str(each) for each in _DTYPES))))
            (inputs if is_input else outputs).append(TensorSpec(name, shape, _DTYPES[dtype]))
        return inputs, outputs

    def place(self, name: str, address: int) -> None:
        """Say where on the device a tensor lies from now on."""
        if not self._tensors.place(name, address):
            raise EngineError('{}: TensorRT refuses the memory of {!r}: {}'.format(self._file, name, self._log.last))

    def execute(self, stream: int) -> None:
        """Queue one run on a stream."""
        self._log.last = ''
        if not self._tensors.execute(stream):
            raise EngineError('{}: TensorRT failed to run it: {}'.format(self._file, self._log.last))

    def free(self) -> None:
        """Let go of everything, the execution context before its engine, the engine before its runtime."""
        self._tensors.free()
        self._runtime = None

    def _choose_dla_core(self, core: int) -> None:
        count = self._runtime.num_DLA_cores
        if core >= count:
            raise ConfigError('dla_core: got {}, but this GPU has {} of them. Set it to -1 to use the GPU '
                              'itself.'.format(core, count))
        self._runtime.DLA_core = core

    def _mismatch(self, gpu: str) -> str:
        """Say why the file was refused: by whom it was built, if its side-car file tells, and TensorRT's own words."""
        here = 'TensorRT {} on {}'.format(trt.__version__, gpu)
        folder, name = os.path.split(self._file)
        recipe = (EngineCache(folder).facts(os.path.splitext(name)[0]) or {}).get('recipe', {})
        if recipe.get('tensorrt', trt.__version__) == trt.__version__ and gpu in recipe.get('gpu', gpu):
            return '{}: {} cannot open it: {}'.format(self._file, here, self._log.last)
        return '{} was built by TensorRT {} on {}; this is {}'.format(
            self._file, recipe['tensorrt'], recipe['gpu'], here)


class _Tensors(abc.ABC):
    """An engine and its execution context, as one generation of TensorRT's interface shows their tensors."""

    def __init__(self, engine: 'trt.ICudaEngine', context: 'trt.IExecutionContext') -> None:
        self._engine = engine
        self._context = context

    def free(self) -> None:
        """Let go of both."""
        self._context = None
        self._engine = None

    @abc.abstractmethod
    def describe(self) -> List[Tuple[str, bool, Tuple[int, ...], Any]]:
        """Return name, whether it is an input, shape and trt.DataType of every tensor."""

    @abc.abstractmethod
    def place(self, name: str, address: int) -> bool:
        """Say where on the device a tensor lies from now on; return whether TensorRT agrees."""

    @abc.abstractmethod
    def execute(self, stream: int) -> bool:
        """Queue one run; return whether that was possible."""


class _IndexedTensors(_Tensors):
    """By index: TensorRT 7.1 - 8.4."""

    def __init__(self, engine: 'trt.ICudaEngine', context: 'trt.IExecutionContext') -> None:
        super().__init__(engine, context)
        self._indices = {engine.get_binding_name(index): index for index in range(engine.num_bindings)}
        self._addresses = [0] * engine.num_bindings

    def describe(self) -> List[Tuple[str, bool, Tuple[int, ...], Any]]:
        return [(name, self._engine.binding_is_input(index), tuple(self._engine.get_binding_shape(index)),
                 self._engine.get_binding_dtype(index)) for name, index in self._indices.items()]

    def place(self, name: str, address: int) -> bool:
        self._addresses[self._indices[name]] = address
        return True

    def execute(self, stream: int) -> bool:
        return bool(self._context.execute_async_v2(self._addresses, stream))


class _NamedTensors(_Tensors):
    """By name: TensorRT 8.5 - 11."""

    def describe(self) -> List[Tuple[str, bool, Tuple[int, ...], Any]]:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [(name, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT, tuple(engine.get_tensor_shape(name)),
                 engine.get_tensor_dtype(name)) for name in names]

    def place(self, name: str, address: int) -> bool:
        return bool(self._context.set_tensor_address(name, address))

    def execute(self, stream: int) -> bool:
        return bool(self._context.execute_async_v3(stream))


class _Log(trt.ILogger):
    """Hands TensorRT's messages to `logging`, and keeps the last error for our own."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # super() is not enough for pybind11.
        self.last = ''

    def log(self, severity: Any, msg: str) -> None:
        level = _LEVELS[severity]
        if level == logging.ERROR:
            self.last = msg
        _log.log(level, 'TensorRT: %s', msg)


# TensorRT's INFO is what it does, step by step.
_LEVELS = {trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR, trt.ILogger.Severity.ERROR: logging.ERROR,
           trt.ILogger.Severity.WARNING: logging.WARNING, trt.ILogger.Severity.INFO: logging.DEBUG,
           trt.ILogger.Severity.VERBOSE: logging.DEBUG}

"""Runs an engine file by the API of TensorRT's generation: tensors by index in 7.1 - 8.4, by name in 8.5 - 11."""
import abc
import os
from typing import Any, List, Tuple, Type

import numpy as np
import tensorrt as trt

from ...core.data import TensorSpec
from ...core.errors import ConfigError, EngineError
from ...core.tensors import static_spec
from ..backends import EngineOptions
from . import memory
from .cache import EngineCache
from .log import LOG

# Not trt.nptype, which needs np.bool, removed in numpy 1.24. UINT8 came with TensorRT 8.5, INT64 with 10.
_DTYPES = {getattr(trt.DataType, name): np.dtype(dtype) for name, dtype in {
    'FLOAT': np.float32, 'HALF': np.float16, 'INT8': np.int8, 'INT32': np.int32, 'BOOL': np.bool_, 'UINT8': np.uint8,
    'INT64': np.int64}.items() if hasattr(trt.DataType, name)}


VERSION = str(trt.__version__)
"""Version of TensorRT."""


class UnreadableEngineError(EngineError):
    """The file is not an engine for this TensorRT and GPU; a new build helps."""


class ExecutionContext:
    """TensorRT's execution context of one engine file, with the engine and the runtime that it needs.

    Args:
        model: name of the model, for the advice on how to rebuild the file.
        gpu: name of this machine's GPU.

    Raises:
        UnreadableEngineError: the file is damaged, or was built elsewhere.
        EngineError: there is no such file, or TensorRT or its memory fails.
        ConfigError: there is no such DLA core.
    """

    def __init__(self, file: str, model: str, options: EngineOptions, gpu: str) -> None:
        self._file = file
        LOG.clear()
        trt.init_libnvinfer_plugins(LOG, '')
        try:
            self._runtime = trt.Runtime(LOG)
        except TypeError as error:  # pybind11's error if TensorRT has created none.
            raise EngineError('TensorRT {} cannot start: {}'.format(trt.__version__, LOG.reason())) from error
        if options.dla_core >= 0:
            self._choose_dla_core(options.dla_core)
        try:
            with open(file, 'rb') as stream:
                data = stream.read()
        except OSError as error:
            raise EngineError('{}: {}.'.format(file, error.strerror)) from error
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None and memory.is_short(LOG.reason()):
            raise EngineError('{}: {}. Close other programs that use the GPU, or choose a smaller network or precision '
                              'fp16.'.format(file, LOG.reason()))
        if engine is None:
            raise UnreadableEngineError('{}. Run: trt_perception build-engine {}'.format(self._mismatch(gpu), model))
        context = engine.create_execution_context()
        if context is None:
            raise EngineError('{}: TensorRT cannot prepare it for execution: {}'.format(file, LOG.reason()))
        # By the methods of the library, not by its version: 8.5 and 8.6 have both APIs, and use the newer one.
        tensors: Type[_Tensors] = _NamedTensors if hasattr(engine, 'num_io_tensors') else _IndexedTensors
        self._tensors = tensors(engine, context)

    def specs(self) -> Tuple[List[TensorSpec], List[TensorSpec]]:
        """Return inputs and outputs."""
        inputs: List[TensorSpec] = []
        outputs: List[TensorSpec] = []
        for name, is_input, shape, dtype in self._tensors.describe():
            (inputs if is_input else outputs).append(static_spec(self._file, name, shape, dtype, _DTYPES))
        return inputs, outputs

    def place(self, name: str, address: int) -> None:
        """Say where on the device a tensor lies from now on."""
        if not self._tensors.place(name, address):
            raise EngineError('{}: TensorRT refuses the memory of {!r}: {}'.format(self._file, name, LOG.reason()))

    def execute(self, stream: int) -> None:
        """Queue one run on a stream."""
        LOG.clear()
        if not self._tensors.execute(stream):
            raise EngineError('{}: TensorRT failed to run it: {}'.format(self._file, LOG.reason()))

    def free(self) -> None:
        """Release everything: the execution context before its engine, the engine before its runtime."""
        self._tensors.free()
        self._runtime = None

    def _choose_dla_core(self, core: int) -> None:
        count = self._runtime.num_DLA_cores
        if core >= count:
            raise ConfigError('dla_core: got {}, but this GPU has {} of them. Set it to -1 to use the GPU '
                              'itself.'.format(core, count))
        self._runtime.DLA_core = core

    def _mismatch(self, gpu: str) -> str:
        """Return why the file was refused: who built it, if its side-car file says so, and TensorRT's text."""
        here = 'TensorRT {} on {}'.format(trt.__version__, gpu)
        folder, name = os.path.split(self._file)
        key = (EngineCache(folder).facts(os.path.splitext(name)[0]) or {}).get('key', {})
        if key.get('tensorrt', trt.__version__) == trt.__version__ and gpu in key.get('gpu', gpu):
            return '{}: {} cannot open it: {}'.format(self._file, here, LOG.reason())
        return '{} was built by TensorRT {} on {}; this is {}'.format(
            self._file, key['tensorrt'], key['gpu'], here)


class _Tensors(abc.ABC):
    """An engine and its execution context, with the tensor API of one generation of TensorRT."""

    def __init__(self, engine: 'trt.ICudaEngine', context: 'trt.IExecutionContext') -> None:
        self._engine = engine
        self._context = context

    def free(self) -> None:
        """Release both."""
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
    """Tensors by index: TensorRT 7.1 - 8.4."""

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
    """Tensors by name: TensorRT 8.5 - 11."""

    def describe(self) -> List[Tuple[str, bool, Tuple[int, ...], Any]]:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [(name, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT, tuple(engine.get_tensor_shape(name)),
                 engine.get_tensor_dtype(name)) for name in names]

    def place(self, name: str, address: int) -> bool:
        return bool(self._context.set_tensor_address(name, address))

    def execute(self, stream: int) -> bool:
        return bool(self._context.execute_async_v3(stream))

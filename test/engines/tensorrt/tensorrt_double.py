"""A double of the `tensorrt` module, one per API generation, that runs networks with ONNX Runtime.

It has no public name that the real bindings of that generation lack (test/conformance compares them). A serialized
engine is `serialize(onnx, header)`: what the double of the builder writes and what the double of the runtime reads.
"""
import enum
import json
import weakref
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

import numpy as np
import onnxruntime
from tensorrt_builder_double import add_builder

VERSIONS = {'8.2': '8.2.1.8', '8.6': '8.6.1', '10.0': '10.0.1', '10.16': '10.16.1.11', '11.4': '11.4.0.106'}
"""Generation -> the text of its `__version__`."""

REAL_BUILDER = '11.4 with its real builder'
"""What make_tensorrt takes in place of 11.4, where it can be had: tensorrt_real_builder.LACK."""

_MAGIC = b'ptrt'
_OUT_OF_MEMORY = '2: [virtualMemoryBuffer.cpp::resizePhysical::160] Error Code 2: OutOfMemory (no further information)'
_DTYPES = {'tensor(float)': ('FLOAT', np.float32), 'tensor(float16)': ('HALF', np.float16),
           'tensor(int8)': ('INT8', np.int8), 'tensor(int32)': ('INT32', np.int32), 'tensor(bool)': ('BOOL', np.bool_),
           'tensor(uint8)': ('UINT8', np.uint8), 'tensor(int64)': ('INT64', np.int64)}
_NEW_DTYPES = (('8.2', 'FLOAT HALF INT8 INT32 BOOL'), ('8.6', 'UINT8 FP8'), ('10.0', 'BF16 INT64 INT4'),
               ('10.16', 'FP4 E8M0'))
"""Generation -> members of DataType that it is the first to have."""


def serialize(onnx_bytes, header):
    """Return the bytes of an engine file.

    Args:
        header: what JSON can hold. `tensorrt`: version that built it, of VERSIONS.
    """
    text = json.dumps(header).encode()
    return _MAGIC + len(text).to_bytes(8, 'little') + text + onnx_bytes


def deserialize(data):
    """Return (onnx bytes, header) of what `serialize` wrote, or None for other bytes."""
    data = bytes(data)
    size = int.from_bytes(data[4:12], 'little')
    if data[:4] != _MAGIC or len(data) <= 12 + size:
        return None
    return data[12 + size:], json.loads(data[12:12 + size].decode())


def make_tensorrt(generation, gpu=None):
    """Return a module object like `tensorrt` of one generation: a key of VERSIONS, or REAL_BUILDER.

    Its classes for building come from tensorrt_builder_double.py; 11.4 has none but the real ones.

    Args:
        gpu: the pycuda_double.Gpu that executes; without it engines can be opened but not run.
    """
    module = module_from_spec(ModuleSpec('tensorrt', None))
    with_real_builder, generation = generation == REAL_BUILDER, generation.split()[0]
    module.__version__ = VERSIONS[generation]
    old, both = generation == '8.2', generation == '8.6'
    names = []
    for first, added in _NEW_DTYPES:
        names += added.split()
        if first == generation:
            break
    DataType = enum.Enum('DataType', names)  # noqa: N806

    def log(logger, severity, text):
        logger.log(getattr(module.ILogger.Severity, severity), text)

    class ILogger:
        Severity = enum.Enum('Severity', 'INTERNAL_ERROR ERROR WARNING INFO VERBOSE')
        _ready = False

        def __init__(self):
            self._ready = True

    class Logger(ILogger):
        def __init__(self, min_severity=ILogger.Severity.WARNING):
            super().__init__()
            self.min_severity = min_severity

        def log(self, severity, msg):
            if severity.value <= self.min_severity.value:
                print('[TRT]', severity.name, msg)

    def init_libnvinfer_plugins(logger, namespace):
        _check_logger(logger, module.ILogger)
        return True

    logger_in_use = _LoggerInUse()

    class Runtime:
        def __init__(self, logger):
            _check_logger(logger, module.ILogger)
            logger = logger_in_use.of(self, logger)
            if gpu is not None and gpu.fails('createInferRuntime'):
                log(logger, 'WARNING', 'CUDA initialization failure with error: 35.')
                raise TypeError('pybind11::init(): factory function returned nullptr')
            self._logger = logger
            self.DLA_core = -1

        @property
        def num_DLA_cores(self):  # noqa: N802
            return 0 if gpu is None else gpu.num_dla_cores

        def deserialize_cuda_engine(self, serialized_engine):
            def refuse(text):
                log(self._logger, 'ERROR', text)

            if gpu is not None:
                gpu.require_context('deserialize_cuda_engine')
                if gpu.fails('deserialize_cuda_engine'):
                    return refuse(_OUT_OF_MEMORY)
            parts = deserialize(serialized_engine)
            if parts is None:
                return refuse('1: [runtime.cpp::parsePlan::314] Error Code 1: Serialization (Serialization assertion '
                              'plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)')
            onnx_bytes, header = parts
            onnx_bytes = onnx_bytes[:len(onnx_bytes) - header.get('plan_bytes', 0)]
            if header['tensorrt'] != module.__version__:
                return refuse('6: The engine plan file is not compatible with this version of TensorRT, expecting '
                              'library version {} got {}, please rebuild.'.format(
                                  module.__version__, header['tensorrt']))
            if gpu is not None and header.get('gpu', gpu.name) != gpu.name:
                log(self._logger, 'WARNING', 'Using an engine plan file across different models of '
                    'devices is not recommended and is likely to affect performance or even cause errors.')
            return ICudaEngine._make(onnx_bytes, header, self._logger)

    def begin(thing):
        def gone():
            gpu.counts['too late'] += not gpu.stack

        if gpu is not None:
            gpu.track(thing, type(thing).__name__, gone)

    class _Engine:
        @classmethod
        def _make(cls, onnx_bytes, header, logger):
            engine = cls.__new__(cls)
            engine._header = header
            engine._logger = logger
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = 1
            settings.log_severity_level = 3
            engine._session = onnxruntime.InferenceSession(onnx_bytes, settings, providers=['CPUExecutionProvider'])
            engine._inputs = [tensor.name for tensor in engine._session.get_inputs()]
            engine._tensors = {tensor.name: tensor for tensor in
                               engine._session.get_inputs() + engine._session.get_outputs()}
            engine._names = list(engine._tensors)
            begin(engine)
            return engine

        def create_execution_context(self):
            if gpu is not None:
                gpu.require_context('create_execution_context')
                if gpu.fails('create_execution_context'):
                    log(self._logger, 'ERROR', _OUT_OF_MEMORY)
                    return None
            return IExecutionContext._make(self)

        def _dtype(self, name):
            return getattr(module.DataType, _DTYPES[self._tensors[name].type][0])

        def _shape(self, name):
            return Dims(self._tensors[name].shape)

    class EngineInspector:
        def __init__(self, engine):
            self._engine = engine

        def get_engine_information(self, format):
            assert format == module.LayerInformationFormat.JSON
            return json.dumps({'Layers': self._engine._header['layers'], 'Bindings': list(self._engine._names)})

    def create_engine_inspector(self):
        return EngineInspector(self)

    class _Bindings:
        @property
        def num_bindings(self):
            return len(self._names)

        def get_binding_name(self, index):
            return self._names[index]

        def get_binding_shape(self, index):
            return self._shape(self._names[index])

        def get_binding_dtype(self, index):
            return self._dtype(self._names[index])

        def binding_is_input(self, index):
            return self._names[index] in self._inputs

    class _Tensors:
        @property
        def num_io_tensors(self):
            return len(self._names)

        def get_tensor_name(self, index):
            return self._names[index]

        def get_tensor_mode(self, name):
            return module.TensorIOMode.INPUT if name in self._inputs else module.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name):
            return self._shape(name)

        def get_tensor_dtype(self, name):
            return self._dtype(name)

    class _Context:
        @classmethod
        def _make(cls, engine):
            context = cls.__new__(cls)
            context._engine = engine
            context._addresses = {}
            begin(context)
            return context

        def _enqueue(self, addresses, stream_handle):
            engine = self._engine
            if gpu.fails('execute'):
                log(engine._logger, 'ERROR', '1: [convolutionRunner.cpp::executeConv::511] Error Code 1: '
                    'Cudnn (CUDNN_STATUS_EXECUTION_FAILED)')
                return False
            missing = [name for name in engine._names if not addresses.get(name)]
            if missing:
                log(engine._logger, 'ERROR', '3: [executionContext.cpp::enqueueV3::2666] Error Code 3: '
                    'API Usage Error (Address is not set for tensor {})'.format(missing[0]))
                return False

            def execute():
                arrays = {name: _view(gpu, addresses[name], tensor) for name, tensor in engine._tensors.items()}
                outputs = [name for name in engine._names if name not in engine._inputs]
                results = engine._session.run(outputs, {name: arrays[name] for name in engine._inputs})
                for name, result in zip(outputs, results):
                    arrays[name][...] = result

            gpu.enqueue(stream_handle, execute)
            return True

    class _ByBindings:
        def execute_async_v2(self, bindings, stream_handle):
            return self._enqueue(dict(zip(self._engine._names, [int(each) for each in bindings])), stream_handle)

    class _ByTensors:
        def set_tensor_address(self, name, memory):
            if name not in self._engine._names:
                return False
            self._addresses[name] = int(memory)
            return True

        def execute_async_v3(self, stream_handle):
            return self._enqueue(dict(self._addresses), stream_handle)

    ICudaEngine = type('ICudaEngine', (  # noqa: N806
        (_Bindings,) * (old or both) + (_Tensors,) * (not old) + (_Engine,)), {})
    IExecutionContext = type('IExecutionContext', (  # noqa: N806
        (_ByBindings,) * (old or both) + (_ByTensors,) * (not old) + (_Context,)), {})
    ICudaEngine.create_engine_inspector = create_engine_inspector
    for each in (DataType, ILogger, Logger, init_libnvinfer_plugins, Runtime, ICudaEngine, IExecutionContext, Dims,
                 EngineInspector):
        setattr(module, each.__name__, each)
    module.LayerInformationFormat = enum.IntEnum('LayerInformationFormat', 'ONELINE JSON', start=0)
    if not old:
        module.TensorIOMode = enum.Enum('TensorIOMode', 'NONE INPUT OUTPUT')
    if with_real_builder:
        from tensorrt_real_builder import add_real_builder
        add_real_builder(module, gpu, serialize, logger_in_use)
    elif generation != '11.4':
        add_builder(module, generation, gpu, serialize, logger_in_use)
    return module


class _LoggerInUse:
    """The single logger of a process: the first, for as long as anything lives that was made with it."""

    def __init__(self):
        self._logger = None
        self._users = weakref.WeakSet()

    def of(self, user, logger):
        """Return the logger that a new runtime or builder writes to."""
        if not self._users:
            self._logger = logger
        elif logger is not self._logger:
            self._logger.log(type(logger).Severity.WARNING, 'The logger passed into createInferRuntime differs from '
                             'one already provided for an existing builder, runtime, or refitter. The existing value '
                             'will be used instead.')
        self._users.add(user)
        return self._logger


class Dims:
    """A shape: a sequence, but no tuple."""

    def __init__(self, shape):
        self._shape = tuple(side if isinstance(side, int) else -1 for side in shape)

    def __len__(self):
        return len(self._shape)

    def __getitem__(self, index):
        return self._shape[index]


def _check_logger(logger, base):
    # As pybind11: an object whose base class was not initialised is no logger.
    if not isinstance(logger, base) or not getattr(logger, '_ready', True):
        raise TypeError('{!r} is no ILogger'.format(logger))


def _view(gpu, address, tensor):
    dtype = np.dtype(_DTYPES[tensor.type][1])
    return gpu.memory(address, int(np.prod(tensor.shape)) * dtype.itemsize).view(dtype).reshape(tensor.shape)

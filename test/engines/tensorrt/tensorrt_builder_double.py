"""The builder's side of the `tensorrt` double: it "builds" by wrapping the ONNX network, and notes how it was asked to.

Of TensorRT 8.2 to 10.16; that of 11 is the real one (tensorrt_real_builder.py).

As tensorrt_double.py: no public name that the real bindings of the generation lack.
"""
import enum
import json
import os
import time

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

_TYPES = {TensorProto.FLOAT: 'FLOAT', TensorProto.FLOAT16: 'HALF', TensorProto.INT8: 'INT8', TensorProto.INT32: 'INT32',
          TensorProto.INT64: 'INT32', TensorProto.BOOL: 'BOOL', TensorProto.UINT8: 'INT8'}  # INT64 as 8.2 narrows it.
_LAYERS = {'QuantizeLinear': 'QUANTIZE', 'DequantizeLinear': 'DEQUANTIZE', 'Conv': 'CONVOLUTION',
           'Constant': 'CONSTANT'}
_MAGIC = b'timing of '


class BuilderState:
    """How the builders of one GPU behave, and what was asked of them. A test changes it; a child gets it as JSON.

    Attributes:
        journal: file that gets a line of JSON per build; '' = none.
        fast_int8: what `platform_has_fast_int8` says.
        unsupported: operators that the parser refuses.
        networks: builder flag -> ONNX file whose results the engine gives where that flag is set: a wrong engine.
        gate: file that a build waits for; '' = none.
        refuses: whether no build succeeds.
        memory_bytes: that the process of a real build may take for it; 0 = any.
        builds: what the journal has, of this process.
    """

    journal, fast_int8, unsupported, networks, gate, refuses, memory_bytes = '', True, (), {}, '', False, 0

    def __init__(self, **settings):
        assert set(settings) <= set(vars(BuilderState)), settings
        vars(self).update(settings)
        self.builds = []

    def note(self, **build):
        self.builds.append(build)
        if self.journal:
            with open(self.journal, 'a') as file:
                file.write(json.dumps(build) + '\n')


def add_builder(module, generation, gpu, serialize, logger_in_use):
    """Give a module of make_tensorrt the classes for building."""
    state = getattr(gpu, 'builder', None) or BuilderState()
    old, eight = generation == '8.2', generation.startswith('8.')
    DataType, ILogger = module.DataType, module.ILogger  # noqa: N806

    def flags(name, members):
        setattr(module, name, enum.IntEnum(name, members, start=0))
        return getattr(module, name)

    flags('BuilderFlag', ['GPU_FALLBACK', 'TF32', 'FP16', 'INT8', 'OBEY_PRECISION_CONSTRAINTS',
                          'PREFER_PRECISION_CONSTRAINTS'] + (['STRICT_TYPES'] if eight else ['BF16']))
    Creation = flags(  # noqa: N806
        'NetworkDefinitionCreationFlag', ['EXPLICIT_BATCH'] + ([] if eight else ['STRONGLY_TYPED']))
    flags('ProfilingVerbosity', ['LAYER_NAMES_ONLY', 'NONE', 'DETAILED'])
    flags('DeviceType', ['GPU', 'DLA'])
    flags('ErrorCode', ['SUCCESS', 'UNSUPPORTED_NODE'])
    LayerType = flags('LayerType', sorted(set(_LAYERS.values()) | {'ELEMENTWISE'}))  # noqa: N806
    if not old:
        flags('MemoryPoolType', ['WORKSPACE', 'DLA_MANAGED_SRAM'])

    def error(logger, text):
        logger.log(ILogger.Severity.ERROR, text)

    class ITensor:
        def __init__(self, name, kind, shape):
            self.name = name
            self.dtype = DataType[kind]
            self.shape = module.Dims(shape)
            self.is_shape_tensor = False

    class ILayer:
        precision = DataType.FLOAT

        def __init__(self, node, tensors):
            self.name = node.name
            self.type = LayerType[_LAYERS.get(node.op_type, 'ELEMENTWISE')]
            self._node = node
            self._inputs = [tensors.get(name) for name in node.input]
            self._outputs = [tensors.get(name) for name in node.output]
            self._output_types = {}

        @property
        def num_inputs(self):
            return len(self._inputs)

        @property
        def num_outputs(self):
            return len(self._outputs)

        def get_input(self, index):
            return self._inputs[index]

        def get_output(self, index):
            return self._outputs[index]

        def set_output_type(self, index, dtype):
            self._output_types[index] = dtype

    class INetworkDefinition:
        def __init__(self, flags):
            self._flags = flags
            self._layers = []
            self._inputs = []

        @property
        def num_layers(self):
            return len(self._layers)

        def get_layer(self, index):
            return self._layers[index]

        @property
        def num_inputs(self):
            return len(self._inputs)

        def get_input(self, index):
            return self._inputs[index]

    class ParserError:
        def __init__(self, number, node, text):
            self._number, self._node, self._text = number, node, text

        def node(self):
            return self._number

        def desc(self):
            return self._text

        def code(self):
            return module.ErrorCode.UNSUPPORTED_NODE

        if not eight:
            def node_name(self):
                return self._node.name

            def node_operator(self):
                return self._node.op_type

    class OnnxParser:
        def __init__(self, network, logger):
            self._network = network
            self._errors = []

        @property
        def num_errors(self):
            return len(self._errors)

        def get_error(self, index):
            return self._errors[index]

        def parse_from_file(self, model):
            network = self._network
            assert network._flags & 1 << int(Creation.EXPLICIT_BATCH), 'what 8 parses only so, and later ones ignore'
            try:
                network._model = proto = onnx.load(model)  # With weights in other files.
            except DecodeError:
                self._errors.append(ParserError(-1, None, 'Failed to parse the ONNX model.'))
                return False
            graph = onnx.shape_inference.infer_shapes(proto).graph
            for number, node in enumerate(graph.node):
                if node.op_type in state.unsupported:
                    self._errors.append(ParserError(
                        number, node, 'No importer registered for op: {}'.format(node.op_type)))
            tensors = {}
            for value in list(graph.input) + list(graph.value_info) + list(graph.output):
                kind = value.type.tensor_type
                tensors[value.name] = ITensor(value.name, _TYPES[kind.elem_type],
                                              [side.dim_value for side in kind.shape.dim])
            network._layers = [ILayer(node, tensors) for node in graph.node]
            network._inputs = [tensors[value.name] for value in graph.input]
            return not self._errors

    class IHostMemory:
        def __init__(self, data):
            self._data = data

        def __bytes__(self):
            return self._data

        @property
        def nbytes(self):
            return len(self._data)

    class ITimingCache:
        def __init__(self, data):
            self._data = data

        def serialize(self):
            return IHostMemory(self._data)

    class _Config:
        # Setting a name that a class of the bindings lacks is an error, so here, too.
        __slots__ = ('default_device_type', 'DLA_core', 'profiling_verbosity', '_flags', '_timing')

        def __init__(self):
            self.default_device_type = module.DeviceType.GPU
            self.DLA_core = -1
            self.profiling_verbosity = module.ProfilingVerbosity.LAYER_NAMES_ONLY
            self._flags = set()
            self._timing = None

        def set_flag(self, flag):
            assert isinstance(flag, module.BuilderFlag)
            self._flags.add(flag.name)

        def create_timing_cache(self, serialized_timing_cache):
            data = bytes(serialized_timing_cache)
            return ITimingCache(data) if not data or data.startswith(_MAGIC) else None

        def set_timing_cache(self, cache, ignore_mismatch):
            fits = cache._data in (b'', _MAGIC + gpu.name.encode()) or ignore_mismatch
            if fits:
                self._timing = cache
            return fits

        def get_timing_cache(self):
            return self._timing

    class _Pools:
        __slots__ = ()

        def set_memory_pool_limit(self, pool, pool_size):
            assert pool == module.MemoryPoolType.WORKSPACE
            self._workspace = pool_size

    slots = ['_workspace'] if not eight else ['max_workspace_size'] + ['_workspace'] * (not old)
    slots += ['int8_calibrator'] + ([] if eight else ['progress_monitor'])
    IBuilderConfig = type(  # noqa: N806
        'IBuilderConfig', (() if old else (_Pools,)) + (_Config,), {'__slots__': slots})

    class Builder:
        def __init__(self, logger):
            assert isinstance(logger, ILogger)
            assert hasattr(logger, '_ready'), 'ILogger.__init__ was not called'
            gpu.require_context('createInferBuilder')
            self._logger = logger_in_use.of(self, logger)

        @property
        def num_DLA_cores(self):  # noqa: N802
            return gpu.num_dla_cores

        @property
        def platform_has_fast_int8(self):
            return state.fast_int8

        def create_network(self, flags=0):
            return INetworkDefinition(flags)

        def create_builder_config(self):
            return IBuilderConfig()

        def build_serialized_network(self, network, config):
            table = None
            quantised = any(layer.type == LayerType.QUANTIZE for layer in network._layers)
            calibrator = getattr(config, 'int8_calibrator', None)
            if 'INT8' in config._flags and not quantised:
                if calibrator is None:
                    return error(self._logger, '4: Calibrator is not being used, and no dynamic range is set.')
                table = calibrate(calibrator, network)
            workspace = getattr(config, '_workspace', None)
            pinned = [layer for layer in network._layers if 'precision' in vars(layer)]
            state.note(flags=sorted(config._flags), creation=[flag.name for flag in Creation
                                                              if network._flags & 1 << int(flag)],
                       pool=workspace, max_workspace_size=getattr(config, 'max_workspace_size', None),
                       device=config.default_device_type.name, dla_core=config.DLA_core, calibration=table,
                       known_timing=config._timing._data.decode(),
                       pinned=[[layer.name, layer.precision.name, {str(number): kind.name for number, kind
                                                                   in layer._output_types.items()}]
                               for layer in pinned])
            while state.gate and not os.path.exists(state.gate):
                time.sleep(0.02)
            if state.refuses:
                return error(self._logger, '10: Could not find any implementation for node Conv_0.')
            config._timing._data = _MAGIC + gpu.name.encode()
            proto = network._model
            for flag, file in state.networks.items():
                if flag in config._flags:
                    proto = onnx.load(file)
            half = 'FP16' in config._flags
            layers = [_information(layer, half, pinned) for layer in network._layers]
            if config.profiling_verbosity != module.ProfilingVerbosity.DETAILED:
                layers = [layer['Name'] for layer in layers]
            header = {'tensorrt': module.__version__, 'gpu': gpu.name, 'layers': layers}
            return IHostMemory(serialize(proto.SerializeToString(), header))

    def calibrate(calibrator, network):
        assert calibrator.get_batch_size() == 1
        known = calibrator.read_calibration_cache()
        if known is not None:
            return bytes(known).decode()
        names = [tensor.name for tensor in network._inputs]
        sums = []
        while True:
            addresses = calibrator.get_batch(names)
            if not addresses:
                break
            sums.append([float(gpu.memory(address, 4 * int(np.prod(tuple(tensor.shape)))).view(np.float32).sum())
                         for address, tensor in zip(addresses, network._inputs)])
        text = json.dumps(sums)
        calibrator.write_calibration_cache(text.encode())
        return text

    class IInt8EntropyCalibrator2:
        pass

    class IProgressMonitor:
        pass

    for each in (ITensor, ILayer, INetworkDefinition, ParserError, OnnxParser, ITimingCache, IHostMemory,
                 IBuilderConfig, Builder):
        setattr(module, each.__name__, each)
    module.IInt8EntropyCalibrator2 = IInt8EntropyCalibrator2
    if not eight:
        module.IProgressMonitor = IProgressMonitor


def _information(layer, half, pinned):
    def described(tensors):
        kinds = [tensor.dtype.name for tensor in tensors if tensor is not None]
        if half and layer not in pinned:
            kinds = ['HALF' if kind == 'FLOAT' else kind for kind in kinds]
        return [{'Name': 'x', 'Format/Datatype': kind.capitalize()} for kind in kinds]
    return {'Name': layer.name, 'LayerType': 'Constant' if layer.type.name == 'CONSTANT' else layer._node.op_type,
            'Inputs': described(layer._inputs), 'Outputs': described(layer._outputs)}

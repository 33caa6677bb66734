"""NVIDIA's own parser and builder in place of the double's, by the bindings of TensorRT 11; to build needs no GPU.

What needs a driver stays the double's: Runtime and all that it opens. An engine file is then the network for the double
to run and, behind it, the real plan.
"""
import resource

import onnx
import pytest

try:
    from trt_perception_tools.graphs import tensorrt_rtx
    LACK = tensorrt_rtx.why_not()
except (ImportError, SyntaxError):
    LACK = 'trt_perception_tools needs a newer Python'

needs_real_builder = pytest.mark.skipif(bool(LACK), reason='no TensorRT for RTX: ' + LACK)

_OF_THE_DRIVER = ('Runtime', 'ICudaEngine', 'IExecutionContext', 'EngineInspector', 'init_libnvinfer_plugins')


def add_real_builder(module, gpu, serialize, logger_in_use):
    """Give a module of make_tensorrt NVIDIA's classes, but those of _OF_THE_DRIVER."""
    real, state = tensorrt_rtx.load(), gpu.builder
    for name, value in vars(real).items():
        if name not in _OF_THE_DRIVER and (not name.startswith('_') or name == '__version__'):
            setattr(module, name, value)
    files = {}

    class OnnxParser(real.OnnxParser):
        def __init__(self, network, logger):
            real.OnnxParser.__init__(self, network, logger)
            self._of = id(network)

        def parse_from_file(self, model):
            files[self._of] = model
            return real.OnnxParser.parse_from_file(self, model)

    class Builder(real.Builder):
        def __init__(self, logger):
            gpu.require_context('createInferBuilder')
            logger_in_use.of(self, logger)
            real.Builder.__init__(self, logger)

        def create_network(self, flags=0):
            # INetworkDefinition.get_flag of RTX is elsewhere than the bindings look for it.
            self._creation = [name for name, flag in real.NetworkDefinitionCreationFlag.__members__.items()
                              if flags & 1 << int(flag)]
            return real.Builder.create_network(self, flags)

        def build_serialized_network(self, network, config):
            state.note(creation=self._creation, **_asked(real, self, network, config))
            if state.memory_bytes:
                limit = _address_space() + state.memory_bytes
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            plan = real.Builder.build_serialized_network(self, network, config)
            if plan is None:
                return None
            data = onnx.load(files[id(network)]).SerializeToString()
            header = {'tensorrt': module.__version__, 'gpu': gpu.name, 'layers': _layers(real, network),
                      'plan_bytes': plan.nbytes}
            return _Plan(serialize(data + bytes(plan), header))

    module.OnnxParser, module.Builder = OnnxParser, Builder


class _Plan:
    """As IHostMemory."""

    def __init__(self, data):
        self._data = data

    def __bytes__(self):
        return self._data


def _asked(real, builder, network, config):
    """Return what was asked of the builder, read back from NVIDIA's objects, as the double notes it."""
    fresh = builder.create_builder_config()
    limit, usual = (each.get_memory_pool_limit(real.MemoryPoolType.WORKSPACE) for each in (config, fresh))
    return {'flags': sorted(name for name, flag in real.BuilderFlag.__members__.items()
                            if config.get_flag(flag) != fresh.get_flag(flag)),
            'pool': None if limit == usual else limit, 'max_workspace_size': None,
            'device': config.default_device_type.name, 'dla_core': config.DLA_core,
            'verbosity': config.profiling_verbosity.name, 'monitored': config.progress_monitor is not None,
            'timing': config.get_timing_cache() is not None, 'layers': network.num_layers}


def _address_space():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _layers(real, network):
    """Return what the engine inspector would, of the layers as they were parsed."""
    def described(tensors):
        return [{'Name': tensor.name, 'Format/Datatype': tensor.dtype.name} for tensor in tensors if tensor is not None]

    layers = [network.get_layer(number) for number in range(network.num_layers)]
    return [{'Name': layer.name, 'LayerType': 'Constant' if layer.type == real.LayerType.CONSTANT else layer.type.name,
             'Inputs': described(layer.get_input(number) for number in range(layer.num_inputs)),
             'Outputs': described(layer.get_output(number) for number in range(layer.num_outputs))}
            for layer in layers]

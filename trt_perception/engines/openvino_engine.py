"""ONNX networks on x86 CPUs with OpenVINO: FP32, BF16 on CPUs with BF16 units, INT8 from graphs with Q/DQ nodes."""
import functools
from typing import Any, Collection, Dict, Optional

import numpy as np
import openvino as ov

from ..core.data import TensorSpec
from ..core.engine import Engine, Specs
from ..core.errors import ConfigError, EngineError
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.tensors import static_spec
from .backends import EngineOptions

if not hasattr(ov, 'Core'):  # Up to 2022.3, the last for Python 3.6 and 3.7, the API is one level down.
    import openvino.runtime as ov  # type: ignore[import-not-found,no-redef,unused-ignore]

# Precision -> arithmetic of layers that are not quantised, capability that the CPU must have.
_ARITHMETIC = {'fp32': ('f32', 'FP32'), 'bf16': ('bf16', 'BF16'), 'int8': ('f32', 'INT8')}
_HEAVY = ('Convolution', 'GroupConvolution', 'Deconvolution', 'MatMul', 'FullyConnected')


@functools.lru_cache(maxsize=None)
def _core() -> Any:
    """Return the one Core of this process, which is never closed.

    Each Core installs a stack for signal handlers. If two are closed in the order of their opening, the stack of the
    second stays installed though it is unmapped, and the next signal ends the process with a segmentation fault.
    """
    return ov.Core()


class OpenVinoEngine(Engine):
    """A network compiled for this CPU. OpenVINO reads its inputs from numpy arrays and writes its outputs to them."""

    backend = 'openvino'
    runtime = 'OpenVINO'
    version = ov.get_version()
    advice = 'Check that it is an ONNX file of an opset that this version knows.'

    def __init__(self, model: Model, precision: str, options: EngineOptions,
                 decoder: Optional[FrameDecoder] = None) -> None:
        self._threads = options.threads
        self._request: Any = None
        # BF16 is computed from the weights in FP32.
        listed = precision if precision != 'bf16' or 'bf16' in model.networks(self.backend) else 'fp32'
        super().__init__(model, model.network_file(self.backend, listed), precision, decoder)

    def _open(self) -> Specs:
        core = _core()
        settings = _settings(core, self.precision, self._threads)
        self._compiled = core.compile_model(core.read_model(self.file), 'CPU', settings)
        self._request = self._compiled.create_infer_request()
        _check_executed(self.file, self._compiled, self.precision)
        inputs, outputs = ([_spec(self.file, self.model, port) for port in ports]
                           for ports in (self._compiled.inputs, self._compiled.outputs))
        return inputs, outputs

    def _connect(self) -> None:
        self._ports = {spec.name: port for spec, port in zip(self.inputs, self._compiled.inputs)}
        self._results = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.outputs}
        for port, array in zip(self._compiled.outputs, self._results.values()):
            self._bind(port, array)

    def _bind_inputs(self) -> None:
        for name, array in self._tensors.items():
            self._bind(self._ports[name], array)

    def _bind(self, port: Any, array: np.ndarray) -> None:
        self._request.set_tensor(port, ov.Tensor(array, shared_memory=True))

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        # Not infer(): its Python wrapper copies the outputs.
        self._request.start_async()
        self._request.wait()
        return self._results

    def _close(self) -> None:
        self._request = self._compiled = None


def _settings(core: Any, precision: str, threads: int) -> Dict[str, str]:
    if precision not in _ARITHMETIC:
        raise ConfigError('precision: {} was asked for, but engine openvino runs {}. Choose one of those.'.format(
            precision, ', '.join(_ARITHMETIC)))
    arithmetic, capability = _ARITHMETIC[precision]
    capabilities = core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    if capability not in capabilities:
        raise ConfigError('precision: {} was asked for, but this CPU ({}) has no units for it, only for {}. Choose '
                          'precision fp32.'.format(precision, core.get_property('CPU', 'FULL_DEVICE_NAME'),
                                                   ', '.join(capabilities)))
    settings = {'PERFORMANCE_HINT': 'LATENCY', 'NUM_STREAMS': '1', 'INFERENCE_NUM_THREADS': str(threads),
                'INFERENCE_PRECISION_HINT': arithmetic}
    # A thread bound to a core waits for other processes there: tinypwc took 48 instead of 20 ms on two busy cores.
    if 'ENABLE_CPU_PINNING' in core.get_property('CPU', 'SUPPORTED_PROPERTIES'):
        settings['ENABLE_CPU_PINNING'] = 'NO'
    else:
        settings['AFFINITY'] = 'NONE'
    return settings


def _check_executed(file: str, compiled: Any, precision: str) -> None:
    # For OpenVINO the precision is a hint: it may use another one without notice.
    arithmetic = compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name()
    if arithmetic != _ARITHMETIC[precision][0]:
        raise EngineError('{}: precision {} was asked for, but OpenVINO {} runs it in {}. Choose another '
                          'precision.'.format(file, precision, ov.get_version(), arithmetic))
    if precision != 'int8':
        return
    layers = [layer.get_rt_info() for layer in compiled.get_runtime_model().get_ops()]
    executed = {_text(layer['runtimePrecision']).lower() for layer in layers if _text(layer['layerType']) in _HEAVY}
    if not executed & {'i8', 'u8'}:
        raise EngineError('{}: precision int8 was asked for, but its convolutions and matrix products run in {}. '
                          'Give a file with Q/DQ nodes, or choose another precision.'.format(
                              file, ', '.join(sorted(executed)) or 'no precision: it has none'))


def _text(value: Any) -> str:
    # Wrapped since OpenVINO 2022.3.
    return str(getattr(value, 'value', value))


def _spec(file: str, model: Model, port: Any) -> TensorSpec:
    # A compiled tensor also has the names of tensors merged into it: take the one that the model knows, or
    # else the one of the ONNX file, which its place in the graph is called by.
    known = model.input.names + tuple(model.output.names.values()) + (
        port.get_node().get_friendly_name().split('/sink_port_')[0],)
    name = str(next((each for each in known if each in port.get_names()), port.get_any_name()))
    shape = [None if side.is_dynamic else side.get_length() for side in port.partial_shape]
    return static_spec(file, name, shape, port.element_type.to_dtype())

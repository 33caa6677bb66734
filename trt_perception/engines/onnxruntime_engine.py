"""ONNX networks on the CPU with ONNX Runtime: works everywhere."""
from typing import Any, Collection, Dict, Optional

import numpy as np
import onnxruntime as ort

from ..core.data import TensorSpec
from ..core.engine import Engine
from ..core.errors import EngineError
from ..core.image import FrameDecoder
from ..core.model import Model
from . import EngineOptions

# longlong, not int64: ONNX Runtime 1.10 cannot bind the latter, whose C type is long.
_DTYPES = {'tensor(uint8)': np.uint8, 'tensor(float)': np.float32, 'tensor(float16)': np.float16,
           'tensor(int32)': np.int32, 'tensor(int64)': np.longlong}


def open_engine(model: Model, precision: str, options: EngineOptions, decoder: Optional[FrameDecoder]) -> Engine:
    """Open the model's ONNX file; see `engines.open_engine`."""
    return OnnxRuntimeEngine(model, precision, options, decoder)


class OnnxRuntimeEngine(Engine):
    """An ONNX Runtime session whose inputs and outputs are bound to numpy arrays once."""

    backend = 'onnxruntime'

    def __init__(self, model: Model, precision: str, options: EngineOptions,
                 decoder: Optional[FrameDecoder] = None) -> None:
        file = model.network_file(self.backend, precision)
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.log_severity_level = 3
        # Spinning threads win little latency and cost CPU that the camera driver needs.
        settings.add_session_config_entry('session.intra_op.allow_spinning', '0')
        try:
            self._session = ort.InferenceSession(file, settings, providers=['CPUExecutionProvider'])
        except Exception as error:  # ONNX Runtime has no public base class for its errors.
            raise EngineError('{}: ONNX Runtime {} cannot open it: {}. Check that it is an ONNX file of an opset '
                              'that this version knows.'.format(file, ort.__version__, error)) from error
        super().__init__(model, file, precision, [_spec(file, i) for i in self._session.get_inputs()],
                         [_spec(file, o) for o in self._session.get_outputs()], decoder)
        self._results = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.outputs}
        self._binding = self._session.io_binding()
        for name, array in self._results.items():
            self._binding.bind_output(name, 'cpu', 0, array.dtype.type, array.shape, array.ctypes.data)
        self._bind_inputs()

    def _bind_inputs(self) -> None:
        for name, array in self._tensors.items():
            self._binding.bind_input(name, 'cpu', 0, array.dtype.type, array.shape, array.ctypes.data)

    def _swap(self, a: str, b: str) -> None:
        super()._swap(a, b)
        self._bind_inputs()

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise EngineError('{}: ONNX Runtime failed to run it: {}'.format(self.file, error)) from error
        return self._results


def _spec(file: str, argument: Any) -> TensorSpec:
    shape = tuple(argument.shape)
    if not all(isinstance(side, int) and side > 0 for side in shape):
        raise EngineError('{}: {!r} has the dynamic shape {}, expected fixed sizes. Export it with static shapes and '
                          'batch 1.'.format(file, argument.name, list(shape)))
    if argument.type not in _DTYPES:
        raise EngineError('{}: {!r} is a {}, expected one of {}.'.format(
            file, argument.name, argument.type, ', '.join(_DTYPES)))
    return TensorSpec(argument.name, shape, np.dtype(_DTYPES[argument.type]))

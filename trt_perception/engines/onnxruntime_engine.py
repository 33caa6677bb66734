"""ONNX networks on the CPU with ONNX Runtime: works everywhere."""
from typing import Collection, Dict, Optional

import numpy as np
import onnxruntime as ort

from ..core.engine import Engine, Specs
from ..core.errors import ConfigError
from ..core.image import FrameDecoder
from ..core.model import Model
from ..core.tensors import static_spec
from .backends import EngineOptions

# longlong, not int64: ONNX Runtime 1.10 cannot bind the latter, whose C type is long.
_DTYPES = {'tensor(uint8)': np.uint8, 'tensor(float)': np.float32, 'tensor(float16)': np.float16,
           'tensor(int32)': np.int32, 'tensor(int64)': np.longlong}


def runs_int8() -> bool:
    """Return whether this version computes INT8 networks right: before 1.12 it resized channels-last floats wrongly."""
    return tuple(int(part) for part in ort.__version__.split('.')[:2]) >= (1, 12)


class OnnxRuntimeEngine(Engine):
    """An ONNX Runtime session whose inputs and outputs are bound to numpy arrays once."""

    backend = 'onnxruntime'
    runtime = 'ONNX Runtime'
    version = ort.__version__
    advice = 'Check that it is an ONNX file of an opset that this version knows.'

    def __init__(self, model: Model, precision: str, options: EngineOptions,
                 decoder: Optional[FrameDecoder] = None) -> None:
        file = model.network_file(self.backend, precision)
        if precision == 'int8' and not runs_int8():
            raise ConfigError('precision: int8 was asked for, but ONNX Runtime {} computes it wrongly. Install 1.12 or '
                              'newer, or choose precision fp32.'.format(ort.__version__))
        self._threads = options.threads
        super().__init__(model, file, precision, decoder)

    def _open(self) -> Specs:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = self._threads
        settings.log_severity_level = 3
        # Spinning threads gain little latency, and cost CPU time that the camera driver needs.
        settings.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self._session = ort.InferenceSession(self.file, settings, providers=['CPUExecutionProvider'])
        inputs, outputs = ([static_spec(self.file, each.name, each.shape, each.type, _DTYPES) for each in arguments]
                           for arguments in (self._session.get_inputs(), self._session.get_outputs()))
        return inputs, outputs

    def _connect(self) -> None:
        self._results = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.outputs}
        self._binding = self._session.io_binding()
        for name, array in self._results.items():
            self._binding.bind_output(name, 'cpu', 0, array.dtype.type, array.shape, array.ctypes.data)

    def _bind_inputs(self) -> None:
        for name, array in self._tensors.items():
            self._binding.bind_input(name, 'cpu', 0, array.dtype.type, array.shape, array.ctypes.data)

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        self._session.run_with_iobinding(self._binding)
        return self._results

    def _close(self) -> None:
        self._binding = self._session = None

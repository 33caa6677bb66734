"""TensorFlow Lite networks on the CPU, float or quantised: the baseline on small boards."""
from typing import Any, Collection, Dict, NamedTuple, Optional

import numpy as np

from ..core.data import TensorSpec
from ..core.engine import Engine, Specs
from ..core.errors import ConfigError, EngineError
from ..core.image import FrameDecoder
from ..core.model import Model, ModelInput
from ..core.tensors import static_spec
from .backends import EngineOptions

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # The same library under its older name, the only one for Python up to 3.8.
    from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found,no-redef,unused-ignore]

_PRECISIONS = ('fp32', 'int8')


class _Tensor(NamedTuple):
    """An input or output of the file."""

    number: int
    """Index in the interpreter."""
    spec: TensorSpec
    scale: float
    """Scale of a quantised tensor, whose integer q means scale * (q - zero_point); 0 = not quantised."""
    zero_point: int


class TfliteEngine(Engine):
    """A TFLite interpreter. Inputs and outputs have the names of the file's tensors.

    A quantised input takes grey levels; a table has the integers for `(grey level - mean) / std`. A quantised output is
    returned as float32. A network with only its weights quantised counts as fp32.
    """

    backend = 'tflite'
    runtime = 'TensorFlow Lite'
    advice = 'Check that it is a TFLite file, and that this version knows its operators.'

    def __init__(self, model: Model, precision: str, options: EngineOptions,
                 decoder: Optional[FrameDecoder] = None) -> None:
        file = model.network_file(self.backend, precision, format='')
        if precision not in _PRECISIONS:
            raise ConfigError('precision: {} was asked for, but engine tflite runs {}. Choose one of those.'.format(
                precision, ', '.join(_PRECISIONS)))
        self._threads = options.threads
        super().__init__(model, file, precision, decoder)

    def _open(self) -> Specs:
        self._interpreter: Any = Interpreter(self.file, num_threads=self._threads)
        self._interpreter.allocate_tensors()
        inputs = [_tensor(self.file, details) for details in self._interpreter.get_input_details()]
        outputs = [_tensor(self.file, details) for details in self._interpreter.get_output_details()]
        # Weights have a scale per channel, which is not reported here.
        if self.precision == 'int8' and not any(each['quantization'][0]
                                                for each in self._interpreter.get_tensor_details()):
            raise EngineError('{}: precision int8 was asked for, but it computes in floating point. Quantise weights '
                              'and activations, or choose precision fp32.'.format(self.file))
        self._inside = {each.spec.name: each for each in inputs + outputs}
        self._tables = {each.spec.name: _table(each, self.model.input) for each in inputs if each.scale}
        return [_outside(each, np.uint8) for each in inputs], [_outside(each, np.float32) for each in outputs]

    def _connect(self) -> None:
        self._results = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.outputs}

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        # The interpreter does not run while there is a view of its memory, so results cannot be returned in place;
        # nor can images stay there, because swap() must be free. The copies cost 0.06 ms for 448x608x3 float32.
        for name, array in self._tensors.items():
            self._write(name, array)
        self._interpreter.invoke()
        for name in wanted:
            self._read(name, self._results[name])
        return self._results

    def _close(self) -> None:
        self._interpreter = None

    def _write(self, name: str, image: np.ndarray) -> None:
        tensor = self._interpreter.tensor(self._inside[name].number)()
        table = self._tables.get(name)
        if table is None:
            np.copyto(tensor, image)
            return
        if image.shape[3] == len(table):
            tensor, image = tensor.transpose(0, 3, 1, 2), image.transpose(0, 3, 1, 2)
        for channel, stored in enumerate(table):
            np.take(stored, image[0, channel], out=tensor[0, channel], mode='clip')

    def _read(self, name: str, result: np.ndarray) -> None:
        inside = self._inside[name]
        tensor = self._interpreter.tensor(inside.number)()
        if not inside.scale:
            np.copyto(result, tensor)
            return
        np.subtract(tensor, inside.zero_point, out=result, dtype=np.float32)
        result *= inside.scale


def _tensor(file: str, details: Dict[str, Any]) -> _Tensor:
    # The batch may be dynamic: the interpreter then takes 1.
    signature = details.get('shape_signature', details['shape'])
    shape = [int(side) for side in (details['shape'][0],) + tuple(signature[1:])]
    spec = static_spec(file, details['name'], shape, details['dtype'])
    scale, zero_point = details['quantization']
    return _Tensor(details['index'], spec, float(scale), int(zero_point))


def _outside(tensor: _Tensor, dtype: Any) -> TensorSpec:
    return tensor.spec._replace(dtype=np.dtype(dtype)) if tensor.scale else tensor.spec


def _table(tensor: _Tensor, image: ModelInput) -> np.ndarray:
    """Return (C, 256): the integer for each grey level of each channel."""
    values = (np.arange(256) - image.mean[:, np.newaxis]) / image.std[:, np.newaxis]
    limits = np.iinfo(tensor.spec.dtype)
    stored = np.rint(values / tensor.scale) + tensor.zero_point
    return np.clip(stored, limits.min, limits.max).astype(tensor.spec.dtype)

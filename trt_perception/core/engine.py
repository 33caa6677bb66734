"""The engine contract: what every inference runtime does for the pipelines. Knows tensors and images, not tasks."""
import abc
import threading
from typing import Any, Collection, Dict, Optional, Sequence, Tuple

import numpy as np

from .data import Frame, TensorSpec
from .errors import EngineError
from .image import FrameDecoder, Size
from .model import Model
from .preprocess import InputWriter


class Engine(abc.ABC):
    """A network loaded and ready to run.

    Shapes are static, batch 1. THE THREAD THAT OPENS AN ENGINE IS THE ONLY ONE THAT MAY USE IT. A back-end implements
    the methods that begin with an underscore; the public ones check once and delegate.

    Attributes:
        inputs: what the network takes.
        outputs: what it gives, of that what the model names.
        input_size: (height, width) of the pictures it sees.
        precision: one of model.PRECISIONS, as built.
        file: the network file.
        stage_ms: stages inside the last put_image and infer, ms: upload, preprocess, infer, download; empty where the
            runtime does not tell them apart, or was not asked to (EngineOptions.profile).
    """

    backend = ''
    """Name in the BACKENDS table."""

    def __init__(self, model: Model, file: str, precision: str, inputs: Sequence[TensorSpec],
                 outputs: Sequence[TensorSpec], decoder: Optional[FrameDecoder] = None) -> None:
        self.file = file
        self.precision = precision
        self.inputs: Tuple[TensorSpec, ...] = tuple(inputs)
        self.stage_ms: Dict[str, float] = {}
        self._thread = threading.get_ident()
        specs = {spec.name: spec for spec in self.inputs}
        if set(specs) != set(model.input.names):
            raise EngineError('{}: inputs are {}, but {} says {}. Correct input.names in the YAML.'.format(
                file, ', '.join(sorted(specs)), model.path, ', '.join(model.input.names)))
        found = [spec.name for spec in outputs]
        named = [name for name in (model.output.labels, model.output.confidence, model.output.flow) if name]
        for name in named:
            if name not in found:
                raise EngineError('{}: no output {!r}, it has {}. Correct `output` in {}.'.format(
                    file, name, ', '.join(found), model.path))
        self.outputs: Tuple[TensorSpec, ...] = tuple(spec for spec in outputs if spec.name in named)
        self._output_names = [spec.name for spec in self.outputs]
        decoder = decoder or FrameDecoder()
        self._writers = {name: InputWriter(spec, model.input, decoder, file) for name, spec in specs.items()}
        sizes = {writer.size for writer in self._writers.values()}
        if len(sizes) > 1:
            raise EngineError('{}: inputs differ in size: {}. Both frames of a pair need one size.'.format(
                file, ', '.join('{}x{}'.format(*size) for size in sorted(sizes))))
        self.input_size: Size = sizes.pop()
        self._tensors: Dict[str, Any] = {spec.name: self._allocate(spec) for spec in self.inputs}

    def put_image(self, name: str, frame: Frame) -> None:
        """Bring a camera frame into input `name`: decode, resize, normalise, lay out, as the model's YAML says.

        Raises:
            FrameError: the frame cannot be decoded; the input is then unchanged.
        """
        self._check_thread()
        self._put_image(name, frame)

    def swap(self, a: str, b: str) -> None:
        """Exchange the contents of two inputs without copying (flow keeps the previous frame this way)."""
        self._check_thread()
        self._swap(a, b)

    def infer(self, wanted: Optional[Collection[str]] = None) -> Dict[str, np.ndarray]:
        """Run the network once.

        THE ARRAYS BELONG TO THE ENGINE and are valid until the next call.

        Args:
            wanted: outputs that are needed, None = all; others may be missing, or hold the result of an earlier call.

        Raises:
            EngineError: the runtime failed; it carries the runtime's own text.
        """
        self._check_thread()
        return self._infer(self._output_names if wanted is None else wanted)

    def resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]] = None) -> bool:
        """Ask that from now on an output comes on another pixel grid: labels nearest, flow bilinear and multiplied.

        Its shape keeps its axes: labels end in (H, W), flow is (1, H, W, 2).

        Args:
            size: (height, width) of that grid, px.
            factors: for u and v: target pixels per unit of the output, with the sign; None for labels.

        Returns:
            Whether the engine does it. If not, all is as before, and the caller resizes.
        """
        self._check_thread()
        return self._resize_output(name, size, factors)

    def close(self) -> None:
        """Give back what the engine holds. May be called twice."""
        self._tensors.clear()

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise EngineError('{}: used from another thread than the one that opened it. Open the engine in the '
                              'thread that runs it.'.format(self.file))

    def _allocate(self, spec: TensorSpec) -> Any:
        """Return the memory of an input, filled with 0."""
        return np.zeros(spec.shape, spec.dtype)

    def _put_image(self, name: str, frame: Frame) -> None:
        self._writers[name].write(frame, self._tensors[name])

    def _swap(self, a: str, b: str) -> None:
        self._tensors[a], self._tensors[b] = self._tensors[b], self._tensors[a]

    def _resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]]) -> bool:
        return False

    @abc.abstractmethod
    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        """Run the network on the inputs as they are, and return at least the wanted outputs."""

"""The engine contract between inference runtimes and pipelines. Knows tensors and images, not tasks."""
import abc
import functools
import logging
import threading
from typing import Any, Callable, Collection, Dict, Optional, Sequence, Tuple, TypeVar, cast

import numpy as np

from .data import Frame, TensorSpec
from .errors import EngineError, PerceptionError
from .image import FrameDecoder, Size
from .model import Model
from .network_files import check_network_files
from .preprocess import InputWriter

_log = logging.getLogger(__name__)

Specs = Tuple[Sequence[TensorSpec], Sequence[TensorSpec]]
"""Inputs and outputs of a network."""
_Method = TypeVar('_Method', bound=Callable[..., Any])


def _checked(what: str) -> Callable[[_Method], _Method]:
    """Make a public method check the engine's state first, and turn what a runtime raises into an EngineError.

    Args:
        what: what the method does, for the error.
    """
    def decorated(method: _Method) -> _Method:
        @functools.wraps(method)
        def checked(self: 'Engine', *args: Any, **kwargs: Any) -> Any:
            # Inline, as this is done several times a frame.
            if self._closed or threading.get_ident() != self._thread:
                raise self._unusable()
            try:
                return method(self, *args, **kwargs)
            except PerceptionError:
                raise
            except Exception as error:
                raise self._failure(what, error) from error
        return cast(_Method, checked)
    return decorated


class Engine(abc.ABC):
    """A network loaded and ready to run.

    Shapes are static, batch 1. THE THREAD THAT OPENS AN ENGINE IS THE ONLY ONE THAT MAY USE IT.

    Several cameras may take turns on it, numbered from 0: each has its own inputs, and its own sizes of the outputs
    (`resize_output`). The other methods act on those of the camera that was selected last, at first of camera 0.

    A back-end implements the methods that begin with an underscore. The public ones make the checks, delegate, and
    turn every exception of a runtime into an EngineError, so that callers need to expect no other.

    Attributes:
        model: the model of the network, as given.
        inputs: inputs of the network.
        outputs: those outputs of the network that the model names.
        input_size: (height, width) of its input images.
        precision: one of model.PRECISIONS, as built.
        file: the network file.
        stage_ms: stages inside the last put_image and infer, ms: upload, preprocess, infer, download; empty where the
            runtime does not report them, or was not asked to (EngineOptions.profile).

    Raises:
        EngineError: the network cannot be opened, or does not agree with the model.
    """

    backend = ''
    """Name in the BACKENDS table."""
    runtime = ''
    """Name of the library, for error texts."""
    version = ''
    """Version of the library."""
    advice = ''
    """Remedy for a file that the runtime refuses, a sentence."""

    def __init__(self, model: Model, file: str, precision: str, decoder: Optional[FrameDecoder] = None) -> None:
        self.file = file
        self.precision = precision
        self.stage_ms: Dict[str, float] = {}
        self.model = model
        self._decoder = decoder or FrameDecoder()
        self._thread = threading.get_ident()
        self._camera = 0
        self._tensors: Dict[str, Any] = {}
        self._tensors_of: Dict[int, Dict[str, Any]] = {}
        self._closed = False
        try:
            check_network_files(model, file)
            inputs, outputs = self._open()
            self.inputs: Tuple[TensorSpec, ...] = tuple(inputs)
            self.outputs: Tuple[TensorSpec, ...] = self._named(outputs)
            self._output_names = [spec.name for spec in self.outputs]
            self._writers = {spec.name: InputWriter(spec, model.input, self._decoder, file) for spec in self.inputs}
            self.input_size: Size = self._common_size()
            self._tensors = self._tensors_of[0] = {spec.name: self._allocate(spec) for spec in self.inputs}
            self._connect()
            self._bind_inputs()
        except PerceptionError:
            self.close()
            raise
        except Exception as error:
            self.close()
            library = ' '.join([self.runtime, self.version]).rstrip()
            raise EngineError('{}: {} cannot open it: {}. {}'.format(
                file, library, _reason(error), self.advice).rstrip()) from error
        except BaseException:
            self.close()
            raise

    @_checked('change to another camera')
    def select(self, camera: int) -> None:
        """Choose the camera whose inputs and outputs the other methods use. Its inputs keep their contents.

        When a camera is selected for the first time, its inputs are 0, and its outputs have the sizes of the network.

        Raises:
            EngineError: the runtime failed.
        """
        if camera == self._camera:
            return
        if camera not in self._tensors_of:
            tensors = {spec.name: self._allocate(spec) for spec in self.inputs}
            self._add_camera(camera)
            self._tensors_of[camera] = tensors
        self._camera, self._tensors = camera, self._tensors_of[camera]
        self._bind_inputs()

    @_checked('take an image')
    def put_image(self, name: str, frame: Frame) -> None:
        """Convert a camera frame to input `name`: decode, resize, normalise and lay out, as the model's YAML says.

        Raises:
            FrameError: the frame cannot be decoded; the input is then unchanged.
            EngineError: the runtime failed.
        """
        self._put_image(name, frame)

    @_checked('exchange its inputs')
    def swap(self, a: str, b: str) -> None:
        """Exchange the contents of two inputs without copying (flow keeps the previous frame this way).

        Raises:
            EngineError: the runtime failed.
        """
        self._tensors[a], self._tensors[b] = self._tensors[b], self._tensors[a]
        self._bind_inputs()

    @_checked('run it')
    def infer(self, wanted: Optional[Collection[str]] = None) -> Dict[str, np.ndarray]:
        """Run the network once and return its outputs by name, of the shapes in `outputs` unless resized.

        THE ARRAYS BELONG TO THE ENGINE and are valid until the next call.

        Args:
            wanted: outputs that are needed, None = all; others may be missing, or hold the result of an earlier call.

        Raises:
            EngineError: the runtime failed; the text is the runtime's own.
        """
        return self._infer(self._output_names if wanted is None else wanted)

    @_checked('resize its output')
    def resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]] = None) -> bool:
        """Ask for an output on another pixel grid from now on: labels nearest neighbour, flow bilinear and multiplied.

        The axes stay the same: labels end in (H, W), flow is (1, H, W, 2).

        Args:
            size: (height, width) of that grid, px.
            factors: for u and v: target pixels per unit of the output, with the sign; None for labels.

        Returns:
            Whether the engine does it. If not, nothing changes, and the caller resizes.

        Raises:
            EngineError: the runtime failed.
        """
        return self._resize_output(name, size, factors)

    def close(self) -> None:
        """Free the resources of the engine. May be called twice. Failures are logged, not raised."""
        if self._closed:
            return
        self._closed = True
        self._tensors = {}
        self._tensors_of.clear()
        try:
            self._close()
        except Exception as error:
            # As text: a log record would keep the error's frames alive, with all that they refer to.
            _log.warning('%s: %s failed to close it: %s', self.file, self.runtime, _reason(error))

    def _unusable(self) -> EngineError:
        if self._closed:
            return EngineError('{}: the engine is closed. Open it again.'.format(self.file))
        return EngineError('{}: used from another thread than the one that opened it. Open the engine in the '
                           'thread that runs it.'.format(self.file))

    def _failure(self, what: str, error: Exception) -> EngineError:
        cure = ' Close other programs, or choose a smaller network.' if isinstance(error, MemoryError) else ''
        return EngineError('{}: {} failed to {}: {}.{}'.format(self.file, self.runtime, what, _reason(error), cure))

    def _named(self, outputs: Sequence[TensorSpec]) -> Tuple[TensorSpec, ...]:
        """Return the outputs that the model names, after a check of all names."""
        model, names = self.model, [spec.name for spec in self.inputs]
        if set(names) != set(model.input.names):
            raise EngineError('{}: inputs are {}, but {} says {}. Correct input.names in the YAML.'.format(
                self.file, ', '.join(sorted(names)), model.path, ', '.join(model.input.names)))
        found, named = [spec.name for spec in outputs], list(model.output.names.values())
        for name in named:
            if name not in found:
                raise EngineError('{}: no output {!r}, it has {}. Correct `output` in {}.'.format(
                    self.file, name, ', '.join(found), model.path))
        return tuple(spec for spec in outputs if spec.name in named)

    def _common_size(self) -> Size:
        sizes = {writer.size for writer in self._writers.values()}
        if len(sizes) > 1:
            raise EngineError('{}: inputs differ in size: {}. Both frames of a pair need one size.'.format(
                self.file, ', '.join('{}x{}'.format(*size) for size in sorted(sizes))))
        return sizes.pop()

    # What a back-end implements. All but _close are called in the thread that opened the engine, while it is open.

    @abc.abstractmethod
    def _open(self) -> Specs:
        """Load `self.file` and return its inputs and outputs, made by tensors.static_spec."""

    def _allocate(self, spec: TensorSpec) -> Any:
        """Return the memory of an input, filled with 0."""
        return np.zeros(spec.shape, spec.dtype)

    def _connect(self) -> None:
        """Tell the runtime where the outputs are: what `_infer` returns."""
        return

    def _bind_inputs(self) -> None:
        """Tell the runtime where the inputs are: `self._tensors`. After `_connect`, and whenever that has changed."""
        return

    def _add_camera(self, camera: int) -> None:
        """Prepare for another camera: whatever it needs in addition to its inputs."""
        return

    def _put_image(self, name: str, frame: Frame) -> None:
        self._writers[name].write(frame, self._tensors[name])

    def _resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]]) -> bool:
        return False

    @abc.abstractmethod
    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        """Run the network on the inputs as they are, and return at least the wanted outputs."""

    def _close(self) -> None:
        """Free the resources of the runtime; also after a failed `_open`, when only some of them may exist."""
        return


def _reason(error: Exception) -> str:
    """Return the text of a runtime's error on one line; the name of its class if there is none."""
    return ' '.join(str(error).split()).rstrip('.') or type(error).__name__

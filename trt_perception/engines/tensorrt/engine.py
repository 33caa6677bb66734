"""Serialized TensorRT engines on the GPU.

Per frame only the camera's bytes are uploaded, and only labels or flow downloaded: kernels do the rest.
"""
import logging
from typing import Any, Collection, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ...core.data import Frame, TensorSpec
from ...core.engine import Engine, Specs
from ...core.image import FrameDecoder, Size, frame_from_array
from ...core.model import Model, ModelOutput
from ...core.tensors import image_layout, map_size
from ..backends import DEFAULT_OPTIONS, BuiltEngine, EngineOptions
from . import kernels
from .context import VERSION, ExecutionContext, UnreadableEngineError
from .cuda import Gpu, Staging
from .file import engine_file, network_of

_log = logging.getLogger(__name__)


def open_engine(model: Model, precision: str, options: EngineOptions, decoder: Optional[FrameDecoder] = None,
                built: Optional[BuiltEngine] = None) -> Engine:
    """Open the model's engine, built now if it is not in the cache; see `backends.open_engine`."""
    if built is None:
        built = engine_file(model, precision, options)
    try:
        return TensorRTEngine(model, built.path, built.precision, options, decoder)
    except UnreadableEngineError as error:
        if options.rebuild or built.path == network_of(model, precision):
            raise  # It is new, or not ours.
        _log.warning('%s It is rebuilt.', str(error))
    built = engine_file(model, precision, options._replace(rebuild=True))
    return TensorRTEngine(model, built.path, built.precision, options, decoder)


class TensorRTEngine(Engine):
    """An engine file, ready to run.

    Labels and confidence come as uint8, flow as (1, H, W, 2) float32, whatever types the network gives them. The
    kernels that make these count to the stage `download` of stage_ms.

    Args:
        file: the serialized engine.
        precision: as built.

    Raises:
        UnreadableEngineError: the file is damaged, or was built elsewhere.
        EngineError: the GPU fails, or the network is not the one that the model describes.
        ConfigError: there is no such DLA core.
    """

    backend = 'tensorrt'
    runtime = 'TensorRT'
    version = VERSION
    _gpu: Gpu

    def __init__(self, model: Model, file: str, precision: str, options: EngineOptions = DEFAULT_OPTIONS,
                 decoder: Optional[FrameDecoder] = None) -> None:
        self._options = options
        self._camera: Optional[_Camera] = None
        self._results: Dict[str, _Result] = {}
        super().__init__(model, file, precision, decoder)

    def _open(self) -> Specs:
        self._gpu = Gpu(self._options.gpu_id, self._options.profile)
        with self._gpu.using('opening ' + self.file):
            self._gpu.compile()
            self._context = self._gpu.own(ExecutionContext(self.file, self._model.name, self._options,
                                                           self._gpu.info.name))
            inputs, self._raw = self._context.specs()
        return inputs, [_conversion(spec, self._model.output).result for spec in self._raw]

    def _connect(self) -> None:
        with self._gpu.using('opening ' + self.file):
            for name, memory in self._tensors.items():
                self._context.place(name, int(memory))
            for spec in self._raw:
                self._place_output(spec)

    def _close(self) -> None:
        # The arrays that `infer` returned go, too.
        self._camera = None
        self._results.clear()
        gpu = getattr(self, '_gpu', None)  # Missing where there is none.
        if gpu is not None:
            gpu.close()

    def _allocate(self, spec: TensorSpec) -> Any:
        with self._gpu.using('opening ' + self.file):
            return self._gpu.allocate_tensor(spec.shape, spec.dtype)

    def _put_image(self, name: str, frame: Frame) -> None:
        if frame.encoding not in kernels.LAYOUTS:
            frame = self._decoded(frame)
        with self._gpu.using('uploading an image'):
            camera = self._camera_of(name, frame)
            with self._gpu.stage('upload'):
                camera.upload.fill(frame.data)
            with self._gpu.stage('preprocess'):
                self._gpu.launch(camera.launches[name], camera.upload.address, int(self._tensors[name]))
            camera.upload.mark_read()

    def _decoded(self, frame: Frame) -> Frame:
        """Decode what no kernel reads on the host; from there its image travels like any camera's."""
        color = self._model.input.color
        return frame_from_array(self._decoder.image(frame, color, self.input_size), frame.stamp_ns, frame.frame_id,
                                  color)

    def _camera_of(self, name: str, frame: Frame) -> '_Camera':
        """Return what a frame's geometry needs, allocated and computed when that changes."""
        geometry = (frame.encoding, frame.height, frame.width, frame.data.shape)
        old = self._camera
        if old is not None and old.geometry == geometry:
            return old
        launches: Dict[str, kernels.Launch] = {}
        for spec in self.inputs:
            launch = kernels.write_image(frame, self._model.input, spec)
            assert launch is not None  # _decoded has seen to that.
            launches[spec.name] = launch

        def use(staging: Staging) -> None:
            staging.fill(frame.data)
            self._gpu.launch(launches[name], staging.address, int(self._tensors[name]))
            staging.mark_read()

        self._camera = _Camera(geometry, launches, self._gpu.staging(frame.data.shape, np.dtype(np.uint8), use))
        if old is not None:
            self._gpu.free(old.upload)
        return self._camera

    def _swap(self, a: str, b: str) -> None:
        with self._gpu.using('swapping inputs'):
            super()._swap(a, b)
            for name in (a, b):
                self._context.place(name, int(self._tensors[name]))

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        with self._gpu.using('running ' + self.file):
            with self._gpu.stage('infer'):
                self._context.execute(self._gpu.stream_handle)
            with self._gpu.stage('download'):
                for name in wanted:
                    self._fetch(self._results[name])
            self._gpu.synchronize()
            self.stage_ms = self._gpu.stage_ms()
        return {name: self._results[name].staging.host for name in wanted}

    def _place_output(self, raw: TensorSpec) -> None:
        conversion = _conversion(raw, self._model.output)
        if conversion.launch is None and raw in self.outputs:
            staging = self._gpu.staging(raw.shape, raw.dtype)
            self._results[raw.name] = _Result(raw, staging.address, None, staging)
            self._context.place(raw.name, staging.address)
            return
        source = int(self._gpu.allocate_tensor(raw.shape, raw.dtype))
        self._context.place(raw.name, source)
        if conversion.launch is not None:
            self._results[raw.name] = self._result(raw, conversion, source)

    def _resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]]) -> bool:
        old = self._results[name]
        conversion = _conversion(old.raw, self._model.output, size, factors)
        if conversion.launch is None:
            return False
        with self._gpu.using('resizing ' + name):
            self._results[name] = self._result(old.raw, conversion, old.source)
            self._gpu.free(old.staging)
        return True

    def _result(self, raw: TensorSpec, conversion: '_Conversion', source: int) -> '_Result':
        def use(staging: Staging) -> None:
            self._fetch(_Result(raw, source, conversion.launch, staging))
            self._gpu.synchronize()
            staging.host.copy()

        shape, dtype = conversion.result.shape, conversion.result.dtype
        return _Result(raw, source, conversion.launch, self._gpu.staging(shape, dtype, use))

    def _fetch(self, result: '_Result') -> None:
        if result.launch is not None:
            self._gpu.launch(result.launch, result.source, result.staging.address)
        result.staging.fetch()


class _Camera(NamedTuple):
    """What depends on the geometry of the frames."""

    geometry: Tuple[Any, ...]
    launches: Dict[str, kernels.Launch]
    """Input name -> how a frame gets into it."""
    upload: Staging


class _Conversion(NamedTuple):
    """What becomes of an output on the GPU."""

    result: TensorSpec
    launch: Optional[kernels.Launch]
    """None: it is handed out as the network gives it."""


class _Result(NamedTuple):
    """An output on its way from the network to the host."""

    raw: TensorSpec
    """As the network gives it."""
    source: int
    """Address where the network puts it."""
    launch: Optional[kernels.Launch]
    """Writes the result into `staging`."""
    staging: Staging


def _conversion(raw: TensorSpec, output: ModelOutput, size: Optional[Size] = None,
                factors: Optional[Tuple[float, float]] = None) -> _Conversion:
    """Return how an output becomes uint8 labels or float32 flow of a size: None = its own."""
    maps, flow = map_size(raw.shape), image_layout(raw.shape, 2)
    if maps is not None and raw.dtype == np.int32 and raw.name in (output.labels, output.confidence):
        target = size or maps
        return _Conversion(TensorSpec(raw.name, raw.shape[:-2] + target, np.dtype(np.uint8)),
                           kernels.narrow_labels(maps, target))
    if flow is not None and raw.dtype in (np.float32, np.float16) and raw.name == output.flow:
        target = size or flow.size
        return _Conversion(TensorSpec(raw.name, (1,) + target + (2,), np.dtype(np.float32)),
                           kernels.scale_flow(raw, target, factors or (1.0, 1.0)))
    return _Conversion(raw, None)

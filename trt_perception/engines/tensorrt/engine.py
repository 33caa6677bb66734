"""Serialized TensorRT engines on the GPU.

Per frame, only the camera's bytes are uploaded, and only labels or flow are downloaded; kernels do the rest.
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

_Target = Tuple[Optional[Size], Optional[Tuple[float, float]]]
"""Arguments of `resize_output`."""
_NATIVE: _Target = (None, None)
"""Arguments for the grid of the network's output."""


def open_engine(model: Model, precision: str, options: EngineOptions, decoder: Optional[FrameDecoder] = None,
                built: Optional[BuiltEngine] = None) -> Engine:
    """Open the model's engine, built now if it is not in the cache; see `backends.open_engine`."""
    if built is None:
        built = engine_file(model, precision, options)
    try:
        return TensorRTEngine(model, built.path, built.precision, options, decoder)
    except UnreadableEngineError as error:
        if options.rebuild or built.path == network_of(model, precision):
            raise  # It is new, or not from our cache.
        _log.warning('%s It is rebuilt.', str(error))
    built = engine_file(model, precision, options._replace(rebuild=True))
    return TensorRTEngine(model, built.path, built.precision, options, decoder)


class TensorRTEngine(Engine):
    """An engine file, ready to run.

    Labels and confidence are uint8, flow is (1, H, W, 2) float32, whatever the types of the network's outputs. The time
    of the kernels that convert them is in the stage `download` of stage_ms.

    Args:
        file: the serialized engine.
        precision: as built.

    Raises:
        UnreadableEngineError: the file is damaged, or was built elsewhere.
        EngineError: the GPU fails, or the network does not agree with the model.
        ConfigError: there is no such DLA core.
    """

    backend = 'tensorrt'
    runtime = 'TensorRT'
    version = VERSION
    _gpu: Gpu

    def __init__(self, model: Model, file: str, precision: str, options: EngineOptions = DEFAULT_OPTIONS,
                 decoder: Optional[FrameDecoder] = None) -> None:
        self._options = options
        self._uploads: Dict[int, _Upload] = {}
        self._results: Dict[int, Dict[str, _Result]] = {0: {}}
        super().__init__(model, file, precision, decoder)

    def _open(self) -> Specs:
        self._gpu = Gpu(self._options.gpu_id, self._options.profile)
        with self._gpu.using('opening ' + self.file):
            self._gpu.compile()
            self._context = self._gpu.own(ExecutionContext(self.file, self.model.name, self._options,
                                                           self._gpu.info.name))
            inputs, self._raw = self._context.specs()
        return inputs, [_conversion(spec, self.model.output).result for spec in self._raw]

    def _connect(self) -> None:
        with self._gpu.using('opening ' + self.file):
            for spec in self._raw:
                self._place_output(spec)

    def _bind_inputs(self) -> None:
        with self._gpu.using('binding inputs'):
            for name, memory in self._tensors.items():
                self._context.place(name, int(memory))

    def _add_camera(self, camera: int) -> None:
        with self._gpu.using('adding a camera'):
            self._results[camera] = {name: self._result(each.raw, each.source)
                                     for name, each in self._results[0].items()}

    def _close(self) -> None:
        # The arrays that `infer` returned become invalid, too.
        self._uploads.clear()
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
            upload = self._upload_of(name, frame)
            with self._gpu.stage('upload'):
                upload.staging.fill(frame.data)
            with self._gpu.stage('preprocess'):
                self._gpu.launch(upload.launches[name], upload.staging.address, int(self._tensors[name]))
            upload.staging.mark_read()

    def _decoded(self, frame: Frame) -> Frame:
        """Decode encodings without a kernel on the host, and upload the result like any camera's image."""
        color = self.model.input.color
        return frame_from_array(self._decoder.image(frame, color, self.input_size), frame.stamp_ns, frame.frame_id,
                                  color)

    def _upload_of(self, name: str, frame: Frame) -> '_Upload':
        """Return the data for a frame's geometry, allocated and computed when the camera's geometry changes."""
        geometry = (frame.encoding, frame.height, frame.width, frame.data.shape)
        old = self._uploads.get(self._camera)
        if old is not None and old.geometry == geometry:
            return old
        shared = (each for each in self._uploads.values() if each.geometry == geometry)
        upload = self._uploads[self._camera] = next(shared, None) or self._new_upload(geometry, name, frame)
        if old is not None and all(each is not old for each in self._uploads.values()):
            self._gpu.free(old.staging)
        return upload

    def _new_upload(self, geometry: Tuple[Any, ...], name: str, frame: Frame) -> '_Upload':
        launches: Dict[str, kernels.Launch] = {}
        for spec in self.inputs:
            launch = kernels.write_image(frame, self.model.input, spec)
            assert launch is not None  # _decoded ensures that.
            launches[spec.name] = launch

        def use(staging: Staging) -> None:
            staging.fill(frame.data)
            self._gpu.launch(launches[name], staging.address, int(self._tensors[name]))
            staging.mark_read()

        return _Upload(geometry, launches, self._gpu.staging(frame.data.shape, np.dtype(np.uint8), use))

    def _infer(self, wanted: Collection[str]) -> Dict[str, np.ndarray]:
        results = self._results[self._camera]
        with self._gpu.using('running ' + self.file):
            with self._gpu.stage('infer'):
                self._context.execute(self._gpu.stream_handle)
            with self._gpu.stage('download'):
                for name in wanted:
                    self._fetch(results[name])
            self._gpu.synchronize()
            self.stage_ms = self._gpu.stage_ms()
        return {name: results[name].staging.host for name in wanted}

    def _place_output(self, raw: TensorSpec) -> None:
        conversion = _conversion(raw, self.model.output)
        if conversion.launch is None and raw in self.outputs:
            staging = self._gpu.staging(raw.shape, raw.dtype)
            self._results[0][raw.name] = _Result(raw, staging.address, _NATIVE, None, staging)
            self._context.place(raw.name, staging.address)
            return
        source = int(self._gpu.allocate_tensor(raw.shape, raw.dtype))
        self._context.place(raw.name, source)
        if conversion.launch is not None:
            self._results[0][raw.name] = self._result(raw, source)

    def _resize_output(self, name: str, size: Size, factors: Optional[Tuple[float, float]]) -> bool:
        results = self._results[self._camera]
        old = results[name]
        if old.launch is None:
            return False
        with self._gpu.using('resizing ' + name):
            results[name] = self._result(old.raw, old.source, (size, factors))
            if all(each[name] is not old for each in self._results.values()):
                self._gpu.free(old.staging)
        return True

    def _result(self, raw: TensorSpec, source: int, target: _Target = _NATIVE) -> '_Result':
        """Return an output on a pixel grid: that of another camera with the same grid, or a new one."""
        for results in self._results.values():
            if raw.name in results and results[raw.name].target == target:
                return results[raw.name]
        conversion = _conversion(raw, self.model.output, *target)

        def use(staging: Staging) -> None:
            self._fetch(_Result(raw, source, target, conversion.launch, staging))
            self._gpu.synchronize()
            staging.host.copy()

        shape, dtype = conversion.result.shape, conversion.result.dtype
        return _Result(raw, source, target, conversion.launch, self._gpu.staging(shape, dtype, use))

    def _fetch(self, result: '_Result') -> None:
        if result.launch is not None:
            self._gpu.launch(result.launch, result.source, result.staging.address)
        result.staging.fetch()


class _Upload(NamedTuple):
    """Data that depends on the geometry of the frames; cameras of the same geometry share it."""

    geometry: Tuple[Any, ...]
    launches: Dict[str, kernels.Launch]
    """Input name -> launch that converts a frame to it."""
    staging: Staging


class _Conversion(NamedTuple):
    """The conversion of an output on the GPU."""

    result: TensorSpec
    launch: Optional[kernels.Launch]
    """None = the network's output is returned unchanged."""


class _Result(NamedTuple):
    """An output on its way from the network to the host."""

    raw: TensorSpec
    """Spec of the network's output."""
    source: int
    """Device address to which the network writes it."""
    target: _Target
    """The pixel grid of the result."""
    launch: Optional[kernels.Launch]
    """Writes the result into `staging`."""
    staging: Staging


def _conversion(raw: TensorSpec, output: ModelOutput, size: Optional[Size] = None,
                factors: Optional[Tuple[float, float]] = None) -> _Conversion:
    """Return the conversion of an output to uint8 labels or float32 flow of a size; None = its own."""
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

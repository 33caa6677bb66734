"""One GPU for one engine: context, stream, memory, kernels. The only user of pycuda; independent of networks."""
import functools
import logging
import shutil
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

from ...core.errors import EngineError
from . import kernels

_log = logging.getLogger(__name__)

# JetPack does not add it to the PATH.
_NVCC = '/usr/local/cuda/bin/nvcc'
_PROBES = 7


class GpuInfo(NamedTuple):
    """Properties of a GPU that are known without using it."""

    name: str
    capability: Tuple[int, int]
    """Compute capability: (6, 2) on the TX2."""
    integrated: bool
    """Whether it shares the memory of the CPU (Jetsons)."""


@functools.lru_cache(maxsize=None)
def gpu_info(gpu_id: int) -> GpuInfo:
    """Describe a GPU. It is queried once, because it does not change while a process runs.

    Raises:
        EngineError: there is no such GPU, or no working driver.
    """
    with _explained('GPU {}'.format(gpu_id)):
        cuda.init()
        device = cuda.Device(gpu_id)
        return GpuInfo(device.name(), tuple(device.compute_capability()),
                       bool(device.get_attribute(cuda.device_attribute.INTEGRATED)))


class Gpu:
    """The primary context of a GPU, one stream in it, and what was allocated there.

    The context is current only inside `using`, so that several engines in one thread may be closed in any order.

    Args:
        profile: whether `stage` measures.

    Raises:
        EngineError: there is no such GPU, or no working driver.
    """

    def __init__(self, gpu_id: int, profile: bool = False) -> None:
        self.info = gpu_info(gpu_id)
        self._where = 'GPU {} ({})'.format(gpu_id, self.info.name)
        self._profile = profile
        self._owned: List[Any] = []
        self._functions: Dict[str, Any] = {}
        self._events: Dict[str, Tuple[Any, Any]] = {}
        self._module: Any = None
        self._stream: Any = None
        with _explained(self._where):
            # The one that the CUDA runtime inside TensorRT uses, too.
            self._context = cuda.Device(gpu_id).retain_primary_context()
        try:
            with self.using('opening a stream'):
                self._stream = cuda.Stream()
        except EngineError:
            self.close()
            raise

    @property
    def stream_handle(self) -> int:
        """The stream, as TensorRT takes it."""
        return int(self._stream.handle)

    @contextmanager
    def using(self, what: str) -> Iterator[None]:
        """Make the GPU current in this thread for a block of code, whose CUDA errors become EngineErrors.

        Args:
            what: what the block does, for the error's text.
        """
        if self._context is None:
            raise EngineError('{}: {}: the engine is closed. Open it again.'.format(self._where, what))
        with _explained('{}: {}'.format(self._where, what)):
            self._context.push()
            try:
                yield
            finally:
                cuda.Context.pop()

    def own(self, thing: Any) -> Any:
        """Return `thing`, whose `free` is called by `close` at the latest, the newest first."""
        self._owned.append(thing)
        return thing

    def free(self, thing: Any) -> None:
        """Wait until nothing uses an argument of `own` any more, and free it."""
        self.synchronize()
        self._owned.remove(thing)
        thing.free()

    def allocate(self, size: int) -> Any:
        """Return `size` bytes of device memory; int() of it is the address."""
        return self.own(cuda.mem_alloc(size))

    def allocate_tensor(self, shape: Tuple[int, ...], dtype: np.dtype) -> Any:
        """Return device memory for a tensor, filled with 0."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = self.allocate(size)
        cuda.memset_d8_async(int(memory), 0, size, self._stream)
        return memory

    def staging(self, shape: Tuple[int, ...], dtype: np.dtype,
                use: Optional[Callable[['Staging'], None]] = None) -> 'Staging':
        """Return memory through which bytes travel between host and device.

        If both share the same memory, it is not known in advance whether a copy or uncached access takes longer, so
        both are tried.

        Args:
            use: does the work of a frame with a staging, without waiting; None = always copy.
        """
        copied = Staging(self, shape, dtype)
        if use is None or not self.info.integrated:
            return copied
        kinds = {'copied': copied, 'mapped': Staging(self, shape, dtype, mapped=True)}
        times: Dict[str, List[float]] = {kind: [] for kind in kinds}
        for _ in range(_PROBES):
            for kind, staging in kinds.items():
                start = time.perf_counter()
                use(staging)
                self.synchronize()
                times[kind].append((time.perf_counter() - start) * 1e3)
        best = min(kinds, key=lambda kind: float(np.median(times[kind])))
        _log.info('%s: %d bytes take %.3f ms copied, %.3f ms mapped: using %s memory.', self._where, copied.host.nbytes,
                  np.median(times['copied']), np.median(times['mapped']), best)
        for kind, staging in kinds.items():
            if kind != best:
                self.free(staging)
        return kinds[best]

    def compile(self) -> None:
        """Load kernels.cu; pycuda caches the compiled kernels on disk.

        Raises:
            EngineError: the CUDA compiler is missing or refuses it.
        """
        with open(kernels.SOURCE_FILE, encoding='utf-8') as file:
            source = file.read()
        try:
            self._module = SourceModule(source, nvcc=shutil.which('nvcc') or _NVCC, no_extern_c=True)
        except OSError as error:
            raise EngineError('{}: nvcc cannot be run: {}. Install the CUDA toolkit, or put its bin folder into the '
                              'PATH.'.format(kernels.SOURCE_FILE, error)) from error

    def launch(self, launch: kernels.Launch, source: int, destination: int) -> None:
        """Queue a kernel on two device addresses."""
        if launch.kernel not in self._functions:
            self._functions[launch.kernel] = self._module.get_function(launch.kernel)
        self._functions[launch.kernel](np.uintp(source), np.uintp(destination), launch.parameters, grid=launch.grid,
                                       block=launch.block, stream=self._stream)

    def copy_host_to_device(self, source: np.ndarray, destination: int) -> None:
        """Queue a copy from page-locked memory, of any shape, to the device."""
        cuda.memcpy_htod_async(destination, source, self._stream)

    def copy_device_to_host(self, source: int, destination: np.ndarray) -> None:
        """Queue a copy from the device to page-locked memory of any shape."""
        cuda.memcpy_dtoh_async(destination, source, self._stream)

    def record(self, event: Any) -> None:
        """Record an event that occurs when everything queued before is done."""
        event.record(self._stream)

    def synchronize(self) -> None:
        """Wait for everything that was queued."""
        self._stream.synchronize()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the work that a block of code queues, if profiling is on."""
        if not self._profile:
            yield
            return
        if name not in self._events:
            self._events[name] = (cuda.Event(), cuda.Event())
        begin, end = self._events[name]
        begin.record(self._stream)
        yield
        end.record(self._stream)

    def stage_ms(self) -> Dict[str, float]:
        """Return the last time of every stage, ms. To be called after `synchronize`."""
        return {name: float(end.time_since(begin)) for name, (begin, end) in self._events.items()}

    def close(self) -> None:
        """Wait for queued work and free everything. May be called twice; failures are logged."""
        context, self._context = self._context, None
        if context is None or not self._tried(context.push):
            return
        if self._stream is not None:
            self._tried(self.synchronize)
        while self._owned:
            self._tried(self._owned.pop().free)
        self._functions.clear()
        self._events.clear()
        self._module = self._stream = None
        self._tried(cuda.Context.pop)
        self._tried(context.detach)

    def _tried(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except cuda.Error as error:  # After a fault of the GPU, every call reports that fault again.
            # As text: a log record would keep the error's frames alive, with all that they refer to.
            _log.warning('%s: closing: %s', self._where, str(error))
            return False
        return True


class Staging:
    """Page-locked memory that the device accesses, either through a copy or, mapped, in place.

    Attributes:
        host: the array that the CPU reads or writes.
        address: the address for the device.
    """

    def __init__(self, gpu: Gpu, shape: Tuple[int, ...], dtype: Any, mapped: bool = False) -> None:
        self._gpu = gpu
        self._mapped = mapped
        self._memory: List[Any] = []
        gpu.own(self)
        self.host: np.ndarray = cuda.pagelocked_empty(
            shape, dtype, mem_flags=cuda.host_alloc_flags.DEVICEMAP if mapped else 0)
        self._memory.append(self.host.base)
        if mapped:
            self.address = int(self.host.base.get_device_pointer())
        else:
            self._memory.append(cuda.mem_alloc(self.host.nbytes))
            self.address = int(self._memory[-1])
        self._read: Any = cuda.Event()

    def fill(self, data: np.ndarray) -> None:
        """Write `data` into `host` and queue its upload."""
        # What was there may still be waiting to be read: after the first frame of a pair nobody waits for the GPU.
        # One buffer and an event rather than two buffers: that frame is a camera period ago, so the wait is over.
        self._read.synchronize()
        np.copyto(self.host, data)
        if not self._mapped:
            self._gpu.copy_host_to_device(self.host, self.address)

    def mark_read(self) -> None:
        """Record that everything that reads the data of `fill` is queued."""
        self._gpu.record(self._read)

    def fetch(self) -> None:
        """Queue the download of the data that the device wrote; it is in `host` after `Gpu.synchronize`."""
        if not self._mapped:
            self._gpu.copy_device_to_host(self.address, self.host)

    def free(self) -> None:
        """Free the memory. For Gpu.free, which waits first."""
        self._read = None
        while self._memory:
            self._memory.pop().free()


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except cuda.MemoryError as error:
        raise EngineError('{}: {}. Close other programs that use it, or choose a smaller network or precision '
                          'fp16.'.format(where, error)) from error
    except cuda.Error as error:
        raise EngineError('{}: {}'.format(where, error)) from error

"""A double of `pycuda`, `pycuda.driver` and `pycuda.compiler` for a GPU that is host memory.

What is put on a stream happens only when somebody waits for it, in order: a missing synchronise, or a page-locked
buffer that is written too early, gives wrong data. Device pointers are real addresses, checked against what is
allocated. Kernels are those of kernels.cu, compiled for the CPU by the host's compiler.
"""
import itertools
import threading
import time
import types
import weakref
from collections import Counter, deque
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

import numpy as np

from trt_perception.engines.tensorrt import kernels

GARBAGE = 0xCD
"""What every byte of fresh memory is."""
_GUARD = 64


class Gpu:
    """The state of one GPU: what a test looks at, and where it plants faults.

    Args:
        kernels: kernels_host.HostKernels.

    Attributes:
        counts: operation -> how often it was called; 'bytes up', 'bytes down' = what copies moved.
        live: 'device', 'host', 'stream', 'event', 'module', 'context' -> how many are not freed.
        faults: operation -> [calls that still succeed, text of the error, class name in pycuda.driver, or 'OSError'].
        delays_s: 'copied', 'mapped' -> what a kernel waits for memory of that kind, s.
    """

    def __init__(self, kernels=None, name='NVIDIA Tegra X2', capability=(6, 2), integrated=False, num_dla_cores=0):
        self.kernels = kernels
        self.name = name
        self.capability = capability
        self.integrated = integrated
        self.num_dla_cores = num_dla_cores
        self.counts = Counter()
        self.live = Counter()
        self.faults = {}
        self.delays_s = {'copied': 0, 'mapped': 0}
        self._blocks = {}
        self._streams = {}
        self._handles = itertools.count(0x5000)
        self._threads = threading.local()

    @property
    def stack(self):
        """Contexts that this thread has pushed; the last one is current."""
        if not hasattr(self._threads, 'stack'):
            self._threads.stack = []
        return self._threads.stack

    def fail(self, operation, text, error='LogicError', after=0):
        """Let every call of an operation fail, after the next `after` ones."""
        self.faults[operation] = [after, text, error]

    def fails(self, operation):
        """Count a call of an operation, and return the fault that is planted there, or None."""
        self.counts[operation] += 1
        fault = self.faults.get(operation)
        if fault is None:
            return None
        fault[0] -= 1
        return fault if fault[0] < 0 else None

    def require_context(self, operation):
        """Raise what CUDA says where this thread has no current context."""
        if not self.stack:
            raise LogicError('{} failed: invalid device context'.format(operation))

    def track(self, thing, kind, free=lambda: None):
        """Count a thing until it is no more, which then calls `free`; nothing may outlive the last context."""
        def gone():
            free()
            self.live[kind] -= 1
            self.counts['too late'] += not self.live['context']

        self.live[kind] += 1
        weakref.finalize(thing, gone)

    def all_returned(self):
        """Return whether everything was given back, in order, and no context is left current in this thread."""
        return not +self.live and not self.stack and not self.counts['too late']

    def attempt(self, operation, says='{operation} failed: {text}'):
        """Raise the fault that is planted at an operation."""
        fault = self.fails(operation)
        if fault:
            _, text, error = fault
            raise ERRORS.get(error, OSError)(says.format(operation=operation, text=text))

    def step(self, operation):
        """Do what every driver call does first: look for a context and for a planted fault."""
        self.require_context(operation)
        self.attempt(operation)

    def allocate(self, size, kind):
        """Return the address of fresh memory."""
        block = np.full(size + 2 * _GUARD, GARBAGE, np.uint8)
        block[:_GUARD] = block[-_GUARD:] = ~np.uint8(GARBAGE)
        address = block.ctypes.data + _GUARD
        self._blocks[address] = (block, kind)
        self.live[kind] += 1
        return address

    def release(self, address):
        """Free memory; what wrote beside it is found out."""
        block, kind = self._blocks.pop(address)
        assert (np.r_[block[:_GUARD], block[-_GUARD:]] == ~np.uint8(GARBAGE)).all(), 'written outside of the memory'
        self.live[kind] -= 1

    def memory(self, address, size=None):
        """Return the bytes at an address, to the end of the allocation or `size` of them: (N,) uint8."""
        start = self._start(address)
        assert start is not None, 'access to memory that is not allocated'
        inside = self._blocks[start][0][_GUARD:-_GUARD][address - start:]
        assert size is None or size <= inside.size, 'access beyond the allocation'
        return inside[:size]

    def kind(self, address):
        """Return 'device', 'host' for page-locked memory, or None."""
        start = self._start(address)
        return None if start is None else self._blocks[start][1]

    def _start(self, address):
        return next((start for start, (block, _) in self._blocks.items()
                     if start <= address < start + block.size - 2 * _GUARD), None)

    def enqueue(self, handle, work):
        """Put work on the stream with that handle."""
        assert handle in self._streams, 'the default stream, or one that is closed'
        self._streams[handle].append(work)

    def open_stream(self, stream):
        """Return the handle of a new stream, which ends with the object `stream`."""
        handle = next(self._handles)
        self._streams[handle] = deque()
        self.track(stream, 'stream', lambda: self._streams.pop(handle))
        return handle

    def drain(self, handle, go_on=lambda: True):
        """Do the work of a stream in order, as long as there is any and `go_on()`."""
        queue = self._streams[handle]
        while queue and go_on():
            queue.popleft()()


Error = type('Error', (Exception,), {})
ERRORS = {name: type(name, (Error,), {})
          for name in ('MemoryError', 'LogicError', 'LaunchError', 'RuntimeError', 'CompileError')}
ERRORS['Error'] = Error
LogicError = ERRORS['LogicError']


def make_pycuda(gpu):
    """Return the modules by name, as for sys.modules."""
    modules = {name: module_from_spec(ModuleSpec(name, None)) for name in (
        'pycuda', 'pycuda.driver', 'pycuda.compiler')}
    pycuda, driver, compiler = modules.values()

    class Context:
        def __init__(self):
            self._valid = True
            gpu.live['context'] += 1

        def push(self):
            gpu.fails('push')
            assert self._valid
            gpu.stack.append(self)

        @staticmethod
        def pop():
            if not gpu.stack:
                raise LogicError('context::pop failed: invalid device context - cannot pop non-current context')
            gpu.stack.pop()

        def detach(self):
            if not self._valid:
                raise LogicError('context::detach failed: invalid device context - cannot detach from invalid context')
            self._valid = False
            gpu.live['context'] -= 1

    class Device:
        def __init__(self, ordinal):
            gpu.counts['Device'] += 1
            if ordinal != 0:
                raise LogicError('cuDeviceGet failed: invalid device ordinal')

        def name(self):
            return gpu.name

        def compute_capability(self):
            return gpu.capability

        def get_attribute(self, attr):
            return {device_attribute.INTEGRATED: int(gpu.integrated),
                    device_attribute.CAN_MAP_HOST_MEMORY: 1}[attr]

        def retain_primary_context(self):
            gpu.attempt('cuDevicePrimaryCtxRetain')
            return Context()

    class Stream:
        def __init__(self, flags=0):
            gpu.step('cuStreamCreate')
            self._handle = gpu.open_stream(self)

        @property
        def handle(self):
            return self._handle

        def synchronize(self):
            gpu.step('cuStreamSynchronize')
            gpu.drain(self._handle)

    class Event:
        def __init__(self, flags=0):
            gpu.step('cuEventCreate')
            gpu.track(self, 'event')
            self._handle = None
            self._pending = 0
            self._done_s = 0.0

        def record(self, stream=None):
            gpu.step('cuEventRecord')

            def mark():
                self._done_s = time.perf_counter()
                self._pending -= 1

            self._pending += 1
            self._handle = stream.handle
            gpu.enqueue(stream.handle, mark)
            return self

        def synchronize(self):
            gpu.step('cuEventSynchronize')
            if self._pending:
                gpu.drain(self._handle, lambda: self._pending)
            return self

        def time_since(self, event):
            if self._pending or event._pending:
                raise ERRORS['RuntimeError']('cuEventElapsedTime failed: device not ready')
            return (self._done_s - event._done_s) * 1e3

    class _Allocation:
        def __init__(self):
            raise TypeError('This class cannot be instantiated from Python')

        @classmethod
        def _make(cls, size, kind):
            it = cls.__new__(cls)
            it._address = gpu.allocate(size, kind)
            it._release = weakref.finalize(it, gpu.release, it._address)
            return it

        def free(self):
            gpu.step(self._freeing)
            self._release()

    class DeviceAllocation(_Allocation):
        _freeing = 'cuMemFree'

        def __int__(self):
            return self._address

        __index__ = __int__

    class PagelockedHostAllocation(_Allocation):
        _freeing = 'cuMemFreeHost'

        def get_device_pointer(self):
            gpu.step('cuMemHostGetDevicePointer')
            assert self._flags & host_alloc_flags.DEVICEMAP
            return self._address

    def mem_alloc(bytes):
        gpu.step('cuMemAlloc')
        return DeviceAllocation._make(bytes, 'device')

    def pagelocked_empty(shape, dtype, order='C', mem_flags=0):
        gpu.step('cuMemHostAlloc')
        dtype = np.dtype(dtype)
        it = PagelockedHostAllocation._make(int(np.prod(shape)) * dtype.itemsize, 'host')
        it._flags = mem_flags
        it.__array_interface__ = {'data': (it._address, False), 'version': 3, 'typestr': dtype.str,
                                  'shape': tuple(np.atleast_1d(shape).tolist())}
        return np.asarray(it)

    def memcpy_htod_async(dest, src, stream=None):
        gpu.step('cuMemcpyHtoDAsync')
        assert gpu.kind(src.ctypes.data) == 'host', 'a copy from pageable memory is not asynchronous'
        gpu.counts['bytes up'] += src.nbytes
        gpu.enqueue(stream.handle, lambda: np.copyto(gpu.memory(int(dest), src.nbytes),
                                                     src.reshape(-1).view(np.uint8)))

    def memcpy_dtoh_async(dest, src, stream=None):
        gpu.step('cuMemcpyDtoHAsync')
        assert gpu.kind(dest.ctypes.data) == 'host', 'a copy to pageable memory is not asynchronous'
        gpu.counts['bytes down'] += dest.nbytes
        gpu.enqueue(stream.handle, lambda: np.copyto(dest.reshape(-1).view(np.uint8),
                                                     gpu.memory(int(src), dest.nbytes)))

    def memcpy_dtod_async(dest, src, size, stream=None):
        gpu.step('cuMemcpyDtoDAsync')
        gpu.enqueue(stream.handle, lambda: np.copyto(gpu.memory(int(dest), size), gpu.memory(int(src), size)))

    def memset_d8_async(dest, data, size, stream=None):
        gpu.step('cuMemsetD8Async')
        gpu.enqueue(stream.handle, lambda: gpu.memory(int(dest), size).fill(data))

    class Function:
        def __init__(self, name):
            self._name = name

        def __call__(self, *args, grid=(1, 1), stream=None, block=None):
            gpu.step('cuLaunchKernel')
            source, destination, parameters = args
            assert isinstance(source, (np.number, DeviceAllocation)), type(source)
            assert isinstance(destination, (np.number, DeviceAllocation)), type(destination)
            assert isinstance(parameters, np.void), type(parameters)
            work = kernels.Launch(self._name, grid, block, parameters.copy())
            source, destination = int(source), int(destination)

            def run():
                gpu.attempt('kernel', 'cuStreamSynchronize failed: {text}')
                gpu.memory(destination)
                mapped = 'host' in (gpu.kind(source), gpu.kind(destination))
                time.sleep(gpu.delays_s['mapped' if mapped else 'copied'])
                gpu.kernels.launch(work, source, gpu.memory(source).size, destination)

            gpu.enqueue(stream.handle, run)

    class SourceModule:
        def __init__(self, source, nvcc='nvcc', options=None, keep=False, no_extern_c=False, arch=None, code=None,
                     cache_dir=None, include_dirs=()):
            gpu.step('cuModuleLoadDataEx')
            gpu.attempt('compile', '{text}')
            assert no_extern_c, 'kernels.cu has templates'
            gpu.track(self, 'module')
            self._source = source

        def get_function(self, name):
            assert name in self._source
            return Function(name)

    device_attribute = types.SimpleNamespace(INTEGRATED='INTEGRATED', CAN_MAP_HOST_MEMORY='CAN_MAP_HOST_MEMORY')
    host_alloc_flags = types.SimpleNamespace(PORTABLE=1, DEVICEMAP=2, WRITECOMBINED=4)

    def init(flags=0):
        gpu.counts['init'] += 1
        gpu.attempt('cuInit')

    for each in (Context, Device, Stream, Event, DeviceAllocation, PagelockedHostAllocation, Function, mem_alloc,
                 pagelocked_empty, memcpy_htod_async, memcpy_dtoh_async, memcpy_dtod_async, memset_d8_async,
                 init, *ERRORS.values()):
        setattr(driver, each.__name__, each)
    driver.device_attribute = device_attribute
    driver.host_alloc_flags = host_alloc_flags
    compiler.SourceModule = SourceModule
    pycuda.driver, pycuda.compiler = driver, compiler
    return modules

"""Times of the CUDA kernels on this machine's GPU, relative to copying the same number of bytes.

    .venv/bin/python docs/measurements/kernels.py

Prints a Markdown table of medians. There are no results yet, because no GPU was available.
"""
import itertools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from trt_perception.core.data import TensorSpec
from trt_perception.core.errors import EngineError
from trt_perception.core.image import ENCODINGS, make_frame
from trt_perception.core.model import ModelInput
from trt_perception.engines.tensorrt import kernels

Size = tuple[int, int]
ROUNDS = 30
LAUNCHES = 20
POOL = 256 << 20
"""Bytes that the launches take turns in: beyond every cache, as the next frame is."""


class Work(NamedTuple):
    """One kernel with its data."""

    what: str
    launch: kernels.Launch
    source_bytes: int
    read_bytes: int
    """Of the source: rows between the taps of a reduction are not read."""
    written_bytes: int


def write_image(encoding: str, camera: Size, network: Size, kind: str) -> Work:
    """Return the work of one camera frame."""
    layout = ENCODINGS[encoding]
    rows, step = camera[0] * layout.planes[0] // layout.planes[1], camera[1] * layout.bytes_per_pixel
    frame = make_frame(np.zeros(rows * step, np.uint8), *camera, step, encoding, 0, '')
    spec = TensorSpec('image', (1, 3, *network), np.dtype(kind))
    image = ModelInput(('image',), 'rgb', np.zeros(3, np.float32), np.ones(3, np.float32))
    launch = kernels.write_image(frame, image, spec)
    assert launch is not None
    read = int(frame.data.nbytes * min(1.0, 2 * network[0] / camera[0]))
    return Work(f'`{launch.kernel}` {encoding} {camera[0]}x{camera[1]} -> {network[0]}x{network[1]}', launch,
                frame.data.nbytes, read, 3 * network[0] * network[1] * spec.dtype.itemsize)


def narrow_labels(network: Size, camera: Size) -> Work:
    """Return the work of one label map."""
    read = 4 * network[0] * network[1]
    return Work(f'`narrow_labels` {network[0]}x{network[1]} -> {camera[0]}x{camera[1]}',
                kernels.narrow_labels(network, camera), read, read, camera[0] * camera[1])


def scale_flow(network: Size, camera: Size, kind: str) -> Work:
    """Return the work of one flow field."""
    spec = TensorSpec('flow', (1, 2, *network), np.dtype(kind))
    launch = kernels.scale_flow(spec, camera, (2.0, 2.0))
    read = 2 * network[0] * network[1] * spec.dtype.itemsize
    return Work(f'`{launch.kernel}` {network[0]}x{network[1]} -> {camera[0]}x{camera[1]}', launch, read, read,
                8 * camera[0] * camera[1])


def works() -> list[Work]:
    """Return what a camera and the shipped networks' usual sizes ask for."""
    camera, small, large = (720, 1280), (256, 512), (512, 1024)
    return [*[write_image(encoding, camera, network, kind) for encoding in ('bgr8', 'bgra8', 'mono8', 'yuyv', 'nv12')
              for network in (small, large) for kind in ('float32', 'float16')],
            write_image('bgr8', (1024, 2048), (1024, 2048), 'float32'),
            narrow_labels(large, large), narrow_labels(small, camera), narrow_labels(large, (1024, 2048)),
            scale_flow(small, small, 'float32'), scale_flow(small, camera, 'float32'),
            scale_flow(small, camera, 'float16')]


class Clock:
    """Times what is queued on a GPU, behind enough other work that the GPU never waits for Python."""

    def __init__(self, gpu: Any, cuda: Any) -> None:
        self._gpu, self._cuda = gpu, cuda
        with gpu.using('allocate'):
            self._source, self._destination = int(gpu.allocate(POOL)), int(gpu.allocate(POOL))

    def copy(self) -> None:
        """Queue a copy of the whole pool."""
        self._cuda.memcpy_dtod_async(self._destination, self._source, POOL, self._gpu._stream)

    def median_ms(self, queue: Callable[[], None]) -> float:
        """Return the median time on the GPU of what `queue` queues."""
        times = []
        with self._gpu.using('measure'):
            for _ in range(ROUNDS):
                for _ in range(8):
                    self.copy()
                with self._gpu.stage('work'):
                    queue()
                self._gpu.synchronize()
                times.append(self._gpu.stage_ms()['work'])
        return float(np.median(times))

    def launch_ms(self, work: Work) -> float:
        """Return the median time of one launch."""
        span = -(-max(work.source_bytes, work.written_bytes) // 256) * 256
        places = itertools.cycle(range(0, POOL - span + 1, span))

        def queue() -> None:
            for at in itertools.islice(places, LAUNCHES):
                self._gpu.launch(work.launch, self._source + at, self._destination + at)

        return self.median_ms(queue) / LAUNCHES


def main() -> None:
    """Measure and print."""
    try:
        import pycuda.driver as cuda

        from trt_perception.engines.tensorrt.cuda import Gpu
        gpu = Gpu(0, profile=True)
    except (ImportError, EngineError) as error:
        sys.exit(f'Nothing measured: this needs an NVIDIA GPU, its driver, the CUDA toolkit and pycuda: {error}')
    with gpu.using('compile'):
        gpu.compile()
    clock = Clock(gpu, cuda)
    gigabytes_per_s = 2 * POOL / clock.median_ms(clock.copy) / 1e6
    print(f'{gpu.info.name}; a copy on the device reads and writes {gigabytes_per_s:.1f} GB/s.\n')
    print('| kernel | bytes | time, ms | copy of as many bytes, ms | ratio |\n|---|---|---|---|---|')
    for work in works():
        moved = work.read_bytes + work.written_bytes
        time, floor = clock.launch_ms(work), moved / gigabytes_per_s / 1e6
        print(f'| {work.what} | {moved} | {time:.4f} | {floor:.4f} | {time / floor:.1f} |')
    gpu.close()


if __name__ == '__main__':
    main()

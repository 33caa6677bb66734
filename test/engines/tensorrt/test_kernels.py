"""The source of the CUDA kernels, run on the CPU, against numpy and OpenCV; and the launches, without running them."""
import re

import kernel_checks
import numpy as np
import pytest
from kernel_checks import ON_THE_GPU, ON_THE_HOST, frame_of, image_of, spec_of
from kernels_host import HostKernels

from trt_perception.core.image import ENCODINGS
from trt_perception.engines.tensorrt import kernels


class TestOnTheHost(kernel_checks.KernelChecks):

    @pytest.fixture
    def execute(self, compiled_kernels):
        host = HostKernels(compiled_kernels)

        def execute(launch, source, memory):
            host.launch(launch, source.ctypes.data, source.nbytes, memory.ctypes.data + kernel_checks.GUARD)
        return execute


# Launches.

def test_every_encoding_is_decoded_on_the_gpu_or_left_to_the_host():
    assert sorted(ON_THE_GPU + ON_THE_HOST) == sorted(ENCODINGS)
    spec = spec_of((6, 8), 'rgb', 'float32')
    for encoding in ENCODINGS:
        launch = kernels.write_image(frame_of(encoding, (4, 4)), image_of('rgb'), spec)
        assert (launch is None) == (encoding in ON_THE_HOST), encoding


@pytest.mark.parametrize('encoding', ON_THE_GPU)
def test_a_launch_depends_on_the_geometry_and_not_on_the_content(encoding):
    spec, image = spec_of((6, 8), 'bgr', 'float16'), image_of('bgr')
    first, same, wider = [kernels.write_image(frame_of(encoding, (4, 4), padding, seed), image, spec)
                          for seed, padding in ((1, 0), (2, 0), (1, 8))]
    assert first[:3] == same[:3]
    assert first.parameters.tobytes() == same.parameters.tobytes() != wider.parameters.tobytes()


@pytest.mark.parametrize('size', [(1, 1), (8, 32), (9, 33), (256, 512)])
def test_the_grid_covers_the_result_and_no_block_in_vain(size):
    for launch in (kernels.narrow_labels((5, 5), size),
                   kernels.write_image(frame_of('bgr8', (4, 4)), image_of('rgb'), spec_of(size, 'rgb', 'float32')),
                   kernels.scale_flow(spec_of((4, 4), 'gray', 'float32')._replace(shape=(1, 2, 4, 4)), size, (1, 1))):
        for blocks, threads, pixels in zip(launch.grid, launch.block, size[::-1]):
            assert (blocks - 1) * threads < pixels <= blocks * threads


def test_the_kernels_of_the_source_are_those_of_the_table():
    with open(kernels.SOURCE_FILE, encoding='utf-8') as file:
        source = file.read()
    assert re.findall(r'__global__ void (\w+)\(', source) == list(kernels.KERNELS)
    assert '#include' not in source  # pycuda and NVRTC get no header.


@pytest.mark.parametrize('struct', [kernels.WRITE_IMAGE, kernels.NARROW_LABELS, kernels.SCALE_FLOW])
def test_no_compiler_pads_the_structs(struct):
    # Nor does pycuda, which appends the bytes to two pointers as they are.
    assert {struct.fields[name][0].base for name in struct.names} <= {np.dtype(np.int32), np.dtype(np.float32)}

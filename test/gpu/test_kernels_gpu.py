"""The CUDA kernels on a real GPU, by the checks that they pass on the host."""
import kernel_checks
import pytest

from trt_perception.core.errors import EngineError

try:
    from trt_perception.engines.tensorrt.cuda import Gpu, gpu_info
    gpu_info(0)
except (ImportError, EngineError) as error:
    pytest.skip('no GPU here to run the kernels on: {}'.format(error), allow_module_level=True)


@pytest.fixture(scope='module')
def gpu():
    gpu = Gpu(0)
    with gpu.using('compile'):
        gpu.compile()
    yield gpu
    gpu.close()


class TestOnTheGpu(kernel_checks.KernelChecks):

    @pytest.fixture
    def execute(self, gpu):
        def execute(launch, source, memory):
            with gpu.using(launch.kernel):
                stagings = [gpu.staging(array.shape, array.dtype) for array in (source, memory)]
                for staging, array in zip(stagings, (source, memory)):
                    staging.fill(array)
                gpu.launch(launch, stagings[0].address, stagings[1].address + kernel_checks.GUARD)
                stagings[1].fetch()
                gpu.synchronize()
                memory[...] = stagings[1].host
                for staging in stagings:
                    gpu.free(staging)
        return execute

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
                places = [gpu.allocate(array.nbytes) for array in (source, memory)]
                for array, place in zip((source, memory), places):
                    gpu.copy_up(array, int(place))
                gpu.launch(launch, int(places[0]), int(places[1]) + kernel_checks.GUARD)
                gpu.copy_down(int(places[1]), memory)
                gpu.synchronize()
                for place in places:
                    gpu.free(place)
        return execute

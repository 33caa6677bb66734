"""One GPU as an engine sees it, on the double of pycuda: contexts, memory, errors."""
import importlib
import logging
import threading

import numpy as np
import pytest

from trt_perception.core.errors import EngineError

UINT8 = np.dtype(np.uint8)


@pytest.fixture
def driver(use_gpu):
    """Give the state of a GPU."""
    return use_gpu()


@pytest.fixture
def cuda(driver):
    """Give the module under test."""
    return importlib.import_module('trt_perception.engines.tensorrt.cuda')


@pytest.fixture
def gpu(cuda):
    it = cuda.Gpu(0)
    yield it
    it.close()


def error_of(call, *args):
    with pytest.raises(EngineError) as caught:
        call(*args)
    return str(caught.value)


@pytest.mark.parametrize('integrated', [False, True])
def test_a_gpu_is_described_without_being_used(use_gpu, integrated):
    driver = use_gpu(integrated=integrated, name='Orin', capability=(8, 7))
    info = importlib.import_module('trt_perception.engines.tensorrt.cuda').gpu_info(0)
    assert info == ('Orin', (8, 7), integrated)
    assert not +driver.live


def test_importing_the_module_touches_no_gpu(driver, cuda):
    assert not driver.counts


def test_without_a_driver_the_library_says_why(driver, cuda):
    driver.fail('cuInit', 'no CUDA-capable device is detected')
    assert error_of(cuda.gpu_info, 0) == error_of(cuda.Gpu, 0) == \
        'GPU 0: cuInit failed: no CUDA-capable device is detected'


def test_a_context_that_cannot_be_had_is_an_error(driver, cuda):
    driver.fail('cuDevicePrimaryCtxRetain', 'out of memory', 'MemoryError')
    assert error_of(cuda.Gpu, 0) == (
        'GPU 0 (NVIDIA Tegra X2): cuDevicePrimaryCtxRetain failed: out of memory. Close other programs that use it, or '
        'choose a smaller network or precision fp16.')
    assert driver.all_returned()


def test_the_context_is_current_only_while_in_use(driver, gpu):
    assert driver.stack == []
    with gpu.using('outer'):
        with gpu.using('inner'):
            assert len(driver.stack) == 2
        assert len(driver.stack) == 1
    assert driver.stack == []


def test_outside_of_use_the_driver_refuses(driver, cuda, gpu):
    with pytest.raises(importlib.import_module('pycuda.driver').LogicError, match='invalid device context'):
        gpu.allocate(8)


def test_an_error_names_what_was_done(driver, gpu):
    def work():
        with gpu.using('frying eggs'):
            gpu.allocate(8)

    driver.fail('cuMemAlloc', 'unspecified launch failure', 'LaunchError')
    assert error_of(work) == 'GPU 0 (NVIDIA Tegra X2): frying eggs: cuMemAlloc failed: unspecified launch failure'
    assert driver.stack == []


def test_errors_of_python_pass_through_and_leave_no_context(driver, gpu):
    with pytest.raises(ZeroDivisionError), gpu.using('dividing'):
        raise ZeroDivisionError
    assert driver.stack == []


def test_bytes_travel_to_the_device_and_back(gpu):
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    with gpu.using('copying'):
        up, down = gpu.staging(data.shape, data.dtype), gpu.staging(data.shape, data.dtype)
        up.fill(data)
        gpu.copy_host_to_device(up.host, down.address)
        down.fetch()
        assert not np.array_equal(down.host, data)  # Not before somebody waits.
        gpu.synchronize()
    np.testing.assert_array_equal(down.host, data)


def test_a_tensor_begins_with_zeros(driver, gpu):
    with gpu.using('allocating'):
        memory = gpu.allocate_tensor((1, 3, 4), np.dtype(np.float16))
        gpu.synchronize()
    assert not driver.memory(int(memory), 24).any()
    assert driver.memory(int(memory)).size == 24


def test_filling_waits_until_the_device_has_read(gpu):
    with gpu.using('copying'):
        results = [gpu.staging((4,), UINT8) for _ in range(2)]
        upload = gpu.staging((4,), UINT8)
        for value, result in enumerate(results):
            upload.fill(np.full(4, value + 1, np.uint8))
            gpu.copy_host_to_device(upload.host, result.address)
            upload.mark_read()
        for result in results:
            result.fetch()
        gpu.synchronize()
    assert [result.host.tolist() for result in results] == [[1] * 4, [2] * 4]


def test_what_is_freed_early_is_not_freed_again(driver, cuda):
    gpu = cuda.Gpu(0)
    with gpu.using('allocating'):
        staging = gpu.staging((8,), UINT8)
        gpu.allocate(16)
        assert (driver.live['device'], driver.live['host']) == (2, 1)
        gpu.free(staging)
        assert (driver.live['device'], driver.live['host']) == (1, 0)
    del staging
    gpu.close()
    assert driver.all_returned()


def test_freeing_waits_until_the_device_has_read(driver, gpu):
    with gpu.using('copying'):
        upload, result = gpu.staging((4,), UINT8), gpu.staging((4,), UINT8)
        upload.fill(np.full(4, 7, np.uint8))
        gpu.copy_host_to_device(upload.host, result.address)
        gpu.free(upload)
        result.fetch()
        gpu.synchronize()
    assert result.host.tolist() == [7] * 4


def test_owned_things_are_freed_youngest_first_with_the_context_current(driver, cuda):
    order = []

    class Thing:
        """Notes when it is freed."""

        def __init__(self, name):
            self.name = name

        def free(self):
            order.append((self.name, len(driver.stack)))

    gpu = cuda.Gpu(0)
    for name in 'abc':
        gpu.own(Thing(name))
    gpu.close()
    gpu.close()
    assert order == [('c', 1), ('b', 1), ('a', 1)]
    assert driver.all_returned()


def test_closing_goes_on_after_a_fault_and_logs_it(driver, cuda, caplog):
    gpu = cuda.Gpu(0)
    with gpu.using('allocating'):
        gpu.allocate(8)
        gpu.allocate(8)
    driver.fail('cuStreamSynchronize', 'an illegal memory access was encountered', 'LaunchError')
    with caplog.at_level(logging.WARNING):
        gpu.close()
    assert [record.getMessage() for record in caplog.records] == [
        'GPU 0 (NVIDIA Tegra X2): closing: cuStreamSynchronize failed: an illegal memory access was encountered']
    assert driver.all_returned()


def test_a_gpu_may_be_closed_by_another_thread(driver, cuda):
    gpu = cuda.Gpu(0)
    thread = threading.Thread(target=gpu.close)
    thread.start()
    thread.join()
    assert driver.all_returned()


def test_two_users_of_one_gpu_do_not_touch_each_others_context(driver, cuda):
    first, second = cuda.Gpu(0), cuda.Gpu(0)
    with second.using('working'):
        first.close()
        second.allocate(8)
    second.close()
    assert driver.all_returned()


def test_a_kernel_that_does_not_compile_is_an_error(driver, gpu):
    driver.fail('compile', 'nvcc compilation of kernel.cu failed', 'CompileError')

    def work():
        with gpu.using('compiling'):
            gpu.compile()

    assert error_of(work) == 'GPU 0 (NVIDIA Tegra X2): compiling: nvcc compilation of kernel.cu failed'

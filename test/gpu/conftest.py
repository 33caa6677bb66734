"""What needs a GPU is skipped, with the reason, where there is none: `make test-gpu`, or tools/gpu_bundle."""
import os
import sys

import pytest

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_ENGINES = os.path.join(os.path.dirname(_FOLDER), 'engines')
for _each in (_FOLDER, os.path.join(_ENGINES, 'tensorrt')):
    if _each not in sys.path:
        sys.path.insert(0, _each)


@pytest.fixture(scope='session')
def real_gpu():
    """Give the name of the GPU; skip where TensorRT, pycuda or the GPU is missing."""
    try:
        import tensorrt

        from trt_perception.core.errors import EngineError
        from trt_perception.engines.tensorrt.cuda import gpu_info
    except ImportError as error:
        pytest.skip('no TensorRT on a GPU here: {}'.format(error))
    try:
        return '{}, TensorRT {}'.format(gpu_info(0).name, tensorrt.__version__)
    except EngineError as error:
        pytest.skip('no GPU here: {}'.format(error))


@pytest.fixture
def cache(real_gpu, tmp_path):
    """Give a folder for engines that nothing is in."""
    return str(tmp_path / 'cache')


@pytest.fixture(scope='session')
def shared_cache(real_gpu, tmp_path_factory):
    """Give the folder where engines that take long to build are kept for all tests, and for what is measured after."""
    return str(tmp_path_factory.mktemp('engines', numbered=False))

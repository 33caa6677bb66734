"""The doubles of TensorRT and pycuda can be imported, and used in place of the real modules."""
import importlib
import os
import sys

import pytest

# Not this folder itself: its `tensorrt` would be found in place of the real package.
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tensorrt')
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)


@pytest.fixture
def use_gpu(tensorrt):
    """Give a function that puts a pycuda_double.Gpu, and TensorRT of a generation, into this process."""
    def use(generation='8.2', **options):
        tensorrt.use(generation, options)
        return importlib.import_module('the_gpu').GPU
    return use

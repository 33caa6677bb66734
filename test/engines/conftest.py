"""The doubles of TensorRT and pycuda can be imported, and used in place of the real modules."""
import importlib
import os
import sys

import pytest

_FOLDER = os.path.dirname(os.path.abspath(__file__))
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)


@pytest.fixture
def use_gpu(tensorrt):
    """Give a function that puts a pycuda_double.Gpu, and TensorRT of a generation, into this process."""
    def use(generation='8.2', **options):
        tensorrt.use(generation, options)
        return importlib.import_module('the_gpu').GPU
    return use

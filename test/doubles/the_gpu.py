"""The GPU of this process and the TensorRT on it, as the environment variable TENSORRT_DOUBLE describes them.

This folder in PYTHONPATH is all that a child process needs to find the doubles in place of the real modules.
"""
import json
import os
import sys

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for _folder in (TEST, os.path.join(TEST, 'engines', 'tensorrt')):
    if _folder not in sys.path:
        sys.path.append(_folder)

from kernels_host import HostKernels  # noqa: E402
from pycuda_double import Gpu, make_pycuda  # noqa: E402
from tensorrt_builder_double import BuilderState  # noqa: E402
from tensorrt_double import make_tensorrt  # noqa: E402

SETTINGS = json.loads(os.environ['TENSORRT_DOUBLE'])
GPU = Gpu(HostKernels(SETTINGS['kernels']) if SETTINGS['kernels'] else None, **SETTINGS['gpu'])
GPU.builder = BuilderState(**SETTINGS['builder'])


def stand_in(spec):
    """Put the doubles in the place of the module that is being imported."""
    if spec.name == 'tensorrt':
        modules = {'tensorrt': make_tensorrt(SETTINGS['generation'], GPU)}
    else:
        modules = make_pycuda(GPU)
    sys.modules.update(modules)
    modules[spec.name].__spec__ = spec

"""kernels.cu on the CPU: compiled by the host's C++ compiler, launched thread by thread (see kernels_host.cpp)."""
import ctypes
import os
import shutil
import subprocess
import threading

import numpy as np

from trt_perception.engines.tensorrt import kernels

_COMPILERS = ('c++', 'g++', 'clang++')


def compiler():
    """Return the path of a C++ compiler, or None."""
    return next(filter(None, map(shutil.which, _COMPILERS)), None)


class HostKernels:
    """The kernels, compiled into a folder from `source`, unless they are there already.

    Attributes:
        library: with `launch`, as kernels_host.cpp describes it.
    """

    def __init__(self, folder, source=kernels.SOURCE_FILE):
        path = os.path.join(str(folder), 'kernels_host.so')
        if not os.path.exists(path):
            self._compile(source, path)
        self._lock = threading.Lock()  # The library keeps what all threads of a kernel share in globals.
        self.library = ctypes.CDLL(path)
        self.library.launch.restype = ctypes.c_long
        self.library.launch.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
                                        ctypes.c_long, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_long]

    @staticmethod
    def _compile(source, path):
        # Without fused multiply-adds where none is written: nvcc may fuse, and results must not depend on it.
        command = [compiler(), '-std=c++11', '-O2', '-ffp-contract=off', '-fPIC', '-shared',
                   '-DKERNELS="{}"'.format(source), '-o', path,
                   os.path.join(os.path.dirname(os.path.abspath(__file__)), 'kernels_host.cpp')]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        assert result.returncode == 0, result.stdout

    def launch(self, launch, source, source_bytes, destination):
        """Run every thread of a Launch on the addresses `source` and `destination`; no read may leave the source."""
        grid, block = np.array(launch.grid, np.int32), np.array(launch.block, np.int32)
        parameters = launch.parameters.tobytes()
        with self._lock:
            strays = self.library.launch(launch.kernel.encode(), grid.ctypes.data, block.ctypes.data, source,
                                         source_bytes, destination, parameters, len(parameters))
        assert strays != -1, 'no kernel {!r}'.format(launch.kernel)
        assert strays != -2, 'the struct of {!r} has not {} bytes'.format(launch.kernel, len(parameters))
        assert strays == 0, '{} reads outside of the source'.format(strays)

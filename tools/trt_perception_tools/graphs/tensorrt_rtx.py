"""NVIDIA's ONNX parser and builder without a GPU: TensorRT for RTX, driven by the Python bindings of TensorRT 11.

The bindings link libraries of other names, which tensorrt_rtx.c replaces; it is compiled when they are loaded.
"""
from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from trt_perception.core.errors import ConfigError

_BINDINGS = 'tensorrt_bindings'
_LIBRARIES = 'onnxruntime_ep_nv_tensorrt_rtx'
_INFER, _PARSER = 'libtensorrt_rtx.so', 'libtensorrt_onnxparser_rtx.so'
_STAND_INS = ('libnvinfer.so.11', 'libnvonnxparser.so.11', 'libnvinfer_plugin.so.11')
_SOURCE = Path(__file__).with_suffix('.c')


def why_not() -> str:
    """Return what is missing on this machine for TensorRT for RTX; '' = nothing."""
    for name in (_BINDINGS, _LIBRARIES):
        if importlib.util.find_spec(name) is None:
            return f'the Python package {name} is not installed. Run: pip install "trt_perception_tools[tensorrt]"'
    return '' if shutil.which('cc') else 'there is no C compiler. Install one, e.g. the package gcc'


@functools.cache
def load() -> ModuleType:
    """Return the module `tensorrt_bindings`, of which everything that needs no GPU works.

    Raises:
        ConfigError: packages or the compiler are missing.
    """
    lack = why_not()
    if lack:
        raise ConfigError(f'TensorRT for RTX: {lack}.')
    names = {name: _load_library(name) for name in (_INFER, _PARSER)}
    with TemporaryDirectory() as folder:
        for name in _STAND_INS:
            path = Path(folder, name)
            command = ['cc', '-shared', '-fPIC', f'-Wl,-soname,{name}', f'-DINFER="{names[_INFER]}"',
                       f'-DPARSER="{names[_PARSER]}"', '-o', str(path), str(_SOURCE), '-ldl']
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                raise ConfigError(f"{_SOURCE}: cc cannot compile it: {result.stderr.strip()}. Install the C library's "
                                  'headers, e.g. the package libc6-dev.')
            # The loader then uses these for the libraries that the bindings link.
            ctypes.CDLL(str(path))
    return importlib.import_module(_BINDINGS)


def version() -> str:
    """Return the version of TensorRT for RTX, e.g. 1.7.1."""
    path = next(iter(_folder().glob(_INFER + '.*')))
    return path.name.removeprefix(_INFER + '.')


def _load_library(name: str) -> str:
    """Load a library of TensorRT for RTX and return the path by which it can be found again."""
    path = str(next(iter(_folder().glob(name + '.*'))))
    ctypes.CDLL(path)
    return path


def _folder() -> Path:
    spec = importlib.util.find_spec(_LIBRARIES)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])

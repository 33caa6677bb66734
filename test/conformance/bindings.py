"""The real TensorRT Python bindings of each API generation, imported without TensorRT.

`make bindings` installs them; the libraries that they link are replaced by empty ones compiled here, which is enough
to import them and to ask for their surface.
"""
import ctypes
import functools
import json
import os
import re
import subprocess
import sys

import pytest

from .install import PYTHON, ROOT, folder_of

HERE = os.path.dirname(os.path.abspath(__file__))
DOUBLES = os.path.join(os.path.dirname(HERE), 'engines', 'tensorrt')

GENERATIONS = {'8.2': '8.6', '8.6': '8.6', '10.0': '10.0', '10.16': '10.16', '11.4': '11.4'}
"""API generation -> the bindings it is checked against: requirements/tensorrt/*.txt.

8.6 still has all of the API before named tensors, and so stands in for 8.2, less what is listed below.
"""

LATER_THAN_8_2 = {
    '': 'MemoryPoolType TensorIOMode PreviewFeature OnnxParserFlag HardwareCompatibilityLevel TempfileControlFlag '
        'IOutputAllocator BoundingBoxFormat InterpolationMode SampleMode fp8 uint8 get_builder_plugin_registry',
    'Builder': 'get_plugin_registry max_threads',
    'BuilderFlag': 'ENABLE_TACTIC_HEURISTIC EXCLUDE_LEAN_RUNTIME FP8 VERSION_COMPATIBLE',
    'DataType': 'FP8 UINT8 itemsize',
    'IBuilderConfig': 'builder_optimization_level get_memory_pool_limit get_preview_feature set_preview_feature '
                      'hardware_compatibility_level max_aux_streams plugins_to_serialize set_memory_pool_limit',
    'ICudaEngine': 'get_tensor_bytes_per_component get_tensor_components_per_element get_tensor_dtype '
                   'get_tensor_format get_tensor_format_desc get_tensor_location get_tensor_mode get_tensor_name '
                   'get_tensor_profile_shape get_tensor_shape get_tensor_vectorized_dim hardware_compatibility_level '
                   'is_shape_inference_io num_aux_streams num_io_tensors',
    'IExecutionContext': 'execute_async_v3 get_input_consumed_event get_max_output_size get_output_allocator '
                         'get_tensor_address get_tensor_shape get_tensor_strides infer_shapes nvtx_verbosity '
                         'persistent_cache_limit set_aux_streams set_input_consumed_event set_input_shape '
                         'set_output_allocator set_tensor_address temporary_allocator',
    'INetworkDefinition': 'add_cast add_grid_sample add_nms add_non_zero add_normalization add_one_hot '
                          'add_reverse_sequence builder',
    'OnnxParser': 'clear_flag flags get_flag get_used_vc_plugin_libraries set_flag',
    'Runtime': 'engine_host_code_allowed get_plugin_registry load_runtime max_threads tempfile_control_flags '
               'temporary_directory',
}
"""Class ('' = the module) -> names that TensorRT 8.4, 8.5 or 8.6 brought, where they are near to what we use."""


def installed(generation):
    """Return whether the bindings of a generation are here, for this Python."""
    return os.path.exists(os.path.join(folder_of(GENERATIONS[generation]), 'done'))


@functools.lru_cache(maxsize=None)
def surface(generation):
    """Return the surface (see surface.py) of a generation; skip the test where its bindings are unavailable."""
    members = json.loads(run(generation, [os.path.join(HERE, 'surface.py'), 'tensorrt_bindings']))
    if generation == '8.2':
        for owner, names in LATER_THAN_8_2.items():
            for name in names.split():
                del (members[owner]['members'] if owner else members)[name]
    return members


def run(generation, arguments):
    """Run this Python with the bindings of a generation and the doubles to import.

    Returns:
        What it prints. Skips the test where the bindings are not installed.
    """
    folder = folder_of(GENERATIONS[generation])
    if not installed(generation):
        pytest.skip('the bindings of TensorRT {} for {} are not here: run `make bindings`, if there are any'.format(
            GENERATIONS[generation], PYTHON))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([folder, ROOT, DOUBLES]),
                       LD_LIBRARY_PATH=_empty_libraries(folder), LC_ALL='C.UTF-8')
    result = subprocess.run([sys.executable] + arguments, env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@functools.lru_cache(maxsize=None)
def _empty_libraries(folder):
    """Compile the libraries that the bindings in `folder` link, with the functions that they lack; return where."""
    module = os.path.join(folder, 'tensorrt_bindings', 'tensorrt.so')
    libraries = os.path.join(folder, 'empty_libraries')
    os.makedirs(libraries, exist_ok=True)
    names = re.findall(r'\[(libnv\w+\.so\.\d+)\]', _output('readelf', '--dynamic', '--wide', module))
    assert names, module
    source = ''.join('void *{}(void) {{ return 0; }}\n'.format(symbol) for symbol in _missing_symbols(module))
    for name in names:
        _output('cc', '-shared', '-Wl,-soname,' + name, '-o', os.path.join(libraries, name), '-x', 'c', '-',
                stdin=source)
        source = ''  # One of them has all; where from, nobody asks.
    return libraries


def _missing_symbols(module):
    """Return the functions without a version that neither Python nor its libraries have."""
    undefined = re.findall(r'^ +U (\w+)$', _output('nm', '--dynamic', '--undefined-only', module), re.M)
    this_process = ctypes.CDLL(None)
    return [name for name in undefined if not hasattr(this_process, name)]


def _output(*command, stdin=''):
    try:
        result = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                universal_newlines=True)
    except FileNotFoundError:
        pytest.skip('no {} here: install a C compiler and binutils'.format(command[0]))
    assert result.returncode == 0, result.stderr
    return result.stdout

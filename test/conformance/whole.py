"""TensorRT 8.5 and 8.6 as they are installed on a robot, libraries and all: `make tensorrt-8` fetches them.

They run in the Python that they are for, which may be another one than this. cuBLAS and cuDNN, which only the plugin
library links, are replaced by empty libraries; without a driver TensorRT starts neither builder nor runtime.
"""
import functools
import json
import os
import re
import subprocess
from glob import glob

import pytest

from .bindings import DOUBLES, HERE, _output
from .install import INSTALLED, ROOT

RELEASES = {'8.5.1.7': 'whole-8.5-cp36', '8.5.3.1': 'whole-8.5-cp310', '8.6.0': 'whole-8.6-cp310'}
"""Release -> folder in .bindings."""


@functools.lru_cache(maxsize=None)
def surface(release):
    """Return the surface (see surface.py) of a release; skip the test where it is not here."""
    return json.loads(run(release, [os.path.join(HERE, 'surface.py'), 'tensorrt']))


def run(release, arguments):
    """Run the Python of a release with the real `tensorrt` and return what it prints."""
    folder = os.path.join(INSTALLED, RELEASES[release])
    if not os.path.exists(os.path.join(folder, 'done')):
        pytest.skip('TensorRT {} is not here: run `make tensorrt-8`'.format(release))
    with open(os.path.join(folder, 'python')) as file:
        python = file.read()
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([folder, ROOT, DOUBLES]),
                       LD_LIBRARY_PATH=_empty_libraries(folder), LC_ALL='C.UTF-8')
    result = subprocess.run([python] + arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@functools.lru_cache(maxsize=None)
def _empty_libraries(folder):
    """Compile what the plugin library links and the wheel has not, with the names and versions that it asks for."""
    plugins = glob(os.path.join(folder, 'tensorrt', 'libnvinfer_plugin.so.*'))[0]
    libraries = os.path.join(folder, 'empty_libraries')
    os.makedirs(libraries, exist_ok=True)
    wanted = re.findall(r'^ +U (\w+)@(libcu\S+)$', _output('nm', '--dynamic', '--undefined-only', plugins), re.M)
    assert wanted, plugins
    for name in sorted({library for _, library in wanted}):
        script = os.path.join(libraries, name + '.map')
        with open(script, 'w') as file:
            file.write('%s { *; };\n' % name)
        source = ''.join('void *{}(void) {{ return 0; }}\n'.format(symbol) for symbol, library in wanted
                         if library == name)
        _output('cc', '-shared', '-Wl,-soname,' + name, '-Wl,--version-script,' + script, '-o',
                os.path.join(libraries, name), '-x', 'c', '-', stdin=source)
    return libraries

"""Compile pycuda for a Python, without the CUDA toolkit: `pycuda_wheel.py PYTHON FOLDER` prints the wheel's path.

CUDA's headers come from the package index, and the libcuda that it links is made of empty functions: the driver's own
takes its place where it is run.
"""
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

PYCUDA = 'pycuda-2022.1'
HEADERS = 'nvidia-cuda-runtime-cu11==11.8.89'
PROFILER = """
#include <cuda.h>
typedef enum CUoutput_mode_enum { CU_OUT_KEY_VALUE_PAIR = 0, CU_OUT_CSV = 1 } CUoutput_mode;
extern "C" {
CUresult cuProfilerInitialize(const char *, const char *, CUoutput_mode);
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);
}
"""
"""The header cudaProfiler.h, which pycuda includes and no package has."""


def run(*command: object, **options: object) -> None:
    """Run a command; its output is shown where it fails."""
    result = subprocess.run([str(each) for each in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **options)  # type: ignore[call-overload]
    if result.returncode:
        sys.exit(f'{" ".join(map(str, command))}:\n{result.stdout[-3000:]}')


def make_wheel(python: Path, work: Path) -> Path:
    """Compile pycuda for that Python in a folder, and return the wheel; one that is there stays."""
    done = list((work / PYCUDA / 'dist').glob('*.whl'))
    if done:
        return done[0]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    cuda = work / 'cuda'
    run(python, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', work / 'headers', HEADERS)
    shutil.copytree(work / 'headers' / 'nvidia' / 'cuda_runtime' / 'include', cuda / 'include')
    (cuda / 'include' / 'cudaProfiler.h').write_text(PROFILER)
    (cuda / 'lib64').mkdir()
    (cuda / 'bin').mkdir()
    shutil.copy2(next((work / 'headers' / 'nvidia' / 'cuda_runtime' / 'lib').glob('libcudart.so.*')),
                 cuda / 'lib64' / 'libcudart.so')
    names = sorted(set(re.findall(r'\bcu[A-Z]\w*(?=\()', (cuda / 'include' / 'cuda.h').read_text())))
    source = work / 'cuda.c'
    source.write_text(''.join(f'int {name}(void) {{ return 100; }}\n' for name in names))
    run('cc', '-w', '-shared', '-fPIC', '-Wl,-soname,libcuda.so.1', '-o', cuda / 'lib64' / 'libcuda.so', source)
    index = os.environ.get('PIP_INDEX_URL', 'https://pypi.org/simple').rstrip('/') + '/pycuda/'
    with urlopen(index, timeout=60) as page:
        link = next(each for each in re.findall(r'href="([^"#]+)', page.read().decode())
                    if each.endswith(f'/{PYCUDA}.tar.gz'))
    with urlopen(urljoin(index, link), timeout=120) as file:
        data = file.read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(work)
    run(python, '-m', 'venv', work / 'venv')
    builder = work / 'venv' / 'bin' / 'python'
    run(builder, '-m', 'pip', 'install', '--quiet', 'numpy<2', 'setuptools<70', 'wheel', 'pytools', 'appdirs', 'mako')
    run(builder, 'configure.py', f'--cuda-root={cuda}', cwd=work / PYCUDA)
    options = work / PYCUDA / 'siteconf.py'
    options.write_text(options.read_text().replace('CURAND = True', 'CURAND = False')
                       .replace('SHIPPED_BOOST = False', 'SHIPPED_BOOST = True'))
    run(builder, 'setup.py', 'bdist_wheel', cwd=work / PYCUDA, env={**os.environ, 'CFLAGS': '-O1 -w'})
    return next((work / PYCUDA / 'dist').glob('*.whl'))


if __name__ == '__main__':
    print(make_wheel(Path(sys.argv[1]), Path(sys.argv[2]).absolute()))

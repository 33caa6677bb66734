"""A script: put what test/conformance checks against into .bindings/, which git ignores, from the package index.

Arguments are API generations (requirements/tensorrt/*.txt), for the Python that runs this, and `pycuda` (its sources).
Those that begin with `whole` are TensorRT with its libraries.
What is unavailable is skipped with its reason; what is there already stays.
"""
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from urllib.error import URLError
from urllib.parse import urljoin
from urllib.request import urlopen

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
INSTALLED = os.path.join(ROOT, '.bindings')
PYTHON = 'cp{}{}'.format(*sys.version_info)

PYCUDA_FILES = ('src/wrapper/wrap_cudadrv.cpp', 'pycuda/driver.py', 'pycuda/compiler.py')


def folder_of(generation):
    """Return the folder for the bindings of a generation, for this Python."""
    return os.path.join(INSTALLED, '{}-{}'.format(generation, PYTHON))


def install(generation, requirements):
    """Install bindings without what they depend on: the libraries are gigabytes."""
    result = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '1',
         '--no-deps', '--only-binary', ':all:', '--target', folder_of(generation), '--requirement', requirements],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith('ERROR')]
        raise OSError((errors or [result.stderr.strip()])[-1])


def fetch_pycuda(folder, requirements):
    """Unpack what is read of the sources of the releases listed.

    pip cannot: to download a source it wants to know its dependencies, and for that it builds it, with CUDA.
    """
    with open(requirements, encoding='utf-8') as file:
        wanted = re.findall(r'^pycuda==(\S+) --hash=sha256:(\w+)', file.read(), re.M)
    index = os.environ.get('PIP_INDEX_URL', 'https://pypi.org/simple').rstrip('/') + '/pycuda/'
    with urlopen(index, timeout=30) as page:
        links = re.findall(r'href="([^"#]+)', page.read().decode())
    for version, sha256 in wanted:
        name = 'pycuda-' + version
        link = [link for link in links if link.endswith('/' + name + '.tar.gz')]
        if not link:
            raise OSError('no {} in {}'.format(name, index))
        with urlopen(urljoin(index, link[0]), timeout=60) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise OSError('{} is not the file that {} names'.format(link[0], requirements))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for path in PYCUDA_FILES:
                target = os.path.join(folder, version, path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, 'wb') as file:
                    file.write(archive.extractfile(name + '/' + path).read())


def main():
    for name in sys.argv[1:]:
        if name == 'pycuda':
            folder, file_name = os.path.join(INSTALLED, name), 'pycuda.txt'
        else:
            folder, file_name = folder_of(name), 'tensorrt/{}.txt'.format(name)
        requirements = os.path.join(ROOT, 'requirements', file_name)
        with open(requirements, encoding='utf-8') as file:
            wanted = file.read()
        done = os.path.join(folder, 'done')
        if os.path.exists(done):
            with open(done, encoding='utf-8') as file:
                if file.read() == wanted:
                    continue
        shutil.rmtree(folder, ignore_errors=True)
        try:
            if name == 'pycuda':
                fetch_pycuda(folder, requirements)
            else:
                install(name, requirements)
                with open(os.path.join(folder, 'python'), 'w', encoding='utf-8') as file:
                    file.write(sys.executable)
        except (OSError, URLError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            print('SKIPPED: conformance with {} for {}: {}'.format(
                name if name == 'pycuda' else 'TensorRT ' + name, PYTHON, error))
        else:
            with open(done, 'w', encoding='utf-8') as file:
                file.write(wanted)


if __name__ == '__main__':
    main()

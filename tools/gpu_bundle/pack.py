"""Pack what the tests on a GPU need, in pieces, for a machine with an NVIDIA driver and no internet access.

    make gpu-bundle      or      .venv/bin/python tools/gpu_bundle/pack.py FOLDER [--piece MB] [--python PYTHON3.10]

FOLDER gets bundle.tar.gz.000 ..., SHA256SUMS, and run.sh, which verifies, unpacks and runs the bundle on that machine.
It contains Python 3.10, TensorRT 8.5.3.1 with the TX2's bindings API, NVRTC, pycuda (compiled here, with headers and a
library of empty functions), ONNX Runtime, this repository with its models, and FP16 and INT8 networks. cuBLAS and
cuDNN (1 GB) are left out, and the tactics that need them are switched off.
"""
import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from networks import main as make_networks
from pycuda_wheel import make_wheel, run

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / 'requirements' / 'gpu_bundle.txt'
REPOSITORY = ('trt_perception', 'test', 'models', 'config', 'docs/measurements', 'tools/gpu_bundle', 'setup.cfg')
WITHOUT_CUBLAS = """

# Of tools/gpu_bundle: cuBLAS and cuDNN are not in the bundle.
def _create_builder_config(self, _create=Builder.create_builder_config):
    config = _create(self)
    config.set_tactic_sources(1 << int(TacticSource.EDGE_MASK_CONVOLUTIONS) | 1 << int(TacticSource.JIT_CONVOLUTIONS))
    return config


Builder.create_builder_config = _create_builder_config
"""


def copy_python(python: Path, target: Path) -> None:
    """Copy an interpreter and its library, less what no program needs."""
    prefix = python.resolve().parents[1]
    ignored = shutil.ignore_patterns('test', 'tests', '__pycache__', 'site-packages', 'idlelib', 'tkinter', 'ensurepip',
                                     'lib2to3', '*.a', 'config-3.10*')
    shutil.copytree(prefix / 'lib' / 'python3.10', target / 'lib' / 'python3.10', ignore=ignored)
    for library in (prefix / 'lib').glob('libpython3.10.so*'):
        shutil.copy2(library, target / 'lib', follow_symlinks=True)
    (target / 'bin').mkdir()
    shutil.copy2(prefix / 'bin' / 'python3.10', target / 'bin')
    (target / 'bin' / 'python3').symlink_to('python3.10')


def make_empty_libraries(site: Path, target: Path) -> None:
    """Compile the cuBLAS and cuDNN that TensorRT's plugins link, without anything in them."""
    sys.path.insert(0, str(ROOT / 'test'))
    from conformance.whole import _empty_libraries
    shutil.copytree(_empty_libraries(str(site)), target, ignore=shutil.ignore_patterns('*.map'))


def copy_repository(target: Path) -> None:
    """Copy what is run there, and make the FP16 and INT8 networks that do not ship."""
    ignored = shutil.ignore_patterns('__pycache__', '*.egg-info')
    for name in REPOSITORY:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy2(source, target / name)
    make_networks(target / 'out' / 'gpu_networks')


def pack(folder: Path, target: Path, piece_bytes: int) -> list[Path]:
    """Write a folder as a compressed archive in pieces, and their digests; return the pieces."""
    archive = subprocess.Popen(['tar', '-C', str(folder), '-cf', '-', '.'], stdout=subprocess.PIPE)
    compressed = subprocess.Popen(['gzip', '-1'], stdin=archive.stdout, stdout=subprocess.PIPE)
    assert compressed.stdout is not None
    pieces = []
    while True:
        data = compressed.stdout.read(piece_bytes)
        if not data:
            break
        pieces.append(target / f'bundle.tar.gz.{len(pieces):03}')
        pieces[-1].write_bytes(data)
    if archive.wait() or compressed.wait():
        sys.exit('tar or gzip failed: is the disk full?')
    shutil.copy2(Path(__file__).with_name('run.sh'), target / 'run.sh')
    (target / 'SHA256SUMS').write_text(''.join(
        f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n' for path in [*pieces, target / 'run.sh']))
    return pieces


def main() -> None:
    """Pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--piece', type=int, default=60, metavar='MB', help='most bytes of a piece (default: 60 MB)')
    parser.add_argument('--python', type=Path, required=True, help='a Python 3.10')
    parser.add_argument('--work', type=Path, help='folder for what comes between; kept (default: FOLDER/work)')
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    work = (args.work or args.folder / 'work').absolute()
    tree = work / 'tree'
    shutil.rmtree(tree, ignore_errors=True)
    site = tree / 'site'
    site.mkdir(parents=True)
    print('Python', flush=True)
    copy_python(args.python, tree / 'python')
    print('packages', flush=True)
    run(args.python, '-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary', ':all:', '--target', site,
        '--requirement', WHEELS)
    with (site / 'tensorrt' / '__init__.py').open('a') as file:
        file.write(WITHOUT_CUBLAS)
    print('pycuda, to be compiled: some minutes', flush=True)
    wheel = make_wheel(args.python, work / 'pycuda')
    run(args.python, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', site, wheel)
    make_empty_libraries(site, tree / 'empty')
    (tree / 'bin').mkdir()
    shutil.copy2(Path(__file__).with_name('nvcc'), tree / 'bin')
    print('repository', flush=True)
    copy_repository(tree / 'repository')
    print('compressing', flush=True)
    pieces = pack(tree, args.folder, args.piece * 10**6)
    total = sum(path.stat().st_size for path in pieces)
    print(f'{len(pieces)} pieces of at most {args.piece} MB, {total / 1e6:.0f} MB in all, in {args.folder}')


if __name__ == '__main__':
    main()

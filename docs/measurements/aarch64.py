"""Runs the tests that need no ROS on aarch64 without a Jetson: on a Cortex-A57, as in the TX2, emulated by QEMU.

    docs/measurements/aarch64.py FOLDER [PYTEST ARGUMENT ...]      (default: test/core, and the contract of the engines)

Run it as root, with Debian's packages debootstrap and qemu-user-static. FOLDER gets a Debian root of that architecture
with Python 3.11 and the wheels for it, which are kept for the next run. Tests can start child processes if the kernel's
binfmt_misc supports aarch64, which qemu-user-static sets up with systemd. The exit status is pytest's.
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASE, PYTHON = 'bookworm', '3.11'
# ONNX Runtime 1.32 ends with a segmentation fault in QEMU 7.2 as it is imported.
WHEELS = ('numpy', 'opencv-python-headless', 'PyYAML', 'simplejpeg', 'onnx', 'onnxruntime==1.19.2', 'pytest',
          'hypothesis')
PLATFORMS = ('manylinux2014_aarch64', 'manylinux_2_26_aarch64', 'manylinux_2_27_aarch64', 'manylinux_2_28_aarch64')
# A scene of the planner's tests takes minutes. TensorRT's double is compiled for the host.
TESTS = ('test/core', 'test/engines/test_contract.py', '-k', 'not tensorrt and not planner')


def unpack_system(system: Path) -> None:
    """Unpack Debian's packages of Python; nothing of them is configured, or run."""
    subprocess.run(['debootstrap', '--arch=arm64', '--foreign', '--variant=minbase', '--include=python3,libgomp1',
                    RELEASE, str(system)], check=True, stdout=sys.stderr)
    for package in sorted((system / 'var/cache/apt/archives').glob('*.deb')):
        subprocess.run(['dpkg-deb', '--extract', str(package), str(system)], check=True)


def unpack_wheels(folder: Path) -> None:
    """Unpack the wheels of that architecture."""
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--target', str(folder), '--only-binary=:all:',
                    '--python-version', PYTHON, '--implementation', 'cp', '--abi', 'cp311', '--abi', 'abi3', '--abi',
                    'none'] + [word for each in PLATFORMS for word in ('--platform', each)] + list(WHEELS), check=True)


def main(folder: str, *arguments: str) -> int:
    """Set up what is missing, and run the tests."""
    system, site = Path(folder).resolve() / 'root', Path(folder).resolve() / 'site'
    for made, make in ((system, unpack_system), (site, unpack_wheels)):
        if not made.exists():
            made.parent.mkdir(parents=True, exist_ok=True)
            make(made)
    environment = dict(os.environ, PYTHONHOME=str(system / 'usr'), PYTHONPATH=str(site), PYTHONDONTWRITEBYTECODE='1',
                       QEMU_CPU='cortex-a57', QEMU_LD_PREFIX=str(system))
    return subprocess.run(['qemu-aarch64-static', str(system / 'usr/bin/python3'), '-m', 'pytest', '-p',
                           'no:cacheprovider'] + list(arguments or TESTS), cwd=ROOT, env=environment).returncode


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)

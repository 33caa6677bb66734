"""Check this machine, and say how to fix what does not work.

Checks Python and its libraries, inference runtimes, ROS 2, the transport of images, and the models' files.
"""
import argparse
import importlib.util
import os
import platform
import shutil
from typing import Iterator, Tuple

from ..core.errors import ConfigError
from ..core.model import load_model, model_names
from ..core.share import share_directory
from ..engines import BACKENDS, available_backends
from ..sources import GSTREAMER, INSTALL_GSTREAMER, unavailable
from ..transport import (
    LEAST_BUFFER,
    PROFILE_VARIABLES,
    RAISE_BUFFER,
    both_ways_profile,
    is_isolated,
    profile_file,
    profile_variable,
    receive_buffer_limit,
    udp_profile,
)

OK, NOTE, FAIL = 'ok', 'note', 'FAIL'
_SEGMENT_BYTES = 64 * 2**20
_LARGE_IMAGE_BYTES = 3840 * 2160 * 3

Finding = Tuple[str, str, str]
"""(OK, NOTE or FAIL; the subject; the finding and the remedy)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: none."""


def check_libraries() -> Iterator[Finding]:
    """Check what every node needs."""
    yield OK, 'Python', platform.python_version()
    for module in ('numpy', 'cv2', 'yaml'):
        if importlib.util.find_spec(module) is None:
            yield FAIL, module, 'not installed. Install python3-numpy, python3-opencv, python3-yaml'
        else:
            yield OK, module, importlib.import_module(module).__version__


def check_backends() -> Iterator[Finding]:
    """Check the inference runtimes."""
    usable = available_backends()
    for name, backend in BACKENDS.items():
        if backend.missing:
            yield NOTE, 'engine ' + name, 'the Python package {} is not installed'.format(backend.missing)
        elif name not in usable:
            yield NOTE, 'engine ' + name, 'no NVIDIA GPU is visible here'
        else:
            module = importlib.import_module(next(
                each for each in backend.packages[0].split('|') if importlib.util.find_spec(each)))
            yield OK, 'engine ' + name, str(getattr(module, '__version__', 'installed'))
    if not set(usable) - {'opencv'}:
        yield FAIL, 'engines', 'none of the above runs networks: only optical flow can run. pip install onnxruntime'


def check_ros() -> Iterator[Finding]:
    """Check ROS 2 and the transport of images between processes."""
    if importlib.util.find_spec('rclpy') is None:
        yield FAIL, 'rclpy', 'not found. Source a ROS 2 installation, or pip install "ros-rclpy[fastrtps]"'
        return
    rmw = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    yield OK, 'rclpy', '{} on {}'.format(os.environ.get('ROS_DISTRO', 'ROS 2'), rmw)
    if 'fastrtps' not in rmw:
        yield NOTE, 'transport', '{}: the shared-memory profile is for Fast DDS; see that its buffers hold ' \
                                 'images'.format(rmw)
        return
    yield from _check_transport()
    try:
        free = shutil.disk_usage('/dev/shm').free
    except OSError as error:
        yield FAIL, '/dev/shm', '{}. Shared memory carries the images; mount it (docker: --ipc=host)'.format(error)
        return
    if free < 2 * _SEGMENT_BYTES:
        yield FAIL, '/dev/shm', 'only {} MB free; each node takes 64. Enlarge it (docker: --shm-size=1g), or delete ' \
                                'what killed processes of other users left: `fastdds shm clean`'.format(free // 2**20)
    else:
        yield OK, '/dev/shm', '{} MB free'.format(free // 2**20)


def _check_transport() -> Iterator[Finding]:
    both_ways = both_ways_profile()
    chosen = {os.environ[name] for name in PROFILE_VARIABLES if os.environ.get(name)}
    if is_isolated() and not chosen:
        yield NOTE, 'transport', 'ROS_LOCALHOST_ONLY: no profile is chosen, as it would reach other machines. Images ' \
                                 'of more than 512 KB get lost: give each program a profile with larger segments'
        return
    if both_ways in chosen:
        yield OK, 'transport', 'shared memory both ways: every camera on this machine must have the same profile, ' \
                               + both_ways
        return
    if udp_profile() in chosen or not chosen:
        yield OK, 'transport', 'nodes and launch files choose {}; a camera needs no profile'.format(profile_file())
    else:
        yield NOTE, 'transport', 'your own profile {}. See that its buffers hold several images'.format(
            ', '.join(sorted(chosen)))
    limit = receive_buffer_limit()
    text = '{} bytes'.format(limit)
    if limit < LEAST_BUFFER:
        text += ': images from a camera without a Fast DDS profile get lost. Run: {}. Or give the camera shared ' \
                'memory: export {}={}'.format(RAISE_BUFFER, profile_variable(), both_ways)
    elif limit < _LARGE_IMAGE_BYTES:
        text += ': a best-effort camera loses images larger than that. Run: ' + RAISE_BUFFER
    yield OK if limit >= _LARGE_IMAGE_BYTES else NOTE, 'net.core.rmem_max', text


def check_cameras() -> Iterator[Finding]:
    """Check the libraries with which camera_node reads cameras."""
    missing = unavailable()
    if GSTREAMER in missing:
        yield NOTE, 'camera_node', 'no GStreamer ({}): CSI cameras and pipelines cannot be read. {}'.format(
            missing[GSTREAMER], INSTALL_GSTREAMER)
    else:
        yield OK, 'camera_node', 'GStreamer'


def check_models() -> Iterator[Finding]:
    """Read every model's YAML and check its network files."""
    yield OK, 'package files', share_directory()
    for name in model_names():
        try:
            model = load_model(name)
        except ConfigError as error:
            yield NOTE, 'model ' + name, str(error)
            continue
        found, missing = [], []
        for backend, by_precision in model.files.items():
            for precision in by_precision:
                try:
                    model.network_file(backend, precision)
                    found.append('{} {}'.format(backend, precision))
                except ConfigError as error:
                    missing.append(str(error))
        if found:
            yield OK, 'model ' + name, '{}: {}'.format(model.task, ', '.join(found))
        for text in missing:
            yield NOTE, 'model ' + name, text


def execute(args: argparse.Namespace) -> int:
    """Print the findings; exit status 1 if something must be fixed."""
    failed = False
    for check in (check_libraries, check_backends, check_ros, check_cameras, check_models):
        for level, subject, text in check():
            failed |= level == FAIL
            print('{:5} {:26} {}'.format(level, subject, text))
    return int(failed)

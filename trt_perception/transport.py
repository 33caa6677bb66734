"""Transport of images to this process: the Fast DDS profile that suits this machine, shared memory, lost images."""
import fcntl
import importlib
import os
import time
from glob import glob
from typing import Dict

from .core.share import share_path

PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
RAISE_BUFFER = 'sudo sysctl -w net.core.rmem_max=33554432'
"""Shell command with which a socket can buffer one 4K image."""

LEAST_BUFFER = 2**21
"""Colour images of 1280x720 arrive with so many bytes, but not with half of them: docs/measurements/transport.md."""

_FAST_DDS_2 = ('foxy', 'galactic', 'humble', 'iron', 'jazzy')
_ISOLATED_BY_TRANSPORTS = ('foxy', 'galactic', 'humble')
_BUFFER_LIMIT = '/proc/sys/net/core/rmem_max'
_SEGMENT_LOCKS = '/dev/shm/fastdds_' + 16 * '[0-9a-f]' + '_el'
_NEW_S = 10.0
"""Age in s below which a segment may belong to a process that has not locked it yet."""


def receive_buffer_limit() -> int:
    """Return the largest receive buffer of a socket that the kernel allows, bytes; 0 = unknown."""
    try:
        with open(_BUFFER_LIMIT) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _fast_dds() -> int:
    """Return the major version of this machine's Fast DDS: 2, or 3 from Kilted on."""
    distribution = os.environ.get('ROS_DISTRO')
    if distribution:
        return 2 if distribution in _FAST_DDS_2 else 3
    try:  # ROS from pip sets no ROS_DISTRO. importlib.metadata came with Python 3.8, as ROS from pip did.
        version = importlib.import_module('importlib.metadata').version('ros-rmw-fastrtps-cpp')
        return 2 if int(version.split('.')[0]) < 9 else 3
    except ImportError:
        return 2


def _profile(name: str) -> str:
    return share_path('config', 'fastdds{}_{}.xml'.format(_fast_dds(), name))


def udp_profile() -> str:
    """Return the path of the profile that receives images over UDP, so that cameras need no profile."""
    return _profile('shm')


def both_ways_profile() -> str:
    """Return the path of the profile that receives images over shared memory; cameras need it, too."""
    return _profile('shm_both')


def profile_file() -> str:
    """Return the path of the shipped profile that suits this machine.

    Images are received over UDP if the kernel's buffers can hold one, so that a camera driver needs no profile;
    otherwise over shared memory, which needs cameras with a profile.
    """
    return udp_profile() if receive_buffer_limit() >= LEAST_BUFFER else both_ways_profile()


def profile_variable() -> str:
    """Return the variable that this machine's Fast DDS reads: version 3 warns of the older name."""
    return PROFILE_VARIABLES[_fast_dds() == 2]


def is_isolated() -> bool:
    """Return whether rmw restricts itself to this machine by its transports, which a profile undoes: up to Humble."""
    return os.environ.get('ROS_LOCALHOST_ONLY') == '1' and os.environ.get('ROS_DISTRO') in _ISOLATED_BY_TRANSPORTS


def profile_environment() -> Dict[str, str]:
    """Return the environment that selects the shipped profile; empty if the user wants another one, or isolation."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES) or is_isolated():
        return {}
    return {profile_variable(): profile_file()}


def use_shared_memory_profile() -> None:
    """Select the shipped profile for this process; call it before rclpy.init()."""
    os.environ.update(profile_environment())


def remove_stale_segments() -> int:
    """Remove this user's segments of Fast DDS whose processes were killed, and return their number of bytes.

    A process has a lock file for its segment, 64 MB with our profiles. If it is killed, both stay.
    """
    removed = 0
    for lock_path in glob(_SEGMENT_LOCKS):
        path = lock_path[:-len('_el')]
        try:
            status = os.stat(path)
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _NEW_S:
                continue
            with open(lock_path, 'rb') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.remove(path)
                os.remove(lock_path)
        except OSError:  # Its process is alive, or another program was faster.
            continue
        removed += status.st_size
    return removed


def loss_remedy(image_bytes: int) -> str:
    """Return the remedy if images of this size get lost between a camera and this process."""
    limit = receive_buffer_limit()
    if limit < max(image_bytes, LEAST_BUFFER):
        return 'The kernel buffers {} bytes per socket, less than {}. Run: {}'.format(
            limit, 'one image' if limit < image_bytes else 'the packets of one image need', RAISE_BUFFER)
    return 'Let the camera publish reliable, or start it from a shell with: export {}={}'.format(
        profile_variable(), both_ways_profile())

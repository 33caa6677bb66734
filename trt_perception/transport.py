"""Fast DDS over shared memory: without it, its default settings lose most camera images between processes."""
import importlib
import os
from typing import Dict

from .core.share import share_path

PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_FAST_DDS_2 = ('foxy', 'galactic', 'humble', 'iron', 'jazzy')


def profile_variable() -> str:
    """Return the variable that this machine's Fast DDS reads: version 3 (Kilted) warns of the older name."""
    distribution = os.environ.get('ROS_DISTRO')
    if distribution:
        return PROFILE_VARIABLES[distribution in _FAST_DDS_2]
    try:  # ROS from pip sets no ROS_DISTRO. importlib.metadata came with Python 3.8, as ROS from pip did.
        version = importlib.import_module('importlib.metadata').version('ros-rmw-fastrtps-cpp')
        return PROFILE_VARIABLES[int(version.split('.')[0]) < 9]
    except ImportError:
        return PROFILE_VARIABLES[1]


def profile_environment() -> Dict[str, str]:
    """Return the environment that selects the shipped profile; empty where the user has chosen one."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    return {profile_variable(): share_path('config', 'fastdds_shm.xml')}


def use_shared_memory_profile() -> None:
    """Select the shipped profile for this process; call it before rclpy.init()."""
    os.environ.update(profile_environment())

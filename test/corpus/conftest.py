"""The corpus needs ROS's messages and rosbags."""
import pytest


def pytest_pycollect_makemodule():
    for name in ('rclpy', 'rosbags'):
        try:
            __import__(name)
        except ImportError as error:
            pytest.skip('{} cannot be imported: {}'.format(name, error), allow_module_level=True)

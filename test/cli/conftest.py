"""The tests of the command line are skipped where there is no ROS 2."""
import pytest


def pytest_pycollect_makemodule():
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        pytest.skip('ROS 2 for Python cannot be imported: {}'.format(error), allow_module_level=True)

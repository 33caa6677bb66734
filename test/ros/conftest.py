"""The ROS tests are skipped where there is no ROS 2."""
import functools
import sys

import pytest


def pytest_pycollect_makemodule():
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        pytest.skip('ROS 2 for Python cannot be imported: {}'.format(error), allow_module_level=True)


@pytest.fixture
def use_cv_bridge(monkeypatch):
    """Give a function that puts a module in the place of cv_bridge, which is then looked for anew."""
    from trt_perception.ros import cv_bridge

    def use(module):
        monkeypatch.setattr(cv_bridge, 'bridge', functools.lru_cache()(cv_bridge.bridge.__wrapped__))
        monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    return use

"""Fixtures of the tests of the command line, which are skipped where there is no ROS 2."""
import pytest


def pytest_pycollect_makemodule():
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        pytest.skip('ROS 2 for Python cannot be imported: {}'.format(error), allow_module_level=True)


@pytest.fixture
def domain(monkeypatch, tmp_path):
    """Give the test a ROS domain of its own, on this machine only, and our transport profile."""
    from rig import free_domain

    from trt_perception.transport import profile_environment
    with free_domain() as number:
        for name, value in dict(profile_environment(), ROS_DOMAIN_ID=str(number), ROS_LOG_DIR=str(tmp_path / 'log'),
                                ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST').items():
            monkeypatch.setenv(name, value)
        yield number


@pytest.fixture
def rig(domain):
    """Give the test a Rig."""
    from rig import Rig
    it = Rig(domain)
    yield it
    it.close()

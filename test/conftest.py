"""What all tests share: `networks` and the package can be imported, whatever the import mode of pytest; ROS fixtures.

`rig` imports rclpy, so the fixtures import it only when a test asks for them.
"""
import os
import signal
import sys

import pytest

# OpenMP's threads spin while they wait for each other: on cores that others want, a training took five times the CPU.
os.environ.setdefault('OMP_NUM_THREADS', '1')

_TEST = os.path.dirname(os.path.abspath(__file__))
for _folder in (os.path.dirname(_TEST), _TEST):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)


def pytest_configure():
    # A shell without job control starts `pytest &` with Ctrl-C ignored, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope='session')
def compiled_kernels(tmp_path_factory):
    """Give the folder with kernels.cu as compiled for this machine's CPU."""
    from kernels_host import HostKernels, compiler
    if not compiler():
        pytest.skip('no C++ compiler here to run kernels.cu with')
    folder = tmp_path_factory.mktemp('kernels')
    HostKernels(folder)
    return folder


@pytest.fixture
def tensorrt(monkeypatch, tmp_path, compiled_kernels):
    """Give the test, and the processes that it starts, TensorRT on a GPU: both doubles."""
    from tensorrt_rig import TensorRT
    it = TensorRT(monkeypatch, tmp_path, compiled_kernels)
    yield it
    it.forget()


@pytest.fixture
def depth(monkeypatch):
    """Put the tests' third task into the table, and give its line."""
    from depth_task import TASK

    from trt_perception.core.tasks import TASKS
    monkeypatch.setitem(TASKS, 'depth', TASK)
    return TASK

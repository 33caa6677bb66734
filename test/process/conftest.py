"""The tests of `process` need the package rosbags, and are skipped where it is not."""
import networks
import pytest


def pytest_pycollect_makemodule():
    try:
        from rosbags.rosbag2 import StoragePlugin  # noqa: F401
    except ImportError as error:
        pytest.skip('bags cannot be written: {}'.format(error), allow_module_level=True)


@pytest.fixture(scope='session')
def settings(tmp_path_factory):
    """Give parameters with two tiny models: see `networks` for what they say of an image."""
    folders = [tmp_path_factory.mktemp(name) for name in ('segmentation', 'flow')]
    networks.segmentation_model(folders[0])
    networks.flow_model(folders[1], confidence='uint8')
    return {'segmentation.model': str(folders[0] / 'tiny.yaml'), 'optical_flow.model': str(folders[1] / 'tiny.yaml'),
            'engine': 'onnxruntime', 'num_threads': 1}

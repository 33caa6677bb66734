"""Bags with results, of the runtime's tests."""
import sys
from pathlib import Path

import pytest

_RUNTIME_TESTS = Path(__file__).parents[3] / 'test'
if str(_RUNTIME_TESTS) not in sys.path:
    sys.path.append(str(_RUNTIME_TESTS))


@pytest.fixture(scope='session')
def models(tmp_path_factory):
    """Give the YAMLs of two tiny models."""
    import networks
    folders = [tmp_path_factory.mktemp(name) for name in ('segmentation', 'flow')]
    networks.segmentation_model(folders[0], (24, 32))
    networks.flow_model(folders[1], (24, 32))
    return [str(folder / 'tiny.yaml') for folder in folders]


@pytest.fixture
def run_of(tmp_path, models):
    """Give what processes images into a bag with results."""
    from bags import write_bag

    from trt_perception.process import Job, process

    def run_of(sent, name='run', **options):
        settings = {'segmentation.model': models[0], 'optical_flow.model': models[1], 'engine': 'onnxruntime',
                    'num_threads': 1, **options.pop('settings', {})}
        bag = write_bag(tmp_path / f'{name}_input', sent)
        process(Job(bag, str(tmp_path / name), settings=settings, **{'with_input': True, **options}))
        return tmp_path / name
    return run_of

"""The contract of every back-end, kept by the real TensorRT on a GPU."""
import importlib.util
import os

import numpy as np
import pytest
import tensorrt_networks
from gpu_models import ready_made

_PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'engines', 'test_contract.py')
_spec = importlib.util.spec_from_file_location('contract_of_all', _PATH)
_contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_contract)
globals().update({name: value for name, value in vars(_contract).items() if name.startswith('test_')})
del test_results_in_the_cpus_memory_outlive_the_engine  # noqa: F821


class RealTensorRT(_contract.TensorRT):
    """TensorRT as it is installed here."""

    precision = 'fp32'

    def __init__(self, folder, cache):
        _contract.Backend.__init__(self, 'tensorrt', folder)
        self._cache = cache

    def open(self, model):
        path = ready_made(model, self._cache)
        return tensorrt_networks.tensorrt_engine().TensorRTEngine(model, path, self.precision)


@pytest.fixture
def backend(tmp_path, cache):
    return RealTensorRT(tmp_path, cache)


@pytest.fixture
def any_backend(backend):
    return backend


def test_labels_are_those_of_every_frame(backend):
    engine = backend.segmentation()
    for seed in range(20):
        rgb = _contract.random_image(seed)
        engine.put_image('image', _contract.frame_showing(rgb))
        np.testing.assert_array_equal(engine.infer()['labels'][0], rgb.argmax(axis=2))

"""The doubles of TensorRT and pycuda do what the real ones do, on the same script of calls."""
import json
import os
import subprocess
import sys

import pytest
from tensorrt_rig import DOUBLES, flow_model, segmentation_model

HERE = os.path.dirname(os.path.abspath(__file__))


def printed(folder, environment):
    """Return what the script prints, line by line, with tiny models of its own."""
    folder.mkdir()
    paths = [segmentation_model(folder).path, flow_model(folder).path, str(folder / 'cache')]
    result = subprocess.run([sys.executable, os.path.join(HERE, 'script_of_calls.py')] + paths, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def on_the_doubles(folder, kernels, generation='8.6'):
    paths = [DOUBLES] + os.environ.get('PYTHONPATH', '').split(os.pathsep)
    return printed(folder, dict(os.environ, PYTHONPATH=os.pathsep.join(paths), TENSORRT_DOUBLE=json.dumps(
        {'generation': generation, 'gpu': {}, 'kernels': str(kernels), 'builder': {}})))


def test_the_script_says_the_same_with_the_real_thing(real_gpu, compiled_kernels, tmp_path):
    real = printed(tmp_path / 'real', dict(os.environ))
    assert real == on_the_doubles(tmp_path / 'double', compiled_kernels)


@pytest.mark.parametrize('generation', ['8.2', '8.6', '10.16'])
def test_the_script_says_the_same_of_every_generation(compiled_kernels, tmp_path, generation):
    told = on_the_doubles(tmp_path / 'one', compiled_kernels, generation)
    assert told == on_the_doubles(tmp_path / 'other', compiled_kernels, '10.0')
    steps = dict(told)
    assert steps['built'] == ['fp32', '']
    assert {name for name, value in steps.items() if value == 'EngineError'} >= {'closed', 'wrong output'}
    assert len(steps['resized']['labels'][0]) == 12

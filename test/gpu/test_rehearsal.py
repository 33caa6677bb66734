"""What will be run on a GPU is run on the doubles here, so that time on a GPU is not spent on mistakes in it."""
import json
import os
import subprocess
import sys

import pytest
from tensorrt_rig import DOUBLES, segmentation_model

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OVERFLOW = 'test_in_place_of_an_fp16_engine_that_overflows_there_is_one_in_fp32'

MEASURE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('script', sys.argv[1])
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
vars(script).update(ITERATIONS=2, ROUNDS=1, WARM_UP=1, LAUNCHES=1, POOL=12 << 20)
sys.argv[1:] = []
script.main()
"""


@pytest.fixture
def on_the_doubles(compiled_kernels):
    """Return a function that runs this Python on the doubles, and returns the lines that it prints."""
    def run(generation, arguments, **builder):
        paths = [DOUBLES, HERE, ROOT] + os.environ.get('PYTHONPATH', '').split(os.pathsep)
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), TENSORRT_DOUBLE=json.dumps({
            'generation': generation, 'gpu': {}, 'kernels': str(compiled_kernels), 'builder': builder}))
        result = subprocess.run([sys.executable] + arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, universal_newlines=True)
        assert result.returncode == 0, result.stdout
        return result.stdout.splitlines()
    return run


def pytest_of(*selection):
    return ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-p', 'one_case_of_each', 'test/gpu', '--ignore',
            __file__] + list(selection)


def test_one_case_of_each_test_passes(on_the_doubles):
    last = on_the_doubles('8.6', pytest_of('-k', 'not generation and not {}'.format(OVERFLOW)))[-1]
    assert int(last.split(' passed')[0]) > 35, last


def test_the_overflow_is_found(on_the_doubles, tmp_path):
    segmentation_model(tmp_path, gain=(0, 0, 1), name='overflown')
    last = on_the_doubles('8.6', pytest_of('-k', OVERFLOW), networks={'FP16': str(tmp_path / 'overflown.onnx')})[-1]
    assert last.startswith('1 passed'), last


@pytest.mark.parametrize(('script', 'lines'), [
    ('gpu', ['| swiftnet_camvid | fp32 | ', '| tinypwc | fp16 | ']),
    ('kernels', ['| `narrow_labels` ', '| `scale_flow_float16` '])])
def test_a_measurement_prints_its_table(on_the_doubles, script, lines):
    found = on_the_doubles('8.6', ['-c', MEASURE, os.path.join(ROOT, 'docs', 'measurements', script + '.py')])
    assert 'NVIDIA Tegra X2' in found[0]
    for start in lines:
        assert any(line.startswith(start) for line in found), '\n'.join(found)

import os
import subprocess
import sys

import pytest
from rig import ROOT, trt_perception
from tensorrt_rig import segmentation_model

from trt_perception import cli


@pytest.fixture
def build(tensorrt, tmp_path, capsys):
    """Return a function that runs the command on a tiny model: its status, lines of stdout, text of stderr."""
    def build(*arguments):
        status = cli.main(['build-engine', segmentation_model(tmp_path).path, '--cache-dir', tensorrt.cache]
                          + list(arguments))
        output = capsys.readouterr()
        return status, output.out.splitlines(), output.err
    return build


def test_an_engine_is_built_once_and_told(build, tensorrt):
    tensorrt.use('8.2')
    status, lines, progress = build()
    assert status == 0
    summary, path = lines
    assert summary.startswith('tiny asked fp16: 2 of 2 layers fp16; golden frame: 100.00 % of the labels equal')
    assert os.path.dirname(path) == tensorrt.cache
    assert os.path.basename(path).startswith('tiny-fp16-')
    assert os.path.isfile(path)
    assert progress.startswith('building tiny fp16: 0 s, ')
    assert build() == (0, lines, '')
    assert len(tensorrt.builds) == 1
    assert build('--force')[0] == 0
    assert len(tensorrt.builds) == 2


def test_the_options_reach_the_builder(build, tensorrt, tmp_path):
    tensorrt.use('8.6', gpu={'num_dla_cores': 2})
    output = tmp_path / 'copy.engine'
    status, lines, _ = build('--precision', 'fp16', '--max-workspace-size', '3145728', '--dla-core', '1',
                             '--gpu-id', '0', '--output', str(output))
    assert status == 0
    [asked] = tensorrt.builds
    assert (asked['pool'], asked['dla_core'], asked['flags']) == (3 * 2**20, 1, ['FP16', 'GPU_FALLBACK'])
    with open(lines[-1], 'rb') as file:
        assert output.read_bytes() == file.read()


def test_the_former_name_of_the_workspace_is_taken_and_warned_of(build, tensorrt):
    tensorrt.use('8.6')
    status, _, errors = build('--workspace', '3')
    assert status == 0
    assert 'warning: --workspace MB has a new name and unit: --max-workspace-size BYTES.' in errors
    assert tensorrt.builds[0]['pool'] == 3 * 2**20


def test_a_replacement_is_warned_of(build, tensorrt, tmp_path):
    segmentation_model(tmp_path, gain=(0, 0, 1), name='wrong')
    tensorrt.use('8.2', networks={'FP16': str(tmp_path / 'wrong.onnx')})
    status, lines, errors = build()
    assert status == 0
    assert 'warning: tiny: the fp16 engine of ' in errors
    assert lines[0].startswith('tiny asked fp32: ')


@pytest.mark.parametrize(('arguments', 'text'), [
    (['--max-workspace-size', '-1'], 'ConfigError: --max-workspace-size: got -1, expected bytes, or 0.'),
    (['--dla-core', '0'], 'ConfigError: dla_core: got 0, but NVIDIA Tegra X2 has no DLA cores.'),
    (['--precision', 'int8'], 'ConfigError: precision: int8 was asked for, but the GPU NVIDIA Tegra X2 (sm_62) has no '
                              'fast INT8 (DP4A) instructions'),
    (['--output', '/dev/null/x'], 'ConfigError: /dev/null/x.part: Not a directory. Give a path')])
def test_what_cannot_be_is_refused_in_one_line(build, tensorrt, arguments, text):
    tensorrt.use('8.2', fast_int8=False)
    status, _, errors = build(*arguments)
    assert status == 2
    assert errors.splitlines()[-1].startswith('trt_perception build-engine: ' + text)


def test_without_tensorrt_it_says_so(monkeypatch, capsys, tmp_path):
    import importlib.util
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'tensorrt' else real(name))
    assert cli.main(['build-engine', segmentation_model(tmp_path).path]) == 2
    assert capsys.readouterr().err == (
        'trt_perception build-engine: ConfigError: engine: tensorrt was asked for, but the Python package tensorrt is '
        'not installed here. Install it, or set engine: auto.\n')


def test_as_a_process_it_works_from_anywhere(tensorrt, tmp_path):
    tensorrt.use('10.0')
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([ROOT, os.environ['PYTHONPATH']]))
    done = subprocess.run([sys.executable] + trt_perception(
        'build-engine', segmentation_model(tmp_path).path, '--precision', 'fp32', '--cache-dir', 'engines'),
        cwd=str(tmp_path), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[-1].startswith(str(tmp_path / 'engines' / 'tiny-fp32-'))

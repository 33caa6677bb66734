"""The ament package: what catkin, colcon and pip make of it."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trt_perception.cli import VERBS
from trt_perception.cli.run import nodes

ROOT = Path(__file__).resolve().parent.parent
COLCON = Path(sys.executable).parent / 'colcon'

pytestmark = pytest.mark.skipif(not COLCON.exists(), reason='colcon is not installed beside this Python')


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """Return a clean copy of what git would track, in a workspace's src folder."""
    if not (ROOT / '.git').exists():
        pytest.skip('not a git checkout')
    workspace = tmp_path_factory.mktemp('workspace')
    files = subprocess.check_output(['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z'], cwd=ROOT)
    for name in filter(None, files.decode().split('\0')):
        if (ROOT / name).is_file():
            target = workspace / 'src' / 'trt_perception' / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(ROOT / name), str(target))
    return workspace


def colcon(workspace, *arguments):
    environment = dict(os.environ, COLCON_LOG_PATH=str(workspace / 'log'), COLCON_HOME=str(workspace / 'home'))
    result = subprocess.run([str(COLCON)] + list(arguments), cwd=str(workspace), env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_package_xml_is_valid_and_names_what_the_code_imports():
    from catkin_pkg.package import parse_package
    package = parse_package(str(ROOT / 'package.xml'))
    package.validate()
    assert package.get_build_type() == 'ament_python'
    depends = {depend.name for depend in package.exec_depends}
    imported, optional = set(), set()
    for path in (ROOT / 'trt_perception').rglob('*.py'):
        optional.update(re.findall(r"optional_types\('(\w+)'\)", path.read_text()))
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ('from', 'import'):
                imported.add(words[1].split('.')[0])
    messages = {name for name in imported if name.endswith(('_msgs', '_srvs', '_interfaces'))}
    assert messages | {'rclpy'} <= depends
    assert {name for name in depends if name.endswith(('_msgs', '_srvs', '_interfaces'))} <= messages | optional


def test_versions_agree():
    from catkin_pkg.package import parse_package

    import trt_perception
    setup = subprocess.check_output([sys.executable, 'setup.py', '--version'], cwd=str(ROOT), stderr=subprocess.DEVNULL)
    assert parse_package(str(ROOT / 'package.xml')).version == setup.decode().split()[-1] == trt_perception.__version__


def test_colcon_sees_one_ament_python_package(clone):
    assert colcon(clone, 'list').split() == ['trt_perception', os.path.join('src', 'trt_perception'),
                                             '(ros.ament_python)']


def test_colcon_builds_a_clean_clone_that_ros_tools_can_use(clone):
    colcon(clone, 'build')
    prefix = clone / 'install' / 'trt_perception'
    executables = {path.name for path in (prefix / 'lib' / 'trt_perception').iterdir()}
    assert executables == {'trt_perception'} | {name + '_node' for name in nodes()} | {
        verb.replace('-', '_') for verb in VERBS}
    for name in executables:
        shown = subprocess.run([str(prefix / 'lib' / 'trt_perception' / name), '--help'], stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=str(next(prefix.glob('lib/python*/site-packages')))))
        assert (shown.returncode, shown.stdout[:6]) == (0, b'usage:'), name
    assert (prefix / 'share/ament_index/resource_index/packages/trt_perception').is_file()
    share = prefix / 'share' / 'trt_perception'
    for pattern in ('config/*.yaml', 'config/*.xml', 'config/*.rviz', 'config/*.json', 'config/models/*.yaml',
                    'config/labels/*.yaml', 'launch/*.launch.py', 'package.xml'):
        wanted = {path.name for path in ROOT.glob(pattern)}
        assert wanted
        assert {path.name for path in share.glob(pattern)} == wanted


def test_colcon_test_runs_the_tests(clone):
    colcon(clone, 'build')
    colcon(clone, 'test', '--pytest-args', 'test/core/test_mailbox.py')
    result = colcon(clone, 'test-result', '--all')
    tests = (ROOT / 'test/core/test_mailbox.py').read_text().count('\ndef test_')
    assert tests > 1
    assert 'Summary: {} tests, 0 errors, 0 failures, 0 skipped'.format(tests) in result, result


def test_installed_package_finds_its_files_without_the_ament_index(clone, tmp_path):
    prefix = tmp_path / 'prefix'
    source = clone / 'src' / 'trt_perception'
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation',
                    '--no-index', '--ignore-installed', '--prefix', str(prefix), str(source)], check=True)
    code = 'from trt_perception.core.share import share_directory; print(share_directory())'
    packages = next(prefix.glob('lib/python*/site-packages'))
    environment = dict(os.environ, PYTHONPATH=str(packages), AMENT_PREFIX_PATH=str(prefix))
    found = subprocess.check_output([sys.executable, '-c', code], env=environment, cwd=str(tmp_path))
    assert Path(found.decode().strip()) == prefix / 'share' / 'trt_perception'
    code = 'from trt_perception.engines.tensorrt.kernels import SOURCE_FILE; print(SOURCE_FILE)'
    found = subprocess.check_output([sys.executable, '-c', code], env=environment, cwd=str(tmp_path))
    kernels = Path('trt_perception', 'engines', 'tensorrt', 'kernels.cu')
    assert Path(found.decode().strip()) == packages / kernels
    assert Path(found.decode().strip()).read_bytes() == (ROOT / kernels).read_bytes()

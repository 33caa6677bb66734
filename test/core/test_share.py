import os
import shutil
import subprocess
import sys

import pytest

import trt_perception
from trt_perception.core import share

PACKAGE = os.path.dirname(os.path.abspath(trt_perception.__file__))


def installed(tmp_path):
    """Copy what `share_path` needs to a place without config/ around it, as an installed package is."""
    core = tmp_path / 'lib' / 'trt_perception' / 'core'
    core.mkdir(parents=True)
    for name in ('__init__.py', 'core/__init__.py', 'core/errors.py', 'core/share.py'):
        shutil.copy(os.path.join(PACKAGE, name), str(tmp_path / 'lib' / 'trt_perception' / name))
    return tmp_path / 'lib'


def share_of(prefix):
    folder = prefix / 'share' / 'trt_perception'
    (folder / 'config' / 'models').mkdir(parents=True)
    return str(folder)


def ask(library, prefix='', **environment):
    """Return what share_path('a', 'b') gives, or its error, in a fresh interpreter whose sys.prefix is `prefix`."""
    code = ('import sys; sys.prefix = {!r}\n'
            'from trt_perception.core.share import share_path\n'
            'from trt_perception.core.errors import ConfigError\n'
            'try:\n    print(share_path("a", "b"))\nexcept ConfigError as error:\n    print(error)').format(str(prefix))
    env = {key: value for key, value in os.environ.items() if key != 'AMENT_PREFIX_PATH'}
    env.update(environment, PYTHONPATH=str(library))
    output = subprocess.check_output([sys.executable, '-c', code], env=env, cwd=str(library))
    return output.decode().strip()


def test_a_checkout_finds_its_own_files(monkeypatch):
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    assert share.share_directory() == os.path.dirname(PACKAGE)
    assert os.path.isfile(share.share_path('config', 'labels', 'camvid.yaml'))


def test_an_installed_package_is_found_through_the_ament_index(tmp_path):
    found = share_of(tmp_path / 'second')
    (tmp_path / 'first').mkdir()
    path = os.pathsep.join(['', str(tmp_path / 'first'), str(tmp_path / 'second')])
    assert ask(installed(tmp_path), tmp_path / 'none', AMENT_PREFIX_PATH=path) == os.path.join(found, 'a', 'b')


def test_an_installed_package_is_found_without_the_ament_index(tmp_path):
    found = share_of(tmp_path / 'venv')
    assert ask(installed(tmp_path), tmp_path / 'venv') == os.path.join(found, 'a', 'b')


def test_the_ament_index_comes_before_the_prefix_of_python(tmp_path):
    share_of(tmp_path / 'venv')
    found = share_of(tmp_path / 'overlay')
    assert ask(installed(tmp_path), tmp_path / 'venv', AMENT_PREFIX_PATH=str(tmp_path / 'overlay')) == os.path.join(
        found, 'a', 'b')


def test_a_package_without_its_files_says_where_it_looked(tmp_path):
    library = installed(tmp_path)
    (tmp_path / 'half' / 'share' / 'trt_perception').mkdir(parents=True)  # There, but empty.
    text = ask(library, tmp_path / 'none', AMENT_PREFIX_PATH=str(tmp_path / 'half'))
    looked = [str(library)] + [str(tmp_path / prefix / 'share' / 'trt_perception') for prefix in ('half', 'none')]
    assert text == ('trt_perception: config/models not found in {}. Install the package with `pip install .` or '
                    '`colcon build`, and source the workspace.'.format(', '.join(looked)))


@pytest.mark.parametrize('name', ['config/models', 'config/labels', 'models'])
def test_the_shipped_folders_are_not_empty(name):
    assert os.listdir(share.share_path(*name.split('/')))

"""Plain `pytest` works in a ROS 2 installation, whose launch_testing hooks into every run of pytest."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The hooks of launch_testing and launch_testing_ros 3.7, by name: the first no longer fits pytest 9 and imports files
# of equal names twice on older ones, the second is unknown to pytest without the first.
PLUGINS = {'launch_testing': 'def pytest_pycollect_makemodule(path, parent):\n    raise AssertionError(path)\n',
           'launch_ros': 'def pytest_launch_collect_makemodule(path, parent, entrypoint):\n    pass\n'}


def install(folder):
    for name, source in PLUGINS.items():
        (folder / (name + '_double.py')).write_text(source)
        information = folder / (name + '_double-1.0.dist-info')
        information.mkdir()
        (information / 'METADATA').write_text('Metadata-Version: 2.1\nName: {}-double\nVersion: 1.0\n'.format(name))
        (information / 'entry_points.txt').write_text('[pytest11]\n{0} = {0}_double\n'.format(name))


def collect(plugins, *options):
    environment = dict(os.environ, PYTHONPATH=str(plugins))
    return subprocess.run([sys.executable, '-m', 'pytest', '--collect-only', '-q', '-p', 'no:cacheprovider']
                          + list(options) + ['test/core/test_mailbox.py', 'test/core/test_timing.py'], cwd=str(ROOT),
                          env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)


def test_pytest_collects_the_tests_where_launch_testing_is_installed(tmp_path):
    install(tmp_path)
    result = collect(tmp_path)
    assert result.returncode == 0, result.stdout
    assert 'test_mailbox' in result.stdout


def test_without_the_options_of_setup_cfg_the_plugins_stop_it(tmp_path):
    install(tmp_path)
    result = collect(tmp_path, '-o', 'addopts=--import-mode=importlib')
    assert result.returncode != 0
    assert 'launch_testing' in result.stdout

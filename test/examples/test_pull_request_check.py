"""The check for pull requests: its criteria are read, and it runs on two checkouts where the tools are installed."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'examples' / 'pull_request_check'


def test_its_criteria_are_of_measures_that_there_are():
    criteria = pytest.importorskip('trt_perception_tools.compare.criteria')
    assert len(criteria.read_criteria(FOLDER / 'criteria.yaml')) == 6


def test_it_names_what_changed_between_two_checkouts(tmp_path):
    pytest.importorskip('trt_perception_tools')
    # Two checkouts with one environment.
    for name in ('base', 'head'):
        (tmp_path / name / '.venv').mkdir(parents=True)
        (tmp_path / name / '.venv' / 'bin').symlink_to(Path(sys.executable).parent)
    bag = clip(tmp_path)
    done = subprocess.run([str(FOLDER / 'check.sh'), 'base', 'head', str(bag)], cwd=str(tmp_path),
                          stdout=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stdout
    assert 'passed: labels.agreement >= 0.995: got 1\n' in done.stdout
    assert (tmp_path / 'head' / 'out' / 'pull_request_check' / 'comparison' / 'index.html').is_file()


def clip(folder):
    """Write the first images of the demo's clip as a bag of its own."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    from trt_perception.bag import Bag
    source = Bag(str(ROOT / 'demo' / 'street'))
    with Writer(folder / 'clip', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        (topic, kind), = source.types.items()
        connection = writer.add_connection(topic, kind, typestore=get_typestore(Stores.LATEST))
        for number, message in enumerate(source.messages()):
            if number < 3:
                writer.write(connection, message.time_ns, message.data)
    source.close()
    return folder / 'clip'

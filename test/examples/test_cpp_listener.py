"""The C++ listener: compiled where ROS 2 for C++ is installed; elsewhere what can be checked without it."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'examples' / 'cpp_listener'


def test_its_topics_are_those_that_the_nodes_publish():
    topics = (ROOT / 'docs' / 'topics.md').read_text()
    named = re.findall(r'"(segmentation/\w+)"', (FOLDER / 'listener.cpp').read_text())
    assert named == ['segmentation/label_info_json', 'segmentation/label_map']
    assert all('`{}`'.format(topic) in topics for topic in named)


def test_it_compiles(tmp_path):
    if not any(Path(prefix, 'share', 'rclcpp').is_dir() for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':')
               if prefix) or not shutil.which('cmake'):
        pytest.skip('ROS 2 for C++ is not installed here')
    subprocess.run(['cmake', '-S', str(FOLDER), '-B', str(tmp_path)], check=True)
    subprocess.run(['cmake', '--build', str(tmp_path)], check=True)
    assert (tmp_path / 'listener').is_file()

"""The README tells the truth: its tables come from the code, its files and topics exist."""
import re
from pathlib import Path

import pytest

readme = pytest.importorskip('trt_perception_tools.readme')
ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / 'README.md').read_text()


def test_generated_tables_are_up_to_date():
    assert readme.with_tables(TEXT) == TEXT, 'run: trt_perception_tools readme'


def test_links_and_named_files_exist():
    links = re.findall(r'\]\(([^)#:]+)\)', TEXT)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_architecture_names_every_runtime_module():
    text = (ROOT / 'ARCHITECTURE.md').read_text()
    for path in (ROOT / 'trt_perception').rglob('*.py'):
        if path.name not in ('__init__.py', '__main__.py') and path.parent.name != 'cli':
            assert path.name in text, path


def test_topics_table_names_every_topic_that_the_nodes_publish():
    source = ''.join(path.read_text() for path in (ROOT / 'trt_perception/ros').glob('*publishers.py'))
    topics = set(re.findall(r"_create(?:_image)?\('([\w/]+)'", source))
    assert {'label_map', 'flow', 'camera_info'} <= topics
    for topic in topics:
        assert re.search(r'`(segmentation|optical_flow)/{}`'.format(topic), TEXT), topic

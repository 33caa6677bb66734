"""The documentation tells the truth: its tables come from the code; its files, topics and commands exist."""
import re
from pathlib import Path

import pytest

from trt_perception import cli
from trt_perception.cli.run import nodes

readme = pytest.importorskip('trt_perception_tools.readme')
tools_cli = pytest.importorskip('trt_perception_tools.cli')

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for pattern in ('*.md', 'docs/**/*.md', 'tools/*.md', 'examples/*.md')
               for path in ROOT.glob(pattern))


def text_of(page):
    return (ROOT / page).read_text()


@pytest.mark.parametrize('page', readme.PAGES)
def test_generated_tables_are_up_to_date(page):
    assert readme.with_tables(text_of(page), page) == text_of(page), 'run: trt_perception_tools readme'


def test_each_generated_table_is_in_one_place():
    marks = [name for page in {*PAGES, *readme.PAGES} for name in re.findall('<!-- (.+) -->', text_of(page))
             if name != 'end']
    assert sorted(marks) == sorted(readme.TABLES)


@pytest.mark.parametrize(('text', 'expected'), [
    ('no table', r'^page: got tables \[\], expected some of'),
    ('<!-- parametres -->\n<!-- end -->', r"^page: got tables \['parametres'\]"),
    ('<!-- models -->\n', '^page: got table models without its <!-- end -->')])
def test_a_page_with_wrong_marks_is_refused(text, expected):
    with pytest.raises(readme.ConfigError, match=expected):
        readme.with_tables(text, 'page')


def test_a_renewed_table_replaces_the_one_before():
    page = 'A\n<!-- models -->\nold\n<!-- end -->\nB\n'
    assert readme.with_tables(page, 'page') == 'A\n<!-- models -->\n{}\n<!-- end -->\nB\n'.format(readme.models_table())
    assert readme.with_tables(page.replace('old\n', ''), 'page') == readme.with_tables(page, 'page')


@pytest.mark.parametrize('page', PAGES)
def test_linked_files_exist(page):
    for link in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text_of(page)):
        assert ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize('page', PAGES)
def test_named_commands_exist(page):
    for verb in re.findall(r'(?<!launch )(?<!run )\btrt_perception ([a-z]+(?:-[a-z]+)*)\b', text_of(page)):
        assert verb in cli.VERBS, verb
    for verb in re.findall(r'trt_perception_tools ([a-z]+(?:-[a-z]+)*)\b', text_of(page)):
        assert verb in tools_cli.VERBS, verb
    scripts = {name + '_node' for name in nodes()} | {verb.replace('-', '_') for verb in cli.VERBS}
    for script in re.findall(r'ros2 run trt_perception (\w+)', text_of(page)):
        assert script in scripts, script


def test_architecture_names_every_runtime_module():
    text = text_of('ARCHITECTURE.md')
    for path in (ROOT / 'trt_perception').rglob('*.py'):
        if path.name not in ('__init__.py', '__main__.py') and path.parent.name != 'cli':
            assert path.name in text, path


def test_topics_table_names_every_topic_that_the_nodes_publish():
    text = text_of('docs/topics.md')
    found = set()
    for path in (ROOT / 'trt_perception' / 'ros').glob('*_publishers.py'):
        task = path.name[:-len('_publishers.py')]
        found |= {'{}/{}'.format(task, topic)
                  for topic in re.findall(r"_create(?:_image)?\('([\w/]+)'", path.read_text()) + ['camera_info']}
    assert {'segmentation/label_map', 'optical_flow/flow', 'optical_flow/camera_info'} <= found
    assert [topic for topic in sorted(found) if '`{}`'.format(topic) not in text] == []


def test_the_tests_that_hold_a_case_exist():
    named = re.findall(r'`(test_\w+)`', text_of('docs/field_cases.md'))
    assert len(named) > 100
    there = {name for folder in ('test', 'tools/test') for path in (ROOT / folder).rglob('test_*.py')
             for name in re.findall(r'^ *def (test_\w+)', path.read_text(), re.MULTILINE)}
    assert [name for name in named if name not in there] == []

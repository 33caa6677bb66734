import re
from pathlib import Path

import trt_perception_tools
from trt_perception.core.settings import settings_for
from trt_perception_tools.cli import VERBS
from trt_perception_tools.readme import parameters_table

PACKAGE = Path(trt_perception_tools.__file__).parent
TEXT = (PACKAGE.parent / 'README.md').read_text()


def test_the_readme_names_every_module_and_folder():
    table = TEXT[TEXT.index('## Files'):]
    for path in PACKAGE.rglob('*.py'):
        if path.parent == PACKAGE or path.name != '__init__.py':
            folder = '' if path.parent == PACKAGE else path.parent.name
            assert f'`{path.name}`' in table or path.name.startswith('__'), path
            assert not folder or f'`{folder}/`' in table, folder


def test_modules_stay_small():
    lines = {path: path.read_text().count('\n') for path in PACKAGE.rglob('*.py')}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_the_readme_names_every_verb():
    for verb in VERBS:
        assert f'trt_perception_tools {verb}' in TEXT or f'`{verb}`' in TEXT, verb


def test_the_table_of_parameters_has_one_whole_row_per_setting():
    lines = parameters_table(settings_for()).splitlines()
    assert len(lines) == 2 + len(settings_for())
    assert {line.count('|') for line in lines} == {6}
    for line, setting in zip(lines[2:], settings_for()):
        name, default, allowed, runtime, meaning = [cell.strip() for cell in line.strip('|').split('|')]
        assert name == f'`{setting.name}`'
        shown = {'True': 'true', 'False': 'false'}.get(repr(setting.default), repr(setting.default))
        assert default == f'`{shown}`'
        assert re.findall('`(.*?)`', allowed) == [choice or "''" for choice in setting.choices]
        if setting.limits:
            assert [float(side) for side in allowed.split(' - ')] == list(setting.limits)
        assert runtime == ('yes' if setting.runtime else '')
        assert meaning == setting.description

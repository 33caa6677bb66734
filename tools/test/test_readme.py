from pathlib import Path

import trt_perception_tools
from trt_perception_tools.cli import VERBS

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

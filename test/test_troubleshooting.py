"""The troubleshooting page has every warning and error that the nodes log, and every reason to skip a frame."""
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = re.sub(r'\{[^}]*\}', '{}', (ROOT / 'docs/troubleshooting.md').read_text().replace('`', ''))
FUNCTIONS = ('warning', '_complain', 'FrameError')
LOGGERS = ('warning', 'error')


def text_of(node):
    """Return the literal that a text is made of: 'text', 'text'.format(...), 'text' % ..., or ''."""
    while isinstance(node, (ast.Call, ast.Attribute, ast.BinOp)):
        node = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Attribute) else node.left
    value = getattr(node, 'value', getattr(node, 's', ''))
    return value if isinstance(value, str) else ''


def messages():
    """Return (file, text) of what the runtime logs as a warning or error, or raises as a FrameError."""
    found = []
    for path in sorted((ROOT / 'trt_perception').rglob('*.py')):
        if 'bench' in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            owner = ast.dump(node.func)
            if name in FUNCTIONS or name == 'error' and ('log' in owner.lower()):
                found += [(path.name, text_of(argument)) for argument in node.args if len(text_of(argument)) > 12]
    return found


@pytest.mark.parametrize(('file', 'text'), messages())
def test_every_message_is_on_the_page(file, text):
    parts = sorted((part.strip() for part in re.split(r'\{[^}]*\}|%s', text.replace('`', ''))), key=len)
    # Twenty characters in a row are enough to find it by.
    assert any(part[at:at + 20] in PAGE for part in parts if part == parts[-1] or len(part) > 7
               for at in range(max(1, len(part) - 19))), '{}: {}'.format(file, text)


def test_there_is_something_to_look_for():
    assert len(messages()) > 40

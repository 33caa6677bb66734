"""The troubleshooting page has every warning and error that a node can log or put into its diagnostics."""
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = re.sub(r'\{[^}]*\}', '{}', (ROOT / 'docs/troubleshooting.md').read_text().replace('`', ''))
FUNCTIONS = ('warning', 'warn', '_warn', '_complain', 'FrameError', 'EngineError', 'ConfigError', 'Finding')
HINTS = ('clock_check.py',)
"""All that these modules return is logged by others."""
COMMANDS = ('bench', 'cli')
"""What they say of their arguments is read by whoever has just typed these."""


def text_of(node):
    """Return the literal that a text is made of: 'text', 'text'.format(...), 'text' % ..., or ''."""
    while isinstance(node, (ast.Call, ast.Attribute, ast.BinOp)):
        node = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Attribute) else node.left
    value = getattr(node, 'value', getattr(node, 's', ''))
    return value if isinstance(value, str) else ''


def assigned(tree):
    """Return name -> texts that it stands for somewhere in a module."""
    texts = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                values = getattr(node.value, 'elts', ()) if isinstance(target, ast.Tuple) else [node.value]
                for name, value in zip(getattr(target, 'elts', [target]), values):
                    texts.setdefault(getattr(name, 'id', ''), []).append(text_of(value))
    return texts


def texts_of(path):
    """Return the texts that a module logs as warnings or errors, raises, or finds for the diagnostics."""
    tree = ast.parse(path.read_text())
    names = assigned(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and path.name in HINTS:
            found.append(text_of(node.value))
        elif isinstance(node, ast.Call):
            name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            if name in FUNCTIONS or name == 'error' and 'log' in ast.dump(node.func).lower():
                for argument in node.args:
                    found += names.get(argument.id, []) if isinstance(argument, ast.Name) else [text_of(argument)]
    return [text for text in dict.fromkeys(found) if len(text) > 12]


def messages():
    """Return (file, text) of everything that the page must have."""
    return [(path.name, text) for path in sorted((ROOT / 'trt_perception').rglob('*.py'))
            if path.relative_to(ROOT / 'trt_perception').parts[0] not in COMMANDS for text in texts_of(path)]


@pytest.mark.parametrize(('file', 'text'), messages())
def test_every_message_is_on_the_page(file, text):
    parts = sorted((part.strip() for part in re.split(r'\{[^}]*\}|%s', text.replace('`', ''))), key=len)
    # Twenty characters in a row are enough to find it by.
    assert any(part[at:at + 20] in PAGE for part in parts if part == parts[-1] or len(part) > 7
               for at in range(max(1, len(part) - 19))), '{}: {}'.format(file, text)


def test_there_is_something_to_look_for():
    assert len(messages()) > 150

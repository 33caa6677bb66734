"""Lets every test import both packages, and what tests share, from the checkout; finds weights and datasets."""
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault('OMP_NUM_THREADS', '1')  # As in test/conftest.py; before anything imports torch.

_ROOT = Path(__file__).parents[2]
for _folder in (_ROOT, _ROOT / 'tools', _ROOT / 'test', _ROOT / 'tools' / 'test',
                _ROOT / 'tools' / 'test' / 'graphs'):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

# A busy machine takes its time; failures are printed so that they can be repeated, not kept in a folder.
settings.register_profile('busy', deadline=None, print_blob=True, database=None)
settings.load_profile('busy')


@pytest.fixture(scope='session')
def data() -> Path:
    folder = _ROOT.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'the published weights and datasets are not in {folder}')
    return folder


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a test import the scripts of docs/measurements."""
    folder = str(_ROOT / 'docs' / 'measurements')
    monkeypatch.syspath_prepend(folder)
    return folder

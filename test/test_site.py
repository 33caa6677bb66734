"""The site that `make docs` builds: strict, with every page, and without anything from other hosts."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('mkdocs', reason='MkDocs is not installed: `make docs` installs it')
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    result = subprocess.run([sys.executable, '-m', 'mkdocs', 'build', '--quiet', '--site-dir', str(folder)],
                            cwd=str(ROOT), env=dict(os.environ, NO_MKDOCS_2_WARNING='1'), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, universal_newlines=True)
    assert result.returncode == 0, result.stdout
    return folder


def test_the_site_has_the_pages_of_the_repository_and_the_reference(site):
    assert 'Supported boards' in (site / 'index.html').read_text()
    assert 'max_frame_age' in (site / 'parameters.html').read_text()
    assert 'put_image' in (site / 'reference' / 'trt_perception.core.html').read_text()
    for page in ('architecture', 'contributing', 'examples', 'tools', 'topics', 'troubleshooting', 'tx2'):
        assert (site / (page + '.html')).is_file(), page


def test_the_site_loads_nothing_from_other_hosts(site):
    for path in site.rglob('*.html'):
        assert re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', path.read_text()) == [], path

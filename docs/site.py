"""MkDocs hook: puts the Markdown files outside docs/, the measurements and an API reference on the site."""
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {'README.md': 'index.md', 'ARCHITECTURE.md': 'architecture.md', 'CONTRIBUTING.md': 'contributing.md',
         'tools/README.md': 'tools.md', 'examples/README.md': 'examples.md'}
SOURCES = {page: source for source, page in PAGES.items()}


def packages() -> list[str]:
    """Return the packages of the reference, one page each, by their dotted names."""
    files = [path for root in ('', 'tools') for path in sorted((ROOT / root).glob('trt_perception*/*/__init__.py'))]
    return ['.'.join(path.parent.parts[-2:]) for path in files]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation."""
    measurements = sorted(f'measurements/{path.name}' for path in ROOT.glob('docs/measurements/*.md'))
    config.nav += [{'Measurements': measurements},
                   {'Reference': [{name: f'reference/{name}.md'} for name in packages()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for name in packages():
        files.append(File.generated(config, f'reference/{name}.md', content=f'# `{name}`\n\n::: {name}\n'))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links, which are relative to the repository's files, to the site's pages; unlink files that have none.

    A link to a file that does not exist stays as it is, and strict mode refuses it.
    """
    here = page.file.src_uri
    source = SOURCES.get(here, 'docs/' + here)

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match.groups()
        path = os.path.normpath(os.path.join(os.path.dirname(source), target))
        to = PAGES.get(path) or (path[len('docs/'):] if path.startswith('docs/') else '')
        if to and not (ROOT / path).is_dir():
            return f'[{text}]({os.path.relpath(to, os.path.dirname(here) or ".")}{anchor})'
        return text if (ROOT / path).exists() else match.group(0)

    return re.sub(r'(?<!!)\[([^\]]+)\]\(([^)#:]+)(#[^)]*|)\)', link, markdown).replace('](docs/', '](')

"""Write the README's generated tables, parameters and models, from the code and config/models."""
import argparse
import re
from pathlib import Path

from trt_perception.core.errors import ConfigError
from trt_perception.core.model import load_model, model_names
from trt_perception.core.settings import markdown_table


def models_table() -> str:
    """Return the models of config/models as a Markdown table."""
    lines = ['| name | task | network | licence |', '|---|---|---|---|']
    for name in model_names():
        model = load_model(name)
        lines.append(f'| `{name}` | {model.task} | {model.description} | {model.license} |')
    return '\n'.join(lines)


TABLES = {'parameters': markdown_table, 'models': models_table}


def _literal(text: str) -> str:
    return text.replace('\\', r'\\')


def with_tables(text: str) -> str:
    """Return a README's text with the tables between its `<!-- NAME -->` and `<!-- end -->` marks made anew.

    Raises:
        ConfigError: a mark is missing.
    """
    for name, table in TABLES.items():
        pattern = re.compile(rf'(<!-- {name} -->\n).*?(\n<!-- end -->)', re.DOTALL)
        if not pattern.search(text):
            raise ConfigError(f'README.md: no section between <!-- {name} --> and <!-- end -->. Put the marks back.')
        text = pattern.sub(rf'\g<1>{_literal(table())}\g<2>', text)
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('readme', type=Path, nargs='?', default=Path('README.md'))


def execute(args: argparse.Namespace) -> int:
    """Rewrite the file in place."""
    args.readme.write_text(with_tables(args.readme.read_text()))
    return 0

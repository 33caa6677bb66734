"""Write the generated parts of documentation and config/perception.yaml from the tables of the code."""
import argparse
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

import yaml

from trt_perception.core.camera_node_settings import CAMERA_NODE_SETTINGS
from trt_perception.core.errors import ConfigError
from trt_perception.core.image import ENCODINGS, Encoding
from trt_perception.core.model import load_model, model_names
from trt_perception.core.planner_settings import PLANNER_SETTINGS
from trt_perception.core.setting import Setting
from trt_perception.core.settings import settings_for
from trt_perception.engines import BACKENDS

PAGES = ('README.md', 'docs/parameters.md', 'docs/topics.md', 'config/perception.yaml', 'config/planner.yaml')
"""Files with generated parts, each between `<!-- NAME -->` and `<!-- end -->`."""


def models_table() -> str:
    """Return the models of config/models as a Markdown table."""
    lines = ['| name | task | network | licence |', '|---|---|---|---|']
    for name in model_names():
        model = load_model(name)
        lines.append(f'| `{name}` | {model.task} | {model.description} | {model.license} |')
    return '\n'.join(lines)


def encodings_table() -> str:
    """Return the image encodings as a Markdown table; names that are decoded alike share a line."""
    alike: dict[Encoding, list[str]] = {}
    for name, encoding in ENCODINGS.items():
        alike.setdefault(encoding, []).append(f'`{name}`')
    lines = ['| encoding | bytes per pixel | decoded to | height, width |', '|---|---|---|---|']
    for encoding, names in alike.items():
        rows, of = encoding.planes
        size = f'{encoding.bytes_per_pixel * rows / of:g}'
        even = ' and '.join(side for side, is_even in zip(('height', 'width'), encoding.even) if is_even)
        lines.append(f'| {", ".join(names)} | {size} | {encoding.order} | {"even " + even if even else "any"} |')
    return '\n'.join(lines)


def backends_table() -> str:
    """Return the inference back-ends as a Markdown table, in the order in which `auto` tries them."""
    lines = ['| `engine` | Python packages | reads `files` entry | default precision | tried by `auto` |',
             '|---|---|---|---|---|']
    for name, backend in BACKENDS.items():
        entries = ', else '.join(f'`{entry}`' for entry in (name, backend.format) if entry)
        precision = backend.precision
        if backend.int8_on_cpu:
            precision += ', or int8 where it is faster and accurate enough'
        automatic = ('where there is an NVIDIA GPU' if backend.gpu else 'yes') if backend.automatic else 'no'
        packages = ', '.join(f'`{each}`' for each in backend.packages).replace('|', '` or `')
        lines.append(f'| `{name}` | {packages} | {entries} | {precision} | {automatic} |')
    return '\n'.join(lines)


def parameters_table(settings: Iterable[Setting]) -> str:
    """Return parameters as a Markdown table."""
    lines = ['| name | default | range | at run time | meaning |', '|---|---|---|---|---|']
    for setting in settings:
        limits = ' / '.join(f"`{choice or repr('')}`" for choice in setting.choices)
        if setting.limits:
            limits = '{:g} - {:g}'.format(*setting.limits)
        default = str(setting.default).lower() if isinstance(setting.default, bool) else repr(setting.default)
        lines.append(f'| `{setting.name}` | `{default}` | {limits} | {"yes" if setting.runtime else ""} | '
                     f'{setting.description} |')
    return '\n'.join(lines)


def parameter_file(settings: Iterable[Setting]) -> str:
    """Return parameters at their defaults, as lines below `ros__parameters` of a ROS parameter file."""
    lines, group = [], ''
    for setting in settings:
        prefix, _, name = setting.name.rpartition('.')
        if prefix and prefix != group:
            lines.append(f'    {prefix}:')
        group = prefix
        indent = '      ' if prefix else '    '
        lines += textwrap.wrap(setting.description, 120, initial_indent=indent + '# ', subsequent_indent=indent + '# ')
        lines += [indent + yaml.safe_dump({name: setting.default},
                                            default_flow_style=None if setting.is_list else False).rstrip()]
    return '\n'.join(lines)


TABLES = {'parameters': lambda: parameters_table(settings_for()),
          'camera parameters': lambda: parameters_table(CAMERA_NODE_SETTINGS),
          'planner parameters': lambda: parameters_table(PLANNER_SETTINGS),
          'models': models_table, 'encodings': encodings_table, 'backends': backends_table,
          'parameter file': lambda: parameter_file(settings_for()),
          'planner parameter file': lambda: parameter_file(PLANNER_SETTINGS)}


def with_tables(text: str, where: str) -> str:
    """Return the text of a page with its generated tables renewed.

    Raises:
        ConfigError: it has no table, one of an unknown name, or one without its end mark.
    """
    names = [name for name in re.findall('<!-- (.+) -->', text) if name != 'end']
    if not names or not set(names) <= set(TABLES):
        raise ConfigError(f'{where}: got tables {names}, expected some of {", ".join(TABLES)}, each between '
                          '<!-- NAME --> and <!-- end -->. Correct the marks.')
    for name in names:
        before, mark, after = text.partition(f'<!-- {name} -->\n')
        old, end, after = after.partition('<!-- end -->')
        if not end:
            raise ConfigError(f'{where}: got table {name} without its <!-- end -->. Put it back.')
        comment = old.rpartition('\n')[2]  # Before the end mark, in a YAML file.
        text = f'{before}{mark}{TABLES[name]()}\n{comment}{end}{after}'
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('pages', type=Path, nargs='*', default=[Path(page) for page in PAGES],
                        help=f'files to rewrite (default: {", ".join(PAGES)})')


def execute(args: argparse.Namespace) -> int:
    """Rewrite the files in place."""
    for page in args.pages:
        page.write_text(with_tables(page.read_text(), str(page)))
    return 0

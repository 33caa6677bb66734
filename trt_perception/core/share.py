"""The place of the package's data files: configuration, models, launch files, transport profiles."""
import os
import sys
from typing import Iterator

from .errors import ConfigError

_PACKAGE = 'trt_perception'


def _candidates() -> Iterator[str]:
    # A checkout (or an editable install, which skips data_files) before the ament index before the plain prefix.
    yield os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    for prefix in [p for p in prefixes if p] + [sys.prefix]:
        yield os.path.join(prefix, 'share', _PACKAGE)


def share_directory() -> str:
    """Return the folder that holds `config/`, `launch/` and `models/`.

    Raises:
        ConfigError: no such folder; the text lists the places that were searched.
    """
    looked = list(_candidates())
    for folder in looked:
        if os.path.isdir(os.path.join(folder, 'config', 'models')):
            return folder
    raise ConfigError(
        '{}: config/models not found in {}. Install the package with `pip install .` or `colcon build`, '
        'and source the workspace.'.format(_PACKAGE, ', '.join(looked)))


def share_path(*parts: str) -> str:
    """Return the path of a file of the package, e.g. `share_path('config', 'perception.yaml')`."""
    return os.path.join(share_directory(), *parts)

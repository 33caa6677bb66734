"""The cameras that a node serves: their names, namespaces and priorities, from its parameters."""
import re
from typing import Any, List, Mapping, NamedTuple

from .errors import ConfigError

NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*')


class CameraSpec(NamedTuple):
    """One camera of a node."""

    name: str
    """'' = the only one."""
    priority: int

    @property
    def namespace(self) -> str:
        """Prefix of its topics, relative to the node's namespace: 'front/', or ''."""
        return self.name and self.name + '/'


def camera_specs(settings: Mapping[str, Any]) -> List[CameraSpec]:
    """Return the cameras that the settings name.

    Raises:
        ConfigError: a name is no valid prefix of topics, or occurs twice; or the number of priorities is another.
    """
    names, priorities = settings['cameras'], settings['camera_priorities']
    for name in names:
        if not NAME.fullmatch(name) and names != ['']:
            raise ConfigError('parameter cameras: got {!r}, expected a name of letters, digits and _ that begins with '
                              "a letter; or [''] for one camera without a name.".format(name))
        if names.count(name) > 1:
            raise ConfigError('parameter cameras: {!r} is there twice. Give each camera a name of its own.'.format(
                name))
    if len(priorities) not in (1, len(names)):
        raise ConfigError('parameter camera_priorities: got {} numbers for {} cameras. Give one for each, or one for '
                          'all.'.format(len(priorities), len(names)))
    return [CameraSpec(name, priority) for name, priority in zip(
        names, priorities if len(priorities) > 1 else priorities * len(names))]

"""The meaning of the classes of a label map to a planner: ground, with a cost; obstacle; or not seen."""
from typing import Dict, List, Mapping, NamedTuple, Tuple

import numpy as np

from .errors import ConfigError
from .fields import Fields
from .yaml_file import read_yaml

GROUND, OBSTACLE, UNSEEN = 0, 1, 2
"""Roles of a pixel: it shows the ground plane, something on it, or neither (unlabelled, sky)."""
UNKNOWN = -1
"""Cost of a cell that was not seen, as in nav_msgs/OccupancyGrid."""
LETHAL = 100


class ClassTables(NamedTuple):
    """Role and cost of every class id."""

    roles: np.ndarray
    """(256,) uint8: GROUND, OBSTACLE or UNSEEN."""
    costs: np.ndarray
    """(256,) int8: 0 = free ... 100 = lethal; UNKNOWN where the role is UNSEEN."""
    unnamed: Tuple[str, ...]
    """Classes that the file does not name: lethal obstacles, for safety."""


class ClassCosts(NamedTuple):
    """A file of class costs."""

    ground: Mapping[str, int]
    """Name -> cost, 0 .. 100, of classes that lie in the ground plane."""
    obstacles: Mapping[str, int]
    """Name -> cost, 0 .. 100, of classes that stand on it."""
    unseen: Tuple[str, ...]
    """Names of classes that tell nothing about the ground, such as sky."""

    def tables(self, classes: Mapping[int, str]) -> ClassTables:
        """Return the tables for a label set, id -> name. Ids without a class are UNSEEN."""
        roles, costs = np.full(256, UNSEEN, np.uint8), np.full(256, UNKNOWN, np.int8)
        unnamed: List[str] = []
        for number, name in classes.items():
            if name in self.ground:
                roles[number], costs[number] = GROUND, self.ground[name]
            elif name not in self.unseen:
                roles[number], costs[number] = OBSTACLE, self.obstacles.get(name, LETHAL)
                if name not in self.obstacles:
                    unnamed.append(name)
        return ClassTables(roles, costs, tuple(unnamed))


def load_class_costs(path: str) -> ClassCosts:
    """Read a file of class costs: config/class_costs/default.yaml is one.

    Raises:
        ConfigError: it cannot be read, or a value is wrong.
    """
    fields = Fields(path, read_yaml(path))
    ground, obstacles = _costs(fields, 'ground'), _costs(fields, 'obstacles')
    unseen = fields.texts('unseen', 'a list of class names')
    fields.done()
    for name in ground:
        if name in obstacles or name in unseen:
            raise ConfigError('{}: class {!r} is named twice. Name it once.'.format(path, name))
    if not ground:
        raise ConfigError('{}: ground: got no class, expected those that can be driven on. Name at least one.'.format(
            path))
    return ClassCosts(ground, obstacles, unseen)


def _costs(fields: Fields, key: str) -> Dict[str, int]:
    expected = 'a mapping of class names to costs from 0 to {}'.format(LETHAL)
    values = fields.take(key, dict, expected, {})
    for name, cost in values.items():
        if not isinstance(name, str) or type(cost) is not int or not 0 <= cost <= LETHAL:
            raise fields.error(key, {name: cost}, expected)
    return dict(values)

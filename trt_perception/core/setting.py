"""One parameter of the nodes: name, default, limits, meaning."""
from typing import Any, NamedTuple, Optional, Tuple

from .errors import ConfigError


class Setting(NamedTuple):
    """One parameter of the nodes."""

    name: str
    default: Any
    """Also fixes the type: bool, int, float or str. An int is accepted for a float."""
    description: str
    choices: Tuple[str, ...] = ()
    limits: Optional[Tuple[float, float]] = None
    runtime: bool = False
    """Whether it may change while the node runs."""

    def check(self, value: Any) -> Any:
        """Return the value in the parameter's type.

        Raises:
            ConfigError: wrong type, or outside the choices or limits; the text names them.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        wrong = (type(value) is not kind or (self.choices and value not in self.choices)
                 or (self.limits and not self.limits[0] <= value <= self.limits[1]))
        if wrong:
            raise ConfigError('parameter {}: got {!r}, expected {}.'.format(self.name, value, self.expected))
        return value

    @property
    def expected(self) -> str:
        """What values are right, human-readable."""
        if self.choices:
            return 'one of ' + ', '.join(choice or "''" for choice in self.choices)
        if self.limits:
            return 'a number from {:g} to {:g}'.format(*self.limits)
        return {'str': 'a string', 'bool': 'true or false'}.get(type(self.default).__name__, 'a number')

"""One parameter of the nodes: name, default, limits, meaning."""
from array import array
from typing import Any, NamedTuple, Optional, Tuple, Type

from .errors import ConfigError


class Setting(NamedTuple):
    """One parameter of the nodes."""

    name: str
    default: Any
    """Also fixes the type: bool, int, float, str, or a list of one of these, which is never empty. An int is
    accepted for a float."""
    description: str
    choices: Tuple[str, ...] = ()
    limits: Optional[Tuple[float, float]] = None
    runtime: bool = False
    """Whether it may change while the node runs."""

    @property
    def is_list(self) -> bool:
        """Whether the values are lists; choices and limits are those of each item."""
        return type(self.default) is list

    @property
    def kind(self) -> Type[Any]:
        """Type of the values, or of their items."""
        return type(self.default[0] if self.is_list else self.default)

    def check(self, value: Any) -> Any:
        """Return the value in the parameter's type.

        Raises:
            ConfigError: wrong type, or outside the choices or limits; the text names them.
        """
        if self.is_list:
            right = isinstance(value, (list, tuple, array)) and len(value) > 0
            checked: Any = [self._converted(each) for each in value] if right else []
            right = right and all(map(self._is_right, checked))
        else:
            value = checked = self._converted(value)
            right = self._is_right(checked)
        if not right:
            raise ConfigError('parameter {}: got {!r}, expected {}.'.format(self.name, value, self.expected))
        return checked

    def _converted(self, value: Any) -> Any:
        return float(value) if self.kind is float and type(value) is int else value

    def _is_right(self, value: Any) -> bool:
        if type(value) is not self.kind or self.choices and value not in self.choices:
            return False
        return not self.limits or self.limits[0] <= value <= self.limits[1]

    @property
    def expected(self) -> str:
        """The allowed values, human-readable."""
        if self.choices:
            text = 'one of ' + ', '.join(choice or "''" for choice in self.choices)
        elif self.limits:
            text = 'a number from {:g} to {:g}'.format(*self.limits)
        else:
            text = {'str': 'a string', 'bool': 'true or false'}.get(self.kind.__name__, 'a number')
        return 'a list, each item ' + text if self.is_list else text

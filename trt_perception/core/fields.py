"""One mapping of a YAML file: returns checked values, then refuses unknown fields."""
import difflib
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .errors import ConfigError, did_you_mean


class Fields:
    """The fields at one place of a YAML file.

    Args:
        where: file and place, for the texts of errors, which are all ConfigErrors.

    Attributes:
        values: fields that have not been taken yet.
        known: names that were asked for.
    """

    def __init__(self, where: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise ConfigError('{}: got {}, expected a mapping of fields.'.format(where, show(values)))
        self.where = where
        self.values = dict(values)
        self.known: List[str] = []

    def error(self, key: str, value: Any, expected: str) -> ConfigError:
        """Return the error for a wrong value."""
        return ConfigError('{}: {}: got {}, expected {}.'.format(self.where, key, show(value), expected))

    def take(self, key: str, kind: Any, expected: str, default: Any = None) -> Any:
        """Return a value of a type; a bool is no number. Without default the field must be there."""
        self.known.append(key)
        if key not in self.values:
            if default is not None:
                return default
            close = difflib.get_close_matches(key, [str(name) for name in self.values], 1)
            hint = ' Did you mean it by {!r}?'.format(close[0]) if close else ''
            raise ConfigError('{}: {}: missing, expected {}.{}'.format(self.where, key, expected, hint))
        value = self.values.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, value, expected)
        return value

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        """Return one of some words."""
        expected = 'one of ' + ', '.join(allowed)
        value = self.take(key, str, expected)
        if value not in allowed:
            raise self.error(key, value, expected)
        return value

    def numbers(self, key: str, count: int, default: float) -> np.ndarray:
        """Return (count,) float32 of a list of finite numbers; each is the default where there is no list."""
        expected = '{} finite number{}'.format(count, 's' if count > 1 else '')
        values = self.take(key, list, 'a list of ' + expected, [default] * count)
        if len(values) != count or not all(is_number(v) for v in values):
            raise self.error(key, values, 'a list of ' + expected)
        return np.array(values, np.float32)

    def texts(self, key: str, expected: str) -> Tuple[str, ...]:
        """Return the texts of a list; none where there is no such field."""
        values = self.take(key, list, expected, [])
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(key, values, expected)
        return tuple(values)

    def digests(self, key: str) -> Dict[str, str]:
        """Return a mapping of file names to SHA-256 digests; an empty one where there is no such field."""
        expected = 'a mapping of file names to SHA-256 digests, 64 hexadecimal digits each'
        values = self.take(key, dict, expected, {})
        if not all(isinstance(name, str) and re.match('[0-9a-f]{64}$', str(value)) for name, value in values.items()):
            raise self.error(key, values, expected)
        return dict(values)

    def section(self, key: str, default: Optional[Dict[str, Any]] = None) -> 'Fields':
        """Return the mapping of a field. Without default the field must be there."""
        return Fields('{}: {}'.format(self.where, key), self.take(key, dict, 'a mapping of fields', default))

    def done(self) -> None:
        """Refuse fields that were not taken."""
        for key in self.values:
            raise ConfigError('{}: unknown field {!r}{} Known: {}.'.format(
                self.where, key, did_you_mean(str(key), self.known), ', '.join(self.known)))


def is_number(value: Any) -> bool:
    """Return whether a value is a number that float32 can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) \
        and abs(value) <= float(np.finfo(np.float32).max)  # False for NaN, too.


def show(value: Any) -> str:
    """Return a value as error texts write it: at most 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out integers of thousands of digits.
        text = type(value).__name__
    return text if len(text) < 80 else text[:77] + '...'

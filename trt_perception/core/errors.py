"""The three errors and their effects. Texts have the form: where: what came, what was expected. What to do."""
import difflib
from typing import Iterable


class PerceptionError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(PerceptionError):
    """A parameter, YAML file or name is wrong: the node stops at start."""


class EngineError(PerceptionError):
    """A network cannot be opened or run: the node stops at start, and reopens the engine at run time."""


class FrameError(PerceptionError):
    """One image cannot be used: it is skipped and counted."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ' Did you mean ...?' when a known word is close, else '.': the end of an error message."""
    close = difflib.get_close_matches(word, list(known), 1)
    return '. Did you mean {!r}?'.format(close[0]) if close else '.'

"""Three errors, three reactions. Text: where: what came, what was expected. What to do."""


class PerceptionError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(PerceptionError):
    """A parameter, YAML file or name is wrong: the node stops at start."""


class EngineError(PerceptionError):
    """A network cannot be opened or run: stops at start; at run time the node reopens the engine."""


class FrameError(PerceptionError):
    """One image cannot be used: it is skipped and counted."""

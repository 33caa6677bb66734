"""Inference runtimes behind one interface, core.engine.Engine: one module or package each, imported when chosen."""
from .backends import (
    AUTO,
    BACKENDS,
    DEFAULT_OPTIONS,
    Backend,
    BuiltEngine,
    EngineOptions,
    Progress,
    available_backends,
    default_model,
    open_engine,
    prepare_engine,
    resolve,
)

__all__ = ['AUTO', 'BACKENDS', 'DEFAULT_OPTIONS', 'Backend', 'BuiltEngine', 'EngineOptions', 'Progress',
           'available_backends', 'default_model', 'open_engine', 'prepare_engine', 'resolve']

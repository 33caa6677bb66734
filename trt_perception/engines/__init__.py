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
from .deployment import carrying_flow, deployed_model, engine_options

__all__ = ['AUTO', 'BACKENDS', 'DEFAULT_OPTIONS', 'Backend', 'BuiltEngine', 'EngineOptions', 'Progress',
           'available_backends', 'carrying_flow', 'default_model', 'deployed_model', 'engine_options', 'open_engine',
           'prepare_engine', 'resolve']
